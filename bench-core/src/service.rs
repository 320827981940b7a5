//! Services: what a server does on a connection. The request path chooses one.
//!
//! | path | service |
//! |---|---|
//! | `/echo?burn_us=…` | burns so much CPU time (default 0), then answers the message with itself |
//! | `/sink?messages=N` | answers every N-th message with N in decimal, and nothing else |
//! | `/publish` | sends every message that it receives to all connections of `/subscribe` |
//! | `/subscribe?queue=…&when_full=…` | sends what is published |
//! | `/push?first_ns=…&every_us=…&count=…&payload=…&class=…&timers=…&spread_us=…` | sends `count` messages, each when it is due |

use std::{future::Future, pin::pin, sync::Arc};

use bytes::Bytes;

use crate::{
    Kind, Message, Socket, SocketError, Timer,
    payload::{self, Class, PUSH_HEADER_BYTES, SEQUENCES},
    service::{
        fanout::Subscription,
        query::{BadRequest, number},
        watch::Watch,
    },
    spec::MAX_BURN_US,
    tally::Tally,
    timer::{self, instant_at, now_ns},
};

mod accounting;
pub mod fanout;
pub mod query;
pub mod watch;

pub use accounting::{ConnectionTally, DRAIN, ServerContext};

/// A service with its parameters, as the request path and query give them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// Every message is answered with itself.
    Echo {
        /// CPU time that its handler uses before, in microseconds.
        burn_us: u64,
    },
    /// Every N-th message is answered with N.
    Sink {
        /// N, at least 1.
        messages: u64,
    },
    /// Messages are sent when they are due.
    Push(Push),
    /// What is received goes to all subscribers.
    Publish,
    /// What is published is sent.
    Subscribe(Subscription),
}

/// Parameters of `/push`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// When message 0 is due, in nanoseconds of CLOCK_MONOTONIC; absent: at once.
    pub first_ns: Option<u64>,
    /// Distance of the due instants of one schedule in microseconds.
    pub every_us: u64,
    /// Number of messages, of all schedules together.
    pub count: u64,
    /// Schedules, whose messages take turns.
    pub timers: u64,
    /// How far the schedules are spread, evenly, in microseconds; 0: their messages are due together. Not more than
    /// `every_us`, so that messages are due in the order of their numbers.
    pub spread_us: u64,
    /// Size of a message in bytes.
    pub payload_bytes: u64,
    /// The class that the messages are counted in.
    pub class: Class,
}

impl Default for Push {
    fn default() -> Push {
        Push {
            first_ns: None,
            every_us: 1_000_000,
            count: 1,
            timers: 1,
            spread_us: 0,
            payload_bytes: PUSH_HEADER_BYTES as u64,
            class: Class::Measured,
        }
    }
}

impl Push {
    /// Path and query that ask for this.
    pub fn path(&self) -> String {
        let first = self.first_ns.map_or_else(String::new, |ns| format!("first_ns={ns}&"));
        // A server need not know schedules of which there is only one.
        let timers = match self.timers {
            1 => String::new(),
            timers => format!("&timers={timers}&spread_us={}", self.spread_us),
        };
        format!(
            "/push?{first}every_us={}&count={}&payload={}&class={}{timers}",
            self.every_us,
            self.count,
            self.payload_bytes,
            self.class.name()
        )
    }

    /// When message number `sequence` is due, where number 0 is at `first_ns`.
    pub fn due_ns(&self, first_ns: u64, sequence: u64) -> u64 {
        let (turn, timer) = (sequence / self.timers, sequence % self.timers);
        let spread_ns = u128::from(self.spread_us) * 1_000 * u128::from(timer) / u128::from(self.timers);
        first_ns.saturating_add(turn * self.every_us * 1_000).saturating_add(spread_ns as u64)
    }

    /// Payload of message number `sequence`, due at `due_ns`.
    pub fn payload(&self, sequence: u64, due_ns: u64) -> Bytes {
        payload::push(self.class, sequence, due_ns, self.payload_bytes as usize)
    }
}

