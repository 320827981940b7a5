//! Records: what is kept of every trial, one JSON object a line.
//!
//! Numbers are integers with their unit in the key, and absolutes only: whatever is a ratio or a rate is derived when
//! it is printed. docs/RESULTS.md is the reference, and the JSON Schema beside it is made from these types.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io::{self, Seek, Write},
    path::{Path, PathBuf},
};

use bench_core::{
    RowInfo,
    protocol::{Counts, Drove, StepReport},
    runner::BuildInfo,
    socket::Secured,
    spec::{Load, Pacing, Role},
    tally::Tally,
};
use histogram::{Distribution, Series};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    BesideOutcome, Edges, Failure, MachineSample, Outcome, Program, Sample, Setup,
    catalogue::Scenario,
    machine::Machine,
    mark::{self, Mark},
    placement::{Cores, Placement},
};

mod seal;

pub use seal::check_seal;

/// Version of the record format. A reader refuses any other.
pub const SCHEMA: u32 = 1;

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
    /// The command line.
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
    /// Scenarios of each round beyond the planned ones, in place of disturbed ones.
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

/// A server row and a client row that meet in a trial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Pair {
    /// Name of the server's row; the twin of a row `R` is `R#aa`.
    pub server: String,
    /// Name of the client's row.
    pub client: String,
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
    /// The server.
    pub server: End,
    /// The client.
    pub client: End,
    /// When the trial started, in milliseconds since 1970-01-01 UTC.
    pub started_unix_ms: u64,
    /// How long it took, processes and all, in nanoseconds.
    pub took_ns: u64,
    /// Units of the measured window: round trips, acknowledged messages, deliveries or handshakes.
    pub units: u64,
    /// Length of the measured window in nanoseconds.
    pub elapsed_ns: u64,
    /// Messages of a paced load, or connects at a rate, that were intended and could not be sent before it gave up.
    #[serde(default)]
    pub not_sent: u64,
    /// Connects that the server's end refused or reset, where the load counts them.
    #[serde(default)]
    pub refused: u64,
    /// Connects that took longer than the limit of a handshake, where the load counts them.
    #[serde(default)]
    pub timed_out: u64,
    /// Messages a second that the connections of a load with steps reached in a closed loop in the warm-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_per_s: Option<u64>,
    /// The steps of a load that has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepReport>,
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
    /// What TLS has agreed on; absent for plain connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Secured>,
    /// Distributions of the measured window, as the client took them.
    pub series: BTreeMap<Series, Distribution>,
    /// The latency that the workload is about in consecutive slices of the window, where the load has slices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<Distribution>,
    /// How the units of the measured window are spread over the connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// What the second client did, where the scenario has two loads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<Beside>,
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

/// One end of a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct End {
    /// Name of the row in the results.
    pub row: String,
    /// What the row says of itself.
    pub info: RowInfo,
    /// SHA-256 of its executable, in hexadecimal.
    pub binary_sha256: String,
    /// Worker threads that it was told to use.
    pub workers: u32,
    /// What its process had used at both edges of the measured window.
    pub samples: Edges<Sample>,
    /// Messages that it counted, by class.
    pub tally: Tally,
}

/// The second client of a trial: another process of the client's row, on the client's cores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Beside {
    /// What its process had used at both edges of the measured window.
    pub samples: Edges<Sample>,
    /// Its report; absent where the trial failed before.
    pub drove: Option<Drove>,
}

