//! What checks of one end of a row found.

use std::time::Duration;

use super::fault::Fault;

/// Longest time for one check: a hundred times what the slowest takes.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// After so many checks that took all their time the others would only do the same.
pub(super) const TIMED_OUT_CHECKS: usize = 2;

/// What all checks of one end of a row found.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) checks: usize,
    pub(super) faults: Vec<String>,
}

impl Findings {
    pub(super) fn add(&mut self, name: &str, result: Result<(), Fault>) {
        self.checks += 1;
        self.faults.extend(result.err().map(|reason| format!("{name}: {reason}")));
    }
}
