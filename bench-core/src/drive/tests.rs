//! The workloads that open connections by themselves, or hold them, against a server in memory.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_lite::future::{block_on, or, zip};
use histogram::Series;

use super::{connection::Connection, cut::Cut, open::Opener, pass::Pass, task::Task, waits::Waits, *};
use crate::{
    Network, ServeSpec, ServerContext, Timer, net,
    protocol::ServerReport,
    serve_connection,
    spec::{Connect, ConnectPace, Paced, Refusals, SocketSpec},
    tally::reconcile,
    testkit::{Memory, MemoryListener, MemoryMessage, MemorySocket, pair},
};

#[derive(Clone)]
struct Spinning(Arc<Pacer>);

impl Timer for Spinning {
    async fn sleep_until(&self, at: Instant) {
        self.0.sleep_until(at).await;
    }
}

struct Server {
    listener: MemoryListener,
    context: Arc<ServerContext>,
}

impl Server {
    fn start() -> Server {
        let spec = ServeSpec::on_loopback(1, SocketSpec::default());
        let listener = Memory::listen(net::listen(&spec).unwrap()).unwrap();
        Server { listener, context: ServerContext::new(&spec) }
    }

    /// Serves one connection after the other.
    async fn serve(&self) {
        loop {
            let stream = Memory::accept(&self.listener).await.unwrap();
            let handshake = Memory::server_handshake(stream, &self.context.spec().socket);
            serve_connection(handshake, Pacer::default(), self.context.clone()).await;
        }
    }

    /// One connection's task for a load, against this server.
    fn task(&self, work: Work, stop: impl FnOnce(Instant) -> Stop) -> (Task<Memory, Spinning>, Recorder) {
        let timer = Spinning(Arc::default());
        let target = Target::parse(&self.listener.address().to_string()).unwrap();
        let opener = Opener::new(timer.clone(), Arc::new(target), Arc::new(SocketSpec::default()));
        let load = Load { work, ..Load::default() };
        let recorder = Recorder::default();
        let start = Instant::now();
        let stop = stop(start);
        let script = Script {
            kind: load.kind,
            payload_bytes: load.payload_bytes,
            class: Class::Measured,
            stop,
            recorder: Some(recorder.clone()),
            stalled: false,
            payloads: PayloadSource::new(load.payload_bytes as usize).for_connection(0),
        };
        let pass = Pass::new(load, Class::Measured, start, stop, None);
        let connection = Connection {
            index: 0,
            socket: None,
            push: Push::default(),
            secured: None,
            progress: Progress::default(),
            finished: Instant::now(),
            error: None,
        };
        let task = Task {
            opener,
            waits: Waits::Timer(timer),
            begins: None,
            cut: None,
            part: pass.part(0),
            script,
            connection,
        };
        (task, recorder)
    }

    /// Runs a task to its end beside this server.
    fn run(&self, task: Task<Memory, Spinning>) -> Connection<MemorySocket> {
        let serving = async {
            self.serve().await;
            unreachable!("it serves without end")
        };
        block_on(or(task.run(), serving))
    }

    fn served(&self) -> ServerReport {
        self.context.totals()
    }
}

fn connects(pace: ConnectPace, exchanges: u64) -> Work {
    Work::Connect(Connect { pace, exchanges, refusals: Refusals::Fail })
}

/// A phase that ends after so many connects.
fn after(connects: u64) -> impl FnOnce(Instant) -> Stop {
    move |_| Stop::After(connects)
}

/// A phase that takes so long.
fn in_ms(length: u64) -> impl FnOnce(Instant) -> Stop {
    move |start| Stop::At(start + Duration::from_millis(length))
}

const CLOSED: ConnectPace = ConnectPace::Closed { messages: None };

#[test]
fn connects_wait_for_a_first_push() {
    let server = Server::start();
    let (task, recorder) = server.task(connects(CLOSED, 0), after(5));
    let connection = server.run(task);
    assert!(connection.error.is_none(), "{:?}", connection.error);
    assert_eq!(connection.progress.units, 5);
    reconcile(&connection.progress.tally, &server.served().tally, 0..=0).unwrap();
    assert_eq!((server.served().upgraded, server.served().open_at_end), (5, 0));
    let series = Recorder::merge(&[recorder]);
    for part in [Series::TcpConnect, Series::Upgrade, Series::FirstPush, Series::ConnectToFirstPush] {
        assert_eq!(series[&part].count, 5, "{part:?}");
    }
}

#[test]
fn connects_exchange_echoes_and_stop_in_the_middle() {
    let server = Server::start();
    let (task, recorder) = server.task(connects(CLOSED, 3), in_ms(20));
    let connection = server.run(task);
    assert!(connection.error.is_none(), "{:?}", connection.error);
    let (units, served) = (connection.progress.units, server.served());
    assert_eq!(served.tally.class(Class::Measured).received_messages, 3 * units);
    assert_eq!((served.upgraded, served.open_at_end), (units, 0));
    reconcile(&connection.progress.tally, &served.tally, 0..=0).unwrap();
    assert!(units == 0 || Recorder::merge(&[recorder])[&Series::Handshake].count == units);
}