impl From<BesideOutcome> for Beside {
    fn from(outcome: BesideOutcome) -> Beside {
        Beside { samples: outcome.samples, drove: outcome.drove }
    }
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

impl Record {
    /// The record of a trial.
    pub fn new(
        origin: &Origin,
        position: Position,
        setup: Setup<'_>,
        started_unix_ms: u64,
        took_ns: u64,
        outcome: Outcome,
    ) -> Record {
        let drove = outcome.drove.unwrap_or_default();
        let served = outcome.served.unwrap_or_default();
        let end = |row: &str, program: &Program, samples, tally| End {
            row: row.to_owned(),
            info: program.info.clone(),
            binary_sha256: program.sha256.clone(),
            workers: program.threads(setup.threads),
            samples,
            tally,
        };
        let is_paced = setup.scenario.loads().any(Load::is_paced);
        let mut record = Record {
            schema: SCHEMA,
            session: origin.session.clone(),
            round: position.round,
            block: position.block,
            attempt: position.attempt,
            order: position.order,
            seed: origin.seed,
            scenario: setup.scenario.clone(),
            role: origin.role,
            placement: setup.placement,
            cores: setup.cores.clone(),
            server: end(&setup.pair.server, setup.server, outcome.server_samples, served.tally),
            client: end(&setup.pair.client, setup.client, outcome.client_samples, drove.tally),
            started_unix_ms,
            took_ns,
            units: drove.units,
            elapsed_ns: drove.elapsed_ns,
            not_sent: drove.not_sent,
            refused: drove.refused,
            timed_out: drove.timed_out,
            capacity_per_s: drove.capacity_per_s,
            steps: drove.steps,
            pacing: is_paced.then(|| setup.pacing(origin)),
            dropped: served.dropped_messages,
            disconnected: served.disconnected,
            memory_bound_bytes: memory_bound(setup, outcome.server_samples.ready.as_ref()),
            tls: drove.tls,
            // Those of a failed trial are no figures, and may not even decode.
            series: if outcome.failure.is_none() { drove.series } else { BTreeMap::new() },
            slices: drove.slices,
            counts: drove.counts,
            beside: outcome.beside.map(Beside::from),
            machine_samples: outcome.machine_samples,
            machine: origin.machine.clone(),
            build: origin.build.clone(),
            marks: BTreeSet::new(),
            error: outcome.failure,
        };
        record.marks = mark::marks(&record);
        record
    }
}

/// See [`Record::memory_bound_bytes`].
fn memory_bound(setup: Setup<'_>, ready: Option<&Sample>) -> Option<u64> {
    let scenario = setup.scenario;
    let stalls = scenario.loads().any(|load| load.stall_percent > 0);
    let held: u64 = scenario.loads().map(|load| load.memory_bound_bytes(&scenario.socket)).sum();
    ready.filter(|_| stalls).map(|ready| ready.rss_bytes + held)
}

/// Appends lines to a result file, each whole and flushed, so that what is finished is never lost.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: PathBuf,
}

impl Writer {
    /// Opens `path` for appending and creates it where it does not exist.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(path: &Path) -> io::Result<Writer> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        Ok(Writer { file, path: path.to_owned() })
    }

    /// Writes one line.
    ///
    /// # Errors
    /// When the file cannot be written, for instance because the disk is full.
    pub fn write(&mut self, line: &Line) -> io::Result<()> {
        let json = seal::seal(&serde_json::to_string(line)?) + "\n";
        let before = self.file.metadata()?;
        // One write, so that an interruption leaves at most one line without its end.
        let written = self.file.write_all(json.as_bytes()).and_then(|()| self.file.flush());
        if written.is_err() && before.is_file() {
            // A disk that is full has taken a part of the line. Where cutting fails as well, `--resume` does it.
            let _ = self.file.set_len(before.len());
        }
        written
    }

    /// Whether the file is still what its path leads to: one whose folder was deleted goes on taking lines, and is gone
    /// when it is closed.
    pub fn is_in_place(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;

            let of = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
            let (own, there) = (self.file.metadata().map(of), std::fs::metadata(&self.path).map(of));
            own.is_ok_and(|own| there.is_ok_and(|there| own == there))
        }
        #[cfg(not(unix))]
        self.path.exists()
    }

    /// Copies everything that the file holds to a new file.
    ///
    /// # Errors
    /// When it cannot be read, or the other one cannot be written or exists already.
    pub fn copy_to(&mut self, path: &Path) -> io::Result<()> {
        let mut copy = OpenOptions::new().write(true).create_new(true).open(path)?;
        self.file.rewind()?;
        io::copy(&mut self.file, &mut copy)?;
        copy.sync_all()
    }
}

/// Milliseconds since 1970-01-01 UTC.
pub fn unix_ms() -> u64 {
    jiff::Timestamp::now().as_millisecond().unsigned_abs()
}

/// A new session's identity: when it started and which process ran it.
pub fn new_session() -> String {
    format!("{}-{}", jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ"), std::process::id())
}
