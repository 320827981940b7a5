//! One test body for every row: each workload as a server and as a client, against itself and the reference, counted
//! and verified.

mod common;

use std::ops::RangeInclusive;

use bench_core::{
    Kind,
    spec::{Flush, Load, LoadFlags, Role, Schedule, SocketSpec, Step, WhenFull, Work, Workload},
};
use histogram::Series;
use libtest_mimic::{Arguments, Failed, Trial};
use trial::{
    DescribeError, Program, Setup,
    catalogue::Scenario,
    execute,
    execute::limit,
    machine::Machine,
    placement::Cores,
    record::{Origin, Pair, Position},
    sample::MachineSampler,
};
use wsbench::run::rows::registry;

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
                Ok(program) => {
                    program.info.offers_flush(load.workload(), flush)
                        && (offers(program, &scenario, Role::Server)
                            || offers(program, &scenario, Role::Client))
                }
                Err(DescribeError::Unavailable(_)) => false,
                // The test fails with the reason.
                Err(DescribeError::Broken(_)) => true,
            };
            let entry = entry.clone();
            Trial::test(name, move || body(&entry, &scenario)).with_ignored_flag(!offered)
        })
    });
    let versions = registry().into_iter().map(|entry| {
        Trial::test(format!("{}::states_the_version_of_its_runtime", entry.name), move || {
            states_its_version(&entry)
        })
    });
    let tests = tests.chain(versions);
    libtest_mimic::run(&Arguments::from_args(), tests.collect()).exit_code()
}

/// A row's runtime is stated in the version that Cargo.lock has of it, and not in that of another one.
fn states_its_version(entry: &wsbench::run::rows::Entry) -> Result<(), Failed> {
    let Ok(program) = describe(&entry.name, &entry.program) else { return Ok(()) };
    let locked = build_info::version(&program.info.runtime);
    // A runtime that is not a Cargo package, such as Python, has no version there.
    if !locked.is_empty() {
        assert_eq!(program.info.runtime_version, locked, "{} of {}", program.info.runtime, entry.name);
    }
    Ok(())
}

/// Whether a row has what a scenario needs of this end beside workloads and flush policies.
fn offers(program: &Program, scenario: &Scenario, role: Role) -> bool {
    let serves = |load: &Load| program.info.services.iter().any(|offered| offered == load.service());
    if role == Role::Server && !scenario.loads().all(serves) {
        return false;
    }
    let needs = scenario.needs(role);
    needs.into_iter().all(|needed| program.info.features.contains(&needed))
}

