//! A trial with real processes, from its setup to its record.

use std::time::{Duration, Instant};

use super::{
    Program,
    placement::{Cores, Placement},
    process::Processes,
    run,
    sample::MachineSampler,
};
use crate::{
    DriveSpec, ServeSpec,
    catalogue::Scenario,
    record::{Origin, Pair, Position, Record, unix_ms},
    spec::{Pacing, SocketSpec},
};

/// Time that a trial may take beyond its load: starting two processes and closing, on a machine that does other things
/// as well.
const SLACK: Duration = Duration::from_secs(20);

/// Time that each connection may add: opening and closing, several times what the slowest row takes.
const SLACK_PER_CONNECTION: Duration = Duration::from_millis(5);

/// What a trial is made of.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Names of the two rows in the results.
    pub pair: &'a Pair,
    /// Program of the server.
    pub server: &'a Program,
    /// Program of the client.
    pub client: &'a Program,
    /// Where they run.
    pub placement: Placement,
    /// Cores they run on.
    pub cores: &'a Cores,
    /// Worker threads of rows that take several.
    pub threads: u32,
}

impl Setup<'_> {
    fn serve_spec(&self) -> ServeSpec {
        let socket = self.socket(self.server);
        ServeSpec::on_loopback(self.server.threads(self.threads), socket)
    }

    fn drive_spec(&self, pacing: Pacing) -> DriveSpec {
        let (load, socket) = (self.scenario.load.clone(), self.socket(self.client));
        DriveSpec { target: String::new(), threads: self.client.threads(self.threads), pacing, load, socket }
    }

    /// What the client of a paced load waits with. Where clients are compared, their runtimes' timers are part of it; and
    /// on a core that it shares, spinning would take the server's time.
    pub(crate) fn pacing(&self, origin: &Origin) -> Pacing {
        let apart = self.placement == Placement::Split && !self.cores.cores_shared;
        if apart && !origin.compares_clients { Pacing::Spin } else { Pacing::Timers }
    }

    /// The scenario's settings; an end that lacks its flush policy has its own.
    fn socket(&self, end: &Program) -> SocketSpec {
        let socket = &self.scenario.socket;
        SocketSpec { flush: end.info.flush_for(socket.flush), ..socket.clone() }
    }
}

/// How long a trial of `scenario` takes, roughly: for estimates.
pub fn expected(scenario: &Scenario) -> Duration {
    /// Two processes started, described, connected and ended.
    const PROCESSES: Duration = Duration::from_millis(80);
    /// Opening and closing one connection.
    const CONNECTION: Duration = Duration::from_micros(250);
    let load = &scenario.load;
    PROCESSES + CONNECTION * load.connections + Duration::from_millis(load.warm_up_ms) + load.expected()
}

/// The limit of a trial of `scenario`, unless the user sets one: far beyond what it takes.
pub fn limit(scenario: &Scenario) -> Duration {
    expected(scenario) * 3 + SLACK + SLACK_PER_CONNECTION * scenario.load.connections
}

/// Runs one trial in fresh processes, which are gone when this returns.
pub fn execute(
    origin: &Origin,
    position: Position,
    setup: Setup<'_>,
    limit: Duration,
    machine: &mut MachineSampler,
) -> Record {
    let started_unix_ms = unix_ms();
    let start = Instant::now();
    let mut stage = Processes::new(setup.server, setup.client, setup.cores, machine, origin.counts, limit);
    let pacing = setup.pacing(origin);
    let outcome = run(&mut stage, &setup.serve_spec(), &setup.drive_spec(pacing));
    let took_ns = start.elapsed().as_nanos() as u64;
    Record::new(origin, position, setup, started_unix_ms, took_ns, outcome)
}
