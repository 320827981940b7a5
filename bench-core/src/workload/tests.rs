//! Each workload against a server in memory: right counts, a wrong answer, an early end, a stop in the middle.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_lite::future::{block_on, poll_once, zip};
use histogram::{Recorder, Series};

use super::*;
use crate::{
    ServeSpec, ServerContext,
    pacer::Pacer,
    payload::PayloadSource,
    protocol::ServerReport,
    serve_connection,
    service::{Service, fanout::Subscription},
    spec::{SocketSpec, WhenFull},
    tally::reconcile,
    testkit::{MemoryMessage, MemorySocket, pair},
};

const PAYLOAD_BYTES: u64 = 32;

fn script(stop: Stop) -> Script {
    Script {
        kind: Kind::Text,
        payload_bytes: PAYLOAD_BYTES,
        class: Class::Measured,
        stop,
        recorder: Some(Recorder::default()),
        stalled: false,
        payloads: PayloadSource::new(PAYLOAD_BYTES as usize).for_connection(0),
    }
}

fn context() -> Arc<ServerContext> {
    ServerContext::new(&ServeSpec::on_loopback(1, SocketSpec::default()))
}

/// Serves one end of a connection as a real server does.
async fn serve(service: Service, socket: MemorySocket, context: &Arc<ServerContext>) {
    let handshake = std::future::ready(Ok((service, socket)));
    serve_connection(handshake, Pacer::default(), context.clone()).await;
}

/// What a client has seen when its workload is done and its connection closed.
struct Seen {
    result: Result<(), WorkloadError>,
    progress: Progress,
    served: ServerReport,
}

impl Seen {
    /// Both ends agree on so many messages each way, and on so many units.
    fn agrees(&self, sent: u64, received: u64, units: u64) {
        self.result.as_ref().unwrap();
        reconcile(&self.progress.tally, &self.served.tally, 0..=0).unwrap();
        let counted = self.progress.tally.class(Class::Measured);
        assert_eq!((counted.sent_messages, counted.received_messages), (sent, received));
        assert_eq!(self.progress.units, units);
        assert_eq!((self.served.protocol_errors, self.served.io_errors, self.served.open_at_end), (0, 0, 0));
    }

