//! Every message that a fault ends in, word for word: what is wrong, where, and what to do.
//!
//! `WSBENCH_BLESS=1 cargo test -p wsbench --test errors` writes the file anew; its difference is what a reviewer reads.

// Outside of a `#[test]`, where clippy would allow it: a test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/faults.rs"]
mod survey;

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::{SHORT, lines, programs, run, trials, wsbench};
use nix::sys::signal::Signal;
use survey::{
    READ_ONLY_DISK, RUN, TOO_FEW_PORTS, ended, faulty, has_namespaces, runners_of, send, shell, started,
    until,
};
use trial::record::Line;
use wsbench::{
    analysis::results::Results,
    run::lock::{Lock, LockArguments},
};

/// Faults, and the message that each ended in.
type Messages = Vec<(String, String)>;

#[test]
fn every_message_is_as_it_was_agreed() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    let mut text = String::from(
        "# Messages under faults. DIR is a folder, BIN that of the programs; numbers that change are N.\n",
    );
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/errors.txt");
    let agreed = fs::read_to_string(&golden).unwrap_or_default();
    let sections: [(&str, Option<Messages>); 7] = [
        ("a run that cannot begin", Some(refused(folder))),
        ("a run that cannot keep its records", Some(unkept(folder))),
        ("a machine with other limits", has_namespaces().then(|| limited(folder))),
        ("a run that is interrupted", Some(interrupted(folder))),
        ("result files", Some(damaged(folder))),
        ("a server that misbehaves", Some(misbehaving("servers", SERVERS, folder))),
        ("a client that misbehaves", Some(misbehaving("clients", CLIENTS, folder))),
    ];
    for (section, messages) in sections {
        let heading = format!("\n## {section}\n\n");
        let Some(messages) = messages else {
            println!("not possible here, and taken as agreed: {section}");
            let rest = agreed.split_once(&heading).unwrap().1;
            let _ = write!(text, "{heading}{}", &rest[..rest.find("\n## ").unwrap_or(rest.len())]);
            continue;
        };
        text.push_str(&heading);
        for (fault, message) in messages {
            let _ = writeln!(
                text,
                "{fault}:\n    {}",
                masked(&message, folder).trim_end().replace('\n', "\n    ")
            );
        }
    }
    if std::env::var_os("WSBENCH_BLESS").is_some() {
        fs::write(&golden, &text).unwrap();
        return;
    }
    let differs = text.lines().zip(agreed.lines()).find(|(now, then)| now != then);
    assert!(text == agreed, "{} differs, first in {differs:?}:\n{text}", golden.display());
}

/// The message of a command that ends with an error: its last line.
fn error(fault: &str, command: &mut Command) -> (String, String) {
    let (code, _, stderr) = run(command);
    assert_ne!(code, 0, "{fault}: {stderr}");
    let start = stderr.find("error: ").unwrap_or_default();
    (format!("{fault} (exit code {code})"), stderr[start..].to_owned())
}

fn refused(folder: &Path) -> Messages {
    let cut = folder.join("cut.ndjson");
    fs::write(&cut, "{\"kind\":\"trial\"").unwrap();
    let lock = folder.join("lock");
    let held = Lock::take(&LockArguments { lock: Some(lock.clone()), wait: false }).unwrap();
    let once = format!("run {SHORT} --rows tokio");
    let limited = {
        let mut shell = Command::new("sh");
        let line = "ulimit -n 100; exec \"$0\" run --connections 90";
        shell.args(["-c", line, env!("CARGO_BIN_EXE_wsbench")]).env("WSBENCH_LOCK", common::own_lock());
        shell
    };
    let messages = vec![
        error("another run measures", wsbench(&once).arg("--lock").arg(&lock)),
        error("the lock cannot be opened", wsbench(&once).args(["--lock", "no/such/folder/lock"])),
        error("the result file cannot be made", wsbench(&once).args(["--out", "no/such/folder/out.ndjson"])),
        error("the result file ends within a line", wsbench(&once).arg("--out").arg(&cut)),
        error("too few open files", &mut { limited }),
        error("too little memory", &mut wsbench("run --connections 4000 --read-buffer 64MiB --rows tokio")),
        error("there is nothing to resume", wsbench("run --resume").arg(folder.join("none.ndjson"))),
    ];
    drop(held);
    messages
}

