//! A load with intended instants: when each message is to be sent, and a client that keeps to it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use histogram::Series;

use super::{Progress, Script, Stall, WorkloadError, check_echo, listen_until};
use crate::{Message, Socket, Timer};

/// A stretch of time with one rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// When it begins, from the start of the load.
    pub from: Duration,
    /// How long it is.
    pub length: Duration,
    /// Messages a second, over all connections.
    pub rate_per_s: u64,
    /// Number of its first message.
    pub first: u64,
    /// Its messages.
    pub messages: u64,
}

impl Stretch {
    /// Stretches of these lengths and rates, one after the other.
    pub fn sequence(parts: impl IntoIterator<Item = (Duration, u64)>) -> Vec<Stretch> {
        let mut stretches: Vec<Stretch> = Vec::new();
        for (length, rate_per_s) in parts {
            let last = stretches.last();
            let (from, first) = last
                .map_or((Duration::ZERO, 0), |last| (last.from + last.length, last.first + last.messages));
            let messages = (length.as_nanos() * u128::from(rate_per_s) / 1_000_000_000) as u64;
            stretches.push(Stretch { from, length, rate_per_s, first, messages });
        }
        stretches
    }
}

/// The instants at which one connection of a load with a rate is to send or to connect.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Intended instant of the load's first message, whichever connection sends it.
    pub start: Instant,
    /// The rates, one after the other.
    pub stretches: Arc<[Stretch]>,
    /// Connections, which take turns.
    pub connections: u64,
    /// This connection's number, from 0.
    pub connection: u64,
    /// When a connection that is behind gives up.
    pub give_up: Instant,
}

impl Pace {
    /// The intended instants of this connection.
    pub fn intended(&self) -> impl Iterator<Item = Instant> {
        let messages: u64 = self.stretches.iter().map(|stretch| stretch.messages).sum();
        (self.connection..messages).step_by(self.connections as usize).map(move |number| {
            // The last one that begins at or before this message: stretches without a message are passed over.
            let place = self.stretches.partition_point(|stretch| stretch.first <= number) - 1;
            let stretch = self.stretches[place];
            let offset_ns =
                u128::from(number - stretch.first) * 1_000_000_000 / u128::from(stretch.rate_per_s);
            self.start + stretch.from + Duration::from_nanos(offset_ns as u64)
        })
    }

    /// Counts an echo that was read at `end` for the stretch that this instant lies in; after the last one for none.
    pub(super) fn count_answer(&self, end: Instant, answered: &mut Vec<u64>) {
        answered.resize(self.stretches.len(), 0);
        let since = end.saturating_duration_since(self.start);
        let place = self.stretches.iter().position(|stretch| since < stretch.from + stretch.length);
        if let Some(place) = place {
            answered[place] += 1;
        }
    }
}

/// Wait from which on a connection may listen meanwhile: servers ping every few seconds, and reading costs a system call.
const LONG_WAIT: Duration = Duration::from_millis(50);

/// How long before its intended instant a message's connection stops listening, so that the message goes out on time.
const BEFORE_SEND: Duration = Duration::from_millis(5);

/// Open loop: each message has an intended instant, spread evenly over the connections, and its latency counts from
/// there. A connection that is behind sends at once until it has caught up, so that a stall is charged to every message
/// that it delayed (Gil Tene, "How NOT to Measure Latency"; wrk2).
///
/// A connection that `listens` reads while it has long to wait, which answers a server's pings.
///
/// A message that could not be sent before the load gave up is counted, and its wait so far stands for its latency: to
/// leave it out would flatter the server that caused it.
pub async fn paced<S: Socket, T: Timer>(
    socket: &mut S,
    pace: &Pace,
    stall: Option<Stall>,
    listens: bool,
    timer: &T,
    script: &Script,
    progress: &mut Progress,
) -> Result<(), WorkloadError> {
    let mut stall = stall;
    for intended in pace.intended() {
        if let Some(stall) = stall.take_if(|stall| intended >= stall.from) {
            stop_reading(socket, stall, timer, script, progress).await?;
        }
        let mut now = Instant::now();
        let free = now <= intended;
        if !free && now >= pace.give_up {
            progress.not_sent += 1;
            script.record_at(Series::FromIntended, intended, now - intended);
            continue;
        }
        let sequence = progress.take_sequence(script.class);
        let payload = script.payloads.payload(script.class, sequence);
        let bytes = payload.len();
        let message = S::Message::new(script.kind, payload);
        if listens && intended.saturating_duration_since(now) > LONG_WAIT {
            listen_until(socket, timer, intended - BEFORE_SEND).await?;
            now = Instant::now();
        }
        while now < intended {
            timer.sleep_until(intended).await;
            now = Instant::now();
        }
        socket.feed(message).await?;
        let echo = socket.recv().await?;
        let end = Instant::now();
        script.record_at(Series::FromIntended, intended, end - intended);
        script.record(Series::RoundTrip, end - now);
        script.record(if free { Series::GeneratorLag } else { Series::Queued }, now - intended);
        progress.tally.class_mut(script.class).sent(bytes);
        check_echo::<S>(echo, script, sequence, progress)?;
        progress.units += 1;
        pace.count_answer(end, &mut progress.answered);
    }
    Ok(())
}

/// What a connection that was interrupted is still owed, where `before` messages were over when its part began. Each message
/// that was intended by now has waited so long, and to leave that out would flatter a server that does not answer. The first
/// one is on its way; the others could not be sent.
pub fn cut_short(pace: &Pace, before: u64, script: &Script, progress: &mut Progress) {
    let now = Instant::now();
    let over = (progress.handled() - before) as usize;
    for (place, intended) in pace.intended().skip(over).take_while(|intended| *intended < now).enumerate() {
        script.record_at(Series::FromIntended, intended, now - intended);
        progress.not_sent += u64::from(place > 0);
    }
}

/// A client that sends and does not read: some messages at once, and then nothing until the stall is over and every echo is
/// read. None of these messages is a unit.
async fn stop_reading<S: Socket, T: Timer>(
    socket: &mut S,
    stall: Stall,
    timer: &T,
    script: &Script,
    progress: &mut Progress,
) -> Result<(), WorkloadError> {
    while Instant::now() < stall.from {
        timer.sleep_until(stall.from).await;
    }
    let first = progress.sequences[script.class as usize];
    for _ in 0..stall.sends {
        let sequence = progress.take_sequence(script.class);
        let payload = script.payloads.payload(script.class, sequence);
        progress.tally.class_mut(script.class).sent(payload.len());
        socket.feed(S::Message::new(script.kind, payload)).await?;
    }
    socket.flush().await?;
    while Instant::now() < stall.until {
        timer.sleep_until(stall.until).await;
    }
    for sequence in first..progress.sequences[script.class as usize] {
        let echo = socket.recv().await?;
        check_echo::<S>(echo, script, sequence, progress)?;
    }
    Ok(())
}
