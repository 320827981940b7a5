//! wsbench under faults of the machine and of whoever uses it: signals, disks, limits, terminals, names, a second run.

// Outside of a `#[test]`, where clippy would allow it: a test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/faults.rs"]
mod survey;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use common::{SHORT, lines, own_lock, programs, run, trials, wsbench};
use libtest_mimic::{Arguments, Failed, Trial};
use nix::sys::signal::Signal;
use survey::{
    READ_ONLY_DISK, RUN, Running, TOO_FEW_PORTS, ended, faulty, has_namespaces, send, shell, started, survey,
    until,
};
use trial::record::{Line, unix_ms};
use wsbench::run::lock::{Lock, LockArguments};

type Test = fn() -> Result<(), Failed>;

fn main() -> ExitCode {
    let namespaces = has_namespaces();
    if !namespaces {
        println!("disks and port ranges are not tested: this user may not make namespaces (unshare -Urmn)");
    }
    let pty = Command::new("script").arg("--version").output().is_ok_and(|output| output.status.success());
    if !pty {
        println!("terminals are not tested: `script` (util-linux) is not installed");
    }
    let tests: &[(&str, bool, Test)] = &[
        ("sigint", true, || signalled(Signal::SIGINT, 130)),
        ("sigterm", true, || signalled(Signal::SIGTERM, 143)),
        ("sigint_while_a_runner_hangs", true, signalled_while_a_runner_hangs),
        ("second_sigint", true, second_signal),
        ("disk_full_at_once", true, disk_full_at_once),
        ("disk_full_in_the_middle", namespaces, disk_full_in_the_middle),
        ("disk_read_only", namespaces, disk_read_only),
        ("folder_vanishes", true, folder_vanishes),
        ("report_on_a_full_disk", namespaces, report_on_a_full_disk),
        ("two_runs", true, two_runs),
        ("ports", namespaces, ports),
        ("memory", true, memory),
        ("terminal_narrow", pty, || terminal("stty cols 12", "xterm", "C.UTF-8")),
        ("terminal_dumb", pty, || terminal("true", "dumb", "C.UTF-8")),
        ("terminal_not_utf_8", pty, || terminal("true", "xterm", "C")),
        ("terminal_absent", true, terminal_absent),
        ("hostile_names", true, hostile_names),
        ("missing_row_survives_resume", true, missing_row_survives_resume),
        ("a_run_is_not_resumed_on_other_cores", two_cores(), other_cores_are_refused),
        ("warnings_are_of_when_measuring_begins", true, warnings_are_of_when_measuring_begins),
    ];
    let tests =
        tests.iter().map(|(name, possible, test)| Trial::test(*name, *test).with_ignored_flag(!possible));
    libtest_mimic::run(&Arguments::from_args(), tests.collect()).exit_code()
}

fn signalled(signal: Signal, expected: i32) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let out = directory.path().join("out.ndjson");
    let mut command = wsbench(RUN);
    let child = started(&mut command, &out, 4);
    send(&child, signal);
    let (code, stdout, stderr) = ended(child);
    assert_eq!(code, expected, "{stderr}");
    let finished = trials(&out);
    survey(&format!("{signal}"), &command, &out, 3);
    assert!(finished.iter().all(|trial| trial.error.is_none()), "what was interrupted is no trial");
    let last = lines(&out).pop();
    assert!(matches!(&last, Some(Line::Partial(partial)) if partial.signal == signal.as_str()), "{last:?}");
    assert!(stdout.contains(&format!("partial: {} of 36 trials", finished.len())), "{stdout}");
    assert!(stdout.contains("ad-hoc"), "the table of what is finished\n{stdout}");
    assert!(stderr.contains(signal.as_str()) && !stderr.contains("failed:"), "{stderr}");
    let (code, stdout, stderr) = run(wsbench("run --resume").arg(&out));
    assert_eq!(code, 0, "{stderr}");
    assert!(!stdout.contains("partial:"), "{stdout}");
    // Further ones there may be, where the machine disturbed some.
    assert!(trials(&out).len() >= 36, "{stdout}");
    Ok(())
}

