//! Rows that a command starts: servers that know nothing of wsbench, with one peculiarity each.

// Outside of a `#[test]`, where clippy would allow it: a test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/faults.rs"]
mod survey;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use bench_core::row::Accounting;
use common::{run, trials, wsbench};
use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::Signal;
use survey::{Running, has_namespaces, send, until};
use trial::{metric::figures, record::Record, sample::Source};

type Test = fn() -> Result<(), Failed>;

/// CPU time that a message takes with the peculiarity `burn`, as the server has it.
const BURN_NS: u64 = 2_000_000;

/// Messages of a trial that is looked at closely.
const MESSAGES: u64 = 50;

fn main() -> ExitCode {
    let python =
        Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success());
    let node = Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success());
    let namespaces = has_namespaces();
    for (is_there, what) in [
        (python, "rows of a command are not tested: Python is not installed"),
        (node, "a row on Node.js is not tested: it is not installed"),
        (
            namespaces,
            "rows without a control group are not tested: this user may not make namespaces (unshare -Urmn)",
        ),
    ] {
        if !is_there {
            println!("{what}");
        }
    }
    let tests: &[(&str, bool, Test)] = &[
        ("a_server_in_another_language_is_a_row", python, another_language),
        ("a_server_on_node_is_a_row_and_is_verified", node, node_is_a_row),
        ("workers_that_a_server_forks_are_on_its_account", python, || costs("workers-burn", &[])),
        ("a_server_behind_a_shell_is_measured", python, behind_a_shell),
        ("processes_that_have_ended_are_on_its_account", python, || costs("children", &[])),
        ("the_same_without_a_control_group", python && namespaces, without_a_control_group),
        ("nothing_is_left_of_a_server", python, nothing_is_left),
        ("nothing_is_left_when_wsbench_is_killed", python, nothing_is_left_when_killed),
        ("a_server_that_does_not_end_is_killed", python, deaf),
        ("a_server_that_starts_late_is_waited_for", python, || costs("late", &[])),
        ("a_server_that_does_not_work_is_a_failed_trial", python, failed_trials),
        ("a_file_describes_a_server", python, file),
        ("clients_send_what_a_server_asks_for", python, asks_for_headers),
        ("a_server_under_tls_is_a_row_of_scenarios_under_tls", python, under_tls),
        ("a_client_of_another_language_sees_what_drive_sees", python, another_client),
        ("a_run_is_resumed_with_the_same_server_and_no_other", python, resumed),
        ("what_cannot_be_started_is_refused", true, refused),
        ("the_commands_of_the_documentation_work", node, documented),
    ];
    let tests = tests
        .iter()
        .map(|(name, is_possible, test)| Trial::test(*name, *test).with_ignored_flag(!is_possible))
        .collect();
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

fn server_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exec/server.py")
}

/// The row `mine` with a peculiarity.
fn mine(peculiarity: &str) -> String {
    format!("mine=exec:python3 {} {{port}} {peculiarity}", server_file().display())
}

/// Runs `rows` under a load, and gives the trials.
fn measured(rows: &str, load: &str) -> Result<Vec<Record>, Failed> {
    let directory = tempfile::tempdir()?;
    let out = directory.path().join("out.ndjson");
    let mut command = wsbench(&format!("run --rounds 1 --warm-up 5ms {load}"));
    let (code, stdout, stderr) = run(command.arg("--rows").arg(rows).arg("--out").arg(&out));
    let trials = trials(&out);
    let failed = trials.iter().find_map(|trial| trial.error.as_ref());
    assert_eq!((code, failed), (0, None), "{stdout}{stderr}");
    Ok(trials)
}

fn of_row<'a>(trials: &'a [Record], row: &str) -> &'a Record {
    trials.iter().find(|trial| trial.server.row == row).unwrap()
}

fn another_language() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let out = directory.path().join("out.ndjson");
    let mut command = wsbench("run --scenarios rtt-24,push-100 --rounds 1");
    let rows = format!("tokio,{}", mine(""));
    let (code, stdout, stderr) = run(command.arg("--rows").arg(rows).arg("--out").arg(&out));
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("mine (only its client counts messages)"), "{stdout}");
    assert!(stderr.contains("mine: left out of push-100: it does not offer the service /push"), "{stderr}");
    let trials = trials(&out);
    assert_eq!(trials.len(), 5, "both rows and the twin, and tokio with its twin");
    let own = of_row(&trials, "mine");
    assert_eq!((own.error.as_ref(), own.server.info.accounting), (None, Accounting::Client));
    assert!(own.report().unwrap().units > 0 && figures(own)["server_cpu_per_message"] > 0.0);
    assert_eq!(of_row(&trials, "tokio").server.info.accounting, Accounting::Both);
    Ok(())
}

