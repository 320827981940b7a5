//! A runner that does not start or does not answer is no reason not to measure the others.

#![cfg(unix)]
// Outside of a `#[test]`, where clippy would allow it: a test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use common::{programs, run, wsbench};

/// A folder with the row threads, and a program for the Python rows that is this text.
fn runners(python: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::copy(programs().join("runner-threads"), directory.path().join("runner-threads")).unwrap();
    let program = directory.path().join("runner-python");
    fs::write(&program, python).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

fn with(folder: &Path, arguments: &str) -> (i32, String, String) {
    run(wsbench(arguments).arg("--runner-dir").arg(folder))
}

#[test]
fn its_rows_are_not_available_and_the_others_are_measured() {
    let plan = "run --scenarios rtt-24 --rounds 1 --reference threads --baseline threads --dry-run";
    for (python, reason) in [
        ("#!/nonexistent/python -I\n", "its interpreter /nonexistent/python is gone"),
        ("#!/bin/sh\n", "`describe` printed nothing"),
        ("#!/bin/sh\nexit 9\n", "`describe` failed: it said nothing"),
        ("this is no program\n", "Exec format error"),
    ] {
        let runners = runners(python);
        let folder = runners.path();
        let command = format!("run `scripts/python-runner {}`", folder.display());
        for rows in ["", "--rows available", "--rows all"] {
            let (code, stdout, stderr) = with(folder, &format!("{plan} {rows}"));
            assert_eq!(code, 0, "{python}: {stderr}");
            assert!(stdout.contains("threads"), "{python}: {stdout}");
            let line = stderr.lines().find(|line| line.contains("python-trio")).unwrap_or_default();
            assert!(line.contains(reason) && line.contains(&command), "{python}: {stdout}{stderr}");
        }
        // Whoever asks for a row by its name wants to know.
        let (code, _, stderr) = with(folder, &format!("{plan} --rows threads,python-trio"));
        assert_eq!(code, 1, "{python}: {stderr}");
        assert!(stderr.contains(reason) && stderr.contains(&command), "{python}: {stderr}");
        let (code, stdout, stderr) = with(folder, "list rows");
        assert_eq!(code, 0, "{python}: {stderr}");
        assert!(stdout.contains("thread for each connection"), "{python}: {stdout}");
    }
}

#[test]
fn verify_goes_on_with_the_others() {
    let runners = runners("#!/nonexistent/python -I\n");
    let (code, stdout, stderr) = with(runners.path(), "verify");
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(
        stdout.contains("threads: all ") && stdout.contains("is gone: run `scripts/python-runner"),
        "{stdout}"
    );
}