fn signalled_while_a_runner_hangs() -> Result<(), Failed> {
    for fault in ["hang", "client-hang", "never-ready"] {
        let directory = tempfile::tempdir()?;
        let out = directory.path().join("out.ndjson");
        let mut command = wsbench(&format!("run {SHORT} --trial-timeout 600s"));
        command.env("WSBENCH_FAULT", fault).arg("--rows").arg(faulty());
        let child = started(&mut command, &out, 1);
        until("a runner", || !survey::runners_of(&command).is_empty());
        send(&child, Signal::SIGINT);
        let (code, _, stderr) = ended(child);
        assert_eq!(code, 130, "{fault}: {stderr}");
        survey(&format!("SIGINT under {fault}"), &command, &out, 0);
        assert_eq!(trials(&out).len(), 0);
    }
    Ok(())
}

/// With a table that nobody reads the first signal cannot end it, and the second does.
fn second_signal() -> Result<(), Failed> {
    use nix::fcntl::{FcntlArg, fcntl};

    let directory = tempfile::tempdir()?;
    let out = directory.path().join("out.ndjson");
    let mut command = wsbench(&format!("{RUN} --format json"));
    let mut child = started(&mut command, &out, 4);
    let stdout = child.0.stdout.take().ok_or("stdout is a pipe")?;
    fcntl(&stdout, FcntlArg::F_SETPIPE_SZ(4096))?;
    let mut stderr = BufReader::new(child.0.stderr.take().ok_or("stderr is a pipe")?).lines();
    send(&child, Signal::SIGINT);
    let said = stderr.by_ref().map_while(Result::ok).find(|line| line.contains("once more ends at once"));
    assert!(said.is_some(), "the first one is answered");
    send(&child, Signal::SIGINT);
    assert_eq!(child.0.wait()?.code(), Some(130));
    drop(stdout);
    survey("SIGINT twice", &command, &out, 3);
    Ok(())
}

fn disk_full_at_once() -> Result<(), Failed> {
    let mut command = wsbench(&format!("run {SHORT} --rows tokio --out /dev/full"));
    let (code, stdout, stderr) = run(&mut command);
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    assert!(stderr.contains("/dev/full cannot be written any more: No space left on device"), "{stderr}");
    survey("/dev/full", &command, Path::new("/dev/full"), 0);
    Ok(())
}

fn disk_full_in_the_middle() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let script = "mount -t tmpfs -o size=64k none \"$DISK\" || exit 99\n\
                  \"$WSBENCH\" run --messages 200 --warm-up 5ms --rounds 100 --seed 1 --rows tokio --out \"$DISK/out.ndjson\"\n\
                  code=$?; cp \"$DISK/out.ndjson\" \"$KEPT\"; exit $code";
    let (disk, kept) = (directory.path().join("disk"), directory.path().join("kept.ndjson"));
    fs::create_dir(&disk)?;
    let mut command = shell("-Urm", script);
    let (code, _, stderr) = run(command.env("DISK", &disk).env("KEPT", &kept));
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("cannot be written any more: No space left on device"), "{stderr}");
    let bytes = fs::read(&kept)?;
    assert_eq!(bytes.last(), Some(&b'\n'), "no line is cut");
    survey("disk full in the middle", &command, &kept, 1);
    assert!(trials(&kept).iter().all(|trial| trial.error.is_none()));
    Ok(())
}

fn disk_read_only() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let mut command = shell("-Urm", READ_ONLY_DISK);
    let (code, _, stderr) = run(command.env("DISK", directory.path()));
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("out.ndjson cannot be written: Read-only file system"), "{stderr}");
    survey("read-only disk", &command, &directory.path().join("out.ndjson"), 0);
    Ok(())
}

fn folder_vanishes() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let (folder, rescue) = (directory.path().join("results"), directory.path().join("tmp"));
    fs::create_dir(&folder)?;
    fs::create_dir(&rescue)?;
    let out = folder.join("out.ndjson");
    let mut command = wsbench(RUN);
    let child = started(command.env("TMPDIR", &rescue), &out, 4);
    let before = trials(&out).len();
    fs::remove_dir_all(&folder)?;
    let (code, _, stderr) = ended(child);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("out.ndjson was moved or deleted during the run"), "{stderr}");
    let rescued = fs::read_dir(&rescue)?.next().ok_or("nothing was rescued")??.path();
    assert!(stderr.contains(&rescued.display().to_string()), "{stderr}");
    // Not one more: the record that shows that the file is gone may be the last of those that were read here.
    survey("output folder vanishes", &command, &rescued, before);
    let (code, _, stderr) = run(wsbench("run --resume").arg(&rescued));
    assert_eq!(code, 0, "{stderr}");
    Ok(())
}