fn node_is_a_row() -> Result<(), Failed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/echo-server.mjs");
    let row = format!("exec:node {} {{port}}", path.display());
    let trials = measured(&row, "--messages 200 --connections 3")?;
    assert_eq!(of_row(&trials, "node").report().unwrap().units, 600);
    let (code, stdout, stderr) = run(wsbench("verify").arg(&row));
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.starts_with("node: all ") && stdout.contains(" checks passed\n"), "{stdout}");
    Ok(())
}

/// The cost of a message is what the server burns for it, wherever it does.
fn costs(peculiarity: &str, prefix: &[&str]) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let out = directory.path().join("out.ndjson");
    let load = format!("run --rounds 1 --warm-up 5ms --connections 2 --messages {MESSAGES} --rows");
    let inner = wsbench(&load);
    let mut command = match prefix {
        [] => inner,
        [program, arguments @ ..] => {
            let mut outer = Command::new(program);
            outer.args(arguments).arg(inner.get_program()).args(inner.get_args());
            inner.get_envs().filter_map(|(name, value)| Some((name, value?))).for_each(|(name, value)| {
                outer.env(name, value);
            });
            outer
        }
    };
    let (code, stdout, stderr) = run(command.arg(mine(peculiarity)).arg("--out").arg(&out));
    assert_eq!(code, 0, "{stdout}{stderr}");
    let trials = trials(&out);
    let own = of_row(&trials, "mine");
    let (before, after) = own.server_samples.both().unwrap();
    let expected = if prefix.is_empty() {
        &[Source::ControlGroup, Source::ProcessTree][..]
    } else {
        &[Source::ProcessTree]
    };
    assert!(expected.contains(&after.source), "{:?}", after.source);
    let burnt_ns = if peculiarity == "late" { 0 } else { 2 * MESSAGES * BURN_NS };
    let used_ns = after.cpu_ns - before.cpu_ns;
    // Ended processes are counted in ticks without a control group; a fork costs less than what is burnt.
    assert!(used_ns * 10 > burnt_ns * 9, "{used_ns} of {burnt_ns}");
    if burnt_ns > 0 {
        assert!(used_ns < burnt_ns * 3, "{used_ns} of {burnt_ns}");
    }
    Ok(())
}

fn behind_a_shell() -> Result<(), Failed> {
    // The shell stays, because something follows the server.
    let script = format!("python3 {} $1 burn; true", server_file().display());
    let trials = measured(
        &format!("mine=exec:sh -c '{script}' sh {{port}}"),
        &format!("--connections 2 --messages {MESSAGES}"),
    )?;
    let (before, after) = of_row(&trials, "mine").server_samples.both().unwrap();
    assert!(after.cpu_ns - before.cpu_ns > 2 * MESSAGES * BURN_NS * 9 / 10);
    Ok(())
}

/// Hides the control groups from wsbench, which then walks the processes.
fn without_a_control_group() -> Result<(), Failed> {
    let hidden = "mount -t tmpfs none /sys/fs/cgroup && exec \"$@\"";
    costs("children", &["unshare", "-Urm", "sh", "-c", hidden, "sh"])
}

/// Processes that have a file among their arguments, so that wsbench is left out, which has it within one.
fn processes_with(file: &str) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has_it = |pid: &u32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).any(|word| word == file.as_bytes())
    };
    pids.filter(has_it).collect()
}

/// A copy of the server whose path tells its processes from those of other tests.
fn own_server(folder: &Path) -> String {
    let path = folder.join("server.py");
    fs::copy(server_file(), &path).unwrap();
    path.to_str().unwrap().to_owned()
}

fn nothing_is_left() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = own_server(directory.path());
    for peculiarity in ["workers", "detached"] {
        // The file is an argument of everything that the server starts.
        let row = format!("mine=exec:python3 {path} {{port}} {peculiarity}");
        measured(&row, "--messages 20")?;
        assert_eq!(processes_with(&path), Vec::<u32>::new());
    }
    Ok(())
}

fn nothing_is_left_when_killed() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = own_server(directory.path());
    let out = directory.path().join("out.ndjson");
    // It starts another process that has left its group and its session.
    let script = format!("setsid sh -c \"sleep 600; true\" {path} & exec python3 {path} $1 workers");
    let mut command = wsbench("run --rounds 1 --duration 60s --warm-up 10ms --rows");
    command.arg(format!("mine=exec:sh -c '{script}' sh {{port}}")).arg("--out").arg(&out);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let run = Running(command.spawn()?);
    until("the server with all its processes", || processes_with(&path).len() >= 4);
    send(&run, Signal::SIGKILL);
    until("the end of all its processes", || processes_with(&path).is_empty());
    Ok(())
}

