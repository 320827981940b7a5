//! One test body for every row: each workload as a server and as a client, against itself and the reference, counted
//! and verified.

mod common;

use std::ops::RangeInclusive;

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
        // A row whose program is not built, or that cannot run here, is no failure: it is listed as ignored, and so is
        // what a row does not offer.
        let described = describe(&entry.name, &entry.program);
        if let Err(DescribeError::Unavailable(reason)) = &described {
            eprintln!("{}: not available: {reason}", entry.name);
        }
        scenarios().into_iter().map(move |scenario| {
            let name = format!("{}::{}", entry.name, scenario.name);
            let (load, flush) = (&scenario.load, scenario.socket.flush);
            let offered = match &described {
                Ok(program) => program.info.offers_flush(load.workload, flush),
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
            // More than the socket buffers hold: what the kernel does not take at once must not wait behind a read.
            "ping-pong-8MiB",
            Load { payload_bytes: 8 << 20, messages: Some(2), ..base.clone() },
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
            "paced",
            Load {
                workload: Workload::Paced,
                connections: 5,
                messages: None,
                rate_per_s: Some(500),
                duration_ms: 100,
                ..base.clone()
            },
            Flush::BeforeWait,
        ),
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
        curve: None,
        finds_rates: false,
    };
    loads.into_iter().map(scenario).collect()
}

/// Units that a scenario has by its messages; `None` where time decides.
fn expected_units(load: &Load) -> Option<u64> {
    let connections = u64::from(load.connections);
    match load.workload {
        Workload::OneWay => None,
        Workload::Idle => Some(0),
        Workload::Paced => Some(load.offered()),
        _ => load.messages.map(|messages| messages * connections),
    }
}

/// How many threads the server of a row has when the measured window ends.
fn expected_threads(row: &str, workers: u32, load: &Load) -> RangeInclusive<u64> {
    // The main thread and the one that reads stdin.
    const ALWAYS: u64 = 2;
    let connections = u64::from(load.connections);
    match (row, load.workload) {
        // One that accepts. Each connection was closed before the next one; the thread of the last may be ending.
        ("threads", Workload::Connect) => ALWAYS + 1..=ALWAYS + 1 + connections,
        // And one for each connection; the thread of the readiness check may be ending.
        ("threads", _) => ALWAYS + 1 + connections..=ALWAYS + 2 + connections,
        // The workers, of which the main thread may be one, and at most a reactor's.
        _ => u64::from(workers) + 1..=u64::from(workers) + 3,
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
        compares_clients: false,
        counts: false,
        machine: Machine::this(&build_info::build()),
        build: build_info::build(),
    };
    let position = Position { round: 0, block: 0, attempt: 0, order: 0 };
    let pairs = [(&own, &own), (&own, &reference), (&reference, &own)];
    // A row may have a server and no client, or no client for this workload.
    for (server, client) in
        pairs.into_iter().filter(|(_, client)| client.info.workloads.contains(&scenario.load.workload))
    {
        let pair = Pair { server: server.row.clone(), client: client.row.clone() };
        let setup = Setup {
            scenario,
            pair: &pair,
            server,
            client,
            placement: scenario.placement,
            cores: &Cores::anywhere(),
            threads: 2,
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
        if cfg!(target_os = "linux") && server.info.build.is_some() {
            let expected = expected_threads(&server.row, record.server.workers, &scenario.load);
            assert!(
                threads.is_some_and(|threads| expected.contains(&threads)),
                "{threads:?} of {expected:?}"
            );
        }
    }
    Ok(())
}
