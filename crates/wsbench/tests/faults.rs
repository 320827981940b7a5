//! wsbench against a runner that misbehaves: every fault ends as a record that names it, and the run goes on.

// Outside of a `#[test]`, where clippy would allow it: a test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/faults.rs"]
mod survey;

use std::process::ExitCode;

use common::{SHORT, programs, run, trials, wsbench};
use libtest_mimic::{Arguments, Failed, Trial};
use survey::{faulty, runners_of, survey, until};

/// Tests at a time: most of them wait for the limit of a trial.
const SIDE_BY_SIDE: usize = 8;

/// What a server does wrong, and what the failed trial has to say of it.
const OF_SERVERS: &[(&str, &str)] = &[
    ("crash", "ended early (signal: 6"),
    ("killed", "ended early (signal: 9"),
    ("early-exit", "ended early (exit status: 0)"),
    ("never-ready", "did not report `listening` within the trial's 10 s and was ended"),
    ("hang", "within the trial's 10 s"),
    ("garbage", "printed `this is no event`"),
    ("binary", "printed bytes that are no text"),
    ("negative", r#"units\":-1"#),
    ("not-a-number", r#"units\":NaN"#),
    ("out-of-turn", "reported `measured` where `listening` was due"),
    ("flood", "printed `xxx"),
    ("endless-line", "printed a line of over 4194304 B"),
    ("flood-later", "printed `{}`, which is not an event"),
    ("closes-stdout-first", "closed its output but is still running"),
    ("closes-stdout", "the server ended early (exit status: 0)"),
    ("never-stops", "did not report `served` within the trial's 10 s and was ended"),
    ("wrong-pid", "the server is process 1 and not the one that was started ("),
    ("fails-at-the-end", "ended early (exit status: 7)"),
    ("close", "closed the connection"),
    ("drop", "within the trial's 10 s"),
    ("twice", "wrong answer"),
    ("kind", "is binary"),
    ("damage", "wrong answer"),
    ("count", "client sent 200 measured messages"),
    ("huge", "but the server received 18446744073709551615"),
    ("bytes", "the server sent 200 measured messages (4801 B)"),
    ("dropped", "the server dropped 18446744073709551615 messages by policy"),
    ("open", "1 connections that did not close"),
    ("probe-count", "counted 1 in and 18446744073709551615 out"),
    ("panic", "a fault that was asked for"),
];

/// What a client does wrong, and what the failed trial has to say of it.
const OF_CLIENTS: &[(&str, &str)] = &[
    ("client-crash", "ended early (signal: 6"),
    ("client-killed", "ended early (signal: 9"),
    ("client-early-exit", "ended early (exit status: 0)"),
    ("client-hang", "within the trial's 10 s"),
    ("client-garbage", "printed `this is no event`"),
    ("client-binary", "printed bytes that are no text"),
    ("client-negative", r#"units\":-1"#),
    ("client-out-of-turn", "reported `measured` where `ready` was due"),
    ("client-flood", "printed `xxx"),
    ("client-endless-line", "printed a line of over 4194304 B"),
    ("client-closes-stdout", "closed its output but is still running"),
    ("client-units", "first reported 200 in"),
    ("client-count", "the client sent 201 measured messages"),
    ("client-samples", "holds 200 samples where 201 were stated"),
    ("client-histogram", "the histogram does not decode"),
    ("client-never-stops", "within the trial's 10 s"),
    ("client-fails-at-the-end", "(exit status: 7)"),
];

fn main() -> ExitCode {
    let mut tests = Vec::new();
    for (fault, expected) in OF_SERVERS {
        tests.push(Trial::test(format!("server::{fault}"), || server(fault, expected)));
    }
    for (fault, expected) in OF_CLIENTS {
        tests.push(Trial::test(format!("client::{fault}"), || client(fault, expected)));
    }
    let others: &[(&str, fn())] = &[
        ("swapped_answers_are_named", swapped_answers_are_named),
        ("what_is_no_sound_runner_is_refused", what_is_no_sound_runner_is_refused_before_anything_runs),
        ("another_build_is_refused", a_runner_of_another_build_is_refused_with_the_command_that_mends_it),
        ("verify_names_what_is_wrong", verify_names_what_is_wrong),
        ("a_flood_takes_no_memory", a_flood_takes_no_memory),
        ("killing_wsbench_leaves_no_process", killing_wsbench_leaves_no_process_and_a_file_that_resumes),
        ("killing_wsbench_ends_a_runner_that_hangs", killing_wsbench_ends_a_runner_that_hangs),
    ];
    for (name, test) in others {
        tests.push(Trial::test(*name, || {
            test();
            Ok(())
        }));
    }
    let arguments = Arguments::from_args();
    let threads = arguments.test_threads.or(Some(SIDE_BY_SIDE));
    libtest_mimic::run(&Arguments { test_threads: threads, ..arguments }, tests).exit_code()
}

/// Runs a sound row and the faulty one: the failure is named, and the sound row is unharmed.
fn server(fault: &str, expected: &str) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let out = directory.path().join("out.ndjson");
    let faulty = faulty();
    let mut command = wsbench(&format!("run {SHORT} --trial-timeout 10s"));
    command.env("WSBENCH_FAULT", fault).arg("--rows").arg(format!("tokio,{faulty}"));
    let (code, stdout, stderr) = run(command.arg("--out").arg(&out));
    assert_eq!(code, 5, "a failed trial ends with 5\n{stderr}");
    survey(&format!("server {fault}"), &command, &out, 3);
    for trial in trials(&out) {
        match (trial.server.row == faulty, &trial.error) {
            (true, Some(error)) => assert!(error.to_string().contains(expected), "{error}"),
            (true, None) => panic!("it was not seen"),
            (false, error) => assert_eq!(*error, None, "the other row is unharmed"),
        }
    }
    assert!(stdout.contains("1 trials failed"), "{stdout}");
    Ok(())
}

/// Runs the faulty row as a client: the failure is named.
fn client(fault: &str, expected: &str) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let out = directory.path().join("out.ndjson");
    let mut command = wsbench(&format!("run {SHORT} --trial-timeout 10s --pairs clients"));
    command.env("WSBENCH_FAULT", fault).arg("--rows").arg(faulty()).arg("--out").arg(&out);
    let (code, _, stderr) = run(&mut command);
    assert_eq!(code, 5, "{stderr}");
    survey(&format!("client {fault}"), &command, &out, 2);
    for trial in trials(&out) {
        let error = trial.error.ok_or("it was not seen")?.to_string();
        assert!(error.contains(expected), "{error}");
    }
    Ok(())
}

/// A server that floods its output for the whole trial costs wsbench no memory.
fn a_flood_takes_no_memory() {
    /// Programs are read whole to be identified, one at a time; beyond these and what a run takes anyway.
    const SLACK_KB: u64 = 64 << 10;
    let peak_kb = |fault: &str| {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out.ndjson");
        let mut command = wsbench("run --rounds 1 --seed 1 --warm-up 5ms --duration 500ms");
        command.env("WSBENCH_FAULT", fault).arg("--rows").arg(faulty()).arg("--out").arg(&out);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            peak = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(peak);
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        survey(&format!("memory under {fault}"), &command, &out, 2);
        peak
    };
    let (quiet, flooded) = (peak_kb("none"), peak_kb("flood-later"));
    assert!(flooded < quiet + SLACK_KB, "{quiet} kB and {flooded} kB");
}

/// A runner that never looks at its stdin ends by the signal that it asked the kernel for.
fn killing_wsbench_ends_a_runner_that_hangs() {
    for (fault, is_there) in [("hang", 2), ("client-hang", 2), ("never-ready", 1)] {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out.ndjson");
        let mut command = wsbench(&format!("run {SHORT} --trial-timeout 600s --pairs same"));
        command.env("WSBENCH_FAULT", fault).arg("--rows").arg(faulty()).arg("--out").arg(&out);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        until("a trial", || out.exists() && runners_of(&command).len() == is_there);
        child.kill().unwrap();
        child.wait().unwrap();
        survey(&format!("SIGKILL of wsbench under {fault}"), &command, &out, 0);
    }
}

fn swapped_answers_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out.ndjson");
    let faulty = format!("faulty@{}", programs().join("runner-faulty").display());
    let mut command = wsbench(&format!("run {SHORT} --workload window --window 4 --trial-timeout 10s"));
    command.env("WSBENCH_FAULT", "swap").arg("--rows").arg(faulty).arg("--out").arg(&out);
    let (code, _, stderr) = run(&mut command);
    assert_eq!(code, 5, "{stderr}");
    assert!(trials(&out)[0].error.as_ref().unwrap().message.contains("wrong answer"), "{stderr}");
}