/// Every workload, and the fields that change how it goes.
fn scenarios() -> Vec<Scenario> {
    let base = LoadFlags { warm_up_ms: 5, messages: Some(50), ..LoadFlags::default() };
    let window = LoadFlags { workload: Workload::Window, window: 16, connections: 3, ..base.clone() };
    let push = LoadFlags {
        workload: Workload::Push,
        connections: 5,
        messages: Some(4),
        every_us: 2_000,
        ..base.clone()
    };
    let one_way =
        LoadFlags { workload: Workload::OneWay, messages: Some(500), duration_ms: 20, ..base.clone() };
    let idle = LoadFlags {
        workload: Workload::Idle,
        connections: 30,
        duration_ms: 20,
        messages: None,
        ..base.clone()
    };
    let exchanges =
        LoadFlags { workload: Workload::Connect, exchanges: 3, count_refusals: true, ..base.clone() };
    let loads = [
        ("ping-pong", base.clone(), Flush::BeforeWait),
        ("ping-pong-each", LoadFlags { connections: 20, ..base.clone() }, Flush::Each),
        (
            "ping-pong-smallest",
            LoadFlags { payload_bytes: 8, kind: Kind::Binary, ..base.clone() },
            Flush::BeforeWait,
        ),
        (
            "ping-pong-1MiB",
            LoadFlags { payload_bytes: 1 << 20, messages: Some(3), ..base.clone() },
            Flush::BeforeWait,
        ),
        (
            // More than the socket buffers hold: what the kernel does not take at once must not wait behind a read.
            "ping-pong-8MiB",
            LoadFlags { payload_bytes: 8 << 20, messages: Some(2), ..base.clone() },
            Flush::BeforeWait,
        ),
        (
            "ping-pong-timed",
            LoadFlags { connections: 10, messages: None, duration_ms: 50, ..base.clone() },
            Flush::BeforeWait,
        ),
        ("window", window.clone(), Flush::BeforeWait),
        ("window-each", LoadFlags { kind: Kind::Binary, ..window }, Flush::Each),
        ("one-way", one_way.clone(), Flush::BeforeWait),
        ("one-way-each", one_way, Flush::Each),
        (
            "paced",
            LoadFlags {
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
            LoadFlags { workload: Workload::Connect, messages: Some(5), ..base.clone() },
            Flush::BeforeWait,
        ),
        ("push-on-connect", push.clone(), Flush::BeforeWait),
        ("push-aligned", LoadFlags { schedule: Schedule::Aligned, ..push.clone() }, Flush::BeforeWait),
        ("push-staggered", LoadFlags { schedule: Schedule::Staggered, ..push.clone() }, Flush::BeforeWait),
        (
            "push-timers",
            LoadFlags { timers: 3, schedule: Schedule::Staggered, ..push.clone() },
            Flush::BeforeWait,
        ),
        (
            "push-timers-aligned",
            LoadFlags { timers: 40, schedule: Schedule::Aligned, ..push },
            Flush::BeforeWait,
        ),
        ("idle", idle.clone(), Flush::BeforeWait),
        ("idle-touched", LoadFlags { touch: true, ..idle }, Flush::BeforeWait),
        ("burn", LoadFlags { burn_us: 200, connections: 2, ..base.clone() }, Flush::BeforeWait),
        (
            "connect-at-once",
            LoadFlags { connections: 20, messages: Some(1), warm_up_ms: 0, ..exchanges.clone() },
            Flush::BeforeWait,
        ),
        (
            "connect-at-a-rate",
            LoadFlags {
                connections: 4,
                messages: None,
                rate_per_s: Some(200),
                duration_ms: 100,
                ..exchanges
            },
            Flush::BeforeWait,
        ),
        (
            "paced-steps",
            LoadFlags {
                workload: Workload::Paced,
                connections: 4,
                messages: None,
                warm_up_ms: 100,
                slice_ms: 20,
                steps: [(10, 60), (20, 40)]
                    .map(|(percent_of_capacity, duration_ms)| Step { percent_of_capacity, duration_ms })
                    .into(),
                ..base.clone()
            },
            Flush::BeforeWait,
        ),
    ];
    let scenario = |(name, load, flush): (&str, LoadFlags, Flush)| Scenario {
        socket: SocketSpec { flush, ..SocketSpec::default() },
        ..Scenario::new(name, load.try_into().expect("the load is sound"))
    };
    let victims = LoadFlags {
        workload: Workload::Paced,
        connections: 5,
        messages: None,
        rate_per_s: Some(500),
        duration_ms: 200,
        slice_ms: 20,
        ..base.clone()
    };
    let churn = LoadFlags {
        workload: Workload::Connect,
        connections: 2,
        messages: Some(5),
        exchanges: 2,
        delay_ms: 60,
        warm_up_ms: 0,
        ..base.clone()
    };
    let neighbour = LoadFlags { burn_us: 100, duration_ms: 200, messages: None, ..base };
    let beside = [("churn", churn), ("neighbour", neighbour)].map(|(name, load)| Scenario {
        beside: Some(load.try_into().expect("the load is sound")),
        ..Scenario::new(&format!("beside-{name}"), victims.clone().try_into().expect("the load is sound"))
    });
    loads.into_iter().map(scenario).chain(beside).chain(tls()).chain(fan_out()).collect()
}

/// The same connections under TLS.
fn tls() -> impl Iterator<Item = Scenario> {
    let base = LoadFlags { warm_up_ms: 5, messages: Some(20), connections: 3, ..LoadFlags::default() };
    let large = LoadFlags { payload_bytes: 1 << 20, messages: Some(3), ..base.clone() };
    let window = LoadFlags { workload: Workload::Window, window: 16, ..base.clone() };
    let connect = LoadFlags { workload: Workload::Connect, messages: Some(3), ..base.clone() };
    [("tls-ping-pong", base), ("tls-ping-pong-1MiB", large), ("tls-window", window), ("tls-connect", connect)]
        .into_iter()
        .map(|(name, load)| Scenario {
            socket: SocketSpec { tls: true, ..SocketSpec::default() },
            ..Scenario::new(name, load.try_into().expect("the load is sound"))
        })
}

/// One publisher and several subscribers, some of which stop reading for longer than what is on its way has room; and
/// echo clients that do.
fn fan_out() -> impl Iterator<Item = Scenario> {
    let all = LoadFlags {
        workload: Workload::Broadcast,
        connections: 7,
        queue: 1,
        rate_per_s: Some(500),
        duration_ms: 100,
        warm_up_ms: 20,
        ..LoadFlags::default()
    };
    let slow = LoadFlags {
        connections: 10,
        payload_bytes: 16 << 10,
        queue: 4,
        rate_per_s: Some(300),
        duration_ms: 600,
        slice_ms: 50,
        stall_percent: 20,
        stall_after_ms: 50,
        stall_for_ms: 400,
        ..all.clone()
    };
    let queue = LoadFlags::default().queue;
    let slow_echo = LoadFlags { workload: Workload::Paced, queue, ..slow.clone() };
    let of = |when_full| LoadFlags { when_full, ..slow.clone() };
    [
        ("broadcast", all),
        ("slow-wait", of(WhenFull::Wait)),
        ("slow-drop", of(WhenFull::Drop)),
        ("slow-disconnect", of(WhenFull::Disconnect)),
        ("slow-echo", slow_echo),
    ]
    .map(|(name, load)| Scenario {
        socket: SocketSpec {
            send_buffer_bytes: (load.stall_percent > 0).then_some(64 << 10),
            ..SocketSpec::default()
        },
        ..Scenario::new(name, load.try_into().expect("the load is sound"))
    })
    .into_iter()
}

/// Units that a scenario has by its messages; `None` where time decides.
fn expected_units(load: &Load) -> Option<u64> {
    let connections = u64::from(load.connections);
    match &load.work {
        Work::OneWay(_) => None,
        Work::Idle(_) => Some(0),
        Work::Paced(_) if !load.steps().is_empty() => None,
        Work::Connect(_) if load.is_paced() => Some(load.offered()),
        Work::Push(pushes) => Some(pushes.count * pushes.timers * connections),
        Work::Paced(_) => Some(load.offered()),
        // What a policy takes away depends on time.
        Work::Broadcast(broadcast) if broadcast.when_full != WhenFull::Wait => None,
        Work::Broadcast(_) => Some(load.offered() * connections),
        _ => load.messages().map(|messages| messages * connections),
    }
}

/// How many threads the server of a row has when the measured window ends.
fn expected_threads(row: &str, workers: u32, scenario: &Scenario) -> RangeInclusive<u64> {
    // The main thread and the one that reads stdin.
    const ALWAYS: u64 = 2;
    let load = &scenario.load;
    let connections = u64::from(load.all_connections());
    // Those of the second load may have ended.
    let beside = scenario.beside.as_ref().map_or(0, |load| u64::from(load.connections));
    let disconnects =
        matches!(&load.work, Work::Broadcast(broadcast) if broadcast.when_full == WhenFull::Disconnect);
    match (row, load.workload()) {
        // One that accepts. Each connection was closed before the next one; the thread of the last may be ending.
        ("threads", Workload::Connect) => ALWAYS + 1..=ALWAYS + 1 + connections,
        // And one for each connection; the thread of the readiness check may be ending.
        // Those of disconnected subscribers have ended.
        ("threads", _) if disconnects => ALWAYS + 1..=ALWAYS + 2 + connections,
        ("threads", _) => ALWAYS + 1 + connections..=ALWAYS + 2 + connections + beside,
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

fn body(entry: &wsbench::run::rows::Entry, scenario: &Scenario) -> Result<(), Failed> {
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
    let is_possible = |(server, client): &(&Program, &Program)| {
        scenario.loads().all(|load| client.info.workloads.contains(&load.workload()))
            && offers(server, scenario, Role::Server)
            && offers(client, scenario, Role::Client)
    };
    for (server, client) in pairs.into_iter().filter(is_possible) {
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
        if let Some(error) = &record.error {
            return Err(format!("server {}, client {}: {error}", pair.server, pair.client).into());
        }
        let report = record.report().ok_or("no report of the client")?;
        match (&scenario.beside, record.report_beside()) {
            (None, None) => {}
            (Some(load), Some(beside)) => {
                assert!(beside.units > 0);
                assert!(expected_units(load).is_none_or(|units| beside.units == units));
            }
            (load, _) => panic!("{} second loads", u8::from(load.is_some())),
        }
        if scenario.load.slice_ms > 0 && !client.info.features.is_empty() {
            let sliced: u64 = report.slices.iter().map(|slice| slice.count).sum();
            let series = match scenario.load.workload() {
                Workload::Broadcast => Series::Delivery,
                _ => Series::FromIntended,
            };
            assert_eq!(sliced, report.series[&series].count);
        }
        let answered: u64 = report.steps.iter().map(|step| step.answered).sum();
        assert!(answered <= report.units && report.steps.len() == scenario.load.steps().len());
        match expected_units(&scenario.load) {
            Some(units) => assert_eq!(report.units, units),
            None => assert!(report.units > 0),
        }
        assert_eq!(report.tls.is_some(), scenario.socket.tls);
        if let Some(secured) = &report.tls {
            assert_eq!(secured.cipher_suite, "TLS13_AES_128_GCM_SHA256");
        }
        if scenario.load.workload() == Workload::Broadcast && record.dropped == 0 {
            assert_eq!(report.units, scenario.load.offered() * u64::from(scenario.load.connections));
        }
        if let (Some(bound), Some(measured)) = (record.memory_bound_bytes, record.server_samples.measured) {
            assert!(measured.peak_rss_bytes <= bound, "{} of {bound} B", measured.peak_rss_bytes);
        }
        let threads = record.server_samples.measured.map(|sample| sample.threads);
        // What other languages bring along is theirs.
        if cfg!(target_os = "linux") && server.info.build.is_some() {
            let expected = expected_threads(&server.row, record.server.workers, scenario);
            assert!(
                threads.is_some_and(|threads| expected.contains(&threads)),
                "{threads:?} of {expected:?}"
            );
        }
    }
    Ok(())
}
