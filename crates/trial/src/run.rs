//! One trial: a server and a client in fresh processes, from start to accounting; and where a scenario has two loads, a
//! second client beside it.
//!
//! The order of steps is written once, in [`run`], over [`Stage`]: the real stage starts processes, and a scripted one
//! tests the order without any process or clock.

use bench_core::{
    DriveSpec, ServeSpec,
    payload::Class,
    protocol::{ClientReport, Event, Measured, ServerReport},
    spec::Role,
    tally::reconcile,
};

use crate::{
    outcome::{BesideOutcome, Edges, Failure, Outcome, Step},
    sample::Sample,
    stage::{Ending, Peer, PeerError, Stage},
};

/// Runs one trial, with a second client where `beside` says what it does. A trial that fails is a result too: see
/// [`Outcome::failure`].
pub fn run<S: Stage>(
    stage: &mut S,
    serve: &ServeSpec,
    drive: &DriveSpec,
    beside: Option<&DriveSpec>,
) -> Outcome {
    let mut outcome = Outcome { beside: beside.map(|_| BesideOutcome::default()), ..Outcome::default() };
    let mut ends = Ends { server: None, clients: Vec::new() };
    let drives: Vec<&DriveSpec> = std::iter::once(drive).chain(beside).collect();
    if let Err(Stopped { mut failure, ended }) = steps(stage, serve, &drives, &mut outcome, &mut ends) {
        let clients = ends.clients.into_iter().map(|peer| (Role::Client, peer));
        for (role, mut peer) in clients.chain(ends.server.map(|peer| (Role::Server, peer))) {
            // A client that lost its server fails first; what matters is how the server ended.
            // By the accounting, both have ended as they should.
            let ending = if failure.step == Step::Accounting { None } else { peer.ended() };
            if let Some(ending) = ending.filter(|ending| Some((role, *ending)) != ended) {
                failure.message += &format!("; the {role} {ending}");
            }
            let stderr = peer.abandon();
            if !stderr.is_empty() {
                failure.message += &format!("; the {role} said: {stderr}");
            }
        }
        outcome.failure = Some(failure);
    }
    outcome
}

/// Why the steps did not come to their end.
struct Stopped {
    failure: Failure,
    /// Which process had ended by itself, and how, where that is what the failure says.
    ended: Option<(Role, Ending)>,
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Stopped {
        Stopped { failure, ended: None }
    }
}

struct Ends<P> {
    server: Option<P>,
    /// The first, and the second where there is one.
    clients: Vec<P>,
}

fn steps<S: Stage>(
    stage: &mut S,
    serve: &ServeSpec,
    drives: &[&DriveSpec],
    outcome: &mut Outcome,
    ends: &mut Ends<S::Peer>,
) -> Result<(), Stopped> {
    let server = ends.server.insert(stage.start_server(serve).map_err(at(Step::Listen))?);
    let addr = match expect(server, Role::Server, Step::Listen)? {
        Event::Listening { addr, .. } => addr,
        other => return Err(unexpected(Role::Server, Step::Listen, &other)),
    };
    stage.probe(addr).map_err(at(Step::Probe))?;

    // One after the other: what the first does until it is ready is over when the second starts.
    for drive in drives {
        let drive = DriveSpec { target: addr.to_string(), ..(*drive).clone() };
        ends.clients.push(stage.start_client(&drive).map_err(at(Step::Ready))?);
        let client = ends.clients.last_mut().expect("it was just added");
        match expect(client, Role::Client, Step::Ready)? {
            Event::Ready => {}
            other => return Err(unexpected(Role::Client, Step::Ready, &other)),
        }
    }
    let clients = &mut ends.clients;
    let beside = outcome.beside.as_mut().map(|beside| (&mut beside.samples, &mut beside.drove));
    let first = (&mut outcome.client_samples, &mut outcome.drove);
    let mut reports: Vec<(&mut Edges<Sample>, &mut Option<ClientReport>)> =
        std::iter::once(first).chain(beside).collect();

    outcome.machine_samples.ready = stage.sample_machine();
    outcome.server_samples.ready = server.sample();
    for (client, (samples, _)) in clients.iter_mut().zip(&mut reports) {
        samples.ready = client.sample();
    }
    // Said to all before anything else is done, so that their windows begin together.
    clients.iter_mut().try_for_each(|client| client.tell("go")).map_err(at(Step::Measure))?;
    let mut windows = Vec::with_capacity(clients.len());
    for client in clients.iter_mut() {
        windows.push(match expect(client, Role::Client, Step::Measure)? {
            Event::Measured(measured) => measured,
            other => return Err(unexpected(Role::Client, Step::Measure, &other)),
        });
    }
    outcome.server_samples.measured = server.sample();
    for (client, (samples, _)) in clients.iter_mut().zip(&mut reports) {
        samples.measured = client.sample();
    }
    outcome.machine_samples.measured = stage.sample_machine();

    let mut counted = ClientReport::default();
    for (((client, (_, report)), measured), drive) in
        clients.iter_mut().zip(reports).zip(&windows).zip(drives)
    {
        client.tell("finish").map_err(at(Step::Finish))?;
        let drove = match expect(client, Role::Client, Step::Finish)? {
            Event::Drove(drove) => report.insert(drove),
            other => return Err(unexpected(Role::Client, Step::Finish, &other)),
        };
        client_is_sound(drove, measured, drive.socket.tls).map_err(at(Step::Finish))?;
        client.wait().map_err(|reason| at(Step::Finish)(format!("the client {reason}")))?;
        counted.tally.add(&drove.tally);
        counted.refused += drove.refused;
        counted.timed_out += drove.timed_out;
        counted.missed += drove.missed;
        counted.disconnected += drove.disconnected;
    }

    server.end_input();
    let served = match expect(server, Role::Server, Step::Stop)? {
        Event::Served(served) => outcome.served.insert(served),
        other => return Err(unexpected(Role::Server, Step::Stop, &other)),
    };
    server.wait().map_err(|reason| at(Step::Stop)(format!("the server {reason}")))?;
    server_is_sound(served, counted.refused + counted.timed_out).map_err(at(Step::Accounting))?;
    losses_agree(&counted, served).map_err(at(Step::Accounting))?;
    reconcile(&counted.tally, &served.tally, served.dropped()).map_err(at(Step::Accounting))?;
    Ok(())
}