fn deaf() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = own_server(directory.path());
    measured(&format!("mine=exec:python3 {path} {{port}} deaf"), "--messages 20")?;
    assert_eq!(processes_with(&path), Vec::<u32>::new());
    Ok(())
}

fn failed_trials() -> Result<(), Failed> {
    for (command, timeout, expected) in [
        ("false {port}", "30s", "false ended early (exit status: 1)"),
        ("sh -c 'echo no such room >&2; exit 7' {port}", "30s", "no such room"),
        ("sleep 10{port}", "2s", "the server was not ready: connecting to 127.0.0.1:"),
        (
            &format!("python3 {} {{port}} wrong", server_file().display()),
            "4s",
            "the server was not ready: 127.0.0.1:",
        ),
    ] {
        let directory = tempfile::tempdir()?;
        let out = directory.path().join("out.ndjson");
        let mut run_it = wsbench(&format!("run --rounds 1 --messages 10 --trial-timeout {timeout} --rows"));
        let (code, stdout, stderr) = run(run_it.arg(format!("mine=exec:{command}")).arg("--out").arg(&out));
        assert_eq!(code, 5, "{stdout}{stderr}");
        let error = trials(&out)[0].error.clone().unwrap().to_string();
        assert!(error.contains(expected), "{command}: {error}");
    }
    Ok(())
}

fn file() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    own_server(directory.path());
    let path = directory.path().join("chat.toml");
    fs::write(
        &path,
        "command = ['python3', 'server.py', '{port}', 'greedy']\nurl = 'ws://localhost:{port}/chat?a=b'\nready = 'port'\n\
         stop = 'SIGINT'\n[environment]\nGREED = '{port}'\n",
    )?;
    let trials = measured(&format!("@{}", path.display()), "--messages 20 --connections 2")?;
    assert_eq!(of_row(&trials, "chat").report().unwrap().units, 40);
    Ok(())
}

fn asks_for_headers() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    own_server(directory.path());
    let path = directory.path().join("mine.toml");
    let definition =
        "command = ['python3', 'server.py', '{port}', 'asks']\nsubprotocols = ['chat', 'echo']\n";
    fs::write(&path, format!("{definition}[headers]\nAuthorization = 'Bearer secret'\n"))?;
    let trials = measured(&format!("@{}", path.display()), "--messages 20")?;
    let record = serde_json::to_string(of_row(&trials, "mine"))?;
    assert!(!record.contains("secret"), "{record}");
    fs::write(&path, format!("{definition}[headers]\nUpgrade = 'x'\n"))?;
    let (code, _, stderr) = run(wsbench("run --rows").arg(format!("@{}", path.display())));
    assert!(code == 2 && stderr.contains("the header Upgrade belongs to the WebSocket protocol"), "{stderr}");
    Ok(())
}

fn under_tls() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    own_server(directory.path());
    let made = rcgen::generate_simple_self_signed(["echo.example".to_owned()])?;
    fs::write(directory.path().join("certificate.pem"), made.cert.pem())?;
    fs::write(directory.path().join("key.pem"), made.signing_key.serialize_pem())?;
    let path = directory.path().join("mine.toml");
    fs::write(
        &path,
        "command = ['python3', 'server.py', '{port}', 'tls']\nurl = 'wss://127.0.0.1:{port}/echo'\n\
         tls = { ca = 'certificate.pem', server_name = 'echo.example' }\n",
    )?;
    let out = directory.path().join("out.ndjson");
    let mut command = wsbench("run --scenarios rtt-24,tls-rtt-24 --rounds 1 --rows");
    let (code, stdout, stderr) =
        run(command.arg(format!("tokio,@{}", path.display())).arg("--out").arg(&out));
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(
        stderr.contains("mine: left out of rtt-24: it does not offer connections without TLS"),
        "{stderr}"
    );
    let trials = trials(&out);
    let own: Vec<&Record> = trials.iter().filter(|trial| trial.server.row == "mine").collect();
    assert_eq!(own.len(), 1, "the scenario under TLS");
    assert_eq!(own[0].report().unwrap().tls.as_ref().unwrap().protocol, "TLSv1_3");
    Ok(())
}

