//! Where trials come from: the run, the pair of rows, and the place in the run.

use bench_core::{row::BuildInfo, spec::Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// A server row and a client row that meet in a trial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Pair {
    /// Name of the server's row; the twin of a row `R` is `R#aa`.
    pub server: String,
    /// Name of the client's row.
    pub client: String,
}

/// Where a trial stands in its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Round, from 0.
    pub round: u32,
    /// Block, counted through the run from 0.
    pub block: u32,
    /// Attempt at this block, from 0.
    pub attempt: u32,
    /// Place in the block, from 0.
    pub order: u32,
}

/// What is the same for all trials of a run.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Identifies the run.
    pub session: String,
    /// Seed of the shuffled order.
    pub seed: u64,
    /// Which side is compared.
    pub role: Role,
    /// Whether its clients are of different rows, so that what a client is slow with belongs to the comparison.
    pub compares_clients: bool,
    /// Whether system calls and instructions are counted.
    pub counts: bool,
    /// The machine.
    pub machine: Machine,
    /// The build of the program that runs the trials.
    pub build: BuildInfo,
}

/// Milliseconds since 1970-01-01 UTC.
pub fn unix_ms() -> u64 {
    jiff::Timestamp::now().as_millisecond().unsigned_abs()
}

/// A new session's identity: when it started and which process ran it.
pub fn new_session() -> String {
    format!("{}-{}", jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ"), std::process::id())
}
