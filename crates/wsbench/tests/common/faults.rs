//! What the tests of faults share: after every fault nothing is lost and nothing lives on.

// Each test program uses its own part of this.
#![allow(dead_code)]
// Outside of a `#[test]`, where clippy would allow it: a test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use trial::record::Line;

use crate::common::{lines, own_lock, programs};

/// Longest time for anything that a test waits for by looking.
pub const SOON: Duration = Duration::from_secs(60);

/// Two rows and the twin, a tenth of a second a trial: enough of them that the run is not over before it is disturbed.
pub const RUN: &str = "run --messages 2000 --warm-up 5ms --rounds 12 --seed 1 --rows tokio,smol";

/// A run with fewer ports than connections, for a [`shell`] in a network of its own.
pub const TOO_FEW_PORTS: &str = "echo '40000 40099' >/proc/sys/net/ipv4/ip_local_port_range || exit 99\n\
    exec \"$WSBENCH\" run --connections 101 --rounds 1 --rows tokio";

/// A run onto a disk that cannot be written, mounted on the folder `$DISK`, for a [`shell`] with mounts of its own.
pub const READ_ONLY_DISK: &str = "mount -t tmpfs none \"$DISK\" && mount -o remount,ro \"$DISK\" || exit 99\n\
    exec \"$WSBENCH\" run --messages 200 --rounds 1 --rows tokio --out \"$DISK/out.ndjson\"";

/// The row `faulty`, as the command line names it.
pub fn faulty() -> String {
    format!("faulty@{}", programs().join("runner-faulty").display())
}

/// Waits until something is so.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come to be");
        std::thread::yield_now();
    }
}

/// Runners that a command has started and that live: its lock, which no other command has, is in their environment.
pub fn runners_of(command: &Command) -> Vec<u32> {
    let lock = command.get_envs().find(|(name, _)| *name == "WSBENCH_LOCK").and_then(|(_, value)| value);
    let mark =
        format!("WSBENCH_LOCK={}", lock.expect("every command of a test has its lock").to_string_lossy());
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let is_runner =
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("runner-"));
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        is_runner && environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    })
    .collect()
}

/// Fails when a fault has lost records or left processes behind, and tells `scripts/faults`, which sums up.
///
/// `expected` is how many trials were finished, and so have to be in the file.
pub fn survey(fault: &str, command: &Command, out: &Path, expected: usize) {
    let found = if out.is_file() {
        lines(out).iter().filter(|line| matches!(line, Line::Trial(_))).count()
    } else {
        0
    };
    let lost = expected.saturating_sub(found);
    // A process that was killed is gone in no time, and one that hangs never: this is no question of speed.
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut leaked = runners_of(command);
    while !leaked.is_empty() && Instant::now() < deadline {
        std::thread::yield_now();
        leaked = runners_of(command);
    }
    if let Some(report) = std::env::var_os("WSBENCH_FAULTS_REPORT") {
        let mut report = fs::OpenOptions::new().append(true).create(true).open(report).unwrap();
        report.write_all(format!("{fault}\t{lost}\t{}\n", leaked.len()).as_bytes()).unwrap();
    }
    assert_eq!((lost, leaked.len()), (0, 0), "{fault}: lost records and leaked processes ({leaked:?})");
}

/// Whether this user may make namespaces, for disks and port ranges that break nobody else's.
pub fn has_namespaces() -> bool {
    let mut command = Command::new("unshare");
    command.args(["-Urmn", "sh", "-c", "mount -t tmpfs none /mnt"]);
    command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// A run that goes on; a test that fails in between leaves it to nobody.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a run and waits until its file has some lines.
pub fn started(command: &mut Command, out: &Path, lines: usize) -> Running {
    let mut child = command
        .arg("--out")
        .arg(out)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map(Running)
        .unwrap();
    until("a record", || {
        assert!(child.0.try_wait().unwrap().is_none(), "it ended early");
        fs::read_to_string(out).unwrap_or_default().lines().count() >= lines
    });
    child
}

/// Sends a signal to a run.
pub fn send(child: &Running, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.0.id()).unwrap()), signal).unwrap();
}

/// Waits for the end: exit code, stdout and stderr.
pub fn ended(mut child: Running) -> (i32, String, String) {
    let (stdout, stderr) = (child.0.stdout.take().unwrap(), child.0.stderr.take().unwrap());
    // Side by side, so that neither pipe fills up while the other one is read.
    let stderr = thread::spawn(|| io::read_to_string(stderr).unwrap());
    let stdout = io::read_to_string(stdout).unwrap();
    let status = child.0.wait().unwrap();
    (status.code().unwrap_or(-1), stdout, stderr.join().unwrap())
}

/// A shell in namespaces of its own, whose mounts and settings end with it.
pub fn shell(namespaces: &str, script: &str) -> Command {
    programs();
    let mut command = Command::new("unshare");
    command.args([namespaces, "sh", "-c", script]).env("WSBENCH", env!("CARGO_BIN_EXE_wsbench"));
    command.env("WSBENCH_LOCK", own_lock());
    command
}
