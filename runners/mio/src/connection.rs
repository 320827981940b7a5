//! One connection: from its accept over the opening handshake and its service to its end.

use std::{
    cell::Cell,
    convert::Infallible,
    io::{self, Read, Write},
    mem,
    rc::Rc,
    time::Duration,
};

use bench_core::{
    ConnectionTally, Kind, Message as _, SocketError,
    payload::Class,
    service::{Push, Service, burn, watch::LOOKS},
    spec::{Flush, SocketSpec},
    stack::{
        websocket::{config, is_data, no_service, service_of, socket_error},
        write_behind::WriteBehind,
    },
    timer::now_ns,
};
use tungstenite::{
    Bytes, Error, HandshakeError, Message, WebSocket,
    handshake::{
        MidHandshake,
        server::{Callback, ErrorResponse, Request, Response, ServerHandshake},
    },
};

use crate::stream::{EdgeStream, Readiness};

/// Most pushes in one turn: one whose pushes are all late must not starve the others.
const PUSHES_PER_TURN: usize = 32;

type Stream<S> = WriteBehind<EdgeStream<S>>;

/// A connection over the non-blocking stream `S`.
pub struct Connection<S: Read + Write> {
    state: State<S>,
    tally: ConnectionTally,
    flush: Flush,
    quiet: Quiet,
}

/// How long nothing has happened, in looks of the server.
#[derive(Debug, Default)]
struct Quiet {
    happened: bool,
    looks: u32,
}

enum State<S: Read + Write> {
    Handshake {
        handshake: MidHandshake<ServerHandshake<Stream<S>, Choose>>,
        requested: Requested,
    },
    Open(Open<S>),
    /// What is left is to write out the answer to a close.
    Closing(WebSocket<Stream<S>>),
    Ended,
}

/// An established connection.
struct Open<S> {
    socket: WebSocket<Stream<S>>,
    service: Serving,
    /// What was written last did not all leave tungstenite's own buffer, or a flush has not ended: nothing else is done
    /// before.
    blocked: bool,
}

/// A service with its progress.
enum Serving {
    Echo {
        burn_us: u64,
    },
    Sink {
        messages: u64,
        missing: u64,
    },
    Push {
        plan: Push,
        first_ns: u64,
        next: u64,
        /// The schedule has the next push.
        scheduled: bool,
    },
}

/// What a connection waits for after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// An event.
    Wait,
    /// Its next turn: this one was long.
    Again,
    /// An event or this instant, whichever is first.
    Due(u64),
    /// Nothing: drop it.
    Ended,
}

impl<S: Read + Write> Connection<S> {
    /// An accepted connection, at the beginning of its opening handshake.
    pub fn new(stream: S, spec: &SocketSpec, tally: ConnectionTally) -> Connection<S> {
        let requested = Requested::default();
        let stream = WriteBehind::new(EdgeStream::new(stream), spec);
        let choose = Choose(requested.clone());
        let handshake = ServerHandshake::start(stream, choose, Some(config(spec)));
        let flush = spec.flush;
        let state = State::Handshake { handshake, requested };
        Connection { state, tally, flush, quiet: Quiet::default() }
    }

    /// Whether the opening handshake is not done.
    pub fn is_in_handshake(&self) -> bool {
        matches!(self.state, State::Handshake { .. })
    }

    /// Takes note of an event.
    pub fn note(&mut self, readiness: Readiness) {
        if let Some(stream) = self.stream() {
            stream.note(readiness);
        }
    }

    /// The schedule's entry for the next push has come up.
    pub fn push_came_up(&mut self) {
        if let State::Open(Open { service: Serving::Push { scheduled, .. }, .. }) = &mut self.state {
            *scheduled = false;
        }
    }

    fn stream(&mut self) -> Option<&mut EdgeStream<S>> {
        match &mut self.state {
            State::Handshake { handshake, .. } => Some(handshake.get_mut().get_mut().get_mut()),
            State::Open(open) => Some(open.socket.get_mut().get_mut()),
            State::Closing(socket) => Some(socket.get_mut().get_mut()),
            State::Ended => None,
        }
    }

    /// Looks whether something has happened since the last look; true after so many looks in a row that have seen
    /// nothing, as [`Watch`](bench_core::service::watch::Watch) counts them.
    pub fn is_idle(&mut self) -> bool {
        let Quiet { happened, looks } = mem::take(&mut self.quiet);
        if !happened {
            self.quiet.looks = looks + 1;
        }
        self.quiet.looks == LOOKS
    }

    /// Says that the connection ends because nothing has happened on it.
    pub fn end_idle(&mut self, limit: Duration) {
        self.end(Err(SocketError::TimedOut { what: "silence", limit_ms: limit.as_millis() as u64 }));
    }

