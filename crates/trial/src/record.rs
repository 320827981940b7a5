//! Records: what is kept of every trial, one JSON object a line.
//!
//! Numbers are integers with their unit in the key, and absolutes only: whatever is a ratio or a rate is derived when
//! it is printed. docs/RESULTS.md is the reference, and the JSON Schema beside it is made from these types.

use std::collections::{BTreeMap, BTreeSet};

use bench_core::{
    RowInfo,
    protocol::ClientReport,
    row::BuildInfo,
    spec::{Pacing, Role},
    tally::Tally,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    bursts::Burst,
    catalogue::Scenario,
    edges::Edges,
    machine::Machine,
    mark::Mark,
    outcome::Failure,
    placement::{Cores, Placement},
    sample::{MachineSample, Sample},
};

mod assemble;
mod command_line;
mod origin;
mod read;
mod seal;
mod upgrade;
mod writer;

pub use command_line::{command_line, public_url};
pub use origin::{Origin, Pair, Position, new_session, unix_ms};
pub use read::ReadError;
pub use seal::{BrokenSeal, check_seal};
pub use writer::Writer;

/// Version of the record format. [`Line::read`] brings lines of earlier versions up to it and refuses later ones.
pub const SCHEMA: u32 = 2;

/// [`Client::load`] of the scenario's main load, which the main figures are about.
const MAIN: u32 = 0;

/// [`Client::load`] of the second load.
const BESIDE: u32 = 1;

/// A line of a result file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
// Nearly every line is a trial, so that a box would only add an indirection.
#[allow(clippy::large_enum_variant)]
pub enum Line {
    /// The first line of a run: what was asked for. Enough to go on with the run after an interruption.
    Session(Session),
    /// One trial.
    Trial(Record),
    /// Trials of a block that was not finished and has been repeated: they stay in the file and count for nothing.
    Orphaned(Orphaned),
    /// The run was interrupted: what is in the file is a part of it.
    Partial(Partial),
}

/// What a run was asked to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// Version of the format, [`SCHEMA`].
    pub schema: u32,
    /// Identifies the run.
    pub session: String,
    /// The command line, without what may be a secret.
    pub command: Vec<String>,
    /// When it started, in milliseconds since 1970-01-01 UTC.
    pub started_unix_ms: u64,
    /// Seed of the shuffled order.
    pub seed: u64,
    /// Rounds.
    pub rounds: u32,
    /// Rounds of the scenarios that have fewer, by their name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rounds_of: BTreeMap<String, u32>,
    /// Scenarios of each round beyond the planned ones, that replace disturbed ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<BTreeSet<String>>,
    /// Name of the profile, where one was asked for.
    pub profile: Option<String>,
    /// Which side is compared.
    pub role: Role,
    /// The pairs of rows of every scenario.
    pub pairs: Vec<Pair>,
    /// Name of the row that the others are compared with.
    pub baseline: String,
    /// Rows that were left out because they are not available here, with the reason.
    pub unavailable: BTreeMap<String, String>,
    /// Whether a row that was named by hand is among them: then the run is incomplete, however it ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missing: bool,
    /// Rows whose servers are started by a command, as they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub started_by: Vec<String>,
    /// Worker threads, and cores, of rows that take several.
    pub server_cores: u32,
    /// Rows that are left out of a scenario, by its name, with what they do not offer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether system calls and instructions were counted, which slows every system call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub counts: bool,
    /// Scenarios that were asked for by a profile or a pattern and are not possible here, with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_possible: BTreeMap<String, String>,
    /// The scenarios in full.
    pub scenarios: Vec<Scenario>,
    /// Points of curves whose rates were found while the run went on, wave after wave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<Vec<FoundPoint>>,
    /// The latency objective whose highest rate they look for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<String>,
    /// Set by `wsbench drive`: the server that was driven, which is not wsbench's own. Such a run is one trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The machine.
    pub machine: Machine,
    /// The build of the program that ran the trials.
    pub build: BuildInfo,
}

/// A point of a curve whose rate was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FoundPoint {
    /// The scenario.
    pub scenario: Scenario,
    /// The compared rows that it is measured for.
    pub rows: BTreeSet<String>,
}

/// What was left out of a result file's evaluation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Orphaned {
    /// The run.
    pub session: String,
    /// The block.
    pub block: u32,
    /// The attempt at it that was not finished.
    pub attempt: u32,
}

