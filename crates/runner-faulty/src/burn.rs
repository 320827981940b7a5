//! A known CPU time for every message.

use std::{
    hint::black_box,
    sync::OnceLock,
    time::{Duration, Instant},
};

/// Most that a burn counts as too long, in nanoseconds. One that took longer was interrupted: what others did meanwhile
/// was not burnt, and is not to be saved on the next messages.
const MOST_TOO_LONG_NS: i64 = 1_000;

/// Burns a stated time on each message, on average.
///
/// A burn that ends by the clock is too long, by up to one reading, and reading the clock is itself a cost: with 35 ns a
/// reading, 150 ns would become 210. So each burn counts what its readings cost, and the next one makes up for what it was
/// too long.
pub struct Burner {
    per_message_ns: i64,
    /// What is still to be burnt; below 0, what was burnt too much.
    owed_ns: i64,
}

impl Burner {
    pub fn new(per_message_ns: u64) -> Burner {
        Burner { per_message_ns: per_message_ns as i64, owed_ns: 0 }
    }

    /// Called once for each message.
    pub fn burn(&mut self) {
        self.owed_ns += self.per_message_ns;
        if self.owed_ns <= 0 {
            return;
        }
        // The half of the first reading that comes before its instant, and the half of the last that comes after it.
        let outside_ns = reading_ns();
        let start = Instant::now();
        let burnt_ns = loop {
            let burnt_ns = start.elapsed().as_nanos() as i64 + outside_ns;
            if burnt_ns >= self.owed_ns {
                break burnt_ns;
            }
        };
        self.owed_ns = (self.owed_ns - burnt_ns).max(-MOST_TOO_LONG_NS);
    }
}

/// What it costs to read the clock, in nanoseconds: the least mean of several batches, because something else may come
/// between the readings of a batch.
fn reading_ns() -> i64 {
    const BATCHES: u32 = 20;
    const READINGS: u32 = 500;
    static COST: OnceLock<i64> = OnceLock::new();
    let batch = |_| {
        let start = Instant::now();
        for _ in 0..READINGS {
            black_box(Instant::now());
        }
        start.elapsed() / READINGS
    };
    *COST.get_or_init(|| (0..BATCHES).map(batch).min().unwrap_or(Duration::ZERO).as_nanos() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burns_take_what_they_say_however_short_they_are() {
        const MESSAGES: u32 = 1_000;
        for per_message_ns in [10, 150, 1_000] {
            let mut burner = Burner::new(per_message_ns);
            let batch = |_| {
                let start = Instant::now();
                (0..MESSAGES).for_each(|_| burner.burn());
                start.elapsed() / MESSAGES
            };
            // The machine may interrupt some of the batches.
            let took_ns = (0..50).map(batch).min().unwrap().as_nanos() as f64;
            let stated_ns = per_message_ns as f64;
            assert!(
                (0.9 * stated_ns..1.1 * stated_ns + 10.0).contains(&took_ns),
                "{stated_ns} ns: {took_ns} ns"
            );
        }
    }
}
