//! Workloads: what a client does on one connection.
//!
//! Each is written once, generic over [`Socket`], and runs unchanged on every row. What is timed lies between two
//! readings of the clock; making a payload and verifying an answer lie outside of them.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use histogram::{Recorder, Series};

use crate::{
    Kind, Message, Socket, SocketError, Timer,
    payload::{self, Class, HEADER_BYTES, PayloadSource},
    service::Push,
    tally::Tally,
    timer::{instant_at, now_ns},
};

pub mod broadcast;
mod paced;

pub use broadcast::Audience;
pub use paced::{Pace, Stretch, cut_short, paced};

/// What is common to everything that one connection does in a pass: the warm-up or the measured window.
#[derive(Clone, Debug)]
pub struct Script {
    /// Text or binary messages.
    pub kind: Kind,
    /// Size of a message in bytes.
    pub payload_bytes: u64,
    /// Class of every message sent.
    pub class: Class,
    /// When a connection stops starting new work.
    pub stop: Stop,
    /// Where the samples go; `None` in the warm-up.
    pub recorder: Option<Recorder>,
    /// Whether this connection stops reading for a while: its latencies are kept apart.
    pub stalled: bool,
    /// Makes and checks the payloads of this connection.
    pub payloads: PayloadSource,
}

/// When a connection stops starting new work. What is in flight is always awaited.
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    /// After so many messages, batches or connects.
    After(u64),
    /// At an instant.
    At(Instant),
}

impl Stop {
    /// Whether a connection that has done so much work by now starts no more.
    pub fn reached(self, done: u64, now: Instant) -> bool {
        match self {
            Stop::After(count) => done >= count,
            Stop::At(instant) => now >= instant,
        }
    }
}

impl Script {
    /// Adds one sample to a distribution.
    pub fn record(&self, series: Series, duration: Duration) {
        if let Some(recorder) = self.recorder.as_ref().filter(|_| !self.stalled) {
            recorder.record(series, duration);
        }
    }

    /// Adds one sample of the latency that the workload is about, of what began at `instant`.
    pub fn record_at(&self, series: Series, instant: Instant, duration: Duration) {
        match &self.recorder {
            None => {}
            Some(recorder) if self.stalled => recorder.record(Series::Stalled, duration),
            Some(recorder) => recorder.record_at(series, instant, duration),
        }
    }
}

/// When a connection stops reading, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Stall {
    /// The first instant at which nothing more is read.
    pub from: Instant,
    /// The instant at which it reads again.
    pub until: Instant,
    /// Messages that it sends at once when it stops; a subscriber sends none.
    pub sends: u64,
}

/// What one connection has done so far.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Messages by class.
    pub tally: Tally,
    /// What "per message" divides by: round trips, acknowledged messages, deliveries or handshakes.
    pub units: u64,
    /// Messages (or connects) of a load with a rate that were intended and not sent.
    pub not_sent: u64,
    /// Connects that the server's end refused or reset.
    pub refused: u64,
    /// Connects that took too long.
    pub timed_out: u64,
    /// Published messages that a subscriber did not get because of a stated policy.
    pub missed: u64,
    /// Whether a subscriber was disconnected because of a stated policy, as 1.
    pub disconnected: u64,
    /// Echoes of a load with steps that were read within each of them.
    pub answered: Vec<u64>,
    /// Next sequence number of each class.
    sequences: [u64; Class::ALL.len()],
}

impl Progress {
    /// Forgets what the warm-up has done, but for the messages that both ends have counted.
    pub(crate) fn forget(&mut self) {
        *self = Progress { tally: self.tally, sequences: self.sequences, ..Progress::default() };
    }

    /// Messages of a load with a rate that are over: answered, or given up.
    pub(crate) fn handled(&self) -> u64 {
        self.units + self.not_sent
    }

    fn take_sequence(&mut self, class: Class) -> u64 {
        let sequence = self.sequences[class as usize];
        self.sequences[class as usize] += 1;
        sequence
    }
}

/// Why a connection's part of a trial failed.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// The connection failed.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The server ended the connection while an answer was due.
    #[error("the server closed the connection while {0} was due")]
    Closed(String),
    /// No answer came for so long that the connection was given up.
    #[error("an answer never came")]
    Unanswered,
    /// An answer was not what it should be.
    #[error("wrong answer: {0}")]
    Wrong(String),
}

impl WorkloadError {
    /// What it has in common with others of its kind: without numbers and bytes.
    pub fn kind(&self) -> String {
        match self {
            WorkloadError::Socket(SocketError::Io(error)) => error.kind().to_string(),
            WorkloadError::Socket(SocketError::TimedOut { what, .. }) => format!("{what} took too long"),
            WorkloadError::Socket(error) => error.to_string(),
            WorkloadError::Closed(_) => "the server closed the connection while something was due".to_owned(),
            WorkloadError::Unanswered => self.to_string(),
            WorkloadError::Wrong(_) => "wrong answer".to_owned(),
        }
    }

