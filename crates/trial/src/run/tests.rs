//! The order of a trial's steps, against a script: no process, no clock.

use std::{
    cell::RefCell, collections::VecDeque, net::SocketAddr, os::unix::process::ExitStatusExt,
    process::ExitStatus, rc::Rc, time::Duration,
};

use bench_core::{
    payload::Class,
    protocol::Event,
    row::Accounting,
    socket::Secured,
    spec::{Load, SocketSpec},
    tally::Tally,
};

use super::*;
use crate::{
    bursts::Bursts,
    probe::ProbeError,
    sample::{MachineSample, Sample},
    stage::{Limit, StageError},
};

type Log = Rc<RefCell<Vec<String>>>;

/// Makes an error, which cannot be cloned.
type Fault = fn() -> PeerError;

/// What a scripted process does next.
type Line = Result<Event, Fault>;

/// A process that a signal has ended.
fn killed() -> PeerError {
    PeerError::Ended(Ending(ExitStatus::from_raw(9)))
}

fn too_long() -> PeerError {
    PeerError::TooLong { limit: Limit::Trial(Duration::from_secs(1)) }
}

fn garbage() -> PeerError {
    PeerError::Printed("`garbage`".to_owned())
}

struct Scripted {
    name: &'static str,
    lines: VecDeque<Line>,
    exit: i32,
    /// Whether a signal has ended it by the time that it is asked.
    ends: bool,
    log: Log,
}

impl Scripted {
    fn note(&self, what: &str) {
        self.log.borrow_mut().push(format!("{} {what}", self.name));
    }
}

impl Peer for Scripted {
    fn event(&mut self) -> Result<Event, PeerError> {
        self.lines.pop_front().unwrap_or(Err(killed)).map_err(|error| error())
    }

    fn tell(&mut self, line: &str) -> Result<(), PeerError> {
        self.note(line);
        Ok(())
    }

    fn sample(&mut self) -> Option<Sample> {
        self.note("sampled");
        Some(Sample::default())
    }

    fn end_input(&mut self) {
        self.note("stdin ends");
    }

    fn wait(&mut self) -> Result<(), PeerError> {
        self.note("waited for");
        let status = ExitStatus::from_raw(self.exit);
        if status.success() { Ok(()) } else { Err(PeerError::Failed(status)) }
    }

    fn ended(&mut self) -> Option<Ending> {
        self.ends.then_some(Ending(ExitStatus::from_raw(9)))
    }

    fn abandon(&mut self) -> String {
        self.note("ended");
        String::new()
    }
}

struct Script {
    server: Vec<Line>,
    client: Vec<Line>,
    /// What the second client does, where there is one.
    beside: Option<Vec<Line>>,
    answers_probe: bool,
    client_exit: i32,
    /// Whether all processes have been ended by a signal when they are asked.
    killed: bool,
    bursts: Option<Bursts>,
    log: Log,
}

impl Script {
    fn sound() -> Script {
        let listening = Event::Listening { addr: ([127, 0, 0, 1], 9).into(), pid: 1 };
        let measured = Measured { units: 10, elapsed_ns: 1_000 };
        let drove =
            ClientReport { units: 10, elapsed_ns: 1_000, tally: tally(10, 10), ..ClientReport::default() };
        Script {
            server: vec![Ok(listening), Ok(Event::Served(served(10, 10)))],
            client: vec![Ok(Event::Ready), Ok(Event::Measured(measured)), Ok(Event::Drove(drove))],
            beside: None,
            answers_probe: true,
            client_exit: 0,
            killed: false,
            bursts: None,
            log: Log::default(),
        }
    }

    fn run(mut self) -> (Outcome, Vec<String>) {
        let serve = ServeSpec::on_loopback(1, SocketSpec::default());
        let drive = DriveSpec::plain("", Load::default(), SocketSpec::default());
        let mut drives = vec![drive.clone()];
        if self.beside.is_some() {
            drives.push(DriveSpec { load: Load { connections: 7, ..Load::default() }, ..drive });
        }
        let plan = Plan { accounting: Accounting::Both, bursts: self.bursts, serve, drives };
        let outcome = super::run(&mut self, &plan);
        let log = self.log.borrow().clone();
        (outcome, log)
    }

    fn failure(self) -> Failure {
        self.run().0.failure.expect("the trial fails")
    }
}

impl Stage for Script {
    type Peer = Scripted;

    fn start_server(&mut self, _: &ServeSpec) -> Result<Scripted, StageError> {
        let lines = std::mem::take(&mut self.server).into();
        Ok(Scripted { name: "server", lines, exit: 0, ends: self.killed, log: self.log.clone() })
    }

    fn start_client(&mut self, spec: &DriveSpec) -> Result<Scripted, StageError> {
        assert_eq!(spec.target, "127.0.0.1:9");
        let is_second = spec.load.connections == 7;
        let lines = if is_second { self.beside.take().unwrap_or_default() } else { self.client.clone() };
        let name = if is_second { "beside" } else { "client" };
        let exit = self.client_exit;
        self.log.borrow_mut().push(format!("{name} started"));
        Ok(Scripted { name, lines: lines.into(), exit, ends: self.killed, log: self.log.clone() })
    }

