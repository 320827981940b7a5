//! What the checks run trials with.

use std::{path::PathBuf, time::Duration};

use bench_core::{
    row::BuildInfo,
    spec::{Load, Paced, Role, Work},
};
use trial::{
    Program, Setup,
    catalogue::Scenario,
    execute,
    execute::limit,
    machine::Machine,
    placement::{self, Cores, Placement},
    record::{Origin, Pair, Position, Record, new_session},
    sample::MachineSampler,
};

use crate::{exit::Stop, run::rows::Finder};

/// The program whose servers and clients behave in known ways.
const FAULTY: &str = "runner-faulty";

/// Messages a second of the paced checks.
pub(super) const RATE: u64 = 1_000;

/// Connections of every check.
pub(super) const CONNECTIONS: u32 = 100;

/// The programs, the machine, and what was asked for.
pub(super) struct Bench {
    origin: Origin,
    pub(super) tokio: Program,
    faulty: Program,
    split: Cores,
    shared: Cores,
    machine: MachineSampler,
    fault: Option<String>,
    pub(super) window_ms: u64,
    trials: u32,
}

impl Bench {
    pub(super) fn new(
        runner_dir: Option<PathBuf>,
        short: bool,
        fault: Option<String>,
        build: BuildInfo,
    ) -> Result<Bench, Stop> {
        let finder = Finder::new(runner_dir, build.clone())?;
        let tokio = finder.find("tokio")?;
        let path = tokio.path.with_file_name(FAULTY);
        let faulty = Program::describe(&path, &[], "faulty")
            .map_err(|error| Stop::failed(format!("{error}: `cargo build --workspace` builds it")))?;
        Ok(Bench {
            origin: Origin {
                session: new_session(),
                seed: 0,
                role: Role::Server,
                compares_clients: false,
                counts: false,
                machine: Machine::this(&build),
                build,
            },
            tokio,
            faulty,
            split: cores(Placement::Split)?,
            shared: cores(Placement::Shared)?,
            machine: MachineSampler::new(),
            fault,
            window_ms: if short { 2_000 } else { 10_000 },
            trials: 0,
        })
    }

    pub(super) fn has_fault(&self, fault: &str) -> bool {
        self.fault.as_deref() == Some(fault)
    }

    /// A program that behaves in a known way.
    pub(super) fn known(&self, behaviour: &str) -> Program {
        let mut program = self.faulty.clone();
        program.info.environment.insert("WSBENCH_FAULT".to_owned(), behaviour.to_owned());
        program
    }

    pub(super) fn paced(&self) -> Load {
        Load {
            connections: CONNECTIONS,
            work: Work::Paced(Paced::at(RATE)),
            duration_ms: self.window_ms,
            ..Load::default()
        }
    }

    /// A trial by itself, server and client on a core each.
    pub(super) fn trial(&mut self, server: &Program, client: &Program, load: Load) -> Record {
        self.trial_within(server, client, load, None)
    }

    /// The same, within a time of its own.
    pub(super) fn trial_within(
        &mut self,
        server: &Program,
        client: &Program,
        load: Load,
        time: Option<Duration>,
    ) -> Record {
        let scenario = Scenario { placement: Placement::Split, ..Scenario::new("selftest", load) };
        let position = Position { round: 0, block: self.trials, attempt: 0, order: 0 };
        self.trials += 1;
        self.execute(&scenario, position, (server, client), time)
    }

    /// A trial of a scenario at a place among others.
    pub(super) fn trial_at(
        &mut self,
        scenario: &Scenario,
        position: Position,
        server: &Program,
        client: &Program,
    ) -> Record {
        self.execute(scenario, position, (server, client), None)
    }

    fn execute(
        &mut self,
        scenario: &Scenario,
        position: Position,
        (server, client): (&Program, &Program),
        time: Option<Duration>,
    ) -> Record {
        let cores = match scenario.placement {
            Placement::Split => &self.split,
            Placement::Shared => &self.shared,
        };
        let setup = Setup {
            scenario,
            pair: &Pair { server: server.row.clone(), client: client.row.clone() },
            server,
            client,
            placement: scenario.placement,
            cores,
            threads: 1,
        };
        let time = time.unwrap_or_else(|| limit(scenario));
        execute(&self.origin, position, setup, time, &mut self.machine)
    }
}

/// The cores of a server and a client of one thread each.
fn cores(placement: Placement) -> Result<Cores, Stop> {
    placement::choose(placement, 1, 1).map_err(Stop::failed)
}
