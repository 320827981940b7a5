//! Rows: what a runner offers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    DriveSpec, ServeSpec,
    protocol::{self, ClientReport, Control, Ready, ServerReport},
    service::Service,
    spec::{Feature, Flush, Pacing, Workload},
};

/// One runtime configuration as a server and as a client: a row of the table.
///
/// Synchronous, so that it is object-safe. Each method starts the runtime and blocks until it has ended. A row of an async
/// runtime calls [`serve`](crate::serve()) and [`drive`](crate::drive()) on it; `threads` and `mio` show that it need not have one.
pub trait Row: Sync {
    /// What this row is.
    ///
    /// # Errors
    /// When the row cannot run on this machine, with the reason.
    fn describe(&self) -> anyhow::Result<RowInfo>;

    /// Serves until the future of [`Ready::listening`] completes.
    ///
    /// # Errors
    /// When the runtime cannot start or the address cannot be listened on.
    fn serve(&self, spec: &ServeSpec, ready: Ready) -> anyhow::Result<ServerReport>;

    /// Carries out a client's half of a trial.
    ///
    /// # Errors
    /// When the runtime cannot start or the server cannot be reached.
    fn drive(&self, spec: &DriveSpec, control: Control) -> anyhow::Result<ClientReport>;
}

/// Most worker threads of a row that takes several: more than any machine has cores.
pub const MAX_THREADS: u32 = 1024;

/// The rows of a runner with their names, as in `runners/rows.toml`.
pub type Rows = [(&'static str, &'static dyn Row)];

/// What a row says of itself: the answer to `describe`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RowInfo {
    /// Version of the runner protocol.
    pub protocol: u32,
    /// Name of the row. The runner's command line fills it in.
    pub row: String,
    /// Name of the runtime.
    pub runtime: String,
    /// Version of the runtime. A row without one is not measured.
    pub runtime_version: String,
    /// How tasks are scheduled.
    pub scheduler: String,
    /// How the runtime waits for I/O.
    pub io_mode: String,
    /// The WebSocket stack with its versions.
    pub websocket: String,
    /// Maintenance status worth knowing, such as `discontinued`.
    pub status: Option<String>,
    /// Most worker threads that the row takes; 1 for a single-thread row.
    pub max_threads: u32,
    /// Threads that each connection takes, at whichever end the row is; 0 where connections share threads.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub threads_per_connection: u32,
    /// Environment that the process must be started with; `{threads}` in a value stands for the number of worker threads.
    pub environment: BTreeMap<String, String>,
    /// Services offered, by the last word of their path.
    pub services: Vec<String>,
    /// Workloads offered; none: the row is a server only.
    pub workloads: Vec<Workload>,
    /// Flush policies offered.
    pub flush: Vec<Flush>,
    /// What it offers beyond these. Names that this version does not know are passed over.
    #[serde(default, deserialize_with = "Feature::known")]
    pub features: Vec<Feature>,
    /// Who counts messages.
    #[serde(default, skip_serializing_if = "Accounting::is_both")]
    pub accounting: Accounting,
    /// The build; absent for runners that are not built from this workspace.
    pub build: Option<BuildInfo>,
}

/// Whether a count says nothing: for serde.
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Who counts messages, so that none can be lost or made up unseen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Accounting {
    /// Both ends, and their counts are compared.
    #[default]
    Both,
    /// The client alone, which verifies every answer: the server is a program that does not count for wsbench.
    Client,
}

impl Accounting {
    fn is_both(&self) -> bool {
        *self == Accounting::Both
    }
}

impl RowInfo {
    /// A single-thread row with everything that this crate offers; the caller overwrites what differs.
    pub fn new(runtime: &str, runtime_version: &str) -> RowInfo {
        RowInfo {
            protocol: protocol::VERSION,
            row: String::new(),
            runtime: runtime.to_owned(),
            runtime_version: runtime_version.to_owned(),
            scheduler: String::new(),
            io_mode: String::new(),
            websocket: String::new(),
            status: None,
            max_threads: 1,
            threads_per_connection: 0,
            environment: BTreeMap::new(),
            services: Service::NAMES.iter().map(|name| (*name).to_owned()).collect(),
            workloads: Workload::ALL.to_vec(),
            flush: vec![Flush::BeforeWait, Flush::Each],
            features: Feature::ALL.to_vec(),
            accounting: Accounting::Both,
            build: None,
        }
    }

    /// This row without these features.
    pub fn without_features(mut self, features: &[Feature]) -> RowInfo {
        self.features.retain(|feature| !features.contains(feature));
        self
    }

    /// This row without these services.
    pub fn without_services(mut self, names: &[&str]) -> RowInfo {
        self.services.retain(|name| !names.contains(&name.as_str()));
        self
    }

    /// What has to be known of it where its figures stand, if anything has.
    pub fn remark(&self) -> Option<String> {
        let accounting =
            (self.accounting == Accounting::Client).then(|| "only its client counts messages".to_owned());
        let remarks: Vec<String> = self.status.iter().cloned().chain(accounting).collect();
        (!remarks.is_empty()).then(|| remarks.join("; "))
    }