    /// The workload failed with these words in its error.
    fn failed(&self, words: &str) {
        let error = self.result.as_ref().unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

/// Runs a workload against a real service.
fn against(
    service: Service,
    work: impl AsyncFnOnce(&mut MemorySocket, &mut Progress) -> Result<(), WorkloadError>,
) -> Seen {
    let (mut client, server) = pair();
    let (mut progress, context) = (Progress::default(), context());
    let driving = async {
        let result = work(&mut client, &mut progress).await;
        client.close().await.unwrap();
        result
    };
    let (result, ()) = block_on(zip(driving, serve(service, server, &context)));
    Seen { result, progress, served: context.totals() }
}

/// Runs a workload against a server of the test's own, which sees the end of the client when the workload is over.
fn against_own<F: Future<Output = ()>>(
    serve: impl FnOnce(MemorySocket) -> F,
    work: impl AsyncFnOnce(&mut MemorySocket, &mut Progress) -> Result<(), WorkloadError>,
) -> Seen {
    let (mut client, server) = pair();
    let mut progress = Progress::default();
    let driving = async {
        let result = work(&mut client, &mut progress).await;
        drop(client);
        result
    };
    let (result, ()) = block_on(zip(driving, serve(server)));
    Seen { result, progress, served: ServerReport::default() }
}

/// How a server of the test's own misbehaves at its fifth message.
#[derive(Clone, Copy)]
enum Fault {
    OtherKind,
    OtherBytes,
    Closes,
    Breaks,
}

const FAULTY: u64 = 5;

/// Answers every message as `answer` says, and misbehaves once.
async fn misbehave(
    mut socket: MemorySocket,
    fault: Fault,
    mut answer: impl FnMut(&MemoryMessage) -> Option<MemoryMessage>,
) {
    let mut count = 0;
    while let Ok(Some(message)) = socket.recv().await {
        let Some(reply) = answer(&message) else { continue };
        count += 1;
        if !send(&mut socket, reply, (count == FAULTY).then_some(fault)).await {
            return;
        }
    }
}

/// Sends messages that nobody asked for, and misbehaves once.
async fn misbehave_unasked(
    mut socket: MemorySocket,
    fault: Fault,
    messages: impl IntoIterator<Item = MemoryMessage>,
) {
    for (count, message) in (1..).zip(messages) {
        if !send(&mut socket, message, (count == FAULTY).then_some(fault)).await {
            return;
        }
    }
    while let Ok(Some(_)) = socket.recv().await {}
}

/// Sends one message, or misbehaves; returns whether the connection still stands.
async fn send(socket: &mut MemorySocket, mut message: MemoryMessage, fault: Option<Fault>) -> bool {
    match fault {
        None => {}
        Some(Fault::OtherKind) => message.kind = Kind::Binary,
        Some(Fault::OtherBytes) => {
            let mut bytes = message.payload.to_vec();
            bytes[0] ^= 1;
            message.payload = bytes.into();
        }
        Some(Fault::Closes) => {
            // The client does not answer the close: its workload has failed.
            let _ = poll_once(socket.close()).await;
            return false;
        }
        Some(Fault::Breaks) => return false,
    }
    socket.feed(message).await.is_ok()
}

/// Tries each fault on a workload.
fn fails_where_it_should<F: Future<Output = ()>>(
    serve: impl Fn(MemorySocket, Fault) -> F,
    work: impl AsyncFn(&mut MemorySocket, &mut Progress) -> Result<(), WorkloadError>,
) {
    let words = [
        (Fault::OtherKind, "wrong answer"),
        (Fault::OtherBytes, "wrong answer"),
        (Fault::Closes, "the server closed the connection while"),
        (Fault::Breaks, "end of file"),
    ];
    for (fault, words) in words {
        let seen = against_own(
            |socket| serve(socket, fault),
            async |socket: &mut MemorySocket, progress: &mut Progress| work(socket, progress).await,
        );
        seen.failed(words);
    }
}

/// An echo server that reaches the instant of a stop while it holds the client's fifth message.
async fn echo_over(mut socket: MemorySocket, stop: Instant) {
    let mut count = 0;
    while let Ok(Some(message)) = socket.recv().await {
        count += 1;
        while count == FAULTY && Instant::now() < stop {}
        socket.feed(message).await.unwrap();
    }
}

/// Runs a workload that ends at an instant against [`echo_over`]: what was sent is answered, and no more is sent.
fn stops_with_what_is_in_flight(
    in_flight: u64,
    work: impl AsyncFnOnce(&mut MemorySocket, &Script, &mut Progress) -> Result<(), WorkloadError>,
) {
    let stop = Instant::now() + Duration::from_millis(50);
    let script = script(Stop::At(stop));
    let seen = against_own(
        |socket| echo_over(socket, stop),
        async |socket, progress| {
            let result = work(socket, &script, progress).await;
            socket.close().await.unwrap();
            result
        },
    );
    seen.result.unwrap();
    let counted = seen.progress.tally.class(Class::Measured);
    let units = seen.progress.units;
    assert_eq!((counted.sent_messages, counted.received_messages), (units, units));
    // A closed loop asks the clock once a message, when it sends: it may send one more.
    assert!(units <= FAULTY + in_flight, "{units}");
}

const ECHO: Service = Service::Echo { burn_us: 0 };

fn answers(socket: MemorySocket, fault: Fault) -> impl Future<Output = ()> {
    misbehave(socket, fault, |message| Some(message.clone()))
}

#[test]
fn ping_pong() {
    let counted = script(Stop::After(7));
    let seen = against(ECHO, async |socket, progress| super::ping_pong(socket, &counted, progress).await);
    seen.agrees(7, 7, 7);
    assert_eq!(Recorder::merge(&[counted.recorder.unwrap()])[&Series::RoundTrip].count, 7);

    let many = script(Stop::After(20));
    fails_where_it_should(answers, async |socket, progress| super::ping_pong(socket, &many, progress).await);
    stops_with_what_is_in_flight(1, async |socket, script, progress| {
        super::ping_pong(socket, script, progress).await
    });
}

#[test]
fn window() {
    let counted = script(Stop::After(50));
    let seen = against(ECHO, async |socket, progress| super::window(socket, 8, &counted, progress).await);
    seen.agrees(50, 50, 50);
    assert_eq!(Recorder::merge(&[counted.recorder.unwrap()])[&Series::RoundTrip].count, 50);

    let many = script(Stop::After(20));
    fails_where_it_should(answers, async |socket, progress| super::window(socket, 4, &many, progress).await);
    stops_with_what_is_in_flight(4, async |socket, script, progress| {
        super::window(socket, 4, script, progress).await
    });
}

#[test]
fn one_way() {
    let batches = script(Stop::After(3));
    let sink = Service::Sink { messages: 10 };
    let seen = against(sink, async |socket, progress| super::one_way(socket, 10, &batches, progress).await);
    seen.agrees(30, 3, 30);
    let series = Recorder::merge(&[batches.recorder.unwrap()]);
    assert_eq!((series[&Series::BatchSent].count, series[&Series::BatchAcknowledged].count), (3, 3));

    let acknowledges = |socket, fault| {
        let mut missing = 10;
        misbehave(socket, fault, move |_| {
            missing -= 1;
            let answer = MemoryMessage { kind: Kind::Text, payload: Bytes::from_static(b"10") };
            (missing == 0).then(|| {
                missing = 10;
                answer
            })
        })
    };
    let many = script(Stop::After(20));
    fails_where_it_should(acknowledges, async |socket, progress| {
        super::one_way(socket, 10, &many, progress).await
    });
    // A batch that was begun is finished.
    let over = script(Stop::At(Instant::now()));
    let sink = Service::Sink { messages: 10 };
    let seen = against(sink, async |socket, progress| super::one_way(socket, 10, &over, progress).await);
    seen.agrees(10, 1, 10);
}

#[test]
fn push() {
    let plan = Push { count: 9, every_us: 10, payload_bytes: PAYLOAD_BYTES, ..Push::default() };
    let all = script(Stop::After(1));
    let seen = against(Service::Push(plan.clone()), async |socket, progress| {
        super::push(socket, &plan, &all, progress).await
    });
    seen.agrees(0, 9, 9);
    assert_eq!(Recorder::merge(&[all.recorder.clone().unwrap()])[&Series::PushLag].count, 9);

    let first_ns = now_ns();
    let agreed = Push { first_ns: Some(first_ns), every_us: 1, ..plan.clone() };
    let pushes = |socket, fault| {
        let message = |sequence| MemoryMessage {
            kind: Kind::Text,
            payload: agreed.payload(sequence, agreed.due_ns(first_ns, sequence)),
        };
        misbehave_unasked(socket, fault, (0..9).map(message).collect::<Vec<_>>())
    };
    while now_ns() < agreed.due_ns(first_ns, 9) {}
    fails_where_it_should(pushes, async |socket, progress| {
        super::push(socket, &agreed, &all, progress).await
    });
    // The instant of each push is part of what was agreed.
    let other = Push { every_us: 2, ..agreed.clone() };
    let seen = against(Service::Push(agreed.clone()), async |socket, progress| {
        super::push(socket, &other, &all, progress).await
    });
    seen.failed("was agreed");
}

/// Intended instants of one connection: `messages` of them, a tenth of a millisecond apart.
fn pace(messages: u64, give_up: Duration) -> Pace {
    let start = Instant::now();
    let stretches = Stretch::sequence([(Duration::from_micros(100 * messages), 10_000)]).into();
    Pace { start, stretches, connections: 1, connection: 0, give_up: start + give_up }
}

const LONG: Duration = Duration::from_secs(600);

#[test]
fn paced() {
    let timer = Pacer::default();
    let counted = script(Stop::After(1));
    let all = pace(20, LONG);
    let seen = against(ECHO, async |socket, progress| {
        super::paced(socket, &all, None, false, &timer, &counted, progress).await
    });
    seen.agrees(20, 20, 20);
    assert_eq!((seen.progress.not_sent, seen.progress.answered.len()), (0, 1));
    let series = Recorder::merge(&[counted.recorder.clone().unwrap()]);
    assert_eq!(series[&Series::FromIntended].count, 20);

    fails_where_it_should(answers, async |socket, progress| {
        super::paced(socket, &pace(20, LONG), None, false, &timer, &counted, progress).await
    });
    // What cannot be sent before the load gives up is counted, and its wait is a latency.
    let late = script(Stop::After(1));
    let over = Pace { start: Instant::now() - Duration::from_secs(1), ..pace(20, Duration::ZERO) };
    let seen = against(ECHO, async |socket, progress| {
        super::paced(socket, &over, None, false, &timer, &late, progress).await
    });
    seen.agrees(0, 0, 0);
    assert_eq!(seen.progress.not_sent, 20);
    let series = Recorder::merge(&[late.recorder.unwrap()]);
    assert_eq!(series[&Series::FromIntended].count, 20);
    assert!(series[&Series::FromIntended].min_ns >= 990_000_000);
}

#[test]
fn a_paced_connection_that_stops_reading_catches_up() {
    let timer = Pacer::default();
    let stalled = Script { stalled: true, ..script(Stop::After(1)) };
    let all = pace(20, LONG);
    let stall = Stall { from: all.start, until: all.start + Duration::from_millis(5), sends: 30 };
    let seen = against(ECHO, async |socket, progress| {
        super::paced(socket, &all, Some(stall), false, &timer, &stalled, progress).await
    });
    // The messages of the stall are not units.
    seen.agrees(50, 50, 20);
    let series = Recorder::merge(&[stalled.recorder.unwrap()]);
    assert_eq!(series.keys().collect::<Vec<_>>(), [&Series::Stalled]);
}

/// Publishes `messages` messages to one subscriber through a real server.
fn broadcast_to_one(messages: u64) -> (Seen, Seen) {
    let (mut publisher, publishing) = pair();
    let (mut subscriber, subscribing) = pair();
    let (context, timer) = (context(), Pacer::default());
    let (script, audience) = (script(Stop::After(1)), Audience::new(1, messages));
    let (mut published, mut received) = (Progress::default(), Progress::default());
    let driving = async {
        broadcast::subscribed(&mut subscriber, &mut received).await.unwrap();
        let all = pace(messages, LONG);
        let sends = broadcast::publish(&mut publisher, &all, &timer, &script, &mut published);
        let policy = WhenFull::Wait;
        let reads =
            broadcast::subscribe(&mut subscriber, &audience, policy, None, &timer, &script, &mut received);
        let (sent, read) = zip(sends, reads).await;
        publisher.close().await.unwrap();
        subscriber.close().await.unwrap();
        (sent, read.map(|stands| assert!(stands)))
    };
    let serving = zip(
        serve(Service::Publish, publishing, &context),
        serve(Service::Subscribe(Subscription::default()), subscribing, &context),
    );
    let ((sent, read), _) = block_on(zip(driving, serving));
    let served = context.totals();
    (
        Seen { result: sent, progress: published, served: served.clone() },
        Seen { result: read, progress: received, served },
    )
}

#[test]
fn broadcast() {
    let (publisher, subscriber) = broadcast_to_one(15);
    publisher.result.unwrap();
    subscriber.result.unwrap();
    let mut both = publisher.progress.tally;
    both.add(&subscriber.progress.tally);
    reconcile(&both, &subscriber.served.tally, 0..=0).unwrap();
    assert_eq!((publisher.progress.units, subscriber.progress.units), (0, 15));
    assert_eq!(publisher.progress.tally.class(Class::Measured).sent_messages, 15);
}

#[test]
fn a_subscriber_that_gets_something_else_fails() {
    let (script, timer) = (script(Stop::After(1)), Pacer::default());
    let due_ns = now_ns();
    let message = |sequence| MemoryMessage {
        kind: Kind::Text,
        payload: payload::push(Class::Measured, sequence, due_ns, PAYLOAD_BYTES as usize),
    };
    let published = |socket, fault| misbehave_unasked(socket, fault, (0..9).map(message).collect::<Vec<_>>());
    let subscribes = async |socket: &mut MemorySocket, policy, progress: &mut Progress| {
        let audience = Audience::new(1, 9);
        broadcast::subscribe(socket, &audience, policy, None, &timer, &script, progress).await
    };
    fails_where_it_should(published, async |socket, progress| {
        subscribes(socket, WhenFull::Wait, progress).await.map(drop)
    });
    // A gap is a loss where the policy is to wait, and counted where it is to drop.
    let with_a_gap = |socket| misbehave_unasked(socket, Fault::Breaks, [0, 1, 4, 8].map(message));
    let seen = against_own(with_a_gap, async |socket, progress| {
        subscribes(socket, WhenFull::Wait, progress).await.map(drop)
    });
    seen.failed("2 messages before this one were lost");
    let seen = against_own(with_a_gap, async |socket, progress| {
        let result = subscribes(socket, WhenFull::Drop, progress).await.map(drop);
        socket.close().await.ok();
        result
    });
    seen.result.unwrap();
    assert_eq!((seen.progress.units, seen.progress.missed), (4, 5));
    // An end is one that the policy allows, or a failure.
    let seen = against_own(
        |socket| misbehave_unasked(socket, Fault::Breaks, (0..9).map(message)),
        async |socket, progress| subscribes(socket, WhenFull::Disconnect, progress).await.map(drop),
    );
    seen.result.unwrap();
    assert_eq!((seen.progress.units, seen.progress.disconnected), (4, 1));
}

#[test]
fn stretches_follow_each_other_and_connections_take_turns() {
    let ms = Duration::from_millis;
    let stretches: Arc<[Stretch]> = Stretch::sequence([(ms(20), 200), (ms(10), 0), (ms(10), 300)]).into();
    assert_eq!(stretches.iter().map(|stretch| stretch.messages).collect::<Vec<_>>(), [4, 0, 3]);
    let start = Instant::now();
    let pace =
        |connection| Pace { start, stretches: stretches.clone(), connections: 2, connection, give_up: start };
    let instants = |connection| {
        let pace = pace(connection);
        pace.intended().map(|instant| (instant - start).as_millis()).collect::<Vec<_>>()
    };
    assert_eq!(instants(0), [0, 10, 30, 36]);
    assert_eq!(instants(1), [5, 15, 33]);
    let mut answered = Vec::new();
    for at in [3, 19, 25, 39, 40, 90] {
        pace(0).count_answer(start + ms(at), &mut answered);
    }
    assert_eq!(answered, [2, 1, 1]);
}