/// A report that does not fit leaves the one before as it was.
fn report_on_a_full_disk() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let (disk, out) = (directory.path().join("disk"), directory.path().join("out.ndjson"));
    fs::create_dir(&disk)?;
    let (code, _, stderr) = run(wsbench(&format!("run {SHORT} --rows tokio,smol --out")).arg(&out));
    assert_eq!(code, 0, "{stderr}");
    let script = "mount -t tmpfs -o size=8k none \"$DISK\" || exit 99\n\
                  echo before >\"$DISK/table.json\"\n\
                  \"$WSBENCH\" table \"$OUT\" --format json --out \"$DISK/table.json\"\n\
                  code=$?; cat \"$DISK/table.json\"; ls -A \"$DISK\"; exit $code";
    let (code, stdout, stderr) = run(shell("-Urm", script).env("DISK", &disk).env("OUT", &out));
    assert_eq!((code, stdout.as_str()), (1, "before\ntable.json\n"), "{stderr}");
    assert!(stderr.contains("table.json cannot be written") && stderr.contains("is untouched"), "{stderr}");
    Ok(())
}

fn two_runs() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let (out, other) = (directory.path().join("out.ndjson"), directory.path().join("other.ndjson"));
    let lock = directory.path().join("lock");
    let mut first = wsbench(&format!("run {SHORT} --trial-timeout 600s"));
    first.env("WSBENCH_LOCK", &lock).env("WSBENCH_FAULT", "hang").arg("--rows").arg(faulty());
    let mut holder = started(&mut first, &out, 1);

    let mut second = wsbench(&format!("run {SHORT} --rows tokio --out"));
    let (code, stdout, stderr) = run(second.arg(&other).env("WSBENCH_LOCK", &lock));
    assert_eq!((code, stdout.as_str(), other.exists()), (1, "", false), "{stderr}");
    assert!(
        stderr.contains(&format!("process {} (`", holder.0.id())) && stderr.contains("--wait"),
        "{stderr}"
    );
    let (code, _, stderr) = run(wsbench("selftest --short --lock").arg(&lock));
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("is measuring on this machine"), "{stderr}");

    let mut third = wsbench(&format!("run {SHORT} --rows tokio --wait --out"));
    third.arg(&other).arg("--lock").arg(&lock).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut waiting = Running(third.spawn()?);
    let mut said = String::new();
    let mut stderr = BufReader::new(waiting.0.stderr.take().ok_or("stderr is a pipe")?);
    while !said.contains("waiting for process") {
        assert!(stderr.read_line(&mut said)? > 0, "{said}");
    }
    // Killed, it leaves the lock free.
    holder.0.kill()?;
    holder.0.wait()?;
    stderr.read_to_string(&mut said)?;
    assert_eq!(waiting.0.wait()?.code(), Some(0), "{said}");
    survey("two runs at once", &third, &other, 2);
    Ok(())
}

fn ports() -> Result<(), Failed> {
    let mut command = shell("-Urn", TOO_FEW_PORTS);
    let (code, stdout, stderr) = run(&mut command);
    assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
    let expected = "makes 101 connects to one server, and there are 100 ports for them";
    assert!(stderr.contains(expected), "{stderr}");
    Ok(())
}

fn memory() -> Result<(), Failed> {
    // More than any machine has that runs this.
    let (code, stdout, stderr) =
        run(&mut wsbench("run --connections 4000 --read-buffer 64MiB --rounds 1 --rows tokio"));
    assert_eq!((code, stdout.as_str()), (2, ""), "{stderr}");
    assert!(
        stderr.contains("MiB for its messages and buffers at both ends, and this machine has"),
        "{stderr}"
    );
    Ok(())
}