    /// The environment that the process must be started with for so many worker threads.
    pub fn environment_for(&self, threads: u32) -> BTreeMap<String, String> {
        let fill = |(name, value): (&String, &String)| {
            (name.clone(), value.replace("{threads}", &threads.to_string()))
        };
        self.environment.iter().map(fill).collect()
    }

    /// The flush policy that this row is started with where `wanted` is asked for: the same if it is offered, and
    /// otherwise the row's own.
    ///
    /// With one message in flight the two policies are the same, one write a message; where several are, whoever plans
    /// a trial leaves the row out ([`Workload::needs_flush_policy`]).
    pub fn flush_for(&self, wanted: Flush) -> Flush {
        if self.flush.contains(&wanted) { wanted } else { self.flush.first().copied().unwrap_or(wanted) }
    }

    /// Whether this row's client can wait for intended instants with `pacing`. Only `sleep` came later than the others, so
    /// that a row says by a feature of that name whether it has it.
    pub fn offers_pacing(&self, pacing: Pacing) -> bool {
        pacing != Pacing::Sleep || self.features.contains(&Feature::Sleep)
    }

    /// Whether this row's flush policies allow a load of `workload` under the policy `flush`.
    pub fn offers_flush(&self, workload: Workload, flush: Flush) -> bool {
        !workload.needs_flush_policy() || self.flush.contains(&flush)
    }
}

/// Which build a program comes from. Two programs of the same build differ only in what they are, not in how they were made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BuildInfo {
    /// Git commit, or `unknown` outside a repository.
    pub commit: String,
    /// Whether the work tree had changes.
    pub dirty: bool,
    /// Cargo profile: `release` or `debug`.
    pub profile: String,
    /// SHA-256 of Cargo.lock, in hexadecimal.
    pub lock_sha256: String,
    /// Version line of the compiler.
    pub rustc: String,
    /// Target triple; empty in records of versions that did not look at it, and so are the three after it.
    #[serde(default)]
    pub target: String,
    /// What the compiler may use of the processor, which is what `-C target-cpu` changes.
    #[serde(default)]
    pub target_features: String,
    /// Optimisation level.
    #[serde(default)]
    pub opt_level: String,
    /// Flags for the compiler, from the environment or Cargo's configuration, and settings of the profile from the environment.
    #[serde(default)]
    pub flags: String,
    /// What the program was built with beyond what is measured, such as `run`; none in a build that is measured.
    #[serde(default)]
    pub features: Vec<String>,
}

impl BuildInfo {
    /// Whether the two come from the same build, so that programs of them may be compared. Their features may differ,
    /// because each package has its own: those of wsbench are not those of a runner.
    pub fn is_same_as(&self, other: &BuildInfo) -> bool {
        let without_features = |build: &BuildInfo| BuildInfo { features: Vec::new(), ..build.clone() };
        without_features(self) == without_features(other)
    }

    /// How it was built, whatever the sources were: without commit, lock file and features. Where the other build does not say
    /// for what processor it was made, neither does this.
    pub fn manner(&self, other: &BuildInfo) -> BuildInfo {
        let manner = BuildInfo {
            commit: String::new(),
            dirty: false,
            lock_sha256: String::new(),
            features: Vec::new(),
            ..self.clone()
        };
        match self.target.is_empty() || other.target.is_empty() {
            false => manner,
            true => BuildInfo {
                target: String::new(),
                target_features: String::new(),
                opt_level: String::new(),
                flags: String::new(),
                ..manner
            },
        }
    }

    /// Whether this is a release build, which is what comparisons are made of.
    pub fn is_release(&self) -> bool {
        self.profile == "release"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_do_not_make_another_build_and_records_without_them_are_read() {
        let text = r#"{"commit":"c","dirty":false,"profile":"release","lock_sha256":"l","rustc":"r"}"#;
        let without: BuildInfo = serde_json::from_str(text).unwrap();
        assert!(without.features.is_empty());
        let with = BuildInfo { features: vec!["run".to_owned()], ..without.clone() };
        assert!(with.is_same_as(&without) && with != without);
        assert!(!with.is_same_as(&BuildInfo { dirty: true, ..with.clone() }));
    }

    #[test]
    fn a_row_with_one_policy_keeps_it_where_policies_do_not_differ() {
        let row = RowInfo { flush: vec![Flush::Each], ..RowInfo::new("runtime", "1") };
        assert_eq!(row.flush_for(Flush::BeforeWait), Flush::Each);
        assert!(row.offers_flush(Workload::PingPong, Flush::BeforeWait));
        assert!(!row.offers_flush(Workload::Window, Flush::BeforeWait));
        assert!(row.offers_flush(Workload::OneWay, Flush::Each));
        let both = RowInfo::new("runtime", "1");
        assert_eq!(both.flush_for(Flush::Each), Flush::Each);
    }
}