    /// Whether the server answered with something else than it was sent.
    pub fn is_wrong_answer(&self) -> bool {
        matches!(self, WorkloadError::Wrong(_))
    }
}

/// Waits for an instant and reads meanwhile, so that pings are answered and the end of a connection is noticed when it comes.
///
/// The read is given up when the instant comes: only for stacks of which an unfinished read takes nothing away.
pub async fn listen_until<S: Socket, T: Timer>(
    socket: &mut S,
    timer: &T,
    at: Instant,
) -> Result<(), WorkloadError> {
    let waiting = async {
        while Instant::now() < at {
            timer.sleep_until(at).await;
        }
        Ok(())
    };
    let since = Instant::now();
    let reading = async {
        match socket.recv().await? {
            None => Err(WorkloadError::Closed(format!(
                "nothing, after {:.1} s of silence",
                since.elapsed().as_secs_f64()
            ))),
            Some(message) => Err(WorkloadError::Wrong(format!(
                "{} came while nothing was due",
                shown(message.kind(), message.payload())
            ))),
        }
    };
    futures_lite::future::or(waiting, reading).await
}

/// Closed loop, one in flight: the time from before the send until the echo has been read.
pub async fn ping_pong<S: Socket>(
    socket: &mut S,
    script: &Script,
    progress: &mut Progress,
) -> Result<(), WorkloadError> {
    let mut done = 0;
    let mut start = Instant::now();
    while !script.stop.reached(done, start) {
        start = round_trip(socket, script, progress).await?;
        progress.units += 1;
        done += 1;
    }
    Ok(())
}

/// One message and its echo; returns when it was sent.
pub async fn round_trip<S: Socket>(
    socket: &mut S,
    script: &Script,
    progress: &mut Progress,
) -> Result<Instant, WorkloadError> {
    let sequence = progress.take_sequence(script.class);
    let payload = script.payloads.payload(script.class, sequence);
    let bytes = payload.len();
    let message = S::Message::new(script.kind, payload);
    let start = Instant::now();
    socket.feed(message).await?;
    let echo = socket.recv().await?;
    script.record_at(Series::RoundTrip, start, start.elapsed());
    progress.tally.class_mut(script.class).sent(bytes);
    check_echo::<S>(echo, script, sequence, progress)?;
    Ok(start)
}

/// Closed loop with `window` messages in flight: primed, then one sent for each echo, then drained.
pub async fn window<S: Socket>(
    socket: &mut S,
    window: u32,
    script: &Script,
    progress: &mut Progress,
) -> Result<(), WorkloadError> {
    let window = window as usize;
    let mut in_flight = VecDeque::with_capacity(window);
    let mut started = 0;
    let mut now = Instant::now();
    loop {
        while in_flight.len() < window && !script.stop.reached(started, now) {
            let sequence = progress.take_sequence(script.class);
            let payload = script.payloads.payload(script.class, sequence);
            progress.tally.class_mut(script.class).sent(payload.len());
            let message = S::Message::new(script.kind, payload);
            now = Instant::now();
            in_flight.push_back((sequence, now));
            socket.feed(message).await?;
            started += 1;
        }
        let Some((sequence, start)) = in_flight.pop_front() else { return Ok(()) };
        let echo = socket.recv().await?;
        now = Instant::now();
        script.record_at(Series::RoundTrip, start, now - start);
        check_echo::<S>(echo, script, sequence, progress)?;
        progress.units += 1;
    }
}

/// Batches of messages, each acknowledged by the server's count when its last one is in.
pub async fn one_way<S: Socket>(
    socket: &mut S,
    batch: u64,
    script: &Script,
    progress: &mut Progress,
) -> Result<(), WorkloadError> {
    let mut batches = 0;
    loop {
        let start = Instant::now();
        for _ in 0..batch {
            let sequence = progress.take_sequence(script.class);
            let payload = script.payloads.payload(script.class, sequence);
            progress.tally.class_mut(script.class).sent(payload.len());
            socket.feed(S::Message::new(script.kind, payload)).await?;
        }
        socket.flush().await?;
        script.record(Series::BatchSent, start.elapsed());
        let answer = socket.recv().await?;
        script.record(Series::BatchAcknowledged, start.elapsed());
        let answer = answer.ok_or_else(|| WorkloadError::Closed("an acknowledgement".to_owned()))?;
        let text = answer.payload();
        progress.tally.class_mut(script.class).received(text.len());
        if answer.kind() != Kind::Text || text != batch.to_string().as_bytes() {
            return Err(WorkloadError::Wrong(format!(
                "{batch} messages were acknowledged by {}",
                shown(answer.kind(), text)
            )));
        }
        progress.units += batch;
        batches += 1;
        if script.stop.reached(batches, Instant::now()) {
            return Ok(());
        }
    }
}