impl Service {
    /// Names of the services, as [`crate::RowInfo`] lists them.
    pub const NAMES: &'static [&'static str] = &["echo", "sink", "push", "publish", "subscribe"];

    /// The service that a path with its query asks for.
    ///
    /// # Errors
    /// When there is no such service or parameter, or a value is out of range, with the reason.
    pub fn parse(uri: &str) -> Result<Service, BadRequest> {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let parameters = query
            .split('&')
            .filter(|part| !part.is_empty())
            .map(|part| part.split_once('=').ok_or_else(|| format!("`{part}` is not NAME=VALUE")));
        let unknown = |name: &str| Err(format!("{path} has no parameter `{name}`").into());
        match path {
            "/echo" => {
                let mut burn_us = 0;
                for parameter in parameters {
                    match parameter? {
                        ("burn_us", value) => burn_us = number("burn_us", value, 0, MAX_BURN_US)?,
                        (name, _) => return unknown(name),
                    }
                }
                Ok(Service::Echo { burn_us })
            }
            "/sink" => {
                let mut messages = None;
                for parameter in parameters {
                    match parameter? {
                        ("messages", value) => messages = Some(number("messages", value, 1, u64::MAX)?),
                        (name, _) => return unknown(name),
                    }
                }
                let messages = messages.ok_or("/sink needs ?messages=N")?;
                Ok(Service::Sink { messages })
            }
            "/push" => {
                let mut push = Push::default();
                for parameter in parameters {
                    match parameter? {
                        ("first_ns", value) => {
                            push.first_ns = Some(number("first_ns", value, 0, i64::MAX as u64)?);
                        }
                        ("every_us", value) => push.every_us = number("every_us", value, 1, 1 << 40)?,
                        ("count", value) => push.count = number("count", value, 0, SEQUENCES)?,
                        ("timers", value) => push.timers = number("timers", value, 1, SEQUENCES)?,
                        ("spread_us", value) => push.spread_us = number("spread_us", value, 0, 1 << 40)?,
                        ("payload", value) => {
                            push.payload_bytes =
                                number("payload", value, PUSH_HEADER_BYTES as u64, 16 << 20)?;
                        }
                        ("class", value) => {
                            push.class = Class::from_name(value)
                                .ok_or_else(|| format!("`{value}` is no message class"))?;
                        }
                        (name, _) => return unknown(name),
                    }
                }
                if push.spread_us > push.every_us {
                    return Err("/push: spread_us may not be more than every_us".into());
                }
                Ok(Service::Push(push))
            }
            "/panic" if panics_on_request() => panic!("a request for /panic"),
            "/publish" => match parameters.into_iter().next() {
                None => Ok(Service::Publish),
                Some(parameter) => unknown(parameter?.0),
            },
            "/subscribe" => {
                let mut subscription = Subscription::default();
                for parameter in parameters {
                    let (name, value) = parameter?;
                    if !subscription.set(name, value)? {
                        return unknown(name);
                    }
                }
                Ok(Service::Subscribe(subscription))
            }
            _ => {
                Err(format!("no service at `{path}`: there are /echo, /sink, /push, /publish and /subscribe")
                    .into())
            }
        }
    }
}

/// The variable that lets a server of this crate panic on request, and no other value than `1` does: how a test sees
/// that every row outlives a handler that panics.
pub const PANICS_ON_REQUEST: &str = "WSBENCH_PANICS_ON_REQUEST";

fn panics_on_request() -> bool {
    std::env::var(PANICS_ON_REQUEST).is_ok_and(|value| value == "1")
}

/// Serves one accepted connection to its end: handshake, service, accounting, under the limits of the specification.
///
/// `handshake` is the server's half of the opening handshake in the row's own stack, for instance
/// [`crate::stack::websocket::accept`].
pub fn serve_connection<S, T>(
    handshake: impl Future<Output = Result<(Service, S), SocketError>>,
    timer: T,
    context: Arc<ServerContext>,
) -> impl Future<Output = ()>
where
    S: Socket,
    T: Timer,
{
    // In a box, so that an open connection does not carry the memory of a handshake that is over.
    let handshake = Box::pin(handshake);
    async move {
        let watch = Watch::new(&context.spec().socket);
        let Some(mut connection) = ConnectionTally::admit(context.clone()) else { return };
        let result = {
            let work = pin!(async {
                let (service, mut socket) = handshake.await?;
                watch.upgraded();
                connection.upgraded();
                let (tally, losses) = connection.counts();
                match service {
                    Service::Echo { burn_us } => echo(&mut socket, burn_us, tally).await,
                    Service::Sink { messages } => sink(&mut socket, messages, tally).await,
                    Service::Push(plan) => push(&mut socket, &timer, &plan, tally).await,
                    Service::Publish => fanout::publish(&mut socket, context.hub(), tally).await,
                    Service::Subscribe(plan) => {
                        fanout::subscribe(&mut socket, context.hub(), &plan, tally, losses).await
                    }
                }
            });
            watch.over(&timer, work).await
        };
        connection.ended(&result);
    }
}

/// `/echo`: the message is moved back as it came.
pub(crate) async fn echo<S: Socket>(
    socket: &mut S,
    burn_us: u64,
    tally: &mut Tally,
) -> Result<(), SocketError> {
    while let Some(message) = socket.recv().await? {
        let bytes = message.payload().len();
        let count = tally.class_mut(Class::of(message.payload()));
        count.received(bytes);
        burn(burn_us);
        socket.feed(message).await?;
        count.sent(bytes);
    }
    Ok(())
}

/// Uses so many microseconds of the calling thread's CPU time, without a chance for anything else that this thread
/// serves: a handler that computes. CPU time and not time, so that a shared core does not do part of the work for it.
pub fn burn(micros: u64) {
    if micros == 0 {
        return;
    }
    let start_ns = timer::thread_cpu_ns();
    loop {
        let left_ns = (micros * 1_000).saturating_sub(timer::thread_cpu_ns() - start_ns);
        if left_ns == 0 {
            return;
        }
        // The thread's clock costs a system call, and a handler that computes is not in the kernel.
        let until_ns = now_ns() + left_ns;
        while now_ns() < until_ns {
            std::hint::spin_loop();
        }
    }
}

