//! Scalability from the command line: families by pattern, a further scenario as data, rounds of their own.

mod common;

use std::{collections::BTreeMap, fs};

use bench_core::payload::Class;
use common::{run, trials, wsbench};

#[test]
fn each_family_can_be_planned_alone() {
    for family in [
        "idle",
        "connections",
        "size",
        "closed",
        "storm",
        "churn",
        "push",
        "neighbour",
        "fair",
        "cores",
        "overload",
        "tls",
        "broadcast",
        "slow",
    ] {
        let arguments = format!("run --scenarios {family}-* --rows tokio,smol --rounds 1 --seed 1 --dry-run");
        let (code, stdout, stderr) = run(&mut wsbench(&arguments));
        assert_eq!(code, 0, "{family}: {stderr}");
        let blocks: Vec<&str> = stdout.lines().filter(|line| line.starts_with("round")).collect();
        assert!(!blocks.is_empty(), "{family}");
        assert!(blocks.iter().all(|line| line.contains(&format!("  {family}-"))), "{stdout}");
    }
}

#[test]
fn what_needs_more_workers_than_there_are_is_left_out_of_a_profile_and_refused_by_name() {
    let (code, stdout, stderr) =
        run(&mut wsbench("run --profile scalability --rows tokio,smol --seed 1 --dry-run"));
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("cores-2: left out, it needs 2"), "{stderr}");
    assert!(stdout.contains("cores-1") && !stdout.contains("cores-2"), "{stdout}");
    let (code, _, stderr) = run(&mut wsbench("run --scenarios cores-8 --rows tokio,smol --dry-run"));
    assert_eq!(code, 2);
    assert!(stderr.contains("`cores-8` needs 8"), "{stderr}");
}

#[test]
fn a_profile_gives_scenarios_rounds_of_their_own() {
    let rounds = |arguments: &str| {
        let (code, stdout, stderr) = run(&mut wsbench(arguments));
        assert_eq!(code, 0, "{stderr}");
        let mut rounds: BTreeMap<String, usize> = BTreeMap::new();
        for line in stdout.lines().filter(|line| line.starts_with("round")) {
            let name = line.split_whitespace().nth(2).unwrap_or_default();
            *rounds.entry(name.to_owned()).or_default() += 1;
        }
        rounds
    };
    let profile = "run --profile scalability --rows tokio,smol --seed 1 --dry-run";
    let all = rounds(profile);
    assert_eq!((all["push-5000"], all["idle-10000"], all["storm-1000"]), (8, 2, 2));
    let one = rounds(&format!("{profile} --rounds 1"));
    assert!(one.values().all(|rounds| *rounds == 1), "{one:?}");
    let more = rounds(&format!("{profile} --rounds 9 --scenarios push-5000,idle-0"));
    assert_eq!((more["push-5000"], more["idle-0"]), (9, 2));
}

/// A further scenario of a family is a change of a profile file only.
const FURTHER: &str = r#"
[scenario.storm-12]
about = "Twelve at once beside four"
placement = "shared"
load = { workload = "paced", connections = 4, rate_per_s = 400, duration_ms = 300, slice_ms = 50, warm_up_ms = 10 }
beside = { workload = "connect", connections = 12, messages = 1, exchanges = 2, count_refusals = true, delay_ms = 100, warm_up_ms = 0 }

[scenario.neighbour-burn-half]
about = "One neighbour that burns half a millisecond"
placement = "shared"
load = { workload = "paced", connections = 4, rate_per_s = 200, duration_ms = 200, warm_up_ms = 10 }
beside = { workload = "ping-pong", burn_us = 500, duration_ms = 200, warm_up_ms = 10 }

[scenario.idle-20-touched]
about = "Twenty"
load = { workload = "idle", connections = 20, touch = true, duration_ms = 10, warm_up_ms = 0 }

[scenario.overload-120]
about = "A little too much, briefly"
placement = "shared"
load = { workload = "paced", connections = 4, burn_us = 300, warm_up_ms = 100, slice_ms = 20, steps = [
    { percent_of_capacity = 40, duration_ms = 100 },
    { percent_of_capacity = 120, duration_ms = 100 },
    { percent_of_capacity = 40, duration_ms = 200 },
] }

[scenario.tls-3]
about = "Three under TLS"
placement = "shared"
load = { workload = "ping-pong", connections = 3, messages = 20, warm_up_ms = 10 }
socket = { tls = true }

