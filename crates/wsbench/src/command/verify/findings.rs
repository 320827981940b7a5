//! What checks of one end of a row found.

use std::time::{Duration, Instant};

use super::fault::Fault;

/// Longest time for one check. The slowest, 16 MiB to a Python row, takes 0.7 s on a busy machine, and who waits for a check
/// that fails should not wait long.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// By when a check is over that begins now.
pub(super) fn deadline() -> Instant {
    Instant::now() + LIMIT
}

/// After so many checks that took all their time the others would only do the same.
pub(super) const TIMED_OUT_CHECKS: usize = 2;

/// What all checks of one end of a row found.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) checks: usize,
    pub(super) faults: Vec<String>,
    /// What a person should know and what is not a fault.
    pub(super) notes: Vec<String>,
}

/// What a check came to that not every system lets wsbench make.
pub(super) enum Seen {
    /// It was made, and nothing is wrong.
    Sound,
    /// It could not be made, for this reason.
    Unseen(String),
}

impl Findings {
    pub(super) fn add(&mut self, name: &str, result: Result<(), Fault>) {
        self.checks += 1;
        self.faults.extend(result.err().map(|reason| format!("{name}: {reason}")));
    }

    /// Quotes the last lines that one end of a row wrote to stderr, if there are any.
    pub(super) fn note_stderr(&mut self, end: &str, stderr: &str) {
        if !stderr.is_empty() {
            self.notes.push(format!("the {end} said on stderr: {stderr}"));
        }
    }

    /// The same as [`Findings::add`] for a check that this system may not allow, which is not a fault of the row.
    pub(super) fn add_if_seen(&mut self, name: &str, result: Result<Seen, Fault>) {
        match result {
            Ok(Seen::Unseen(reason)) => self.notes.push(format!("{name} was not checked: {reason}")),
            Ok(Seen::Sound) => self.add(name, Ok(())),
            Err(fault) => self.add(name, Err(fault)),
        }
    }
}
