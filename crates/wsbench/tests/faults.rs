//! wsbench against a runner that misbehaves: every fault ends as a record that names it, and the run goes on.

mod common;

use std::process::Command;

use common::{SHORT, programs, run, trials, wsbench};

/// Runs a sound row and the faulty one, and returns the failure's text.
fn failure(fault: &str) -> String {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let out = directory.path().join("out.ndjson");
    let faulty = format!("faulty@{}", programs().join("runner-faulty").display());
    let mut command = wsbench(&format!("run {SHORT} --trial-timeout 10s"));
    command.env("WSBENCH_FAULT", fault).arg("--rows").arg(format!("tokio,{faulty}"));
    let (code, stdout, stderr) = run(command.arg("--out").arg(&out));
    assert_eq!(code, 5, "{fault}: a failed trial ends with 5\n{stderr}");
    let trials = trials(&out);
    assert_eq!(trials.len(), 3, "{fault}: the run goes on");
    let mut failures = Vec::new();
    for trial in trials {
        if trial.server.row == faulty {
            failures.push(trial.error.unwrap_or_else(|| panic!("{fault} was not seen")).to_string());
        } else {
            assert_eq!(trial.error, None, "{fault}: the other row is unharmed");
        }
    }
    assert!(stdout.contains("1 trials failed"), "{stdout}");
    failures.remove(0)
}

#[test]
fn faults_of_a_server_are_named() {
    let faults = [
        ("crash", "ended early (signal: 6"),
        ("early-exit", "ended early (exit status: 0)"),
        ("never-ready", "within the trial's 10 s"),
        ("hang", "within the trial's 10 s"),
        ("garbage", "printed `this is no event`"),
        ("flood", "printed `xxx"),
        ("never-stops", "within the trial's 10 s"),
        ("fails-at-the-end", "ended early (exit status: 7)"),
        ("close", "closed the connection"),
        ("drop", "within the trial's 10 s"),
        ("twice", "wrong answer"),
        ("kind", "is binary"),
        ("damage", "wrong answer"),
        ("count", "client sent 200 measured messages"),
        ("panic", "a fault that was asked for"),
    ];
    // Side by side, because half of them wait for the trial's limit.
    std::thread::scope(|scope| {
        for (fault, expected) in faults {
            scope.spawn(move || {
                let failure = failure(fault);
                assert!(failure.contains(expected), "{fault}: {failure}");
            });
        }
    });
}

#[test]
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

#[test]
fn faults_of_a_client_are_named() {
    for (fault, expected) in
        [("client-crash", "ended early (signal: 6"), ("client-hang", "within the trial's 10 s")]
    {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out.ndjson");
        let faulty = format!("faulty@{}", programs().join("runner-faulty").display());
        let mut command = wsbench(&format!("run {SHORT} --trial-timeout 10s --pairs clients"));
        command.env("WSBENCH_FAULT", fault).arg("--rows").arg(faulty).arg("--out").arg(&out);
        let (code, _, stderr) = run(&mut command);
        assert_eq!(code, 5, "{stderr}");
        let error = trials(&out).remove(0).error.unwrap().to_string();
        assert!(error.contains(expected), "{fault}: {error}");
    }
}

#[test]
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

#[test]
fn a_runner_of_another_build_is_refused_with_the_command_that_mends_it() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(programs().join("runner-faulty"), directory.path().join("runner-tokio")).unwrap();
    let mut command = wsbench("run --rounds 1 --scenarios rtt-24 --rows tokio --runner-dir");
    command.arg(directory.path()).env("WSBENCH_FAULT", "other-build");
    let (code, _, stderr) = run(&mut command);
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.contains("another build") && stderr.contains("cargo build --workspace --release"),
        "{stderr}"
    );
}

#[test]
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
        ("hang", "2 checks took 10 s each"),
        ("client-crash", "client: 64 KiB: the client ended early (signal: 6"),
        ("client-hang", "binary was the last: 2 took 10 s each"),
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
                assert!(stdout.lines().all(|line| line.contains(": FAILED: ")), "{fault}: {stdout}");
            });
        }
    });
}

/// Processes whose parent was killed are gone soon; waited for by looking, with a bound.
#[cfg(target_os = "linux")]
#[test]
fn killing_wsbench_leaves_no_process_and_a_file_that_resumes() {
    use std::time::{Duration, Instant};

    use bench_core::record::Line;

    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out.ndjson");
    let mut command = wsbench("run --messages 2000 --warm-up 5ms --rounds 3 --seed 1 --rows tokio,smol");
    let quiet = || std::process::Stdio::null();
    let mut child = command.arg("--out").arg(&out).stdout(quiet()).stderr(quiet()).spawn().unwrap();
    // A session and at least four trials: in the middle of the second block.
    let deadline = Instant::now() + Duration::from_secs(60);
    while std::fs::read_to_string(&out).unwrap_or_default().lines().count() < 5 {
        assert!(Instant::now() < deadline && child.try_wait().unwrap().is_none(), "no records");
        std::thread::yield_now();
    }
    let children = || {
        let listing = Command::new("ps").args(["-o", "pid=", "--ppid", &child.id().to_string()]).output();
        String::from_utf8(listing.unwrap().stdout).unwrap()
    };
    let before: Vec<u32> = children().split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    while before.iter().any(|pid| {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("runner-"))
    }) {
        assert!(Instant::now() < deadline, "a runner outlives wsbench");
        std::thread::yield_now();
    }

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