/// Both count the same, and neither sees less than the server delays. How near their percentiles are is a question of how
/// quiet the machine is; docs/METHODOLOGY.md has what was measured.
fn another_client() -> Result<(), Failed> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    drop(listener);
    let mut server = Command::new("python3");
    let server = server.arg(server_file()).args([&port.to_string(), "delays"]).spawn()?;
    let _server = Running(server);
    until("the server", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let load = format!(
        "drive ws://127.0.0.1:{port}/echo --connections 50 --rate 200 --duration 2s --warm-up 0s --json"
    );
    let (code, stdout, stderr) = run(&mut wsbench(&load));
    assert_eq!(code, 0, "{stdout}{stderr}");
    let ours: serde_json::Value = serde_json::from_str(&stdout)?;
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exec/client.py");
    let output = Command::new("python3").arg(client).args([&port.to_string(), "50", "200", "2"]).output()?;
    let theirs: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!((ours["units"].as_u64(), theirs["count"].as_u64()), (Some(400), Some(400)));
    for (p50, max) in
        [(&ours["latency"]["p50_ns"], &ours["latency"]["max_ns"]), (&theirs["p50_ns"], &theirs["max_ns"])]
    {
        assert!(p50.as_u64() >= Some(20_000_000) && max.as_u64() >= Some(200_000_000), "{ours} {theirs}");
    }
    Ok(())
}

fn resumed() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = own_server(directory.path());
    let out = directory.path().join("out.ndjson");
    let mut command = wsbench("run --rounds 2 --messages 20 --rows");
    let row = format!("tokio,mine=exec:python3 {path} {{port}}");
    let (code, stdout, stderr) = run(command.arg(row).arg("--out").arg(&out));
    assert_eq!(code, 0, "{stdout}{stderr}");
    // As if it had been interrupted in the second round.
    let text = fs::read_to_string(&out)?;
    let kept: Vec<&str> = text.lines().take(6).collect();
    fs::write(&out, kept.join("\n") + "\n")?;
    let resume = || run(wsbench("run --resume").arg(&out));
    let (code, stdout, stderr) = resume();
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(trials(&out).iter().any(|trial| trial.server.row == "mine" && trial.round == 1), "{stderr}");
    fs::write(&path, fs::read_to_string(&path)? + "# changed\n")?;
    let (code, _, stderr) = resume();
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("server.py") && stderr.contains("has changed since the run began"), "{stderr}");
    Ok(())
}

fn refused() -> Result<(), Failed> {
    for (row, expected) in [
        ("mine=exec:no-such-program {port}", "there is no program `no-such-program`"),
        ("mine=exec:sleep 600", "nothing tells the server its port"),
        ("smol=exec:sleep {port}", "there is a row `smol` already"),
        ("exec:", "the command is empty"),
        ("@no/such.toml", "no/such.toml: No such file"),
    ] {
        let (code, stdout, stderr) = run(wsbench("run --rounds 1 --messages 5 --rows").arg(row));
        assert_eq!((code, stdout.as_str()), (2, ""), "{row}: {stderr}");
        assert!(stderr.contains(expected), "{row}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    Ok(())
}

/// Runs every command of docs/YOUR-SERVER.md, with fewer rounds and on a port that is free.
fn documented() -> Result<(), Failed> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let text = fs::read_to_string(docs.join("YOUR-SERVER.md"))?;
    let example = fs::read_to_string(docs.join("examples/echo-server.toml"))?;
    let shown = blocks(&text, "toml").remove(0);
    assert_eq!(
        shown.parse::<toml::Table>()?,
        example.parse::<toml::Table>()?,
        "the file that the page shows"
    );
    let directory = tempfile::tempdir()?;
    std::os::unix::fs::symlink(docs.canonicalize()?, directory.path().join("docs"))?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let commands = blocks(&text, "sh");
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        let quick = command.replace("--rounds 10", "--rounds 1").replace("9001", &port.to_string());
        // What is started in the background ends with its shell, and is waited for as a person would.
        let quick = quick.replace(" &\n", &format!(" & trap 'kill $!' EXIT; {}\n", listening(port)));
        let path = format!("{}:{}", common::programs().display(), std::env::var("PATH")?);
        let mut shell = Command::new("bash");
        shell
            .args(["-c", &quick])
            .current_dir(&directory)
            .env("PATH", path)
            .env("WSBENCH_LOCK", common::own_lock());
        let (code, stdout, stderr) = run(&mut shell);
        assert_eq!(code, 0, "{quick}\n{stdout}{stderr}");
        assert!(!stdout.is_empty(), "{quick}");
    }
    Ok(())
}

/// A command that waits until a port is listened on.
fn listening(port: u16) -> String {
    format!("until (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep 0.01; done")
}

/// The code blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let begins = format!("```{language}\n");
    let block = |rest: &str| rest.split("```").next().map(str::to_owned);
    text.split(&begins).skip(1).filter_map(block).collect()
}
