//! The two sides of a broadcast: the connection that publishes, and those that read what was published.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, Instant},
};

use histogram::Series;

use super::{Pace, Progress, Script, Stall, WorkloadError, shown};
use crate::{
    Kind, Message, Socket, Timer,
    payload::{self, Class},
    service::fanout::GREETING,
    spec::WhenFull,
    timer::{instant_at, now_ns, ns_at},
};

/// What the subscribers of one pass share: how many of them have each message. Those that stop reading do not belong to
/// it, because each of them would be the last.
#[derive(Debug)]
pub struct Audience {
    subscribers: u32,
    arrivals: Box<[AtomicU32]>,
}

impl Audience {
    /// So many subscribers, who wait for so many messages.
    pub fn new(subscribers: u32, messages: u64) -> Audience {
        Audience { subscribers, arrivals: (0..messages).map(|_| AtomicU32::new(0)).collect() }
    }

    /// Messages of the pass.
    pub fn messages(&self) -> u64 {
        self.arrivals.len() as u64
    }

    /// Counts an arrival of message `number` of the pass, and says which series it belongs to beside that of all.
    fn arrived(&self, number: u64) -> impl Iterator<Item = Series> {
        let place = self.arrivals[number as usize].fetch_add(1, Relaxed) + 1;
        let median = self.subscribers.div_ceil(2);
        [
            (1, Series::FirstDelivery),
            (median, Series::MedianDelivery),
            (self.subscribers, Series::LastDelivery),
        ]
        .into_iter()
        .filter_map(move |(wanted, series)| (place == wanted).then_some(series))
    }
}

/// Publishes every message at its intended instant, which it carries; one that is late is sent at once, and none is left
/// out, because the subscribers wait for them.
pub async fn publish<S: Socket, T: Timer>(
    socket: &mut S,
    pace: &Pace,
    timer: &T,
    script: &Script,
    progress: &mut Progress,
) -> Result<(), WorkloadError> {
    for intended in pace.intended() {
        let mut now = Instant::now();
        let free = now <= intended;
        let sequence = progress.take_sequence(script.class);
        let length = script.payload_bytes as usize;
        let payload = payload::push(script.class, sequence, ns_at(intended), length);
        while now < intended {
            timer.sleep_until(intended).await;
            now = Instant::now();
        }
        script.record(if free { Series::GeneratorLag } else { Series::Queued }, now - intended);
        socket.feed(S::Message::new(script.kind, payload)).await?;
        socket.flush().await?;
        progress.tally.class_mut(script.class).sent(length);
    }
    Ok(())
}

/// Waits for the greeting of the server, from which on a subscriber gets every message.
pub async fn subscribed<S: Socket>(socket: &mut S, progress: &mut Progress) -> Result<(), WorkloadError> {
    let greeting = socket.recv().await?;
    let greeting =
        greeting.ok_or_else(|| WorkloadError::Closed("the greeting of a subscriber".to_owned()))?;
    let (kind, text) = (greeting.kind(), greeting.payload());
    progress.tally.class_mut(Class::of(text)).received(text.len());
    if kind == Kind::Text && text == GREETING.as_bytes() {
        return Ok(());
    }
    Err(WorkloadError::Wrong(format!("a subscriber was greeted by {}", shown(kind, text))))
}

/// Reads what is published, up to the last message of the pass, each in its order. Messages may be missing, and the
/// connection may end, only where `policy` says so.
///
/// Returns whether the connection still stands.
pub async fn subscribe<S: Socket, T: Timer>(
    socket: &mut S,
    audience: &Audience,
    policy: WhenFull,
    stall: Option<Stall>,
    timer: &T,
    script: &Script,
    progress: &mut Progress,
) -> Result<bool, WorkloadError> {
    let first = progress.sequences[script.class as usize];
    let end = first + audience.messages();
    let mut stall = stall;
    while progress.sequences[script.class as usize] < end {
        if let Some(Stall { until, .. }) = stall.take_if(|stall| Instant::now() >= stall.from) {
            while Instant::now() < until {
                timer.sleep_until(until).await;
            }
        }
        let expected = progress.sequences[script.class as usize];
        let message = match (socket.recv().await, policy) {
            (Ok(None) | Err(_), WhenFull::Disconnect) => {
                progress.disconnected += 1;
                return Ok(false);
            }
            (message, _) => message?,
        };
        let arrived_ns = now_ns();
        let message =
            message.ok_or_else(|| WorkloadError::Closed(format!("published message {expected}")))?;
        let (kind, text) = (message.kind(), message.payload());
        progress.tally.class_mut(Class::of(text)).received(text.len());
        let wrong = |what: String| WorkloadError::Wrong(format!("{what}: {}", shown(kind, text)));
        let sequence = payload::sequence(script.class, text)
            .filter(|_| kind == script.kind && text.len() as u64 == script.payload_bytes);
        let sequence = sequence.ok_or_else(|| wrong(format!("message {expected} is not as published")))?;
        let missing = sequence.checked_sub(expected).filter(|_| sequence < end);
        let missing = missing.ok_or_else(|| wrong(format!("message {expected} was due")))?;
        if missing > 0 && policy != WhenFull::Drop {
            return Err(wrong(format!("{missing} messages before this one were lost")));
        }
        progress.missed += missing;
        progress.sequences[script.class as usize] = sequence + 1;
        progress.units += 1;
        let due_ns = payload::push_due_ns(script.class, sequence, text);
        let due_ns = due_ns.ok_or_else(|| wrong("no intended instant".to_owned()))?;
        let lag_ns = arrived_ns.checked_sub(due_ns);
        let lag_ns = lag_ns.ok_or_else(|| wrong("it arrived before it was due".to_owned()))?;
        let lag = Duration::from_nanos(lag_ns);
        script.record_at(Series::Delivery, instant_at(due_ns), lag);
        if !script.stalled {
            audience.arrived(sequence - first).for_each(|series| script.record(series, lag));
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_the_median_and_the_last_arrival_are_told_apart() {
        let audience = Audience::new(4, 2);
        let arrivals =
            |number| (0..4).map(|_| audience.arrived(number).collect::<Vec<_>>()).collect::<Vec<_>>();
        let expected =
            [vec![Series::FirstDelivery], vec![Series::MedianDelivery], vec![], vec![Series::LastDelivery]];
        assert_eq!(arrivals(1), expected);
        assert_eq!(arrivals(0), expected);
        let alone = Audience::new(1, 1);
        let all = [Series::FirstDelivery, Series::MedianDelivery, Series::LastDelivery];
        assert!(alone.arrived(0).eq(all));
    }
}
