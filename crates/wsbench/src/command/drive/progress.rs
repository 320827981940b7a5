//! What a person sees while a server is driven: a bar on a terminal, a line now and then elsewhere.

use std::{
    mem,
    time::{Duration, Instant},
};

use super::step::{Step, stood};
use crate::{output::terminal::say, run::progress::bar};

/// What takes less time is not worth a word.
pub(super) const SLOW: Duration = Duration::from_secs(2);

/// Time between two lines where there is no bar.
const EVERY: Duration = Duration::from_secs(10);

/// Steps of the bar.
const STEPS: u64 = 1_000;

/// What is being done, and how much of it is left.
pub(super) struct Progress {
    bar: indicatif::ProgressBar,
    quiet: bool,
    connections: u32,
    /// Length of the measured window, where time decides it.
    window: Option<Duration>,
    start: Instant,
    step: Step,
    since: Instant,
    next_line: Instant,
}

impl Progress {
    /// Of a client that has just been started, for so many connections.
    pub(super) fn start(connections: u32, window: Option<Duration>, quiet: bool) -> Progress {
        let now = Instant::now();
        Progress {
            bar: bar(STEPS, "{bar:24} {wide_msg}", quiet),
            quiet,
            connections,
            window,
            start: now,
            step: Step::Connecting(Default::default()),
            since: now,
            next_line: now + SLOW,
        }
    }

    /// Shows what is being done now, where that is worth a word.
    pub(super) fn show(&mut self, step: Step) {
        let now = Instant::now();
        if mem::discriminant(&step) != mem::discriminant(&self.step) {
            self.since = now;
            self.next_line = now + EVERY;
        }
        self.step = step;
        if self.quiet || now - self.start < SLOW {
            return;
        }
        if !self.bar.is_hidden() {
            self.bar.set_message(self.text(now));
            self.bar.set_position((self.share(now) * STEPS as f64) as u64);
        } else if now >= self.next_line {
            self.next_line = now + EVERY;
            say(&self.text(now));
        }
    }

    /// Leaves the terminal as it was.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn text(&self, now: Instant) -> String {
        let seconds = (now - self.since).as_secs();
        match (self.step, self.window) {
            (Step::Connecting(so_far), _) => format!("{} open", stood(so_far, self.connections, "are")),
            (Step::Starting, _) => "connecting and warming up".to_owned(),
            (Step::WarmingUp, _) => "warming up".to_owned(),
            (Step::Measuring, Some(window)) => {
                format!("measuring: {seconds} s of {} s", window.as_secs_f64().round())
            }
            (Step::Measuring, None) => format!("measuring for {seconds} s so far"),
            (Step::Closing, _) => "closing the connections".to_owned(),
        }
    }

    /// How much of the step is done, from 0 to 1.
    fn share(&self, now: Instant) -> f64 {
        let share = match (self.step, self.window) {
            (Step::Connecting(so_far), _) => f64::from(so_far.open) / f64::from(self.connections.max(1)),
            (Step::Measuring, Some(window)) => (now - self.since).as_secs_f64() / window.as_secs_f64(),
            _ => 0.0,
        };
        share.min(1.0)
    }
}
