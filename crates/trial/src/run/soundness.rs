//! Whether the reports of a trial that went through its steps can be trusted.

use bench_core::{
    payload::Class,
    protocol::{ClientReport, Measured, ServerReport},
};

/// Why the reports of a trial cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsound {
    /// A client saw a wrong answer, or lost a connection.
    #[error("{first}{}", others(*.failed_connections))]
    ClientSaw { first: String, failed_connections: u64 },
    /// A client counted failures without quoting one.
    #[error("{failed_connections} connections failed and {panics} tasks panicked in the client")]
    ClientFailed { failed_connections: u64, panics: u64 },
    /// A client reported the window twice, and differently.
    #[error(
        "the client first reported {} in {} ns and then {} in {} ns",
        .first.units, .first.elapsed_ns, .then.units, .then.elapsed_ns
    )]
    Contradiction { first: Measured, then: Measured },
    /// The connections were plain where TLS was asked for, or the other way round.
    #[error("the load asks for {} connections, and the client reports {} ones", transport(*.wants_tls), transport(!*.wants_tls))]
    Transport { wants_tls: bool },
    /// A distribution does not decode.
    #[error("the client's report: {0:#}")]
    Distribution(anyhow::Error),
    /// The server disconnected others than those that saw it.
    #[error("the server disconnected {by_server} subscribers by policy, and {seen} saw it")]
    Disconnected { by_server: u64, seen: u64 },
    /// The server dropped others than those that are missing.
    #[error("the server dropped {by_server} messages by policy, and the subscribers missed {missed}")]
    Dropped { by_server: u64, missed: u64 },
    /// The server did not count the readiness check as one message in and out.
    #[error("one message was sent to check readiness, but the server counted {received} in and {sent} out")]
    Probe { received: u64, sent: u64 },
    /// The server counted something that should not happen.
    #[error("the server counted {count} {what}")]
    ServerCounted { count: u64, what: &'static str },
}

fn others(failed_connections: u64) -> String {
    match failed_connections {
        0 | 1 => String::new(),
        many => format!(" (and {} more connections failed)", many - 1),
    }
}

fn transport(tls: bool) -> &'static str {
    if tls { "TLS" } else { "plain" }
}

/// A client saw no error, and its report agrees with what it said of the window and with what it was started with.
pub(super) fn client(report: &ClientReport, measured: Measured, tls: bool) -> Result<(), Unsound> {
    let ClientReport { failed_connections, panics, units, elapsed_ns, .. } = *report;
    if let Some(first) = report.errors.first().cloned() {
        return Err(Unsound::ClientSaw { first, failed_connections });
    }
    if failed_connections > 0 || panics > 0 {
        return Err(Unsound::ClientFailed { failed_connections, panics });
    }
    let then = Measured { units, elapsed_ns };
    if then != measured {
        return Err(Unsound::Contradiction { first: measured, then });
    }
    if tls != report.tls.is_some() {
        return Err(Unsound::Transport { wants_tls: tls });
    }
    let mut distributions = report.series.values().chain(&report.slices);
    distributions
        .try_for_each(|distribution| distribution.histogram().map(drop))
        .map_err(Unsound::Distribution)
}

/// What subscribers missed, and how many were disconnected, is what the server says of its policy. What a disconnected
/// one missed, only the server can tell.
pub(super) fn losses(counted: &ClientReport, server: &ServerReport) -> Result<(), Unsound> {
    let (seen, missed) = (counted.disconnected, counted.missed);
    if seen != server.disconnected {
        return Err(Unsound::Disconnected { by_server: server.disconnected, seen });
    }
    if seen == 0 && missed != server.dropped_messages {
        return Err(Unsound::Dropped { by_server: server.dropped_messages, missed });
    }
    Ok(())
}

/// The server counted nothing that should not happen. Of the connects, `refused` failed as the load allows: the server
/// may have seen as many openings end early.
pub(super) fn server(report: &ServerReport, refused: u64) -> Result<(), Unsound> {
    let probe = report.tally.class(Class::Probe);
    let (received, sent) = (probe.received_messages, probe.sent_messages);
    if (received, sent) != (1, 1) {
        return Err(Unsound::Probe { received, sent });
    }
    let openings = report.handshake_errors + report.protocol_errors + report.io_errors;
    let faults = [
        (report.panics, "panics"),
        (report.open_at_end, "connections that did not close"),
        (report.handshake_errors, "failed handshakes"),
        (report.protocol_errors, "protocol errors"),
        (report.io_errors, "transport errors"),
        (report.refused, "connections beyond the most that it may have"),
        (report.idle_ended, "connections that were idle for too long"),
    ];
    let faults = if openings <= refused { &faults[..2] } else { &faults[..] };
    match faults.iter().find(|(count, _)| *count > 0) {
        None => Ok(()),
        Some((count, what)) => Err(Unsound::ServerCounted { count: *count, what }),
    }
}
