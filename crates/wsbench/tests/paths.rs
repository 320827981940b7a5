//! Paths of files are bytes, and need not be text.

#![cfg(unix)]
// Outside of a `#[test]`, where clippy would allow it: a test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod common;

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

use common::{SHORT, lines, programs, run, wsbench};
use trial::record::Line;

/// A name that is not UTF-8.
fn name(before: &str, after: &str) -> OsString {
    OsString::from_vec([before.as_bytes(), b"\xff", after.as_bytes()].concat())
}

#[test]
fn a_run_takes_paths_that_are_no_text() {
    let directory = tempfile::tempdir().unwrap();
    let path = |before, after| -> PathBuf { directory.path().join(name(before, after)) };
    let (out, lock, runners) = (path("out", ".ndjson"), path("lock", ""), path("runners", ""));
    std::fs::create_dir(&runners).unwrap();
    std::fs::copy(programs().join("runner-tokio"), runners.join("runner-tokio")).unwrap();

    let mut measured = wsbench(&format!("run --rows tokio {SHORT}"));
    measured.arg("--out").arg(&out).arg("--lock").arg(&lock).arg("--runner-dir").arg(&runners);
    let (code, _, stderr) = run(&mut measured);
    assert_eq!(code, 0, "{stderr}");
    let [Line::Session(session), ..] = &lines(&out)[..] else { panic!("a session comes first") };
    assert!(session.command.iter().any(|argument| argument.ends_with("out\u{fffd}.ndjson")), "{session:?}");

    let mut resumed = wsbench("run --resume");
    resumed.arg(&out).arg("--lock").arg(&lock).arg("--runner-dir").arg(&runners);
    let (code, stdout, stderr) = run(&mut resumed);
    assert_eq!(code, 0, "{stdout}{stderr}");
}
