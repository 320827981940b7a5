//! What the client of a driven server is doing.

use bench_core::protocol::Connecting;
use indicatif::HumanCount;

/// What the client is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It opens connections and warms up, and does not say how far it is.
    Starting,
    /// It opens connections; so far as it has said.
    Connecting(Connecting),
    /// It carries out the load without measuring.
    WarmingUp,
    /// It measures.
    Measuring,
    /// It closes its connections.
    Closing,
}

impl Step {
    /// What is not done yet, of a load with so many connections: the beginning of a sentence.
    pub(super) fn unfinished(self, connections: u32) -> String {
        match self {
            Step::Connecting(so_far) => format!("{} open", stood(so_far, connections, "were")),
            Step::Starting => "the client was not ready".to_owned(),
            Step::WarmingUp => "the warm-up was not over".to_owned(),
            Step::Measuring => "the measured window was not over".to_owned(),
            Step::Closing => "the connections were not closed".to_owned(),
        }
    }
}

/// `612 of 1,000 connections were`, with those that have failed.
pub(super) fn stood(so_far: Connecting, connections: u32, verb: &str) -> String {
    let count = |number: u32| HumanCount(number.into());
    let failed = match so_far.failed {
        0 => String::new(),
        failed => format!("{} had failed and ", count(failed)),
    };
    let noun = if connections == 1 { "connection" } else { "connections" };
    format!("{failed}{} of {} {noun} {verb}", count(so_far.open), count(connections))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_says_how_far_it_came() {
        let step = |open, failed| Step::Connecting(Connecting { open, failed });
        assert_eq!(step(612, 0).unfinished(1_000), "612 of 1,000 connections were open");
        assert_eq!(step(0, 2).unfinished(5), "2 had failed and 0 of 5 connections were open");
        assert_eq!(Step::WarmingUp.unfinished(5), "the warm-up was not over");
    }
}
