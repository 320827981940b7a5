//! One trial: a server and a client for each load in fresh processes, from start to accounting.
//!
//! The order of steps is written once, in [`run`], over [`Stage`]: the real stage starts processes, and a scripted one
//! tests the order without any process or clock.

use std::{fmt::Display, time::Instant};

use bench_core::{
    DriveSpec, ServeSpec,
    protocol::{ClientReport, Measured, ServerReport},
    row::Accounting,
    spec::Role,
    tally::reconcile,
};

use crate::{
    bursts::{Burst, Bursts},
    conversation::{ClientConversation, ServerConversation},
    edges::Edges,
    exec::url_at,
    outcome::{ClientOutcome, Failure, Outcome, Step},
    stage::{Ending, Peer, PeerError, Stage},
};

mod soundness;

/// What a trial does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who counts messages.
    pub accounting: Accounting,
    /// Where the load comes in bursts.
    pub bursts: Option<Bursts>,
    /// What the server is started with.
    pub serve: ServeSpec,
    /// What each client is started with. The target is empty for wsbench's own server, or a URL with `{port}`.
    pub drives: Vec<DriveSpec>,
}

/// Runs one trial. A trial that fails is a result too: see [`Outcome::failure`].
pub fn run<S: Stage>(stage: &mut S, plan: &Plan) -> Outcome {
    let clients = plan.drives.iter().map(|_| ClientOutcome::default()).collect();
    let mut outcome = Outcome { clients, ..Outcome::default() };
    let mut ends = Ends { server: None, clients: Vec::new() };
    let stopped = steps(stage, plan, &mut outcome, &mut ends);
    if let Err(Stopped { mut failure, ended }) = stopped {
        let clients = ends.clients.iter_mut().map(|client| (Role::Client, client.peer_mut()));
        let server = ends.server.as_mut().map(|server| (Role::Server, server.peer_mut()));
        for (role, peer) in clients.chain(server) {
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
    server: Option<ServerConversation<P>>,
    /// One for each load, in their order.
    clients: Vec<ClientConversation<P>>,
}

fn steps<S: Stage>(
    stage: &mut S,
    plan: &Plan,
    outcome: &mut Outcome,
    ends: &mut Ends<S::Peer>,
) -> Result<(), Stopped> {
    let server = stage.start_server(&plan.serve).map_err(at(Step::Listen))?;
    let server = ends.server.insert(ServerConversation::with(server));
    let addr = server.listening().map_err(by(Role::Server, Step::Listen))?;
    stage.probe(addr).map_err(at(Step::Probe))?;

    // One after the other: what the first does until it is ready is over when the second starts.
    for drive in &plan.drives {
        let target = match drive.target.is_empty() {
            true => addr.to_string(),
            false => url_at(&drive.target, addr),
        };
        let drive = DriveSpec { target, ..drive.clone() };
        let client = stage.start_client(&drive).map_err(at(Step::Ready))?;
        ends.clients.push(ClientConversation::with(client));
        let client = ends.clients.last_mut().expect("it was just added");
        client.ready().map_err(by(Role::Client, Step::Ready))?;
    }

    let clients = &mut ends.clients;
    outcome.machine_samples.ready = stage.sample_machine();
    let windows = match plan.bursts {
        None => window(server, clients, outcome)?.measured,
        Some(bursts) => burst_after_burst(stage, bursts, server, clients, outcome)?,
    };
    outcome.machine_samples.measured = stage.sample_machine();

    for (place, (client, drive)) in clients.iter_mut().zip(&plan.drives).enumerate() {
        let report = client.finish().map_err(by(Role::Client, Step::Finish))?;
        let report = outcome.clients[place].report.insert(report);
        soundness::client(report, windows[place], drive.socket.tls).map_err(at(Step::Finish))?;
        client.exit().map_err(by(Role::Client, Step::Finish))?;
    }

    let report = server.stop().map_err(by(Role::Server, Step::Stop))?;
    let report = outcome.server_report.insert(report);
    server.exit().map_err(by(Role::Server, Step::Stop))?;
    match plan.accounting {
        Accounting::Both => {
            account(outcome.clients.iter().filter_map(|client| client.report.as_ref()), report)?;
        }
        // Each client has verified its answers, and waited for all of them.
        Accounting::Client => {}
    }
    Ok(())
}

/// A measured window.
struct Window {
    /// What each client says of it.
    measured: Vec<Measured>,
    /// Between these two, the clients may have been at work.
    began: Instant,
    ended: Instant,
}

/// Lets all clients measure at once, and reads the costs before and after it.
fn window<P: Peer>(
    server: &mut ServerConversation<P>,
    clients: &mut [ClientConversation<P>],
    outcome: &mut Outcome,
) -> Result<Window, Stopped> {
    let failed = || by(Role::Client, Step::Measure);
    outcome.server_samples.ready = server.peer_mut().sample();
    for (client, outcome) in clients.iter_mut().zip(&mut outcome.clients) {
        outcome.samples.ready = client.peer_mut().sample();
    }
    let began = Instant::now();
    // Said to all before anything else is done, so that their windows begin together.
    clients.iter_mut().try_for_each(|client| client.go(None)).map_err(failed())?;
    let measured: Result<Vec<Measured>, _> = clients.iter_mut().map(|client| client.measured()).collect();
    let window = Window { measured: measured.map_err(failed())?, began, ended: Instant::now() };
    outcome.server_samples.measured = server.peer_mut().sample();
    for (client, outcome) in clients.iter_mut().zip(&mut outcome.clients) {
        outcome.samples.measured = client.peer_mut().sample();
    }
    Ok(window)
}

/// One window for each burst, after its silence; gives what each client says of all of them together.
fn burst_after_burst<S: Stage>(
    stage: &mut S,
    bursts: Bursts,
    server: &mut ServerConversation<S::Peer>,
    clients: &mut [ClientConversation<S::Peer>],
    outcome: &mut Outcome,
) -> Result<Vec<Measured>, Stopped> {
    let mut all = vec![Measured::default(); clients.len()];
    let mut quiet_since = Instant::now();
    for _ in 0..bursts.count {
        if bursts.silence_ms > 0 {
            stage.pause(bursts.silence());
        }
        let Window { measured, began, ended } = window(server, clients, outcome)?;
        for (all, measured) in all.iter_mut().zip(&measured) {
            all.units += measured.units;
            all.elapsed_ns += measured.elapsed_ns;
        }
        outcome.bursts.push(Burst {
            silence_ns: began.saturating_duration_since(quiet_since).as_nanos() as u64,
            measured: measured.first().copied().unwrap_or_default(),
            server: outcome.server_samples,
            client: outcome.clients.first().map_or(Edges::default(), |client| client.samples),
        });
        quiet_since = ended;
    }
    if let Some(first) = outcome.bursts.first() {
        outcome.server_samples.ready = first.server.ready;
        outcome.clients.iter_mut().for_each(|client| client.samples.ready = first.client.ready);
    }
    Ok(all)
}

/// Compares what all clients counted together with what the server counted.
fn account<'a>(
    clients: impl Iterator<Item = &'a ClientReport>,
    server: &ServerReport,
) -> Result<(), Failure> {
    let mut counted = ClientReport::default();
    for report in clients {
        counted.tally.add(&report.tally);
        counted.refused += report.refused;
        counted.timed_out += report.timed_out;
        counted.missed += report.missed;
        counted.disconnected += report.disconnected;
    }
    soundness::server(server, counted.refused + counted.timed_out).map_err(at(Step::Accounting))?;
    soundness::losses(&counted, server).map_err(at(Step::Accounting))?;
    reconcile(&counted.tally, &server.tally, server.dropped()).map_err(at(Step::Accounting))
}

/// What went wrong in a step.
fn at<E: Display>(step: Step) -> impl Fn(E) -> Failure {
    move |error| Failure { step, message: error.to_string() }
}

/// What went wrong with a process in a step.
fn by(role: Role, step: Step) -> impl Fn(PeerError) -> Stopped {
    move |error| {
        let failure = Failure { step, message: format!("the {role} {error}") };
        let ended = error.ending().map(|ending| (role, ending));
        Stopped { failure, ended }
    }
}

#[cfg(all(test, unix))]
mod tests;
