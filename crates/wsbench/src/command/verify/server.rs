//! Checks of a row's server.

use std::{net::SocketAddr, time::Instant};

use bench_core::{payload::Class, protocol::ServerReport, stack::upgrade::Additions, tally::Tally};
use trial::{Program, probe};

#[cfg(target_os = "linux")]
use super::process;
use super::{
    endpoint::Endpoint,
    fault::{Fault, fault},
    findings::{Findings, LIMIT, TIMED_OUT_CHECKS},
    frames, messages,
    running::Running,
};

/// One check of a server.
struct Check {
    name: &'static str,
    scope: Scope,
    concerns: Concerns,
    run: Run,
}

type Run = fn(Endpoint<'_>, Instant) -> Result<(), Fault>;

/// Which servers a check concerns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Concerns {
    /// All: it is about the WebSocket protocol.
    Every,
    /// Those of runners: it is about the services and limits that they have in common.
    Runners,
}

/// When a check is made.
#[derive(Clone, Copy)]
enum Scope {
    /// Always; it shows in little time whether a server is unharmed.
    Basic,
    /// Whenever a row is verified.
    Full,
    /// The same, where the row offers this service.
    Service(&'static str),
}

const fn basic(name: &'static str, run: Run) -> Check {
    Check { name, scope: Scope::Basic, concerns: Concerns::Every, run }
}

const fn full(name: &'static str, run: Run) -> Check {
    Check { name, scope: Scope::Full, concerns: Concerns::Every, run }
}

const fn of_runners(check: Check) -> Check {
    Check { concerns: Concerns::Runners, ..check }
}

const fn of_service(name: &'static str, service: &'static str, run: Run) -> Check {
    Check { name, scope: Scope::Service(service), concerns: Concerns::Runners, run }
}

const CHECKS: &[Check] = &[
    basic("handshake and nonce echo", |server, deadline| {
        let url = format!("ws://{}{}", server.addr, server.echo);
        let limit = deadline.saturating_duration_since(Instant::now());
        Ok(probe::echo_nonce_of(server.addr, &url, &Additions::default(), None, limit)?)
    }),
    full("forms of the handshake", frames::handshake_forms),
    of_runners(basic("unknown paths are refused", messages::unknown_path)),
    basic("order of 1,000 messages", messages::order),
    basic("text and binary", messages::kinds),
    full("empty message", |server, deadline| messages::echo(server, deadline, &[0])),
    full("forms of the length", |server, deadline| messages::echo(server, deadline, &[125, 126, 127])),
    basic("64 KiB", |server, deadline| messages::echo(server, deadline, &[65_535, 65_536])),
    full("1 MiB", |server, deadline| messages::echo(server, deadline, &[1 << 20])),
    of_runners(full("the largest message, 16 MiB", frames::largest)),
    of_runners(full("over 16 MiB is refused", frames::too_large)),
    basic("fragments", frames::fragments),
    basic("ping", messages::ping),
    full("pings between fragments", frames::pings_between_fragments),
    full("byte by byte", frames::byte_by_byte),
    full("split anywhere", frames::split_anywhere),
    full("100 messages in one segment", frames::in_one_segment),
    basic("close", messages::close),
    full("close codes and reasons", frames::closes),
    full("invalid closes are refused", frames::invalid_closes),
    full("invalid UTF-8 is refused", frames::invalid_utf8),
    full("an unmasked frame is refused", frames::unmasked_frame),
    full("reserved opcodes and bits are refused", frames::reserved),
    full("frames out of sequence are refused", frames::out_of_sequence),
    // After everything that should have done no harm.
    full("counted messages", messages::counted),
    of_service("sink", "sink", messages::sink),
    of_service("push", "push", messages::push),
    of_service("fan-out", "subscribe", messages::fan_out),
];

/// Whether the server at `addr` answers as it should, by a part of the checks.
///
/// # Errors
/// With the check that failed, and why.
pub fn basics(addr: SocketAddr, deadline: Instant) -> Result<(), Fault> {
    let mut checks = CHECKS.iter().filter(|check| matches!(check.scope, Scope::Basic));
    checks.try_for_each(|Check { name, run, .. }| {
        run(addr.into(), deadline).map_err(|reason| fault!("{name}: {reason}"))
    })
}

/// What is wrong with a row's server.
pub(super) fn server(program: &Program) -> Findings {
    let mut findings = Findings::default();
    let mut server = match Running::start(program) {
        Ok(server) => server,
        Err(reason) => {
            findings.add("start", Err(reason));
            return findings;
        }
    };
    let path = program.exec.as_ref().map(|exec| exec.path());
    let mut endpoint = Endpoint::from(server.addr());
    endpoint.echo = path.as_deref().unwrap_or(endpoint.echo);
    let offers = |service: &str| program.info.services.iter().any(|own| own == service);
    let is_due = |check: &&Check| {
        let concerns_it = program.exec.is_none() || check.concerns == Concerns::Every;
        concerns_it
            && match check.scope {
                Scope::Basic | Scope::Full => true,
                Scope::Service(service) => offers(service),
            }
    };
    let mut timed_out = 0;
    for Check { name, run, .. } in CHECKS.iter().filter(is_due) {
        let started = Instant::now();
        findings.add(name, run(endpoint, started + LIMIT));
        timed_out += usize::from(started.elapsed() >= LIMIT);
        if timed_out == TIMED_OUT_CHECKS {
            let reason = format!("{name} was the last: {timed_out} checks took {} s each", LIMIT.as_secs());
            findings.add("server", Err(Fault::Wrong(reason)));
            findings.note_stderr("server", &server.said());
            return findings;
        }
    }
    let sound = findings.faults.is_empty();
    let stopped = server.stop();
    if program.exec.is_some() {
        findings.add("end", stopped.map(drop));
        findings.notes.push(
            "its counts, its limits, and its process were not checked: those are checks of runners"
                .to_owned(),
        );
        return findings;
    }
    let stops = stopped.is_ok();
    let result = stopped.and_then(|report| match report.panics {
        0 if sound => counts(&report),
        // What was lost in a check that failed cannot have been counted.
        0 => Ok(()),
        panics => Err(fault!("{panics} panics in the server")),
    });
    findings.add("counts and end", result);
    if stops {
        if !findings.faults.is_empty() {
            findings.note_stderr("server", &server.said());
        }
        // One that does not stop would only not stop again.
        #[cfg(target_os = "linux")]
        process::checks(program, &mut findings);
        #[cfg(not(target_os = "linux"))]
        findings.notes.push("the accept queue, TCP_NODELAY and threads are checked on Linux only".to_owned());
    }
    findings
}

/// The server has counted what was sent to it, where that is known.
fn counts(served: &ServerReport) -> Result<(), Fault> {
    if served.tally == Tally::default() {
        return Err(fault!(
            "`served` counts nothing: its tally is empty, and {} measured messages came",
            messages::COUNTED
        ));
    }
    // Of all checks, those on the handshake alone open more.
    if served.upgraded == 0 || served.accepted < served.upgraded {
        return Err(fault!(
            "`served` counts {} accepted connections, of which {} were upgraded; dozens were opened",
            served.accepted,
            served.upgraded
        ));
    }
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
                return Err(fault!(
                    "{messages} {class} messages were {way} by the server, and it counted {got_messages} ({got_bytes} B)"
                ));
            }
        }
    }
    if served.open_at_end > 0 {
        return Err(fault!("{} connections were still open at the end", served.open_at_end));
    }
    Ok(())
}
