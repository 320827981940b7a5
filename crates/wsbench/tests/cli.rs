//! The command line: what is refused and how, what a run leaves behind, and every form of the table.

mod common;

use std::{io::Read, process::Stdio};

use common::{SHORT, lines, run, trials, wsbench};
use trial::record::Line;

#[test]
fn bad_input_ends_with_2_and_one_clear_line_before_anything_runs() {
    for (arguments, expected) in [
        ("run --baseline tokyo", "there is no row `tokyo`. Did you mean `tokio`?"),
        ("run --resume no-such-file --duration 1s", "leave the flags of a load out"),
        ("run --rows tokyo", "there is no row `tokyo`. Did you mean `tokio`?"),
        ("run --profile quik", "there is no profile `quik`. Did you mean `quick`?"),
        ("run --scenarios rtt-25", "there is no scenario `rtt-25`. Did you mean `rtt-24`?"),
        ("run --profile no/such.toml", "cannot be read"),
        ("run --connections 0", "connections: 0 is out of range (1 to 28000)"),
        ("run --workload window --window 0", "window: 0 messages in flight is out of range"),
        ("run --workload window --window 64 --payload 1MiB", "blocks both ends for good"),
        ("run --payload 17MiB", "over the server's limit of 16777216 B"),
        ("run --payload 3", "8 to 16777216 B"),
        ("run --duration 0s", "duration: 0 ms is out of range"),
        ("run --profile quick --connections 3", "a scenario's load is part of its name"),
        (
            "run --scenarios rtt-24 --rounds 1 --out no/such/folder/x.ndjson",
            "no/such/folder/x.ndjson cannot be written",
        ),
        ("run --resume no-such-file", "no run to go on with"),
        ("verify tokyo", "Did you mean `tokio`?"),
        ("drive ws://192.0.2.1:80/", "--allow-remote"),
        ("drive nonsense", "is not a target"),
        ("drive ws://127.0.0.1:1/ --insecure", "TLS"),
        ("drive ws://127.0.0.1:1/ --workload push", "needs wsbench's own server"),
    ] {
        let (code, stdout, stderr) = run(&mut wsbench(arguments));
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments}\n{stderr}");
        let last = stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("error: ") && last.contains(expected), "{arguments}\n{stderr}");
    }
    for arguments in ["run --rounds 0", "run --rows", "table --format pdf x", "nonsense", ""] {
        assert_eq!(run(&mut wsbench(arguments)).0, 2, "{arguments}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn more_connections_than_open_files_are_refused_with_both_numbers() {
    let mut shell = std::process::Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("ulimit -n 100; exec {} run --connections 90", env!("CARGO_BIN_EXE_wsbench")));
    let (code, _, stderr) = run(&mut shell);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("needs 154 open files, and this process may have 100"), "{stderr}");
}

#[test]
fn a_run_leaves_records_that_make_every_table() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out.ndjson");
    let (code, stdout, stderr) =
        run(wsbench("run --rows tokio,async-std,smol --messages 200 --warm-up 5ms --seed 1 --rounds 2")
            .arg("--out")
            .arg(&out));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("ad-hoc · 1 connection · 24 B text · closed loop"), "{stdout}");
    for row in ["tokio", "async-std (discontinued)", "smol", "A/A, tokio against itself"] {
        assert!(stdout.contains(row), "{row} is missing in\n{stdout}");
    }
    let trials = trials(&out);
    assert_eq!(trials.len(), 8, "two rounds of three rows and the twin");
    for trial in &trials {
        assert_eq!((trial.report().unwrap().units, &trial.error), (200, &None));
        assert_eq!((trial.session.as_str(), trial.seed), (trials[0].session.as_str(), 1));
        assert!(trial.server_samples.both().is_some(), "both edges are sampled");
    }

    let table = |format: &str| {
        let mut command = wsbench("table");
        let (code, stdout, stderr) = run(command.arg(&out).args(["--format", format]));
        assert_eq!(code, 0, "{stderr}");
        stdout
    };
    assert_eq!(table("terminal"), stdout, "the same table again");
    assert!(table("markdown").contains("| row"));
    assert!(table("csv").starts_with("scenario,role,server,client,placement,metric,unit,median"));
    let json: serde_json::Value = serde_json::from_str(&table("json")).unwrap();
    assert!(json.as_array().unwrap().iter().any(|figure| figure["metric"] == "rate"));
}