fn unkept(folder: &Path) -> Messages {
    let once = format!("run {SHORT} --rows tokio");
    let out = folder.join("kept.ndjson");
    let (code, _, stderr) = run(wsbench(&once).arg("--out").arg(&out));
    assert_eq!(code, 0, "{stderr}");
    vec![
        error("the disk is full", wsbench(&once).args(["--out", "/dev/full"])),
        error("a report cannot be written", wsbench("table --out no/such/report.md").arg(&out)),
    ]
}

/// In namespaces of their own.
fn limited(folder: &Path) -> Messages {
    let disk = folder.join("disk");
    fs::create_dir(&disk).unwrap();
    vec![
        error("too few ports", &mut shell("-Urn", TOO_FEW_PORTS)),
        error("the disk is read-only", shell("-Urm", READ_ONLY_DISK).env("DISK", &disk)),
    ]
}

fn interrupted(folder: &Path) -> Messages {
    let signalled = |signal: Signal| {
        let mut command = wsbench(&format!("run {SHORT} --trial-timeout 600s --rows"));
        let out = folder.join(format!("{signal}.ndjson"));
        let child = started(command.arg(faulty()).env("WSBENCH_FAULT", "hang"), &out, 1);
        until("a runner", || !runners_of(&command).is_empty());
        send(&child, signal);
        let (code, _, stderr) = ended(child);
        let said = stderr.lines().find(|line| line.starts_with(signal.as_str()));
        (format!("{signal} (exit code {code})"), said.unwrap_or(&stderr).to_owned())
    };
    let vanished = || {
        let (results, rescue) = (folder.join("results"), folder.join("tmp"));
        fs::create_dir(&results).unwrap();
        fs::create_dir(&rescue).unwrap();
        let mut command = wsbench(RUN);
        let child = started(command.env("TMPDIR", &rescue), &results.join("out.ndjson"), 2);
        fs::remove_dir_all(&results).unwrap();
        let (code, _, stderr) = ended(child);
        let start = stderr.find("error: ").unwrap_or_default();
        (format!("the folder of the records vanishes (exit code {code})"), stderr[start..].to_owned())
    };
    vec![signalled(Signal::SIGINT), signalled(Signal::SIGTERM), vanished()]
}

fn damaged(folder: &Path) -> Messages {
    let sound = fs::read_to_string(folder.join("kept.ndjson")).unwrap();
    let bare = |line: &str| format!("{}}}", &line[..line.rfind(",\"checksum\"").unwrap()]);
    let lines: Vec<String> = sound.lines().map(bare).collect();
    let [session, trial, ..] = &lines[..] else { panic!("a session and a trial") };
    let sealed = sound.lines().nth(1).unwrap().replacen("\"units\":200", "\"units\":201", 1);
    let with = |from: &str, to: &str| trial.replacen(from, to, 1);
    let machine = with("\"machine\":{\"host\":\"", "\"machine\":{\"host\":\"other-");
    let cases = [
        ("the file is empty", String::new()),
        ("a line without its end", format!("{session}\n{{\"kind\":\"tri")),
        ("no JSON", format!("{session}\ngarbage\n")),
        ("a bit has flipped", format!("{session}\n{sealed}\n")),
        ("another version", format!("{session}\n{}\n", with("\"schema\":2", "\"schema\":9"))),
        ("a negative number", format!("{session}\n{}\n", with("\"units\":200", "\"units\":-200"))),
        ("not a number", format!("{session}\n{}\n", with("\"units\":200", "\"units\":NaN"))),
        ("a number too large", format!("{session}\n{}\n", with("\"round\":0", "\"round\":4294967295"))),
        ("the same trial twice", format!("{session}\n{trial}\n{trial}\n")),
        ("another machine", format!("{session}\n{machine}\n")),
        ("a histogram that is none", format!("{session}\n{}\n", with("\"hdr\":\"", "\"hdr\":\"!"))),
        ("too many rounds", format!("{}\n", session.replacen("\"rounds\":1", "\"rounds\":4000", 1))),
    ];
    let path = folder.join("damaged.ndjson");
    cases
        .into_iter()
        .map(|(fault, text)| {
            fs::write(&path, text).unwrap();
            let problems = Results::read(&[&path]).problems;
            assert_eq!(problems.len(), 1, "{fault}: {problems:?}");
            (fault.to_owned(), problems[0].clone())
        })
        .collect()
}

