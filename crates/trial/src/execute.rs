//! A trial with real processes, from its setup to its record.

use std::time::{Duration, Instant};

use bench_core::{drive::push_lead, spec::Load};

use crate::{
    catalogue::Scenario,
    identity::Identity,
    outcome::{Failure, Outcome, Step},
    process::Processes,
    record::{Origin, Position, Record, unix_ms},
    run::{Plan, run},
    sample::MachineSampler,
    setup::Setup,
};

/// Time that a trial may take beyond its load: starting two processes and closing, on a machine that does other things
/// as well.
const SLACK: Duration = Duration::from_secs(20);

/// Time that each connection may add: opening and closing, several times what the slowest row takes.
const SLACK_PER_CONNECTION: Duration = Duration::from_millis(5);

/// How long a trial of `scenario` takes, roughly: for estimates.
pub fn expected(scenario: &Scenario) -> Duration {
    /// Two processes started, described, connected and ended: 10 ms of two Rust programs, 150 of one in Python.
    const PROCESSES: Duration = Duration::from_millis(40);
    /// Opening and closing one connection: 0.1 ms in Rust, 0.5 in Python.
    const CONNECTION: Duration = Duration::from_micros(150);
    let before = scenario.loads().map(|load| {
        // What is agreed with the server begins only when every connection stands.
        let connecting = (CONNECTION * load.all_connections()).max(push_lead(load));
        PROCESSES / 2 + connecting + Duration::from_millis(load.warm_up_ms)
    });
    let window = scenario.loads().map(Load::expected).max().unwrap_or_default();
    let windows = scenario.bursts.map_or(window, |bursts| (bursts.silence() + window) * bursts.count);
    PROCESSES / 2 + before.sum::<Duration>() + windows
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
            let drives = setup.scenario.loads().map(|load| setup.drive_spec(load, pacing, identity));
            let plan = Plan {
                accounting: setup.server.info.accounting,
                bursts: setup.scenario.bursts,
                serve: setup.serve_spec(identity),
                drives: drives.collect(),
            };
            run(&mut stage, &plan)
        }
        Err(error) => {
            let failure = Failure { step: Step::Listen, message: format!("{error:#}") };
            Outcome { failure: Some(failure), ..Outcome::default() }
        }
    };
    let took_ns = start.elapsed().as_nanos() as u64;
    Record::new(origin, position, setup, started_unix_ms, took_ns, outcome)
}