#[test]
fn real_records_match_the_committed_schema() {
    let (code, schema, _) = run(&mut wsbench("schema"));
    assert_eq!(code, 0);
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/record.schema.json");
    let stored = std::fs::read_to_string(committed).unwrap_or_default();
    assert!(
        stored == schema,
        "docs/record.schema.json is stale: run `wsbench schema > docs/record.schema.json`"
    );

    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out.ndjson");
    for load in
        ["--workload push --every 1ms --messages 20", "--workload connect --messages 3", "--messages 50"]
    {
        let mut command = wsbench(&format!("run --rounds 1 --warm-up 0s --rows smol {load}"));
        let (code, _, stderr) = run(command.arg("--out").arg(&out));
        assert_eq!(code, 0, "{stderr}");
    }
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let text = std::fs::read_to_string(&out).unwrap();
    assert_eq!(text.lines().count(), 3 * 3);
    for line in text.lines() {
        let value = serde_json::from_str(line).unwrap();
        if let Err(error) = validator.validate(&value) {
            panic!("{error}\n{line}");
        }
    }
}

#[test]
fn a_damaged_file_is_named_and_the_rest_is_tabulated() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out.ndjson");
    let (code, _, stderr) = run(wsbench(&format!("run {SHORT} --rows tokio")).arg("--out").arg(&out));
    assert_eq!(code, 0, "{stderr}");
    let mut bytes = std::fs::read(&out).unwrap();
    bytes.extend(b"{\"kind\":\"trial\"");
    std::fs::write(&out, bytes).unwrap();
    let (code, stdout, stderr) = run(wsbench("table").arg(&out));
    assert_eq!(code, 1);
    assert!(stdout.contains("ad-hoc"), "{stdout}");
    assert!(stderr.contains("out.ndjson:4: the last line has no end"), "{stderr}");

    let (code, _, stderr) = run(wsbench(&format!("run {SHORT} --rows tokio")).arg("--out").arg(&out));
    assert_eq!(code, 2);
    assert!(stderr.contains("its last line has no end, so nothing can be appended"), "{stderr}");
    let mut resumed = wsbench("run --resume");
    let (code, stdout, stderr) = run(resumed.arg(&out).env("WSBENCH_RUNNER_DIR", common::programs()));
    assert!(code == 0 && stdout.contains("ad-hoc") && stderr.contains("is discarded"), "{stderr}");

    let empty = directory.path().join("empty.ndjson");
    std::fs::write(&empty, "").unwrap();
    let (code, stdout, stderr) = run(wsbench("table").arg(&empty));
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains("the file is empty"), "{stderr}");
}

#[test]
fn a_row_named_by_hand_that_is_not_there_ends_with_5_and_the_others_run() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(
        common::programs().join("runner-tokio"),
        directory.path().join("runner-tokio"),
    )
    .unwrap();
    let out = directory.path().join("out.ndjson");
    let named = |rows: &str| {
        let mut command = wsbench(&format!("run {SHORT} --rows {rows}"));
        run(command.arg("--runner-dir").arg(directory.path()).arg("--out").arg(&out))
    };
    let (code, stdout, stderr) = named("tokio,smol");
    assert_eq!(code, 5, "{stderr}");
    assert!(stdout.contains("smol: not available: not built"), "{stdout}");
    let (code, stdout, stderr) = named("available");
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("smol: not available: not built"), "{stdout}");
}

#[test]
fn pairings_meet_whom_they_say() {
    let directory = tempfile::tempdir().unwrap();
    for (pairing, expected) in [
        ("servers", vec!["smol/tokio", "tokio#aa/tokio", "tokio/tokio"]),
        ("clients", vec!["tokio/smol", "tokio/tokio", "tokio/tokio#aa"]),
        ("same", vec!["smol/smol", "tokio#aa/tokio#aa", "tokio/tokio"]),
        ("all", vec!["smol/smol", "smol/tokio", "tokio#aa/tokio", "tokio/smol", "tokio/tokio"]),
    ] {
        let out = directory.path().join(pairing);
        let mut command = wsbench(&format!("run {SHORT} --rows tokio,smol --pairs {pairing}"));
        let (code, _, stderr) = run(command.arg("--out").arg(&out));
        assert_eq!(code, 0, "{stderr}");
        let mut pairs: Vec<String> = trials(&out)
            .into_iter()
            .map(|trial| format!("{}/{}", trial.server.row, trial.client.row))
            .collect();
        pairs.sort();
        assert_eq!(pairs, expected, "{pairing}");
    }
}