/// `/sink`: counts, and says so every `messages` messages. The answer counts in the class of the message that
/// completed the batch.
async fn sink<S: Socket>(socket: &mut S, messages: u64, tally: &mut Tally) -> Result<(), SocketError> {
    let mut missing = messages;
    while let Some(message) = socket.recv().await? {
        let count = tally.class_mut(Class::of(message.payload()));
        count.received(message.payload().len());
        missing -= 1;
        if missing == 0 {
            missing = messages;
            let answer = Bytes::from(messages.to_string());
            let bytes = answer.len();
            socket.feed(S::Message::new(Kind::Text, answer)).await?;
            count.sent(bytes);
        }
    }
    Ok(())
}

/// `/push`: each message is flushed when it is due; one that is late is sent at once, and none is left out.
async fn push<S: Socket, T: Timer>(
    socket: &mut S,
    timer: &T,
    plan: &Push,
    tally: &mut Tally,
) -> Result<(), SocketError> {
    let first_ns = plan.first_ns.unwrap_or_else(now_ns);
    for sequence in 0..plan.count {
        let due_ns = plan.due_ns(first_ns, sequence);
        if due_ns > now_ns() {
            timer.sleep_until(instant_at(due_ns)).await;
        }
        let payload = plan.payload(sequence, due_ns);
        let bytes = payload.len();
        socket.feed(S::Message::new(Kind::Text, payload)).await?;
        socket.flush().await?;
        tally.class_mut(plan.class).sent(bytes);
    }
    while let Some(message) = socket.recv().await? {
        tally.class_mut(Class::of(message.payload())).received(message.payload().len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use futures_lite::io::Cursor;

    use super::*;
    use crate::{
        ServeSpec,
        pacer::Pacer,
        spec::{SocketSpec, WhenFull},
        stack::websocket,
    };

    #[test]
    fn paths_choose_services() {
        assert_eq!(Service::parse("/echo"), Ok(Service::Echo { burn_us: 0 }));
        assert_eq!(Service::parse("/echo?burn_us=1000"), Ok(Service::Echo { burn_us: 1_000 }));
        assert_eq!(Service::parse("/sink?messages=7"), Ok(Service::Sink { messages: 7 }));
        let push = Push { first_ns: Some(5), count: 3, every_us: 9, ..Push::default() };
        assert!(!push.path().contains("timers"));
        assert_eq!(Service::parse(&push.path()), Ok(Service::Push(push.clone())));
        let several = Push { timers: 4, spread_us: 9, ..push };
        assert_eq!(Service::parse(&several.path()), Ok(Service::Push(several)));
        let subscription = Subscription { queue: 5, when_full: WhenFull::Drop };
        assert_eq!(Service::parse(&subscription.path()), Ok(Service::Subscribe(subscription)));
        assert_eq!(Service::parse("/publish"), Ok(Service::Publish));
        assert_eq!(Service::parse("/push"), Ok(Service::Push(Push::default())));
    }

    /// What every open connection carries beside its buffers: it was 13 KiB once, when futures held futures by value.
    #[test]
    fn a_connection_is_a_small_future() {
        let spec = SocketSpec::default();
        let context = ServerContext::new(&ServeSpec::on_loopback(1, spec.clone()));
        let handshake = websocket::accept(Cursor::new(Vec::new()), &spec);
        let bytes = std::mem::size_of_val(&serve_connection(handshake, Pacer::default(), context));
        assert!(bytes < 2_048, "{bytes} B");
    }

    #[test]
    fn schedules_take_turns_in_the_order_of_their_instants() {
        let due = |spread_us| {
            let push = Push { every_us: 10, timers: 4, spread_us, ..Push::default() };
            (0..6).map(|sequence| push.due_ns(1_000, sequence)).collect::<Vec<_>>()
        };
        assert_eq!(due(0), [1_000, 1_000, 1_000, 1_000, 11_000, 11_000]);
        assert_eq!(due(10), [1_000, 3_500, 6_000, 8_500, 11_000, 13_500]);
    }

    #[test]
    fn burning_takes_cpu_time() {
        let start_ns = timer::thread_cpu_ns();
        burn(2_000);
        assert!(timer::thread_cpu_ns() - start_ns >= 2_000_000);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let refused = |uri| Service::parse(uri).unwrap_err().to_string();
        assert!(refused("/").contains("/echo, /sink, /push"));
        assert!(refused("/echo?x=1").contains("no parameter `x`"));
        assert!(refused("/sink").contains("needs ?messages=N"));
        assert!(refused("/sink?messages=0").contains("from 1 to"));
        assert!(refused("/push?count").contains("NAME=VALUE"));
        assert!(refused("/push?payload=3").contains("from 24 to"));
        assert!(refused("/push?every_us=5&spread_us=6").contains("spread_us"));
        assert!(refused("/push?timers=0").contains("from 1 to"));
        assert!(refused("/subscribe?queue=0").contains("from 1 to"));
        assert!(refused("/subscribe?when_full=panic").contains("no policy"));
        assert!(refused("/publish?x=1").contains("no parameter `x`"));
        assert!(refused("/push?class=loud").contains("no message class"));
    }
}
