//! `verify`: does a row answer, and ask, as the WebSocket protocol wants it? Asked before anything is timed.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use bench_core::{
    ServeSpec,
    payload::Class,
    protocol::Event,
    runner::BuildInfo,
    service::Served,
    spec::{SocketSpec, Workload},
    trial::{Peer, Program, probe, process::Process},
};
use clap::Args;

use crate::{
    exit::{INCOMPLETE, OK, Stop, VERIFICATION},
    output::print::print,
    run::rows::{AVAILABLE, Finder},
};

mod clients;
mod findings;
mod frames;
mod messages;
pub mod wire;

use findings::{Findings, LIMIT, TIMED_OUT_CHECKS};

/// Longest time for the server of a row.
const SERVER_LIMIT: Duration = Duration::from_secs(120);

/// A row that takes longer than this is announced.
const SLOW: Duration = Duration::from_secs(2);

/// Flags of `verify`.
#[derive(Args, Clone, Debug)]
pub struct VerifyArguments {
    /// Rows: `available`, `all`, names, or ROW@PATH
    #[arg(value_name = "ROW", default_value = AVAILABLE)]
    rows: Vec<String>,
    /// Folder of the runners; beside wsbench's own executable when not given
    #[arg(long, value_name = "DIR", env = "WSBENCH_RUNNER_DIR")]
    runner_dir: Option<PathBuf>,
}