/// Waits for pushes; how late each arrives behind the instant at which it was due.
pub async fn push<S: Socket>(
    socket: &mut S,
    plan: &Push,
    script: &Script,
    progress: &mut Progress,
) -> Result<(), WorkloadError> {
    let mut first_ns = plan.first_ns;
    for sequence in 0..plan.count {
        let message = socket.recv().await?;
        let arrived_ns = now_ns();
        let message = message.ok_or_else(|| WorkloadError::Closed(format!("push {sequence}")))?;
        let due_ns = check_push::<S>(&message, plan, sequence)?;
        progress.tally.class_mut(plan.class).received(message.payload().len());
        progress.units += 1;
        // A server that was given no first instant states it with its first push.
        let first = *first_ns.get_or_insert(due_ns);
        let expected_ns = plan.due_ns(first, sequence);
        if due_ns != expected_ns {
            return Err(WorkloadError::Wrong(format!(
                "push {sequence} says that it was due at {due_ns} ns where {expected_ns} ns was agreed"
            )));
        }
        let lag_ns = arrived_ns.checked_sub(due_ns).ok_or_else(|| {
            WorkloadError::Wrong(format!(
                "push {sequence} arrived {} ns before it was due",
                due_ns - arrived_ns
            ))
        })?;
        script.record_at(Series::PushLag, instant_at(due_ns), Duration::from_nanos(lag_ns));
    }
    Ok(())
}

/// Waits for the single push that answers a new connection.
pub async fn first_push<S: Socket>(
    socket: &mut S,
    plan: &Push,
    progress: &mut Progress,
) -> Result<(), WorkloadError> {
    let message = socket.recv().await?;
    let message = message.ok_or_else(|| WorkloadError::Closed("the first push".to_owned()))?;
    check_push::<S>(&message, plan, 0)?;
    progress.tally.class_mut(plan.class).received(message.payload().len());
    progress.units += 1;
    Ok(())
}

fn check_push<S: Socket>(message: &S::Message, plan: &Push, sequence: u64) -> Result<u64, WorkloadError> {
    let (kind, payload) = (message.kind(), message.payload());
    let due_ns = payload::push_due_ns(plan.class, sequence, payload)
        .filter(|_| kind == Kind::Text && payload.len() as u64 == plan.payload_bytes);
    due_ns.ok_or_else(|| {
        WorkloadError::Wrong(format!(
            "push {sequence} is not a text of {} B that begins with `{}`: {}",
            plan.payload_bytes,
            String::from_utf8_lossy(&payload::header(plan.class, sequence)),
            shown(kind, payload)
        ))
    })
}

fn check_echo<S: Socket>(
    echo: Option<S::Message>,
    script: &Script,
    sequence: u64,
    progress: &mut Progress,
) -> Result<(), WorkloadError> {
    let echo = echo.ok_or_else(|| WorkloadError::Closed(format!("the echo of message {sequence}")))?;
    let (kind, payload) = (echo.kind(), echo.payload());
    progress.tally.class_mut(script.class).received(payload.len());
    if kind == script.kind && script.payloads.is_payload(script.class, sequence, payload) {
        return Ok(());
    }
    let expected = script.payloads.payload(script.class, sequence);
    let is_same = script.payloads.is_payload(script.class, sequence, payload);
    let hint = match (is_same, kind) {
        (true, Kind::Binary) => "; the server answers text as binary: try --kind binary",
        (true, Kind::Text) => "; the server answers binary as text: try --kind text",
        (false, _) if sequence == 0 && payload.len() != expected.len() => {
            "; if the server greets its clients, --skip 1 reads that first"
        }
        (false, _) => "",
    };
    Err(WorkloadError::Wrong(format!(
        "the echo of {} is {}{hint}",
        shown(script.kind, &expected),
        shown(kind, payload)
    )))
}

/// A message as an error names it: kind, length and the header, which tells a lost or doubled message from a damaged
/// one.
fn shown(kind: Kind, payload: &[u8]) -> String {
    let kind = match kind {
        Kind::Text => "text",
        Kind::Binary => "binary",
    };
    let head = &payload[..payload.len().min(HEADER_BYTES)];
    format!("{kind} `{}…` of {} B", head.escape_ascii(), payload.len())
}

#[cfg(test)]
mod tests;
