//! One test body for every row: each workload as a server and as a client, against itself and the reference, counted
//! and verified.

mod common;

use bench_core::{
    Kind,
    catalogue::Scenario,
    record::{Machine, Origin, Pair, Position},
    spec::{Flush, Load, Schedule, SocketSpec, Workload},
    trial::{
        DescribeError, Program, Role, Setup, execute,
        execute::limit,
        placement::{Cores, Placement},
        sample::MachineSampler,
    },
};
use libtest_mimic::{Arguments, Failed, Trial};
use wsbench::rows::registry;

fn main() -> std::process::ExitCode {
    let tests = registry().into_iter().flat_map(|entry| {
        // A row whose program is not built, or whose libraries are missing, is no failure: it is listed as ignored, and
        // so is what a row does not offer.
        let described = describe(&entry.name, &entry.program);
        scenarios().into_iter().map(move |scenario| {
            let name = format!("{}::{}", entry.name, scenario.name);
            let (load, flush) = (&scenario.load, scenario.socket.flush);
            let offered = match &described {
                Ok(program) => program.info.offers(load.workload, flush),
                Err(DescribeError::Unavailable(_)) => false,
                // The test fails with the reason.
                Err(DescribeError::Broken(_)) => true,
            };
            let entry = entry.clone();
            Trial::test(name, move || body(&entry, &scenario)).with_ignored_flag(!offered)
        })
    });
    libtest_mimic::run(&Arguments::from_args(), tests.collect()).exit_code()
}

/// Every workload, and the fields that change how it goes.
fn scenarios() -> Vec<Scenario> {
    let base = Load { warm_up_ms: 5, messages: Some(50), ..Load::default() };
    let window = Load { workload: Workload::Window, window: 16, connections: 3, ..base.clone() };
    let push =
        Load { workload: Workload::Push, connections: 5, messages: Some(4), every_us: 2_000, ..base.clone() };
    let one_way = Load { workload: Workload::OneWay, messages: Some(500), duration_ms: 20, ..base.clone() };
    let loads = [
        ("ping-pong", base.clone(), Flush::BeforeWait),
        ("ping-pong-each", Load { connections: 20, ..base.clone() }, Flush::Each),
        (
            "ping-pong-smallest",
            Load { payload_bytes: 8, kind: Kind::Binary, ..base.clone() },
            Flush::BeforeWait,
        ),
        (
            "ping-pong-1MiB",
            Load { payload_bytes: 1 << 20, messages: Some(3), ..base.clone() },
            Flush::BeforeWait,
        ),
        (
            "ping-pong-timed",
            Load { connections: 10, messages: None, duration_ms: 50, ..base.clone() },
            Flush::BeforeWait,
        ),
        ("window", window.clone(), Flush::BeforeWait),
        ("window-each", Load { kind: Kind::Binary, ..window }, Flush::Each),
        ("one-way", one_way.clone(), Flush::BeforeWait),
        ("one-way-each", one_way, Flush::Each),
        (
            "connect",
            Load { workload: Workload::Connect, messages: Some(5), ..base.clone() },
            Flush::BeforeWait,
        ),
        ("push-on-connect", push.clone(), Flush::BeforeWait),
        ("push-aligned", Load { schedule: Schedule::Aligned, ..push.clone() }, Flush::BeforeWait),
        ("push-staggered", Load { schedule: Schedule::Staggered, ..push }, Flush::BeforeWait),
        (
            "idle",
            Load { workload: Workload::Idle, connections: 30, duration_ms: 20, ..base },
            Flush::BeforeWait,
        ),
    ];
    let scenario = |(name, load, flush): (&str, Load, Flush)| Scenario {
        name: name.to_owned(),
        about: String::new(),
        placement: Placement::Shared,
        load,
        socket: SocketSpec { flush, ..SocketSpec::default() },
    };
    loads.into_iter().map(scenario).collect()
}

/// Units that a scenario has by its messages; `None` where time decides.
fn expected_units(load: &Load) -> Option<u64> {
    let connections = u64::from(load.connections);
    match load.workload {
        Workload::OneWay => None,
        Workload::Idle => Some(0),
        _ => load.messages.map(|messages| messages * connections),
    }
}

fn describe(row: &str, file: &str) -> Result<Program, DescribeError> {
    let path = common::programs().join(file);
    if !path.exists() {
        return Err(DescribeError::Unavailable("it is not built".to_owned()));
    }
    Program::describe(&path, &[], row)
}

fn body(entry: &wsbench::rows::Entry, scenario: &Scenario) -> Result<(), Failed> {
    let own = describe(&entry.name, &entry.program).map_err(|error| error.to_string())?;
    let reference = describe("tokio", "runner-tokio").map_err(|error| error.to_string())?;
    let origin = Origin {
        session: "test".to_owned(),
        seed: 0,
        role: Role::Server,
        machine: Machine::this(),
        build: build_info::build(),
    };
    let position = Position { round: 0, block: 0, attempt: 0, order: 0 };
    for (server, client) in [(&own, &own), (&own, &reference), (&reference, &own)] {
        let pair = Pair { server: server.row.clone(), client: client.row.clone() };
        let setup = Setup {
            scenario,
            pair: &pair,
            server,
            client,
            placement: scenario.placement,
            cores: &Cores::anywhere(),
        };
        let record = execute(&origin, position, setup, limit(scenario), &mut MachineSampler::new());
        if let Some(error) = record.error {
            return Err(format!("server {}, client {}: {error}", pair.server, pair.client).into());
        }
        match expected_units(&scenario.load) {
            Some(units) => assert_eq!(record.units, units),
            None => assert!(record.units > 0),
        }
        let threads = record.server.samples.measured.map(|sample| sample.threads);
        // What other languages bring along is theirs.
        if cfg!(target_os = "linux") && setup.server.info.build.is_some() {
            // The main thread, the one that reads stdin, and at most a reactor's and an executor's.
            assert!(threads.is_some_and(|threads| (2..=4).contains(&threads)), "{threads:?} threads");
        }
    }
    Ok(())
}