type Check = (&'static str, fn(SocketAddr, Instant) -> Result<(), String>);

const ECHO_CHECKS: &[Check] = &[
    ("handshake and nonce echo", |addr, deadline| {
        probe::echo_nonce(addr, None, deadline.saturating_duration_since(Instant::now()))
    }),
    ("forms of the handshake", frames::handshake_forms),
    ("unknown paths are refused", messages::unknown_path),
    ("order of 1,000 messages", messages::order),
    ("text and binary", messages::kinds),
    ("empty message", |addr, deadline| messages::echo(addr, deadline, &[0])),
    ("forms of the length", |addr, deadline| messages::echo(addr, deadline, &[125, 126, 127])),
    ("64 KiB", |addr, deadline| messages::echo(addr, deadline, &[65_535, 65_536])),
    ("1 MiB", |addr, deadline| messages::echo(addr, deadline, &[1 << 20])),
    ("the largest message, 16 MiB", frames::largest),
    ("over 16 MiB is refused", frames::too_large),
    ("fragments", frames::fragments),
    ("ping", messages::ping),
    ("pings between fragments", frames::pings_between_fragments),
    ("byte by byte", frames::byte_by_byte),
    ("split anywhere", frames::split_anywhere),
    ("100 messages in one segment", frames::in_one_segment),
    ("close", messages::close),
    ("close codes and reasons", frames::closes),
    ("invalid closes are refused", frames::invalid_closes),
    ("invalid UTF-8 is refused", frames::invalid_utf8),
    ("an unmasked frame is refused", frames::unmasked_frame),
    ("reserved opcodes and bits are refused", frames::reserved),
    ("frames out of sequence are refused", frames::out_of_sequence),
    // After everything that should have done no harm.
    ("counted messages", messages::counted),
];

/// Those of them that show in little time whether a server is unharmed.
const BASICS: &[&str] = &[
    "handshake and nonce echo",
    "unknown paths are refused",
    "order of 1,000 messages",
    "text and binary",
    "64 KiB",
    "fragments",
    "ping",
    "close",
];

/// Whether the server at `addr` answers as it should, by a part of the checks.
///
/// # Errors
/// With the check that failed, and why.
pub fn basics(addr: SocketAddr, deadline: Instant) -> Result<(), String> {
    let mut checks = ECHO_CHECKS.iter().filter(|(name, _)| BASICS.contains(name));
    checks.try_for_each(|(name, check)| check(addr, deadline).map_err(|reason| format!("{name}: {reason}")))
}

/// Checks of services that a row may leave out.
const SERVICE_CHECKS: &[(&str, Check)] = &[
    ("sink", ("sink", messages::sink)),
    ("push", ("push", messages::push)),
    ("subscribe", ("fan-out", messages::fan_out)),
];

/// Verifies rows, prints a line for each, and returns the exit code.
///
/// # Errors
/// When a row is unknown or its runner is none.
pub fn verify(arguments: &VerifyArguments, build: BuildInfo) -> Result<u8, Stop> {
    let finder = Finder::new(arguments.runner_dir.clone(), build)?;
    let rows = finder.select(&arguments.rows)?;
    let mut text = String::new();
    let mut failed = false;
    for program in &rows.programs {
        let finished = announce_when_slow(&program.row);
        let server = server(program);
        let drives = program.info.workloads.contains(&Workload::PingPong);
        let client = if drives { clients::client(program) } else { Findings::default() };
        drop(finished);
        let faults: Vec<String> = server.faults.into_iter().chain(client.faults).collect();
        failed |= !faults.is_empty();
        if faults.is_empty() {
            let client_checks =
                if drives { format!("client {}", client.checks) } else { "no client".to_owned() };
            text += &format!(
                "{}: all {} checks passed (server {}, {client_checks})\n",
                program.row,
                server.checks + client.checks,
                server.checks
            );
        }
        for fault in faults {
            text += &format!("{}: FAILED: {fault}\n", program.row);
        }
    }
    for (row, reason) in &rows.unavailable {
        text += &format!("{row}: not available: {reason}\n");
    }
    print(&text);
    if rows.programs.is_empty() {
        return Err(Stop::failed("no row can be verified"));
    }
    Ok(match (failed, rows.missing) {
        (true, _) => VERIFICATION,
        (false, true) => INCOMPLETE,
        (false, false) => OK,
    })
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

/// What is wrong with a row's server.
fn server(program: &Program) -> Findings {
    let mut findings = Findings::default();
    let (mut server, addr) = match start(program) {
        Ok(started) => started,
        Err(reason) => {
            findings.add("start", Err(format!("the server {reason}")));
            return findings;
        }
    };
    let offered = |service: &str| program.info.services.iter().any(|own| own == service);
    let services = SERVICE_CHECKS.iter().filter(|(service, _)| offered(service)).map(|(_, check)| check);
    let mut timed_out = 0;
    for (name, check) in ECHO_CHECKS.iter().chain(services) {
        let started = Instant::now();
        findings.add(name, check(addr, started + LIMIT));
        timed_out += usize::from(started.elapsed() >= LIMIT);
        if timed_out == TIMED_OUT_CHECKS {
            let reason = format!("{name} was the last: {timed_out} checks took {} s each", LIMIT.as_secs());
            findings.add("server", Err(reason));
            return findings;
        }
    }
    let sound = findings.faults.is_empty();
    server.end_input();
    let served = match server.event() {
        Ok(Event::Served(served)) => server.wait().map(|()| served),
        Ok(_) => Err("reported something else than its counts".to_owned()),
        Err(reason) => Err(reason),
    };
    let result = served.map_err(|reason| format!("the server {reason}")).and_then(|served| {
        match served.panics {
            0 if sound => counts(&served),
            // What was lost in a check that failed cannot have been counted.
            0 => Ok(()),
            panics => Err(format!("{panics} panics in the server")),
        }
    });
    findings.add("counts and end", result);
    findings
}

fn start(program: &Program) -> Result<(Process, SocketAddr), String> {
    let defaults = SocketSpec::default();
    let socket = SocketSpec { flush: program.info.flush_for(defaults.flush), ..defaults };
    let spec = ServeSpec::on_loopback(1, socket);
    let mut server = Process::launch(program.command("serve", spec.to_args()), &[], SERVER_LIMIT)?;
    match server.event()? {
        Event::Listening { addr, .. } => Ok((server, addr)),
        _ => Err("reported something else than that it listens".to_owned()),
    }
}

/// The server has counted what was sent to it, where that is known.
fn counts(served: &Served) -> Result<(), String> {
    for (class, messages, bytes) in [
        (Class::Measured, messages::COUNTED, Some(messages::COUNTED * messages::COUNTED_BYTES)),
        // The nonce's length is its own affair.
        (Class::Probe, 1, None),
    ] {
        let count = served.tally.class(class);
        for (way, got_messages, got_bytes) in [
            ("received", count.received_messages, count.received_bytes),
            ("sent", count.sent_messages, count.sent_bytes),
        ] {
            if got_messages != messages || bytes.is_some_and(|bytes| got_bytes != bytes) {
                return Err(format!(
                    "{messages} {class} messages were {way} by the server, and it counted {got_messages} ({got_bytes} B)"
                ));
            }
        }
    }
    if served.open_at_end > 0 {
        return Err(format!("{} connections were still open at the end", served.open_at_end));
    }
    Ok(())
}
