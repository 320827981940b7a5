//! A trial with real processes, from its setup to its record.

use std::time::{Duration, Instant};

use bench_core::{
    DriveSpec, ServeSpec,
    drive::push_lead,
    spec::{Load, Pacing, SocketSpec},
};

use super::{
    Failure, Outcome, Program, Step,
    identity::Identity,
    placement::{Cores, Placement},
    process::Processes,
    run,
    sample::MachineSampler,
};
use crate::{
    catalogue::Scenario,
    record::{Origin, Pair, Position, Record, unix_ms},
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
    fn serve_spec(&self, identity: Option<&Identity>) -> ServeSpec {
        let threads = self.server.threads(self.threads);
        ServeSpec {
            tls_cert: identity.map(Identity::certificate),
            tls_key: identity.map(Identity::key),
            ..ServeSpec::on_loopback(threads, self.socket(self.server))
        }
    }

    fn drive_spec(&self, load: &Load, pacing: Pacing, identity: Option<&Identity>) -> DriveSpec {
        DriveSpec {
            target: String::new(),
            threads: self.client.threads(self.threads),
            pacing,
            tls_cert: identity.map(Identity::certificate),
            load: load.clone(),
            // It is the server's.
            socket: SocketSpec { send_buffer_bytes: None, ..self.socket(self.client) },
        }
    }

    /// What the client of a paced load waits with. Where clients are compared, their runtimes' timers are part of it; on
    /// a core that it shares with the server, spinning would take the server's time, and on one that it shares with a
    /// second client, that one's.
    pub(crate) fn pacing(&self, origin: &Origin) -> Pacing {
        let apart = self.placement == Placement::Split && !self.cores.cores_shared;
        let sleeps = self.client.info.features.iter().any(|feature| feature == "sleep");
        match (apart && !origin.compares_clients, &self.scenario.beside) {
            (false, _) => Pacing::Timers,
            (true, Some(_)) if sleeps => Pacing::Sleep,
            (true, _) => Pacing::Spin,
        }
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
    let before = scenario.loads().map(|load| {
        // What is agreed with the server begins only when every connection stands.
        let connecting = (CONNECTION * load.all_connections()).max(push_lead(load));
        PROCESSES / 2 + connecting + Duration::from_millis(load.warm_up_ms)
    });
    let window = scenario.loads().map(Load::expected).max().unwrap_or_default();
    PROCESSES / 2 + before.sum::<Duration>() + window
}

/// The limit of a trial of `scenario`, unless the user sets one: far beyond what it takes.
pub fn limit(scenario: &Scenario) -> Duration {
    expected(scenario) * 3 + SLACK + SLACK_PER_CONNECTION * scenario.connections()
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
    let outcome = match setup.scenario.socket.tls.then(Identity::make).transpose() {
        Ok(identity) => {
            let identity = identity.as_ref();
            let drive = setup.drive_spec(&setup.scenario.load, pacing, identity);
            let beside = setup.scenario.beside.as_ref();
            let beside = beside.map(|load| setup.drive_spec(load, pacing, identity));
            run(&mut stage, &setup.serve_spec(identity), &drive, beside.as_ref())
        }
        Err(error) => {
            let failure = Failure { step: Step::Listen, message: format!("{error:#}") };
            Outcome { failure: Some(failure), ..Outcome::default() }
        }
    };
    let took_ns = start.elapsed().as_nanos() as u64;
    Record::new(origin, position, setup, started_unix_ms, took_ns, outcome)
}
