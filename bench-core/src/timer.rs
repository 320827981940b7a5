//! Time: the runtime's timer and the clock that both processes of a trial share.

use std::{
    future::Future,
    sync::OnceLock,
    time::{Duration, Instant},
};

use crate::SocketError;

/// A runtime's own timer: a service that sends at due instants measures it.
pub trait Timer {
    /// Whether it blocks its thread: then nothing else can be waited for beside it.
    const BLOCKS: bool = false;

    /// Completes at `at`, or at once when that has passed.
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()>;
}

/// Runs `work`, but no longer than `limit`.
///
/// # Errors
/// [`SocketError::TimedOut`] with `what` when the limit ran out first; otherwise whatever `work` fails with.
pub async fn within<T, V>(
    timer: &T,
    limit: Duration,
    what: &'static str,
    work: impl Future<Output = Result<V, SocketError>>,
) -> Result<V, SocketError>
where
    T: Timer,
{
    let expired = async {
        timer.sleep_until(Instant::now() + limit).await;
        Err(SocketError::TimedOut { what, limit_ms: limit.as_millis() as u64 })
    };
    futures_lite::future::or(work, expired).await
}

/// Nanoseconds of CLOCK_MONOTONIC, the clock that instants on the wire are given in.
///
/// All processes of one machine read the same clock, so a client can tell a server when a message is due.
pub fn now_ns() -> u64 {
    monotonic_ns()
}

/// The [`Instant`] of a reading of [`now_ns`]; the earliest representable one when that lies before it.
pub fn instant_at(ns: u64) -> Instant {
    let (instant, anchor_ns) = anchor();
    match ns.checked_sub(anchor_ns) {
        Some(later) => instant + Duration::from_nanos(later),
        None => instant.checked_sub(Duration::from_nanos(anchor_ns - ns)).unwrap_or_else(Instant::now),
    }
}

/// The reading of [`now_ns`] at an [`Instant`].
pub fn ns_at(at: Instant) -> u64 {
    let (instant, anchor_ns) = anchor();
    match at.checked_duration_since(instant) {
        Some(later) => anchor_ns + later.as_nanos() as u64,
        None => anchor_ns.saturating_sub((instant - at).as_nanos() as u64),
    }
}

/// A pair of readings, which relates the two views of the clock; they run at the same speed, so it stays true.
///
/// A process that is preempted between the two would be wrong by milliseconds for all its life, and find messages that arrive
/// before they were due. So it is the pair of several that took the least time.
fn anchor() -> (Instant, u64) {
    /// On a machine that takes every second reading away, one of so many is sound all but certainly.
    const PAIRS: u32 = 16;
    static ANCHOR: OnceLock<(Instant, u64)> = OnceLock::new();
    let pair = || {
        let before = monotonic_ns();
        let instant = Instant::now();
        let took = monotonic_ns().saturating_sub(before);
        (took, (instant, before + took / 2))
    };
    *ANCHOR.get_or_init(|| {
        let first = pair();
        let least =
            (1..PAIRS).map(|_| pair()).fold(first, |one, other| if other.0 < one.0 { other } else { one });
        least.1
    })
}

#[cfg(unix)]
fn monotonic_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .expect("POSIX requires CLOCK_MONOTONIC where clock_gettime exists");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

// Without a monotonic clock that processes share, the wall clock serves: such a system is not measured, only shown.
#[cfg(not(unix))]
fn monotonic_ns() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |elapsed| elapsed.as_nanos() as u64)
}

/// CPU time that the calling thread has used, in nanoseconds.
#[cfg(unix)]
pub fn thread_cpu_ns() -> u64 {
    let used = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID)
        .expect("every system that wsbench measures on has a CPU clock for each thread");
    used.tv_sec() as u64 * 1_000_000_000 + used.tv_nsec() as u64
}

/// Where a thread has no CPU clock, time stands for it: such a system is not measured, only shown.
#[cfg(not(unix))]
pub fn thread_cpu_ns() -> u64 {
    monotonic_ns()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_nanoseconds_keep_their_distance() {
        let base = now_ns();
        let gap = instant_at(base + 5_000_000) - instant_at(base);
        assert_eq!(gap, Duration::from_millis(5));
        assert!(instant_at(base) <= Instant::now());
        assert_eq!(ns_at(instant_at(base)), base);
    }
}
