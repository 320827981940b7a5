//! One test body for every Rust row: hostile peers of its server, hostile servers of its client, and much at once.
//!
//! After each the server still answers, its open files are back at the start, its memory is bounded, and it has not
//! written a line for each packet. `WSBENCH_PEERS=full` is the long form, which `scripts/faults` runs.

// Outside of a `#[test]`, where clippy would allow it: a test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod attacks;
mod clients;
mod heavy;
mod server;

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use attacks::{FILES, MOST, Outcome, PANICS, Size};
use bench_core::{ServeSpec, protocol::ServerReport, service::PANICS_ON_REQUEST, spec::SocketSpec};
use libtest_mimic::{Arguments, Failed, Trial};
use server::{PATIENCE, Server};
use trial::{DescribeError, Program};
use wsbench::{command::verify::basics, run::rows::registry};

/// Memory that a server may gain by an attack that should leave nothing behind: buffers of many connections, and what an
/// allocator keeps.
const LITTLE: u64 = 48 << 20;

/// The same where every one of many connections may hold a message.
const MUCH: u64 = 256 << 20;

/// A hostile peer, and what the server is like that meets it.
#[derive(Clone, Copy)]
struct Peer {
    name: &'static str,
    attack: fn(&Server, Size) -> Outcome,
    change: fn(&mut ServeSpec),
    most_bytes: u64,
    /// What the server has to have counted.
    counted: fn(&ServerReport) -> bool,
}

const fn peer(name: &'static str, attack: fn(&Server, Size) -> Outcome) -> Peer {
    Peer { name, attack, change: |_| {}, most_bytes: LITTLE, counted: |_| true }
}

fn soon(spec: &mut ServeSpec) {
    spec.socket.handshake_timeout_ms = 1_000;
    spec.socket.idle_timeout_ms = 1_000;
}

fn small_messages(spec: &mut ServeSpec) {
    (spec.socket.max_message_bytes, spec.socket.max_frame_bytes) = (64 << 10, 64 << 10);
}

const PEERS: &[Peer] = &[
    peer("silent", attacks::silent),
    Peer { change: soon, ..peer("silent-until-ended", attacks::silent_until_ended) },
    Peer { change: soon, ..peer("crumbs", attacks::crumbs) },
    peer("huge-header", attacks::huge_header),
    peer("many-headers", attacks::many_headers),
    peer("bytewise-header", attacks::bytewise_header),
    peer("other-protocols", attacks::other_protocols),
    Peer { change: small_messages, ..peer("oversized", attacks::oversized) },
    peer("fragments", attacks::fragments),
    peer("ping-flood", attacks::ping_flood),
    peer("broken-frames", attacks::broken_frames),
    peer("no-close-frame", attacks::no_close_frame),
    peer("reset-within-a-frame", attacks::reset_within_a_frame),
    Peer { change: soon, counted: |served| served.idle_ended > 0, ..peer("vanished", attacks::vanished) },
    peer("paused", attacks::paused),
    Peer {
        change: soon,
        most_bytes: MUCH,
        counted: |served| served.idle_ended > 0,
        ..peer("never-reads-pushes", attacks::never_reads_pushes)
    },
    Peer {
        change: soon,
        most_bytes: MUCH,
        counted: |served| served.idle_ended > 0,
        ..peer("never-reads-echoes", attacks::never_reads_echoes)
    },
    Peer { counted: |served| served.accept_errors > 0, ..peer(NO_FILE_LEFT, attacks::no_file_left) },
    Peer { counted: |served| served.panics == PANICS, ..peer(PANICKING, attacks::panicking_handler) },
    Peer {
        change: |spec| spec.max_connections = MOST,
        counted: |served| served.refused == 2 * MOST,
        ..peer("too-many", attacks::too_many)
    },
];

const NO_FILE_LEFT: &str = "no-file-left";
const PANICKING: &str = "panicking-handler";

fn main() -> std::process::ExitCode {
    let size = Size { full: std::env::var("WSBENCH_PEERS").is_ok_and(|form| form == "full") };
    let reference = Program::describe(&common::programs().join("runner-tokio"), &[], "tokio").map(Arc::new);
    let mut tests = Vec::new();
    for entry in registry() {
        let path = common::programs().join(&entry.program);
        // Rows in other languages have libraries of their own, which are not this workspace's to mend.
        if !path.exists() || entry.program == "runner-python" {
            continue;
        }
        let program = match Program::describe(&path, &[], &entry.name) {
            Ok(program) => Arc::new(program),
            Err(DescribeError::Unavailable(reason)) => {
                eprintln!("{}: not available: {reason}", entry.name);
                continue;
            }
            Err(DescribeError::Broken(reason)) => {
                tests.push(Trial::test(entry.name, move || Err(Failed::from(reason))));
                continue;
            }
        };
        for peer in PEERS {
            let program = program.clone();
            let name = format!("{}::{}", entry.name, peer.name);
            tests.push(Trial::test(name, move || Ok(meet(&program, peer, size)?)));
        }
        for (name, manner) in clients::MANNERS.iter().filter(|_| !program.info.workloads.is_empty()) {
            let program = program.clone();
            let name = format!("{}::{name}", entry.name);
            tests.push(Trial::test(name, move || Ok(clients::meet(&program, *manner, size)?)));
        }
        let Ok(reference) = &reference else { continue };
        for (name, load) in [
            ("10000-connections", heavy::connections as fn(&Program, &Program, Size) -> Outcome),
            ("1000000-round-trips", heavy::round_trips),
        ] {
            let (program, reference) = (program.clone(), reference.clone());
            let name = format!("{}::{name}", entry.name);
            tests.push(Trial::test(name, move || Ok(load(&program, &reference, size)?)));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

fn meet(program: &Program, peer: &Peer, size: Size) -> Outcome {
    let socket =
        SocketSpec { flush: program.info.flush_for(SocketSpec::default().flush), ..SocketSpec::default() };
    let mut spec = ServeSpec::on_loopback(1, socket);
    (peer.change)(&mut spec);
    let files = (peer.name == NO_FILE_LEFT).then_some(FILES);
    let variables: &[_] = if peer.name == PANICKING { &[(PANICS_ON_REQUEST, "1")] } else { &[] };
    let server = Server::start(program, &spec, files, variables)?;

    // What a server makes when it is first used is no leak.
    let first = server.usage()?;
    is_sound(&server).map_err(|reason| format!("before: {reason}"))?;
    server.wait_for_files("before", |files| files <= first.files + 2)?;
    let before = server.usage()?;

    (peer.attack)(&server, size).map_err(|reason| format!("{reason}; it said: {}", server.said()))?;

    is_sound(&server).map_err(|reason| format!("after: {reason}; it said: {}", server.said()))?;
    server.wait_for_files("after", |files| files <= before.files)?;
    let gained = server.usage()?.peak_bytes.saturating_sub(before.peak_bytes);
    if gained > peer.most_bytes {
        return Err(format!("the server's memory grew by {} MiB", gained >> 20));
    }
    let served = server.finish()?;
    if !(peer.counted)(&served) || served.open_at_end > 0 || (peer.name != PANICKING && served.panics > 0) {
        return Err(format!("the server counted {served:?}"));
    }
    Ok(())
}

/// A server that has just been attacked may need a moment; it may not stay unsound.
fn is_sound(server: &Server) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match basics(server.addr, deadline) {
            Ok(()) => return Ok(()),
            Err(reason) if Instant::now() + PATIENCE / 2 > deadline => return Err(reason.to_string()),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}