#[test]
fn connects_at_a_rate_keep_their_instants_or_are_counted() {
    let server = Server::start();
    let (task, _) = server.task(connects(ConnectPace::Rate(200), 1), in_ms(100));
    let connection = server.run(task);
    assert!(connection.error.is_none(), "{:?}", connection.error);
    // Where the machine stands still for a second, the rest is not sent.
    let progress = &connection.progress;
    assert_eq!(progress.units + progress.not_sent, 20);
}

#[test]
fn a_refused_connect_fails_or_is_counted() {
    let server = Server::start();
    let (task, _) = server.task(connects(CLOSED, 1), after(3));
    drop(server);
    let connection = block_on(task.run());
    assert!(connection.error.is_some());

    let server = Server::start();
    let counts = Connect { pace: CLOSED, exchanges: 1, refusals: Refusals::Count };
    let (task, _) = server.task(Work::Connect(counts), after(3));
    drop(server);
    let connection = block_on(task.run());
    assert!(connection.error.is_none());
    assert_eq!((connection.progress.units, connection.progress.refused), (0, 3));
}

#[test]
fn a_wrong_answer_or_an_early_end_fails_a_connect() {
    for ends in [true, false] {
        let server = Server::start();
        let (task, _) = server.task(connects(CLOSED, 1), after(3));
        let serving = async {
            let stream = Memory::accept(&server.listener).await.unwrap();
            let (_, mut socket) = Memory::server_handshake(stream, &SocketSpec::default()).await.unwrap();
            let message = socket.recv().await.unwrap().unwrap();
            if !ends {
                let payload = bytes::Bytes::from_static(b"something else");
                socket.feed(MemoryMessage { kind: message.kind, payload }).await.unwrap();
                // Until the client gives up.
                while let Ok(Some(_)) = socket.recv().await {}
            }
        };
        let (connection, ()) = block_on(zip(task.run(), serving));
        let error = connection.error.unwrap().to_string();
        let expected = if ends { "end of file" } else { "wrong answer" };
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn idle_connections_send_nothing() {
    let server = Server::start();
    let (task, recorder) = server.task(Work::Idle(Idle::default()), in_ms(10));
    let connection = server.run(task);
    assert!(connection.error.is_none());
    assert_eq!((connection.progress.units, connection.progress.tally), (0, Default::default()));
    assert!(Recorder::merge(&[recorder]).is_empty());
}

/// What a connection has done that gets two answers and no more, and is interrupted after a while.
fn interrupted(work: Work) -> (Connection<MemorySocket>, Recorder, Duration) {
    let server = Server::start();
    let (mut task, recorder) = server.task(work, in_ms(60_000));
    let interrupt = Interrupt::default();
    task.cut = Some(Cut { at: None, raised: interrupt.raised(0) });
    let (client, mut silent) = pair();
    task.connection.socket = Some(client);
    let start = Instant::now();
    let serving = async {
        for _ in 0..2 {
            let message = silent.recv().await.unwrap().unwrap();
            silent.feed(message).await.unwrap();
        }
        silent.recv().await.unwrap().unwrap();
        Spinning(Arc::default()).sleep_until(start + Duration::from_millis(50)).await;
        interrupt.raise();
    };
    let (connection, ()) = block_on(zip(task.run(), serving));
    (connection, recorder, start.elapsed())
}

#[test]
fn who_waits_for_an_answer_when_it_is_interrupted_has_not_failed() {
    let (connection, recorder, _) = interrupted(Work::PingPong(PingPong::default()));
    assert!(connection.error.is_none() && connection.socket.is_some());
    assert_eq!(connection.progress.units, 2);
    assert_eq!(Recorder::merge(&[recorder])[&Series::RoundTrip].count, 2);
}

#[test]
fn what_was_due_when_it_was_interrupted_has_waited_so_long() {
    let (connection, recorder, took) = interrupted(Work::Paced(Paced::at(200)));
    assert!(connection.error.is_none() && connection.socket.is_some());
    let progress = &connection.progress;
    let latency = &Recorder::merge(&[recorder])[&Series::FromIntended];
    // One every 5 ms: the third was on its way for 40 ms at least, and so many behind it were due.
    assert_eq!(progress.units, 2);
    assert_eq!(latency.count, progress.units + 1 + progress.not_sent);
    assert!(progress.not_sent >= 7 && progress.not_sent <= took.as_millis() as u64 / 5, "{progress:?}");
    assert!(latency.max_ns >= 39_000_000, "{latency:?}");
}