/// A run on a terminal of its own: it ends well, prints its table, and writes no more than the terminal takes.
fn terminal(prepare: &str, term: &str, locale: &str) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let out = directory.path().join("out.ndjson");
    let mut command = Command::new("script");
    let line = format!(
        "{prepare}; {} run {SHORT} --rows tokio,smol --out {}",
        env!("CARGO_BIN_EXE_wsbench"),
        out.display()
    );
    command.args(["-qec", &line, "/dev/null"]).env("WSBENCH_LOCK", own_lock());
    command.env("TERM", term).env("LC_ALL", locale).env("NO_COLOR", "1").env_remove("WSBENCH_FAULT");
    let (code, screen, _) = run(command.stdin(Stdio::null()));
    assert_eq!(code, 0, "{screen}");
    survey(&format!("terminal {term}, {locale}, {prepare}"), &command, &out, 3);
    assert!(screen.contains("server CPU") && !screen.contains("panicked"), "{screen}");
    assert!(!screen.contains("\u{1b}[3"), "no colours\n{screen}");
    if term == "dumb" {
        assert!(!screen.contains('\u{1b}'), "no control sequences\n{screen}");
    }
    if locale == "C" {
        let table = &screen[screen.rfind("ad-hoc - ").ok_or("the table is in ASCII")?..];
        assert!(table.is_ascii(), "{table}");
    }
    Ok(())
}

/// Nobody can hear what is said on stderr, or it is closed: the run goes on, and its table is whole.
fn terminal_absent() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    for (number, stderr) in ["2>/dev/full", "2>&-", "0<&- 2>&-"].into_iter().enumerate() {
        let out = directory.path().join(number.to_string());
        let mut command = Command::new("sh");
        let line = format!("exec \"$0\" run {SHORT} --rows tokio --out \"$1\" {stderr}");
        command.args(["-c", &line, env!("CARGO_BIN_EXE_wsbench")]).arg(&out);
        command.env("WSBENCH_LOCK", own_lock()).env_remove("WSBENCH_FAULT").env_remove("TERM");
        let (code, stdout, _) = run(&mut command);
        assert_eq!(code, 0, "{stderr}: {stdout}");
        assert!(stdout.contains("server CPU"), "{stderr}: {stdout}");
        survey(&format!("terminal absent, {stderr}"), &command, &out, 2);
    }
    Ok(())
}

/// Everything that a name may hold: blanks, quotes, HTML, a cell's end, an end of line, a reversal and a control sequence.
const HOSTILE: &str = "a b'\"<script>|`\n\u{202e}\u{1b}[31m";

fn hostile_names() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    // A slash cannot be in the name of a file.
    let folder = directory.path().join(HOSTILE);
    fs::create_dir(&folder)?;
    let runner = folder.join("runner-faulty");
    std::os::unix::fs::symlink(programs().join("runner-faulty"), &runner)?;
    let (profile, out) = (folder.join("p.toml"), folder.join("out.ndjson"));
    let quoted = serde_json::to_string(HOSTILE)?;
    let load = "load = { workload = \"ping-pong\", connections = 1, messages = 50, warm_up_ms = 5 }";
    fs::write(
        &profile,
        format!(
            "[scenario.{quoted}]\nabout = {quoted}\n{load}\n[profile.p]\nabout = {quoted}\nrounds = 1\nscenarios = [{quoted}]\n"
        ),
    )?;
    let row = format!("faulty@{}", runner.display());
    let mut command = wsbench("run --seed 1 --profile");
    command.arg(&profile).arg("--rows").arg(format!("tokio,{row}")).arg("--out").arg(&out);
    // One failed trial, so that names stand in every part of a table.
    let (code, stdout, stderr) = run(command.env("WSBENCH_FAULT", "count"));
    assert_eq!(code, 5, "{stderr}");
    survey("hostile names", &command, &out, 3);
    let acts = |text: &str| text.chars().any(|one| one == '\u{202e}' || (one.is_control() && one != '\n'));
    assert!(!acts(&stdout) && !acts(&stderr), "{stdout}{stderr}");
    let dry = run(wsbench("run --dry-run --profile").arg(&profile).arg("--rows").arg(format!("tokio,{row}")));
    assert!(dry.0 == 0 && !acts(&dry.1) && !acts(&dry.2), "{dry:?}");

    let table = |format: &str| {
        let (code, stdout, stderr) = run(wsbench("table --format").arg(format).arg(&out));
        assert_eq!(code, 0, "{format}: {stderr}");
        stdout
    };
    let markdown = table("markdown");
    assert!(!acts(&markdown) && !markdown.contains("<script>"), "{markdown}");
    for format in ["json", "bencher", "github"] {
        let text = table(format);
        let json: serde_json::Value = serde_json::from_str(&text)?;
        assert!(json.to_string().contains("<script>") && !text.contains('\u{1b}'), "{format}: {text}");
    }
    let text = table("csv");
    let mut csv = csv::Reader::from_reader(text.as_bytes());
    for record in csv.records() {
        assert_eq!(&record?[0], "a b'\"<script>|`[31m", "quoted, and without what acts");
    }
    let (code, _, stderr) = run(wsbench("table").arg(folder.join("no such file")));
    assert!(code == 1 && !acts(&stderr), "{stderr}");
    Ok(())
}