/// Faults whose message does not depend on who notices first.
const SERVERS: &[&str] = &[
    "early-exit",
    "never-ready",
    "garbage",
    "binary",
    "negative",
    "not-a-number",
    "out-of-turn",
    "endless-line",
    "count",
    "bytes",
    "dropped",
    "open",
    "never-stops",
    "wrong-pid",
];

const CLIENTS: &[&str] = &[
    "client-early-exit",
    "client-hang",
    "client-garbage",
    "client-out-of-turn",
    "client-endless-line",
    "client-closes-stdout",
    "client-units",
    "client-count",
    "client-samples",
    "client-histogram",
];

fn misbehaving(side: &str, faults: &[&str], folder: &Path) -> Messages {
    let faulty = faulty();
    let message = |fault: &str| {
        let out: PathBuf = folder.join(format!("{fault}.ndjson"));
        let mut command = wsbench(&format!("run {SHORT} --trial-timeout 8s --pairs {side}"));
        command.env("WSBENCH_FAULT", fault).arg("--rows").arg(&faulty).arg("--out").arg(&out);
        let (code, _, stderr) = run(&mut command);
        assert_eq!(code, 5, "{fault}: {stderr}");
        assert!(matches!(lines(&out)[0], Line::Session(_)));
        let error = trials(&out)[0].error.as_ref().unwrap().to_string();
        // How the process ended by itself, and its stderr: in the test of faults, because who is first is chance.
        let first = error.split("; the ").next().unwrap_or_default();
        (fault.to_owned(), first.to_owned())
    };
    // Side by side, because some of them wait for the trial's limit.
    std::thread::scope(|scope| {
        let threads: Vec<_> = faults.iter().map(|fault| scope.spawn(move || message(fault))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// A message without what differs from machine to machine and from run to run.
fn masked(message: &str, folder: &Path) -> String {
    let mut text = message.replace(&folder.display().to_string(), "DIR") + "\n";
    text = text.replace(&programs().display().to_string(), "BIN");
    text = text.replace(&std::env::current_exe().unwrap().display().to_string(), "BIN/test");
    for (before, after) in [
        ("error: process ", " ("),
        ("process N (`", "`"),
        ("since ", "`"),
        ("since ", ")"),
        ("this machine has ", " MiB"),
        ("line 1 column ", "\n"),
        ("200 in ", " ns"),
        ("200 in ", " ns"),
        ("201 in ", " ns"),
        ("another machine than its run (", ")"),
        ("the one that was started (", ")"),
    ] {
        text = masked_between(&text, before, after);
    }
    // It is named twice.
    let mut parts = text.split("wsbench-rescued-");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + "wsbench-rescued-N" + part.trim_start_matches(|letter: char| letter.is_ascii_digit())
    })
}

/// Replaces what stands between two marks by N.
fn masked_between(text: &str, before: &str, after: &str) -> String {
    let Some(start) = text.find(before).map(|place| place + before.len()) else { return text.to_owned() };
    let Some(length) = text[start..].find(after) else { return text.to_owned() };
    format!("{}N{}", &text[..start], &text[start + length..])
}