#[test]
fn a_dry_run_measures_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = wsbench("run --rows tokio,async-std,smol --dry-run --rounds 2 --seed 3");
    let (code, stdout, stderr) = run(command.current_dir(directory.path()));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("40 trials") && stdout.contains("seed 3"), "{stdout}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_row_without_the_flush_policy_is_left_out_of_that_scenario_only() {
    if !common::programs().join("runner-python").exists() {
        eprintln!("not tested: runner-python is not built");
        return;
    }
    let dry_run = |rows: &str| {
        let scenarios = "rtt-24,window-64,window-64-each";
        run(&mut wsbench(&format!("run --dry-run --rounds 1 --scenarios {scenarios} --rows {rows}")))
    };
    let (code, stdout, stderr) = dry_run("tokio,python-asyncio");
    assert_eq!(code, 0, "{stderr}");
    for line in stdout.lines().filter(|line| line.starts_with("round")) {
        assert_eq!(line.contains("python-asyncio"), !line.contains("window-64 "), "{line}");
    }
    assert!(stderr.contains("python-asyncio: left out of window-64:"), "{stderr}");
    let (code, _, stderr) = dry_run("python-asyncio");
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("nothing could be compared without it"), "{stderr}");
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let mut child = wsbench("list").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(child.wait().unwrap().success() && stderr.is_empty(), "{stderr}");
}

#[test]
fn lists_fit_in_100_columns_and_a_long_one_describes_every_row() {
    for arguments in ["list", "list --long", "list scenarios"] {
        let (code, stdout, stderr) = run(&mut wsbench(arguments));
        assert_eq!(code, 0, "{stderr}");
        let widest = stdout.lines().map(|line| line.chars().count()).max();
        assert!(
            widest.is_some_and(|columns| (20..=100).contains(&columns)),
            "{arguments}: {widest:?}\n{stdout}"
        );
    }
    let (_, stdout, _) = run(&mut wsbench("list --long"));
    let blocks: Vec<&str> = stdout.split("\n\n").collect();
    for (row, expected) in [
        (
            "tokio: ",
            ["current_thread", "epoll", "tungstenite 0.", "16 KiB", "before-wait, each", "maintained"],
        ),
        ("smol: ", ["LocalExecutor", "one-shot", "tungstenite 0.", "at most 1", "before-wait", "maintained"]),
        ("async-std: ", ["async-std 1.", "1 thread", "tungstenite 0.", "16 KiB", "each", "discontinued"]),
    ] {
        let block = blocks.iter().find(|block| block.starts_with(row)).unwrap_or(&"");
        for text in expected {
            assert!(block.contains(text), "{row}{text} is missing in\n{stdout}");
        }
    }
}

#[test]
fn verify_passes_on_every_row() {
    let (code, stdout, stderr) = run(&mut wsbench("verify all"));
    assert_eq!(code, 0, "{stdout}{stderr}");
    // Rows that io_uring carries are not available where the kernel or a sandbox forbids it, and neither are the sockets
    // of another process, which is a note.
    let sound = |line: &str| {
        ["checks passed (server ", ": not available: ", ": note: "].iter().any(|part| line.contains(part))
    };
    assert!(stdout.lines().all(sound), "{stdout}");
}

#[test]
fn any_echo_server_can_be_driven() {
    use bench_core::{ServeSpec, protocol::Event, spec::SocketSpec};
    use trial::{Peer, Program, process::Process};

    let program = Program::describe(&common::programs().join("runner-smol"), &[], "smol").unwrap();
    let spec = ServeSpec::on_loopback(1, SocketSpec::default());
    let limit = std::time::Duration::from_secs(60);
    let mut server = Process::launch(program.command("serve", spec.to_args()), &[], limit).unwrap();
    let Ok(Event::Listening { addr, .. }) = server.event() else { panic!("the server listens") };
    let (code, stdout, stderr) =
        run(&mut wsbench(&format!("drive ws://{addr}/echo --connections 3 --messages 40 --warm-up 0s")));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("120 verified round trips"), "{stdout}");
    let (code, _, stderr) = run(&mut wsbench(&format!("drive ws://{addr}/nothing")));
    assert_eq!(code, 1);
    assert!(stderr.contains("404"), "{stderr}");
}