/// A run that was incomplete from the beginning is incomplete when it is resumed.
fn missing_row_survives_resume() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let runners = directory.path().join("runners");
    fs::create_dir(&runners)?;
    std::os::unix::fs::symlink(programs().join("runner-tokio"), runners.join("runner-tokio"))?;
    let out = directory.path().join("out.ndjson");
    let mut command = wsbench(&format!("run {SHORT} --rows tokio,smol"));
    let (code, _, stderr) = run(command.arg("--runner-dir").arg(&runners).arg("--out").arg(&out));
    assert_eq!(code, 5, "{stderr}");
    let (code, stdout, stderr) = run(wsbench("run --runner-dir").arg(&runners).arg("--resume").arg(&out));
    assert_eq!(code, 5, "{stderr}");
    assert!(stdout.contains("smol: not available"), "{stdout}");
    Ok(())
}

/// Whether this process may use two cores, so that another affinity is possible.
fn two_cores() -> bool {
    trial::placement::usable().is_ok_and(|cores| cores >= 2)
}

/// The cores that this process may use.
fn cores() -> Vec<u32> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.trim().parse::<u32>().unwrap()..=last.trim().parse::<u32>().unwrap()
    };
    list.split(',').flat_map(range).collect()
}

/// A command that may only use one core.
fn on_core(core: u32, command: &Command) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", &core.to_string()]).arg(command.get_program()).args(command.get_args());
    command.get_envs().for_each(|(name, value)| match value {
        Some(value) => {
            pinned.env(name, value);
        }
        None => {
            pinned.env_remove(name);
        }
    });
    pinned
}

fn other_cores_are_refused() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let out = directory.path().join("out.ndjson");
    let cores = cores();
    let (first, last) = (cores[0], cores[cores.len() - 1]);
    let mut command = wsbench(&format!("run --rows tokio --rounds 2 {SHORT}").replace("--rounds 1", ""));
    let (code, _, stderr) = run(&mut on_core(last, command.arg("--out").arg(&out)));
    assert_eq!(code, 0, "{stderr}");
    // As if it had been interrupted before its last trial.
    let text = fs::read_to_string(&out)?;
    let cut = text.trim_end().rfind('\n').ok_or("one line")? + 1;
    fs::write(&out, &text[..cut])?;
    let resume = |core| run(&mut on_core(core, wsbench("run --resume").arg(&out)));
    let (code, _, stderr) = resume(first);
    assert_eq!(code, 2, "{stderr}");
    let wanted = format!("was measured on core {last} and would continue on core {first}");
    assert!(stderr.contains(&wanted), "{stderr}");
    let (code, _, stderr) = resume(last);
    assert_eq!(code, 0, "{stderr}");
    Ok(())
}

/// Whoever waits for the lock records the machine as it is afterwards.
fn warnings_are_of_when_measuring_begins() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let (lock, out) = (directory.path().join("lock"), directory.path().join("out.ndjson"));
    let held =
        Lock::take(&LockArguments { lock: Some(lock.clone()), wait: false }).map_err(|stop| stop.message)?;
    let mut command = wsbench(&format!("run --rows tokio {SHORT} --wait"));
    command.arg("--out").arg(&out).arg("--lock").arg(&lock).stderr(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn()?;
    let mut stderr = BufReader::new(child.stderr.take().ok_or("no stderr")?);
    let mut line = String::new();
    // Nothing is said of the machine before it waits.
    stderr.read_line(&mut line)?;
    assert!(line.contains("waiting for"), "{line}");
    let released = unix_ms();
    drop(held);
    assert!(child.wait()?.success());
    let session = common::lines(&out).into_iter().find_map(|line| match line {
        Line::Session(session) => Some(session),
        _ => None,
    });
    assert!(session.is_some_and(|session| session.started_unix_ms >= released));
    Ok(())
}
