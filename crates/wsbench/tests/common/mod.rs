//! What the integration tests share: the real binaries and a folder for each test.

// Each test program uses its own part of this.
#![allow(dead_code)]
// Outside of a `#[test]`, where clippy would allow it: a test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

pub mod synthetic;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use trial::record::{Line, Record};

/// The folder with all programs of this build.
pub fn programs() -> PathBuf {
    let directory = Path::new(env!("CARGO_BIN_EXE_wsbench")).parent().unwrap().to_owned();
    let everywhere =
        ["runner-tokio", "runner-async-std", "runner-smol", "runner-threads", "runner-mio", "runner-faulty"];
    let on_linux = ["runner-monoio", "runner-compio", "runner-glommio"];
    for program in everywhere.into_iter().chain(on_linux.into_iter().filter(|_| cfg!(target_os = "linux"))) {
        let path = directory.join(program);
        assert!(path.exists(), "{} is missing: run `cargo build --workspace` first", path.display());
    }
    directory
}

/// `wsbench` with arguments, separated by white space.
pub fn wsbench(arguments: &str) -> Command {
    programs();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsbench"));
    command.args(arguments.split_whitespace()).env_remove("WSBENCH_RUNNER_DIR").env_remove("WSBENCH_FAULT");
    command.env("WSBENCH_LOCK", own_lock());
    command
}

/// A lock that no other command has: tests measure nothing that matters, and run side by side.
pub fn own_lock() -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let program = std::env::current_exe().unwrap();
    let name = program.file_name().unwrap().to_string_lossy().into_owned();
    let number = COUNT.fetch_add(1, Relaxed);
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{number}.lock"))
}

/// Runs a command and returns exit code, stdout and stderr.
pub fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// The lines of a result file, each of which has to parse.
pub fn lines(path: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(path).unwrap();
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The trials of a result file.
pub fn trials(path: &Path) -> Vec<Record> {
    let trial = |line| match line {
        Line::Trial(record) => Some(record),
        _ => None,
    };
    lines(path).into_iter().filter_map(trial).collect()
}

/// A load that takes milliseconds.
pub const SHORT: &str = "--messages 200 --warm-up 5ms --rounds 1 --seed 1";