    fn probe(&mut self, addr: SocketAddr) -> Result<(), StageError> {
        self.log.borrow_mut().push("probe".to_owned());
        let failed = ProbeError::Failed { what: "connecting to", addr, reason: "refused".to_owned() };
        if self.answers_probe { Ok(()) } else { Err(failed.into()) }
    }

    fn pause(&mut self, length: Duration) {
        self.log.borrow_mut().push(format!("{length:?} of silence"));
    }

    fn sample_machine(&mut self) -> Option<MachineSample> {
        self.log.borrow_mut().push("machine sampled".to_owned());
        None
    }
}

fn tally(sent: u64, received: u64) -> Tally {
    let mut tally = Tally::default();
    let count = tally.class_mut(Class::Measured);
    (0..sent).for_each(|_| count.sent(24));
    (0..received).for_each(|_| count.received(24));
    tally
}

fn served(received: u64, sent: u64) -> ServerReport {
    let mut tally = tally(sent, received);
    tally.class_mut(Class::Probe).received(24);
    tally.class_mut(Class::Probe).sent(24);
    ServerReport { tally, ..ServerReport::default() }
}

#[test]
fn the_steps_come_in_order_and_both_edges_are_quiet() {
    let (outcome, log) = Script::sound().run();
    assert_eq!(outcome.failure, None);
    assert!(outcome.clients[0].report.is_some() && outcome.server_report.is_some());
    let expected = [
        "probe",
        "client started",
        "machine sampled",
        "server sampled",
        "client sampled",
        "client go",
        "server sampled",
        "client sampled",
        "machine sampled",
        "client finish",
        "client waited for",
        "server stdin ends",
        "server waited for",
    ];
    assert_eq!(log, expected);
}

#[test]
fn two_clients_share_a_window_and_their_counts_are_added() {
    let mut script = Script::sound();
    let measured = Measured { units: 5, elapsed_ns: 900 };
    let drove = ClientReport { units: 5, elapsed_ns: 900, tally: tally(5, 5), ..ClientReport::default() };
    script.beside = Some(vec![Ok(Event::Ready), Ok(Event::Measured(measured)), Ok(Event::Drove(drove))]);
    script.server[1] = Ok(Event::Served(served(15, 15)));
    let (outcome, log) = script.run();
    assert_eq!(outcome.failure, None);
    let units = |client: &ClientOutcome| client.report.as_ref().unwrap().units;
    assert_eq!(outcome.clients.iter().map(units).collect::<Vec<_>>(), [10, 5]);
    assert!(outcome.clients.iter().all(|client| client.samples.both().is_some()));
    let expected = [
        "probe",
        "client started",
        "beside started",
        "machine sampled",
        "server sampled",
        "client sampled",
        "beside sampled",
        "client go",
        "beside go",
        "server sampled",
        "client sampled",
        "beside sampled",
        "machine sampled",
        "client finish",
        "client waited for",
        "beside finish",
        "beside waited for",
        "server stdin ends",
        "server waited for",
    ];
    assert_eq!(log, expected);
}

#[test]
fn a_second_client_that_fails_ends_the_trial_and_all_processes() {
    let mut script = Script::sound();
    script.beside = Some(vec![Ok(Event::Ready)]);
    let (outcome, log) = script.run();
    let failure = outcome.failure.unwrap();
    assert_eq!(failure.step, Step::Measure);
    assert!(log.ends_with(&["client ended", "beside ended", "server ended"].map(str::to_owned)), "{log:?}");
}

#[test]
fn refused_connects_explain_as_many_openings_that_ended_early() {
    let with = |handshake_errors, refused| {
        let mut script = Script::sound();
        let drove = ClientReport {
            units: 10,
            elapsed_ns: 1_000,
            tally: tally(10, 10),
            refused,
            ..ClientReport::default()
        };
        script.client[2] = Ok(Event::Drove(drove));
        script.server[1] = Ok(Event::Served(ServerReport { handshake_errors, ..served(10, 10) }));
        script.run().0.failure
    };
    assert_eq!(with(2, 2), None);
    assert!(with(3, 2).unwrap().message.contains("3 failed handshakes"));
}

#[test]
fn a_server_that_crashes_hangs_or_prints_garbage_ends_the_trial_and_both_processes() {
    let faults: [(Fault, &str); 3] = [
        (killed, "ended early (signal: 9"),
        (too_long, "did not report `served` within"),
        (garbage, "printed `garbage`"),
    ];
    for (error, fault) in faults {
        let mut script = Script::sound();
        script.server[1] = Err(error);
        let (outcome, log) = script.run();
        let failure = outcome.failure.unwrap();
        assert_eq!(failure.step, Step::Stop);
        assert!(failure.message.starts_with("the server") && failure.message.contains(fault));
        assert!(log.ends_with(&["client ended".to_owned(), "server ended".to_owned()]), "{log:?}");
    }
}

