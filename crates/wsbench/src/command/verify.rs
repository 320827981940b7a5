//! `verify`: does a row answer, and ask, as the WebSocket protocol wants it? Asked before anything is timed.

use std::{path::PathBuf, sync::mpsc, thread, time::Duration};

use bench_core::{row::BuildInfo, spec::Workload};
use clap::Args;
use trial::Program;

use crate::{
    exit::{INCOMPLETE, OK, Stop, VERIFICATION},
    output::print::print,
    run::{request::AVAILABLE, rows::Finder},
};

mod clients;
mod described;
mod endpoint;
pub mod fault;
mod findings;
mod frames;
mod messages;
#[cfg(target_os = "linux")]
mod process;
mod running;
mod server;
pub mod wire;

pub use server::basics;

use findings::Findings;

/// A row that takes longer than this is announced.
const SLOW: Duration = Duration::from_secs(2);

/// Flags of `verify`.
#[derive(Args, Clone, Debug)]
pub struct VerifyArguments {
    /// Rows: `available`, `all`, names, ROW@PATH, or your own server: exec:COMMAND with {port}, or @FILE
    #[arg(value_name = "ROW", default_value = AVAILABLE)]
    rows: Vec<String>,
    /// Folder of the runners; beside wsbench's own executable when not given
    #[arg(long, value_name = "DIR", env = "WSBENCH_RUNNER_DIR")]
    runner_dir: Option<PathBuf>,
}

/// Verifies rows, prints a line for each, and returns the exit code.
///
/// # Errors
/// When a row is unknown or its program is not a runner.
pub fn verify(arguments: &VerifyArguments, build: BuildInfo) -> Result<u8, Stop> {
    let finder = Finder::new(arguments.runner_dir.clone(), build)?;
    let rows = finder.select(&arguments.rows)?;
    let mut text = String::new();
    let mut failed = false;
    let mut is_incomplete = rows.missing;
    for program in &rows.programs {
        if program.exec.as_ref().is_some_and(|exec| exec.tls.is_some() || exec.needs_special_handshake()) {
            is_incomplete = true;
            text += &format!(
                "{}: not verified: the checks have no TLS, no headers and no subprotocols\n",
                program.row
            );
            continue;
        }
        let (sound, lines) = verify_row(program);
        failed |= !sound;
        text += &lines;
    }
    for (row, reason) in &rows.unavailable {
        text += &format!("{row}: not available: {reason}\n");
    }
    print(&text);
    if rows.programs.is_empty() {
        return Err(Stop::failed("no row can be verified"));
    }
    Ok(match (failed, is_incomplete) {
        (true, _) => VERIFICATION,
        (false, true) => INCOMPLETE,
        (false, false) => OK,
    })
}

/// Whether a row is sound, and the lines about it.
fn verify_row(program: &Program) -> (bool, String) {
    let finished = announce_when_slow(&program.row);
    let described = match program.exec {
        None => described::described(program),
        // Nobody asks a command what it is.
        Some(_) => Findings::default(),
    };
    let server = server::server(program);
    let drives = program.info.workloads.contains(&Workload::PingPong);
    let client = if drives { clients::client(program) } else { Findings::default() };
    drop(finished);
    let row = &program.row;
    let parts = [&server, &client, &described];
    let sound = parts.iter().all(|findings| findings.faults.is_empty());
    let mut text = String::new();
    if sound {
        let of_client = if drives { format!("client {}", client.checks) } else { "no client".to_owned() };
        let of_parts = match program.exec {
            None => format!(" (server {}, {of_client}, description {})", server.checks, described.checks),
            Some(_) => String::new(),
        };
        let all = parts.iter().map(|findings| findings.checks).sum::<usize>();
        text += &format!("{row}: all {all} checks passed{of_parts}\n");
    }
    for fault in parts.iter().flat_map(|findings| &findings.faults) {
        text += &format!("{row}: FAILED: {fault}\n");
    }
    for note in parts.iter().flat_map(|findings| &findings.notes) {
        text += &format!("{row}: note: {note}\n");
    }
    (sound, text)
}

/// Says on stderr what takes so long, unless the returned end is dropped before.
fn announce_when_slow(row: &str) -> mpsc::Sender<()> {
    let (finished, waiting) = mpsc::channel();
    let row = row.to_owned();
    thread::spawn(move || {
        if waiting.recv_timeout(SLOW) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("verifying {row} …");
        }
    });
    finished
}
