//! Every message that a fault ends in, word for word: what is wrong, where, and what to do.
//!
//! `WSBENCH_BLESS=1 cargo test -p wsbench --test errors` writes the file anew; its difference is what a reviewer reads.

// Outside of a `#[test]`, where clippy would allow it: a test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use bench_core::record::Line;
use common::{SHORT, lines, programs, run, trials, wsbench};
use wsbench::{
    lock::{Lock, LockArguments},
    results::Results,
};

#[test]
fn every_message_is_as_it_was_agreed() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    let mut text = String::from(
        "# Messages under faults. DIR is a folder, BIN that of the programs; numbers that change are N.\n",
    );
    let sections: [(&str, Vec<(String, String)>); 5] = [
        ("a run that cannot begin", refused(folder)),
        ("a run that cannot keep its records", unkept(folder)),
        ("result files", damaged(folder)),
        ("a server that misbehaves", misbehaving("servers", SERVERS, folder)),
        ("a client that misbehaves", misbehaving("clients", CLIENTS, folder)),
    ];
    for (section, messages) in sections {
        let _ = write!(text, "\n## {section}\n\n");
        for (fault, message) in messages {
            let _ = writeln!(
                text,
                "{fault}:\n    {}",
                masked(&message, folder).trim_end().replace('\n', "\n    ")
            );
        }
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/errors.txt");
    if std::env::var_os("WSBENCH_BLESS").is_some() {
        fs::write(&golden, &text).unwrap();
    }
    let agreed = fs::read_to_string(&golden).unwrap_or_default();
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

fn refused(folder: &Path) -> Vec<(String, String)> {
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

fn unkept(folder: &Path) -> Vec<(String, String)> {
    let once = format!("run {SHORT} --rows tokio");
    let out = folder.join("kept.ndjson");
    let (code, _, stderr) = run(wsbench(&once).arg("--out").arg(&out));
    assert_eq!(code, 0, "{stderr}");
    vec![
        error("the disk is full", wsbench(&once).args(["--out", "/dev/full"])),
        error("a report cannot be written", wsbench("table --out no/such/report.md").arg(&out)),
    ]
}

fn damaged(folder: &Path) -> Vec<(String, String)> {
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
        ("another version", format!("{session}\n{}\n", with("\"schema\":1", "\"schema\":9"))),
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

fn misbehaving(side: &str, faults: &[&str], folder: &Path) -> Vec<(String, String)> {
    let faulty = format!("faulty@{}", programs().join("runner-faulty").display());
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
    ] {
        text = masked_between(&text, before, after);
    }
    text
}

/// Replaces what stands between two marks by N.
fn masked_between(text: &str, before: &str, after: &str) -> String {
    let Some(start) = text.find(before).map(|place| place + before.len()) else { return text.to_owned() };
    let Some(length) = text[start..].find(after) else { return text.to_owned() };
    format!("{}N{}", &text[..start], &text[start + length..])
}