    /// Does what can be done without waiting.
    pub fn turn(&mut self) -> Turn {
        self.quiet.happened = true;
        if let Some(stream) = self.stream() {
            stream.begin_turn();
        }
        if self.is_in_handshake() {
            self.shake_hands();
        }
        if let State::Open(open) = &mut self.state {
            match open.serve(&mut self.tally, self.flush) {
                // Waits.
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    if let State::Open(open) = mem::replace(&mut self.state, State::Ended) {
                        self.state = State::Closing(open.socket);
                    }
                }
                Err(error) => self.end(Err(socket_error(error))),
                Ok(never) => match never {},
            }
        }
        if let State::Closing(socket) = &mut self.state {
            // tungstenite hands over the answer to a close without a flush.
            match socket.get_mut().flush() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                flushed => self.end(flushed.map_err(SocketError::from)),
            }
        }
        self.waits_for()
    }

    fn shake_hands(&mut self) {
        let State::Handshake { handshake, requested } = mem::replace(&mut self.state, State::Ended) else {
            return;
        };
        match handshake.handshake() {
            Ok(socket) => {
                self.tally.upgraded();
                if let Some(service) = requested.take() {
                    self.state = State::Open(Open { socket, service, blocked: false });
                }
            }
            Err(HandshakeError::Interrupted(handshake)) => {
                self.state = State::Handshake { handshake, requested };
            }
            // The tally counts a connection that ends here as one without a handshake.
            Err(HandshakeError::Failure(_)) => {}
        }
    }

    fn end(&mut self, result: Result<(), SocketError>) {
        self.tally.ended(&result);
        self.state = State::Ended;
    }

    fn waits_for(&mut self) -> Turn {
        if matches!(self.state, State::Ended) {
            return Turn::Ended;
        }
        if self.stream().is_some_and(|stream| stream.cut_short()) {
            return Turn::Again;
        }
        match &mut self.state {
            State::Open(Open {
                service: Serving::Push { plan, first_ns, next, scheduled },
                blocked: false,
                ..
            }) if !*scheduled && *next < plan.count => {
                *scheduled = true;
                Turn::Due(plan.due_ns(*first_ns, *next))
            }
            _ => Turn::Wait,
        }
    }
}

impl<S: Read + Write> Open<S> {
    /// Serves until it would block, which is an error like the end of the connection.
    fn serve(&mut self, tally: &mut ConnectionTally, flush: Flush) -> Result<Infallible, Error> {
        if self.blocked {
            self.socket.flush()?;
            self.blocked = false;
        }
        self.push_what_is_due(tally)?;
        loop {
            let message = self.socket.read()?;
            if is_data(&message) {
                self.answer(message, tally, flush)?;
            }
        }
    }

    fn push_what_is_due(&mut self, tally: &mut ConnectionTally) -> Result<(), Error> {
        for _ in 0..PUSHES_PER_TURN {
            let Serving::Push { plan, first_ns, next, .. } = &mut self.service else { return Ok(()) };
            let due_ns = plan.due_ns(*first_ns, *next);
            if *next == plan.count || due_ns > now_ns() {
                return Ok(());
            }
            let payload = plan.payload(*next, due_ns);
            *next += 1;
            tally.messages().class_mut(plan.class).sent(payload.len());
            self.write(Message::new(Kind::Text, payload), Flush::Each)?;
        }
        Ok(())
    }

    fn answer(&mut self, received: Message, tally: &mut ConnectionTally, flush: Flush) -> Result<(), Error> {
        let bytes = received.payload().len();
        let count = tally.messages().class_mut(Class::of(received.payload()));
        count.received(bytes);
        match &mut self.service {
            Serving::Echo { burn_us } => {
                burn(*burn_us);
                count.sent(bytes);
                self.write(received, flush)
            }
            Serving::Sink { messages, missing } => {
                *missing -= 1;
                if *missing > 0 {
                    return Ok(());
                }
                *missing = *messages;
                let answer = Bytes::from(messages.to_string());
                count.sent(answer.len());
                self.write(Message::new(Kind::Text, answer), flush)
            }
            Serving::Push { .. } => Ok(()),
        }
    }

    /// Writes a message. Where that would block, the message is in tungstenite's buffer, and nothing more is read or
    /// written before it has left: a connection holds no more than one message and the write buffer.
    fn write(&mut self, message: Message, flush: Flush) -> Result<(), Error> {
        let written = self.socket.write(message).and_then(|()| match flush {
            Flush::Each => self.socket.flush(),
            Flush::BeforeWait => Ok(()),
        });
        if let Err(Error::Io(error)) = &written {
            self.blocked = error.kind() == io::ErrorKind::WouldBlock;
        }
        written
    }
}

impl TryFrom<Service> for Serving {
    type Error = String;

    fn try_from(service: Service) -> Result<Serving, String> {
        match service {
            Service::Echo { burn_us } => Ok(Serving::Echo { burn_us }),
            Service::Sink { messages } => Ok(Serving::Sink { messages, missing: messages }),
            Service::Push(plan) => {
                let first_ns = plan.first_ns.unwrap_or_else(now_ns);
                Ok(Serving::Push { plan, first_ns, next: 0, scheduled: false })
            }
            // Nobody is woken here but by the kernel.
            Service::Publish | Service::Subscribe(_) => {
                Err("this server has /echo, /sink and /push only".to_owned())
            }
        }
    }
}

/// The service that the request asked for, once it was read.
type Requested = Rc<Cell<Option<Serving>>>;

/// Looks at the request of an opening handshake.
struct Choose(Requested);

impl Callback for Choose {
    // The size of the error is tungstenite's choice.
    #[allow(clippy::result_large_err)]
    fn on_request(self, request: &Request, response: Response) -> Result<Response, ErrorResponse> {
        self.0.set(Some(Serving::try_from(service_of(request)?).map_err(no_service)?));
        Ok(response)
    }
}