/// The end of a run that a signal asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Partial {
    /// Version of the format, [`SCHEMA`].
    pub schema: u32,
    /// The run.
    pub session: String,
    /// The signal.
    pub signal: String,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub at_unix_ms: u64,
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// Version of the format, [`SCHEMA`].
    pub schema: u32,
    /// Identifies the run.
    pub session: String,
    /// Round, from 0.
    pub round: u32,
    /// Block, counted through the run from 0.
    pub block: u32,
    /// Attempt at this block, from 0: an interrupted block is repeated whole.
    pub attempt: u32,
    /// Place of the trial in its block, from 0.
    pub order: u32,
    /// Seed of the shuffled order.
    pub seed: u64,
    /// The scenario in full.
    pub scenario: Scenario,
    /// Which side is compared.
    pub role: Role,
    /// Where the processes ran.
    pub placement: Placement,
    /// Cores they ran on.
    pub cores: Cores,
    /// The row at the server's end.
    pub server: End,
    /// The row at the client's end: every client of the trial is a process of it, on the client's cores.
    pub client: End,
    /// What the server's process had used at both edges of the measured window.
    pub server_samples: Edges<Sample>,
    /// Messages that the server counted, by class.
    pub server_tally: Tally,
    /// The clients, one for each load of the scenario, in their order.
    pub clients: Vec<Client>,
    /// When the trial started, in milliseconds since 1970-01-01 UTC.
    pub started_unix_ms: u64,
    /// How long it took, processes and all, in nanoseconds.
    pub took_ns: u64,
    /// What a client with intended instants waited with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pacing: Option<Pacing>,
    /// Messages that the server dropped by a stated policy.
    #[serde(default)]
    pub dropped: u64,
    /// Subscribers that the server disconnected by a stated policy.
    #[serde(default)]
    pub disconnected: u64,
    /// Most memory that the server may have at its peak, where connections stop reading: what it had when it was ready,
    /// and what its limits allow it to hold for the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bound_bytes: Option<u64>,
    /// The bursts, where the load comes in bursts. The samples above are those before the first and after the last one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bursts: Vec<Burst>,
    /// The whole machine at both edges of the measured window.
    pub machine_samples: Edges<MachineSample>,
    /// The machine.
    pub machine: Machine,
    /// The build of the program that ran the trial.
    pub build: BuildInfo,
    /// What spoils some of its figures for a verdict.
    #[serde(default)]
    pub marks: BTreeSet<Mark>,
    /// Why the trial failed; absent when it counts.
    pub error: Option<Failure>,
}

/// Which row is at an end of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct End {
    /// Name of the row in the results.
    pub row: String,
    /// What the row says of itself.
    pub info: RowInfo,
    /// SHA-256 of its executable, in hexadecimal.
    pub binary_sha256: String,
    /// Worker threads that each of its processes was told to use.
    pub workers: u32,
}

/// One client of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Client {
    /// Which of the scenario's loads it carries out: 0 is `load`, 1 is `beside`.
    pub load: u32,
    /// What its process had used at both edges of the measured window.
    pub samples: Edges<Sample>,
    /// Its report; absent where the trial failed before. That of a trial that failed later has no distributions: they are
    /// not figures, and may not even decode.
    pub report: Option<ClientReport>,
}

impl Record {
    /// What the client of the scenario's main load reported.
    pub fn report(&self) -> Option<&ClientReport> {
        self.client_of(MAIN).and_then(|client| client.report.as_ref())
    }

    /// What the client of the second load reported, where the scenario has one.
    pub fn report_beside(&self) -> Option<&ClientReport> {
        self.client_of(BESIDE).and_then(|client| client.report.as_ref())
    }

    /// What the process at an end had used at both edges of the measured window: on the client's side, the one of the
    /// main load.
    pub fn samples(&self, role: Role) -> Edges<Sample> {
        match role {
            Role::Server => self.server_samples,
            Role::Client => self.client_of(MAIN).map_or(Edges::default(), |client| client.samples),
        }
    }

    /// What the process at an end had used before and after each stretch of work: the window, or every burst of it.
    pub fn windows(&self, role: Role) -> Vec<(Sample, Sample)> {
        let of_bursts = self.bursts.iter().map(|burst| role.own(burst.server, burst.client));
        let whole = self.bursts.is_empty().then(|| self.samples(role));
        of_bursts.chain(whole).filter_map(|edges| edges.ready.zip(edges.measured)).collect()
    }

    fn client_of(&self, load: u32) -> Option<&Client> {
        self.clients.iter().find(|client| client.load == load)
    }
}