#[test]
fn help_teaches() {
    for (arguments, expected) in [
        ("--help", "Exit codes"),
        ("run --help", "shuffled blocks"),
        ("list --help", "--catalogue"),
        ("drive --help", "--allow-remote"),
    ] {
        let (code, stdout, _) = run(&mut wsbench(arguments));
        assert_eq!(code, 0);
        assert!(stdout.contains(expected), "{stdout}");
    }
    let (code, stdout, _) = run(&mut wsbench("list --catalogue"));
    assert!(code == 0 && stdout.contains("[scenario.rtt-24]") && stdout.contains("[profile.quick]"));
}

#[test]
fn sessions_come_first() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out.ndjson");
    run(wsbench(&format!("run {SHORT} --rows tokio")).arg("--out").arg(&out));
    let kinds: Vec<String> = lines(&out)
        .iter()
        .map(|line| serde_json::to_value(line).unwrap()["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["session", "trial", "trial"]);
}

#[test]
fn a_target_width_adds_rounds_up_to_the_limit() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out.ndjson");
    // No real interval is this narrow, so that the limit decides.
    let load = "--messages 20 --warm-up 0ms --rounds 6 --target-width 0.0001% --max-rounds 8";
    let (code, stdout, stderr) =
        run(wsbench(&format!("run --rows tokio,smol {load}")).arg("--out").arg(&out));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("8 rounds"), "{stdout}");
    assert!(
        stderr.contains("18 trials in 6 rounds") && stderr.contains("3 trials left in 8 rounds"),
        "{stderr}"
    );
    let records = trials(&out);
    assert_eq!(records.len(), 24);
}

#[test]
fn a_curve_finds_its_rates_and_keeps_them() {
    let directory = tempfile::tempdir().unwrap();
    let (catalogue, out) = (directory.path().join("curve.toml"), directory.path().join("out.ndjson"));
    // A median of a second holds at every rate that is reached, so that nothing but saturation ends the doubling.
    let text = r#"
        [scenario.short]
        about = "short"
        load = { workload = "paced", connections = 20, rate_per_s = 1, duration_ms = 50, warm_up_ms = 0 }
        curve = { from = 1_000 }
        [profile.curve]
        about = "one curve"
        rounds = 1
        scenarios = ["short"]
    "#;
    std::fs::write(&catalogue, text).unwrap();
    let mut command = wsbench("run --rows tokio --slo p50<1s --profile");
    let (code, stdout, stderr) = run(command.arg(&catalogue).arg("--out").arg(&out));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("short: highest offered rate with p50 < 1.00 s"), "{stdout}");
    let Some(Line::Session(last)) = lines(&out).into_iter().rfind(|line| matches!(line, Line::Session(_)))
    else {
        panic!("a session")
    };
    assert!(last.objective.is_some());
    match last.waves.first() {
        Some(wave) => {
            assert_eq!(wave[0].scenario.load.rate_per_s(), Some(2_000));
            assert!(wave[0].rows.contains("tokio"));
        }
        // On a machine that stands still even the first rate is too much.
        None => assert!(stdout.contains("none"), "{stdout}"),
    }
    let measured = trials(&out).len();
    let (code, _, stderr) = run(wsbench("run --resume").arg(&out));
    assert_eq!((code, trials(&out).len()), (0, measured), "{stderr}");
}

#[test]
fn what_is_counted_is_in_the_records_and_what_is_not_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out.ndjson");
    let (code, stdout, stderr) =
        run(wsbench(&format!("run {SHORT} --rows tokio --counts")).arg("--out").arg(&out));
    assert_eq!(code, 0, "{stderr}");
    let measured = trials(&out)[0].server_samples.measured.unwrap();
    assert_eq!(measured.system_calls.is_none(), stderr.contains("system calls are not counted"), "{stderr}");
    assert_eq!(measured.instructions.is_none(), stderr.contains("instructions are not counted"), "{stderr}");
    assert_eq!(stdout.contains("server system calls"), measured.system_calls.is_some(), "{stdout}");
}
