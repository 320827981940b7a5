//! What a trial yields, and where one that failed has stopped.

use std::fmt;

use bench_core::protocol::{ClientReport, ServerReport};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    bursts::Burst,
    edges::Edges,
    sample::{MachineSample, Sample},
};

/// Where a trial stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Starting the server until it listens.
    Listen,
    /// The verified echo of a nonce.
    Probe,
    /// Starting the client until it is connected and warmed up.
    Ready,
    /// The measured window.
    Measure,
    /// Closing the connections, until the client has reported.
    Finish,
    /// Stopping the server, until it has reported.
    Stop,
    /// Comparing what both ends counted.
    Accounting,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Step::Listen => "starting the server",
            Step::Probe => "checking that the server answers",
            Step::Ready => "starting the client",
            Step::Measure => "measuring",
            Step::Finish => "closing the connections",
            Step::Stop => "stopping the server",
            Step::Accounting => "comparing what both ends counted",
        })
    }
}

/// Why a trial failed: part of its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{step}: {message}")]
pub struct Failure {
    /// Where it stopped.
    pub step: Step,
    /// What happened, with the last lines that the processes wrote to stderr.
    pub message: String,
}

/// Everything a trial yields; what was not reached is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Cost of the server at both edges of the measured window.
    pub server_samples: Edges<Sample>,
    /// The whole machine at both edges of the measured window.
    pub machine_samples: Edges<MachineSample>,
    /// The bursts, where the load comes in bursts.
    pub bursts: Vec<Burst>,
    /// The clients, one for each load, in their order.
    pub clients: Vec<ClientOutcome>,
    /// The server's report.
    pub server_report: Option<ServerReport>,
    /// Why the trial failed; absent when it counts.
    pub failure: Option<Failure>,
}

/// What one client of a trial yields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientOutcome {
    /// Its cost at both edges of the measured window.
    pub samples: Edges<Sample>,
    /// Its report.
    pub report: Option<ClientReport>,
}