fn what_is_no_sound_runner_is_refused_before_anything_runs() {
    for (fault, code, expected) in [
        ("no-version", 1, "states no version of its runtime"),
        ("other-protocol", 1, "speaks version 99"),
        ("unavailable", 1, "this machine has no faults"),
    ] {
        let faulty = format!("faulty@{}", programs().join("runner-faulty").display());
        let mut command = wsbench("run --rounds 1 --scenarios rtt-24 --rows");
        let (got, stdout, stderr) = run(command.arg(faulty).env("WSBENCH_FAULT", fault));
        assert_eq!((got, stdout.as_str()), (code, ""), "{fault}: {stderr}");
        assert!(stderr.contains(expected), "{fault}: {stderr}");
    }
}

fn a_runner_of_another_build_is_refused_with_the_command_that_mends_it() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(programs().join("runner-faulty"), directory.path().join("runner-tokio")).unwrap();
    let mut command = wsbench("run --rounds 1 --scenarios rtt-24 --rows tokio --runner-dir");
    command.arg(directory.path()).env("WSBENCH_FAULT", "other-build");
    let (code, _, stderr) = run(&mut command);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("another build") && stderr.contains("`cargo build --workspace"), "{stderr}");
}

fn verify_names_what_is_wrong() {
    let faults = [
        ("drop", "order of 1,000 messages"),
        ("twice", "order of 1,000 messages"),
        ("swap", "order of 1,000 messages"),
        ("damage", "was answered by text `message 9?`"),
        ("kind", "was answered by binary"),
        ("count", "40 measured messages were received by the server, and it counted 41"),
        ("panic", "panics in the server"),
        ("garbage", "start: the server printed"),
        ("hang", "2 checks took 5 s each"),
        ("client-crash", "client: 64 KiB: the client ended early (signal: 6"),
        ("client-hang", "binary was the last: 2 took 5 s each"),
    ];
    // Side by side, because some of them wait for the limit of a check.
    std::thread::scope(|scope| {
        for (fault, expected) in faults {
            scope.spawn(move || {
                let mut command = wsbench("verify");
                command.arg(format!("faulty@{}", programs().join("runner-faulty").display()));
                let (code, stdout, stderr) = run(command.env("WSBENCH_FAULT", fault));
                assert_eq!(code, 3, "{fault}: {stdout}{stderr}");
                assert!(stdout.contains(expected), "{fault}: {stdout}");
                let known = |line: &str| line.contains(": FAILED: ") || line.contains(": note: ");
                assert!(stdout.lines().all(known), "{fault}: {stdout}");
            });
        }
    });
}