fn at<M: Into<String>>(step: Step) -> impl Fn(M) -> Failure {
    move |message| Failure { step, message: message.into() }
}

fn expect<P: Peer>(peer: &mut P, role: Role, step: Step) -> Result<Event, Stopped> {
    peer.event().map_err(|error| {
        let ended = if let PeerError::Ended(ending) = error { Some((role, ending)) } else { None };
        Stopped { failure: at(step)(format!("the {role} {error}")), ended }
    })
}

fn unexpected(role: Role, step: Step, event: &Event) -> Stopped {
    let json = serde_json::to_value(event).unwrap_or_default();
    let message = format!("the {role} reported `{}` out of turn", json["event"].as_str().unwrap_or("?"));
    at(step)(message).into()
}

fn client_is_sound(drove: &ClientReport, measured: &Measured, tls: bool) -> Result<(), String> {
    if let Some(first) = drove.errors.first() {
        let others = match drove.failed_connections {
            0 | 1 => String::new(),
            many => format!(" (and {} more connections failed)", many - 1),
        };
        return Err(format!("{first}{others}"));
    }
    if drove.failed_connections > 0 || drove.panics > 0 {
        return Err(format!(
            "{} connections failed and {} tasks panicked in the client",
            drove.failed_connections, drove.panics
        ));
    }
    if drove.units != measured.units || drove.elapsed_ns != measured.elapsed_ns {
        return Err(format!(
            "the client first reported {} in {} ns and then {} in {} ns",
            measured.units, measured.elapsed_ns, drove.units, drove.elapsed_ns
        ));
    }
    if tls != drove.tls.is_some() {
        let (asked, reported) = if tls { ("under TLS", "plain ones") } else { ("plain", "TLS") };
        return Err(format!("the connections were to be {asked}, and the client reports {reported}"));
    }
    drove
        .series
        .values()
        .chain(&drove.slices)
        .try_for_each(|series| series.histogram().map(drop))
        .map_err(|error| format!("the client's report: {error:#}"))
}

/// `refused` connects failed as the load allows: the server may have seen as many openings end early.
/// What subscribers missed, and how many were disconnected, is what the server says of its policy. What a disconnected
/// one missed, only the server can tell.
fn losses_agree(counted: &ClientReport, served: &ServerReport) -> Result<(), String> {
    if counted.disconnected != served.disconnected {
        return Err(format!(
            "the server disconnected {} subscribers by policy, and {} saw it",
            served.disconnected, counted.disconnected
        ));
    }
    if counted.disconnected == 0 && counted.missed != served.dropped_messages {
        return Err(format!(
            "the server dropped {} messages by policy, and the subscribers missed {}",
            served.dropped_messages, counted.missed
        ));
    }
    Ok(())
}

fn server_is_sound(served: &ServerReport, refused: u64) -> Result<(), String> {
    let probe = served.tally.class(Class::Probe);
    if (probe.received_messages, probe.sent_messages) != (1, 1) {
        return Err(format!(
            "one message was sent to check readiness, but the server counted {} in and {} out",
            probe.received_messages, probe.sent_messages
        ));
    }
    let openings = served.handshake_errors + served.protocol_errors + served.io_errors;
    let faults = [
        (served.panics, "panics"),
        (served.open_at_end, "connections that did not close"),
        (served.handshake_errors, "failed handshakes"),
        (served.protocol_errors, "protocol errors"),
        (served.io_errors, "transport errors"),
        (served.refused, "connections beyond the most that it may have"),
        (served.idle_ended, "connections that were idle for too long"),
    ];
    let faults = if openings <= refused { &faults[..2] } else { &faults[..] };
    match faults.iter().find(|(count, _)| *count > 0) {
        None => Ok(()),
        Some((count, what)) => Err(format!("the server counted {count} {what}")),
    }
}

#[cfg(all(test, unix))]
mod tests;
