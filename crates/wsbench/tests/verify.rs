//! `wsbench verify` against runners with one fault each: it sees every one, says which, and soon.

// Outside of a `#[test]`, where clippy would allow it: a test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/faults.rs"]
mod survey;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::ExitCode,
    time::{Duration, Instant},
};

use common::{programs, run, wsbench};
use libtest_mimic::{Arguments, Failed, Trial};
use survey::faulty;

/// Longest time for one verification. Each step of it has a limit of its own, and no fault here meets more than two.
const SOON: Duration = Duration::from_secs(15);

/// What a runner does wrong, and what `verify` has to say of it.
const FAULTS: &[(&str, &[&str])] = &[
    ("never-ready", &["start: the server did not report `listening` within 5 s and was ended"]),
    ("early-exit", &["start: the server ended early (exit status: 0); `listening` was due"]),
    ("held-stdout", &["did not report `listening` within 5 s", "flush stdout after every event"]),
    (
        "wrong-pid",
        &["the server is process 1 and not the one that was started", "put `exec` into the script"],
    ),
    ("ignores-stdin", &["did not report `served` within 5 s", "Its stdin has ended"]),
    ("never-stops", &["did not report `served` within 5 s", "Its stdin has ended"]),
    ("client-hang", &["the client did not report `ready` within 5 s and was ended"]),
    ("typed-version", &["version: `runtime_version` is `yes`, which is not a version"]),
    (
        "any-row",
        &[
            "`describe --row no-such-row` ended with exit code 0, and 2 was due",
            "`serve --row no-such-row` ended with exit code 0, and 2 was due",
        ],
    ),
    ("no-tally", &["counts and end: `served` counts nothing: its tally is empty"]),
    ("no-accepted", &["counts and end: `served` counts 0 accepted connections"]),
    ("client-counts-nothing", &["counts nothing: `drove` has 0 units and an empty tally"]),
    ("client-no-units", &["counted 0 units and (20, 480, 20, 480) for 20 messages"]),
    ("client-no-tally", &["counted 20 units and (0, 0, 0, 0) for 20 messages"]),
    ("panic", &["panics in the server", "note: the server said on stderr: ", "a fault that was asked for"]),
];

/// The same, where wsbench looks at the process through what Linux says of it.
const FAULTS_OF_A_PROCESS: &[(&str, &[&str])] = &[
    ("short-queue", &["accept queue: it takes 2 connections and has to take", "a queue of 4096"]),
    ("delays", &["TCP_NODELAY: it is not set on a connection that was accepted"]),
    ("two-threads", &["one thread: `max_threads` is 1, and with 8 connections 2 threads work"]),
];

fn main() -> ExitCode {
    let mut tests = Vec::new();
    let of_a_process = if cfg!(target_os = "linux") { FAULTS_OF_A_PROCESS } else { &[] };
    for (fault, expected) in FAULTS.iter().chain(of_a_process) {
        tests.push(Trial::test(*fault, || names(fault, expected)));
    }
    tests.push(Trial::test("no_fault_passes", no_fault_passes));
    tests.push(Trial::test("a_launcher_without_exec", a_launcher_without_exec));
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

/// The runner fails with every one of these texts, in time.
fn names(fault: &str, expected: &[&str]) -> Result<(), Failed> {
    let mut command = wsbench("verify");
    command.arg(faulty()).env("WSBENCH_FAULT", fault);
    let started = Instant::now();
    let (code, stdout, stderr) = run(&mut command);
    assert!(started.elapsed() < SOON, "it took {:?}", started.elapsed());
    // A sandbox may hide the sockets or the threads of another process.
    if stdout.contains("was not checked: the system does not show") {
        return Ok(());
    }
    assert_eq!(code, 3, "{stdout}{stderr}");
    for text in expected {
        assert!(stdout.contains(text), "`{text}` is missing in\n{stdout}");
    }
    let known = |line: &str| line.contains(": FAILED: ") || line.contains(": note: ");
    assert!(stdout.lines().all(known), "{stdout}");
    Ok(())
}

fn no_fault_passes() -> Result<(), Failed> {
    let (code, stdout, stderr) = run(wsbench("verify").arg(faulty()));
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("checks passed"), "{stdout}");
    Ok(())
}

/// The shell waits and the runner works: the shell's cost says nothing.
fn a_launcher_without_exec() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let runner = programs().join("runner-faulty");
    for (name, exec, code) in [("without", "", 3), ("with", "exec ", 0)] {
        let launcher = directory.path().join(name);
        fs::write(&launcher, format!("#!/bin/sh\n{exec}'{}' \"$@\"\n", runner.display()))?;
        fs::set_permissions(&launcher, fs::Permissions::from_mode(0o755))?;
        let (got, stdout, stderr) = run(wsbench("verify").arg(format!("faulty@{}", launcher.display())));
        assert_eq!(got, code, "{stdout}{stderr}");
        assert_eq!(stdout.contains("put `exec` into the script"), code == 3, "{stdout}");
    }
    Ok(())
}