fn killing_wsbench_leaves_no_process_and_a_file_that_resumes() {
    use trial::record::Line;

    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out.ndjson");
    let mut command = wsbench("run --messages 2000 --warm-up 5ms --rounds 3 --seed 1 --rows tokio,smol");
    let quiet = || std::process::Stdio::null();
    let mut child = command.arg("--out").arg(&out).stdout(quiet()).stderr(quiet()).spawn().unwrap();
    // A session and at least four trials: in the middle of the second block.
    until("a record", || {
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        std::fs::read_to_string(&out).unwrap_or_default().lines().count() >= 5
    });
    child.kill().unwrap();
    child.wait().unwrap();
    survey("SIGKILL of wsbench", &command, &out, 4);

    // As if it had been killed in the middle of a write.
    let whole = std::fs::read(&out).unwrap();
    std::fs::write(&out, [&whole[..], b"{\"kind\":\"trial\",\"sch"].concat()).unwrap();
    let (code, stdout, stderr) = run(wsbench("run --resume").arg(&out));
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("the last line was interrupted"), "{stderr}");
    assert!(stdout.contains("3 rounds"), "{stdout}");
    let mut counted = trials(&out);
    let orphans: Vec<(u32, u32)> = common::lines(&out)
        .into_iter()
        .filter_map(|line| match line {
            Line::Orphaned(orphaned) => Some((orphaned.block, orphaned.attempt)),
            _ => None,
        })
        .collect();
    counted.retain(|trial| !orphans.contains(&(trial.block, trial.attempt)));
    assert_eq!(counted.len(), 9, "three rounds of two rows and the twin");
}