#[test]
fn how_the_processes_ended_is_said_once() {
    let mut script = Script::sound();
    script.killed = true;
    script.server[1] = Err(killed);
    let message = script.failure().message;
    assert_eq!(message.matches("the server ended early").count(), 1, "{message}");
    // The other end has ended as well, in the same way.
    assert_eq!(message.matches("the client ended early").count(), 1, "{message}");
}

#[test]
fn a_server_that_is_never_ready_meets_no_client() {
    let mut script = Script::sound();
    script.server = vec![Err(too_long)];
    let (outcome, log) = script.run();
    assert_eq!(outcome.failure.unwrap().step, Step::Listen);
    assert_eq!(log, ["server ended"]);

    let mut script = Script::sound();
    script.answers_probe = false;
    let (outcome, log) = script.run();
    assert_eq!(outcome.failure.unwrap().step, Step::Probe);
    assert_eq!(log, ["probe", "server ended"]);
}

#[test]
fn a_client_that_speaks_out_of_turn_is_named() {
    let mut script = Script::sound();
    script.client[0] = script.client[1].clone();
    let failure = script.failure();
    assert_eq!(failure.step, Step::Ready);
    let expected = "starting the client: the client reported `measured` where `ready` was due";
    assert!(failure.to_string().starts_with(expected), "{failure}");
}

#[test]
fn a_wrong_answer_a_client_saw_fails_the_trial() {
    let mut script = Script::sound();
    let errors = vec!["connection 3: wrong answer".to_owned()];
    let drove = ClientReport { errors, failed_connections: 2, ..ClientReport::default() };
    script.client[2] = Ok(Event::Drove(drove));
    let failure = script.failure();
    assert_eq!(failure.step, Step::Finish);
    assert!(failure.message.contains("wrong answer") && failure.message.contains("1 more"));
}

#[test]
fn a_report_that_contradicts_itself_fails_the_trial() {
    let mut script = Script::sound();
    script.client[1] = Ok(Event::Measured(Measured { units: 11, elapsed_ns: 1_000 }));
    assert!(script.failure().message.contains("first reported 11"));
}

#[test]
fn a_client_that_exits_with_an_error_fails_the_trial() {
    let mut script = Script::sound();
    script.client_exit = 1 << 8;
    assert_eq!(script.failure().step, Step::Finish);
}

#[test]
fn a_server_that_counts_wrongly_fails_the_trial() {
    let mut script = Script::sound();
    script.server[1] = Ok(Event::Served(served(11, 11)));
    let failure = script.failure();
    assert_eq!(failure.step, Step::Accounting);
    assert!(failure.message.contains("client sent 10 measured messages"), "{failure}");

    let mut script = Script::sound();
    let quiet = ServerReport { tally: tally(10, 10), ..ServerReport::default() };
    script.server[1] = Ok(Event::Served(quiet));
    assert!(script.failure().message.contains("readiness"));
}

#[test]
fn a_panic_or_an_open_connection_fails_the_trial() {
    for (fault, named) in [
        (ServerReport { panics: 1, ..served(10, 10) }, "1 panics"),
        (ServerReport { open_at_end: 2, ..served(10, 10) }, "2 connections that did not close"),
    ] {
        let mut script = Script::sound();
        script.server[1] = Ok(Event::Served(fault));
        assert!(script.failure().message.contains(named));
    }
}

#[test]
fn what_a_policy_took_away_has_to_add_up() {
    let with = |dropped, missed, disconnected| {
        let mut script = Script::sound();
        // Of ten that were sent, so many did not arrive.
        let served = ServerReport { dropped_messages: dropped, disconnected, ..served(10, 10) };
        let drove = ClientReport {
            units: 10,
            elapsed_ns: 1_000,
            tally: tally(10, 10 - dropped),
            missed,
            ..ClientReport::default()
        };
        script.server[1] = Ok(Event::Served(served));
        script.client[2] = Ok(Event::Drove(drove));
        script.run().0.failure.map(|failure| failure.message)
    };
    assert_eq!(with(3, 3, 0), None);
    assert!(with(3, 2, 0).unwrap().contains("dropped 3 messages by policy, and the subscribers missed 2"));
    assert!(with(0, 0, 1).unwrap().contains("disconnected 1 subscribers by policy, and 0 saw it"));
}

#[test]
fn a_connection_that_is_not_what_it_should_be_fails_the_trial() {
    let mut script = Script::sound();
    let secured =
        Secured { protocol: String::new(), cipher_suite: String::new(), key_exchange: String::new() };
    let drove = ClientReport { units: 10, elapsed_ns: 1_000, tls: Some(secured), ..ClientReport::default() };
    script.client[2] = Ok(Event::Drove(drove));
    assert!(script.failure().message.contains("asks for plain connections, and the client reports TLS ones"));
}
