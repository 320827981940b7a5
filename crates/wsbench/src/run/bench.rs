//! What every trial of a run is made with.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bench_core::spec::Role;
use trial::{
    Program, Setup,
    catalogue::Scenario,
    execute,
    execute::limit,
    machine::Machine,
    placement::{self, Cores, Placement},
    record::{Origin, Pair, Position, Record, Session},
    sample::MachineSampler,
    thread_limits,
};

use crate::{
    analysis::{planned::takes_part, twin::row_of},
    exit::Stop,
    run::{capabilities, plan::Block, resources},
};

/// Everything that trials need and that stays the same through a run.
pub(crate) struct Bench {
    origin: Origin,
    programs: Vec<Program>,
    /// By placement and the worker threads of server and client.
    cores: BTreeMap<(Placement, u32, u32), Cores>,
    server_cores: u32,
    machine: MachineSampler,
    time: Option<Duration>,
}

impl Bench {
    /// Checks that every trial of the session is possible.
    pub(crate) fn new(
        session: &Session,
        programs: Vec<Program>,
        time: Option<Duration>,
    ) -> Result<Bench, Stop> {
        if !cfg!(target_os = "linux") {
            return Err(Stop::failed(
                "pinning and the cost of a process are not available on this system, and without them there is no fair \
                 comparison: wsbench compares on Linux only; `cargo run -p runner-tokio` shows one runtime anywhere",
            ));
        }
        if capabilities::left_out(&programs, &session.scenarios, &session.pairs)? != session.left_out {
            return Err(Stop::usage(
                "the rows do not offer the services, workloads and flush policies that they did",
            ));
        }
        refuse_too_many_threads(session, &programs)?;
        let mut cores = BTreeMap::new();
        for scenario in &session.scenarios {
            for pair in &session.pairs {
                let several = scenario.server_cores.unwrap_or(session.server_cores);
                let threads = |row| program(&programs, row).threads(several);
                let (server, client) = (threads(&pair.server), threads(&pair.client));
                let chosen = placement::choose(scenario.placement, server, client)
                    .map_err(|reason| Stop::usage(format!("`{}`: {reason}", scenario.name)))?;
                cores.insert((scenario.placement, server, client), chosen);
            }
        }
        let clients: BTreeSet<&str> = session.pairs.iter().map(|pair| row_of(&pair.client)).collect();
        let origin = Origin {
            session: session.session.clone(),
            seed: session.seed,
            role: session.role,
            compares_clients: session.role == Role::Client || clients.len() > 1,
            counts: session.counts,
            machine: session.machine.clone(),
            build: session.build.clone(),
        };
        let server_cores = session.server_cores;
        Ok(Bench { origin, programs, cores, server_cores, machine: MachineSampler::new(), time })
    }

    /// Begins to measure, on a machine that is now what this says.
    pub(crate) fn begin(&mut self, machine: Machine) {
        self.origin.machine = machine;
        self.machine = MachineSampler::new();
    }

    /// The cores of a pair in a scenario; `None` where the run does not hold it.
    pub(crate) fn cores(&self, scenario: &Scenario, pair: &Pair) -> Option<&Cores> {
        let several = scenario.server_cores.unwrap_or(self.server_cores);
        let threads = |name: &str| {
            let program = self.programs.iter().find(|program| program.row == row_of(name))?;
            Some(program.threads(several))
        };
        self.cores.get(&(scenario.placement, threads(&pair.server)?, threads(&pair.client)?))
    }

    /// Runs one trial; whatever goes wrong is in its record.
    pub(crate) fn trial(&mut self, block: &Block, pair: &Pair, position: Position) -> Record {
        let (server, client) = (program(&self.programs, &pair.server), program(&self.programs, &pair.client));
        let threads = block.scenario.server_cores.unwrap_or(self.server_cores);
        let placement = block.scenario.placement;
        let setup = Setup {
            scenario: &block.scenario,
            pair,
            server,
            client,
            placement,
            cores: &self.cores[&(placement, server.threads(threads), client.threads(threads))],
            threads,
        };
        let time = self.time.unwrap_or_else(|| limit(&block.scenario));
        execute(&self.origin, position, setup, time, &mut self.machine)
    }
}

/// A row that cannot start a thread for a connection would fail in the middle of a trial.
fn refuse_too_many_threads(session: &Session, programs: &[Program]) -> Result<(), Stop> {
    let limits = thread_limits();
    for scenario in &session.scenarios {
        for pair in session.pairs.iter().filter(|pair| takes_part(session, &scenario.name, pair)) {
            let end = |name| {
                let program = program(programs, name);
                (program.row.as_str(), program.info.threads_per_connection)
            };
            let ends = [end(&pair.server), end(&pair.client)];
            resources::threads(&scenario.name, scenario.connections(), &ends, &limits)?;
        }
    }
    Ok(())
}

/// The program behind a name of the session.
fn program<'a>(programs: &'a [Program], name: &str) -> &'a Program {
    let row = row_of(name);
    let found = programs.iter().find(|program| program.row == row);
    found.expect("`left_out` has found a program for every row of the session")
}
