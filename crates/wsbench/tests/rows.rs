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
use wsbench::rows::{Entry, registry};

fn main() -> std::process::ExitCode {
    let tests = registry().into_iter().flat_map(|entry| {
        let unavailable = unavailable(&entry);
        if let Some(reason) = &unavailable {
            eprintln!("{reason}");
        }
        scenarios().into_iter().map(move |scenario| {
            let entry = entry.clone();
            Trial::test(format!("{}::{}", entry.name, scenario.name), move || body(&entry, &scenario))
                .with_ignored_flag(unavailable.is_some())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), tests.collect()).exit_code()
}

/// Why a row cannot run here; a row that fails otherwise is left to its tests.
fn unavailable(entry: &Entry) -> Option<String> {
    match Program::describe(&common::programs().join(&entry.program), &[], &entry.name) {
        Err(DescribeError::Unavailable(reason)) => Some(reason),
        _ => None,
    }
}

/// Every workload, and the fields that change how it goes.
fn scenarios() -> Vec<Scenario> {
    let base = Load { warm_up_ms: 5, messages: Some(50), ..Load::default() };
    let window = Load { workload: Workload::Window, window: 16, connections: 3, ..base.clone() };
    let push =
        Load { workload: Workload::Push, connections: 5, messages: Some(4), every_us: 2_000, ..base.clone() };
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
        // More than a socket's buffers hold: the rest of a message is written while the peer already reads.
        (
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
        (
            "one-way",
            Load { workload: Workload::OneWay, messages: Some(500), duration_ms: 20, ..base.clone() },
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

fn body(entry: &Entry, scenario: &Scenario) -> Result<(), Failed> {
    let program = |row: &str, file: &str| {
        Program::describe(&common::programs().join(file), &[], row).map_err(|error| error.to_string())
    };
    let own = program(&entry.name, &entry.program)?;
    let reference = program("tokio", "runner-tokio")?;
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
        if cfg!(target_os = "linux") {
            // The main thread, the one that reads stdin, and at most a reactor's and an executor's, or glommio's for
            // blocking calls. A kernel thread that io_uring starts for an operation would count as well.
            assert!(threads.is_some_and(|threads| (2..=4).contains(&threads)), "{threads:?} threads");
        }
    }
    Ok(())
}
