//! What a client reports.

use std::collections::BTreeMap;

use histogram::{Distribution, Series};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{socket::Secured, tally::Tally};

/// What a client reports when it ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientReport {
    /// Units of the measured window: round trips, acknowledged messages, deliveries or handshakes.
    pub units: u64,
    /// Length of the measured window in nanoseconds: from its start, after the delay of the load (for pushes on an agreed
    /// schedule: from the first due instant) to the last answer.
    pub elapsed_ns: u64,
    /// Messages by class, over all connections.
    pub tally: Tally,
    /// Messages of a paced load, or connects at a rate, that were intended and could not be sent before it gave up.
    #[serde(default)]
    pub not_sent: u64,
    /// Connects that the server's end refused or reset, where the load counts them.
    #[serde(default)]
    pub refused: u64,
    /// Connects that took longer than the limit of a handshake, where the load counts them.
    #[serde(default)]
    pub timed_out: u64,
    /// Published messages that subscribers did not get because of a stated policy, as they saw it.
    #[serde(default)]
    pub missed: u64,
    /// Subscribers that were disconnected because of a stated policy.
    #[serde(default)]
    pub disconnected: u64,
    /// Messages a second that the connections of a load with steps reached in a closed loop in the warm-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_per_s: Option<u64>,
    /// The steps of a load that has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepReport>,
    /// What TLS has agreed on; absent for plain connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Secured>,
    /// Distributions of the measured window.
    pub series: BTreeMap<Series, Distribution>,
    /// The latency that the workload is about in consecutive slices of the window, where the load has slices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<Distribution>,
    /// How the units of the measured window are spread over the connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// What went wrong, connection by connection; the first few are quoted.
    pub errors: Vec<String>,
    /// Connections with an error.
    pub failed_connections: u64,
    /// The same by kind of error, the most frequent first; empty from clients that do not tell kinds apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failures>,
    /// Connections that were open at the end of the measured window, of a server that is not wsbench's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_connections: Option<u64>,
    /// Panics in the process.
    pub panics: u64,
}

/// Connections that failed in the same way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failures {
    /// The way.
    pub kind: String,
    /// Whether the server answered with something else than it was sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_wrong_answer: bool,
    /// How many failed.
    pub connections: u64,
    /// The error of the first of them, with its number.
    pub first: String,
}

/// One step of a load with steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StepReport {
    /// Rate that was offered.
    pub rate_per_s: u64,
    /// Length of the step in milliseconds.
    pub duration_ms: u64,
    /// Messages that were intended in it.
    pub offered: u64,
    /// Echoes that were read in it, whenever their messages were intended.
    pub answered: u64,
}

/// Units of single connections, so far as fairness needs them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Connections.
    pub connections: u64,
    /// Units of the one with the fewest.
    pub least: u64,
    /// Units of the one with the most.
    pub most: u64,
    /// Units of all.
    pub sum: u64,
    /// Sum of their squares.
    pub sum_of_squares: u64,
}

impl Counts {
    /// Of the units of each connection; `None` without a connection.
    pub fn of(units: impl IntoIterator<Item = u64>) -> Option<Counts> {
        let empty = Counts { least: u64::MAX, ..Counts::default() };
        let counts = units.into_iter().fold(empty, |counts, units| Counts {
            connections: counts.connections + 1,
            least: counts.least.min(units),
            most: counts.most.max(units),
            sum: counts.sum + units,
            sum_of_squares: counts.sum_of_squares.saturating_add(units.saturating_mul(units)),
        });
        (counts.connections > 0).then_some(counts)
    }

    /// What the least served connection got, as a share of an equal part; `None` where nobody got anything.
    pub fn least_share(&self) -> Option<f64> {
        (self.sum > 0).then(|| self.least as f64 * self.connections as f64 / self.sum as f64)
    }

    /// Jain's index of fairness (Jain, Chiu and Hawe, 1984): 1 where all got the same, 1 / n where one got everything.
    pub fn jain(&self) -> Option<f64> {
        let square = self.sum as f64 * self.sum as f64;
        (self.sum > 0).then(|| square / (self.connections as f64 * self.sum_of_squares as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fairness() {
        let equal = Counts::of([5, 5, 5, 5]).unwrap();
        assert_eq!((equal.least_share(), equal.jain()), (Some(1.0), Some(1.0)));
        let one = Counts::of([0, 8, 0, 0]).unwrap();
        assert_eq!((one.least_share(), one.jain()), (Some(0.0), Some(0.25)));
        assert_eq!((one.least, one.most, one.sum, one.sum_of_squares), (0, 8, 8, 64));
        assert_eq!(Counts::of([]), None);
        assert_eq!(Counts::of([0]).unwrap().jain(), None);
    }
}