[scenario.broadcast-6]
about = "Six subscribers"
placement = "shared"
load = { workload = "broadcast", connections = 6, rate_per_s = 300, duration_ms = 100, queue = 2, warm_up_ms = 10 }

[scenario.slow-20]
about = "Two of ten subscribers stop reading"
placement = "shared"
load = { workload = "broadcast", connections = 10, payload_bytes = 16_384, rate_per_s = 200, duration_ms = 400, slice_ms = 50, queue = 2, when_full = "drop", stall_percent = 20, stall_after_ms = 50, stall_for_ms = 250, warm_up_ms = 10 }
socket = { send_buffer_bytes = 16_384 }

[profile.further]
about = "Further scenarios of families that exist"
rounds = 2
rounds_of = { "idle-*" = 1 }
scenarios = ["storm-12", "neighbour-burn-half", "idle-0", "idle-20-touched", "overload-120", "tls-3", "broadcast-6", "slow-20"]
"#;

#[test]
fn further_scenarios_are_a_profile_file_only() {
    let directory = tempfile::tempdir().unwrap();
    let (profile, out) = (directory.path().join("further.toml"), directory.path().join("out.ndjson"));
    fs::write(&profile, FURTHER).unwrap();
    let mut command = wsbench("run --rows tokio,smol,mio --seed 1 --placement shared --profile");
    let (code, stdout, stderr) = run(command.arg(&profile).arg("--out").arg(&out));
    assert_eq!(code, 0, "{stderr}");

    let trials = trials(&out);
    let of = |name: &'static str| trials.iter().filter(move |trial| trial.scenario.name == name);
    let units = |trial: &trial::record::Record| trial.report().unwrap().units;
    assert_eq!(of("storm-12").count(), 2 * 4);
    assert_eq!(of("idle-20-touched").count(), 4, "a round of three rows and the twin");
    for trial in of("storm-12") {
        let (report, beside) = (trial.report().unwrap(), trial.report_beside().unwrap());
        assert_eq!((beside.units, beside.refused, beside.timed_out), (12, 0, 0));
        assert!(trial.clients.iter().all(|client| client.samples.both().is_some()));
        let sent = |tally: &bench_core::tally::Tally| tally.class(Class::Measured).sent_messages;
        assert_eq!(sent(&trial.server_tally), sent(&report.tally) + sent(&beside.tally));
        assert_eq!(report.slices.iter().map(|slice| slice.count).sum::<u64>(), 120);
    }
    for trial in of("neighbour-burn-half") {
        let beside = trial.report_beside().unwrap();
        let (before, after) = trial.server_samples.both().unwrap();
        assert!(after.cpu_ns - before.cpu_ns >= beside.units * 500_000, "burning is CPU time");
    }
    for trial in of("overload-120") {
        let report = trial.report().unwrap();
        let capacity = report.capacity_per_s.unwrap();
        let rates: Vec<u64> = report.steps.iter().map(|step| step.rate_per_s).collect();
        assert_eq!(rates, [40, 120, 40].map(|percent| capacity * percent / 100));
        let offered: u64 = report.steps.iter().map(|step| step.offered).sum();
        assert_eq!(report.units + report.not_sent, offered);
    }
    // mio has neither.
    assert_eq!((of("tls-3").count(), of("broadcast-6").count()), (2 * 3, 2 * 3));
    for trial in of("tls-3") {
        assert_eq!(trial.report().unwrap().tls.as_ref().unwrap().cipher_suite, "TLS13_AES_128_GCM_SHA256");
    }
    for trial in of("broadcast-6") {
        assert_eq!((units(trial), trial.dropped), (30 * 6, 0));
    }
    for trial in of("slow-20") {
        assert_eq!(units(trial) + trial.dropped, 80 * 10, "what was not delivered is what was dropped");
        let (_, measured) = trial.server_samples.both().unwrap();
        assert!(measured.peak_rss_bytes <= trial.memory_bound_bytes.unwrap());
    }
    for expected in [
        "storm-12 · 4 connections",
        "beside 12 at once",
        "idle-touched · Memory",
        "capacity",
        "· TLS",
        "of the bound",
    ] {
        assert!(stdout.contains(expected), "{expected} is missing in\n{stdout}");
    }
    let (code, again, stderr) = run(wsbench("table").arg(&out));
    assert_eq!((code, again), (0, stdout), "{stderr}");
}
