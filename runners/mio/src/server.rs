//! The loop: waits for events, gives each ready connection its turn, and keeps the schedule.

use std::{
    future::Future,
    io::{self, ErrorKind},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Wake, Waker},
    time::Duration,
};

use bench_core::{
    ConnectionTally, ServeSpec, ServerContext, net,
    protocol::{Ready, ServerReport},
    service::{DRAIN, watch::LOOKS},
    timer::now_ns,
};
use mio::{
    Events, Interest, Poll, Token,
    event::Event,
    net::{TcpListener, TcpStream},
};

use crate::{
    alarm::Alarm,
    connection::{Connection, Turn},
    schedule::{Key, Schedule},
    stream::Readiness,
};

// Connections have the tokens below these, by their place.
const LISTENER: Token = Token(usize::MAX - 1);
const ALARM: Token = Token(usize::MAX - 2);
const STOP: Token = Token(usize::MAX - 3);

/// Events taken from the kernel at once: as many as tokio takes.
const EVENTS: usize = 1024;

/// Serves until stdin ends.
pub fn serve(spec: &ServeSpec, ready: Ready) -> anyhow::Result<ServerReport> {
    let poll = Poll::new()?;
    let mut listener = TcpListener::from_std(net::listen(spec)?);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let alarm = Alarm::new(poll.registry(), ALARM)?;
    let waker = Waker::from(Arc::new(WakesLoop(mio::Waker::new(poll.registry(), STOP)?)));
    let mut stop = ready.listening(listener.local_addr()?)?;

    let mut server = Server {
        poll,
        listener: Some(listener),
        accept_again_ns: None,
        alarm,
        context: ServerContext::new(spec),
        connections: Vec::new(),
        free: Vec::new(),
        accepted: 0,
        again: Vec::new(),
        schedule: Schedule::default(),
        due: Vec::new(),
        look_ns: None,
    };
    let mut stopped = || Pin::new(&mut stop).poll(&mut Context::from_waker(&waker)).is_ready();
    if !stopped() {
        server.run(None, |event| event.token() == STOP && stopped())?;
    }
    server.listener = None;
    server.run(Some(now_ns() + DRAIN.as_nanos() as u64), |_| false)?;
    // The connections that are still open are dropped after this: their messages are not counted.
    Ok(server.context.totals())
}

/// Lets the future that completes when stdin ends wake the loop.
struct WakesLoop(mio::Waker);

impl Wake for WakesLoop {
    fn wake(self: Arc<Self>) {
        if let Err(error) = self.0.wake() {
            eprintln!("the loop cannot be told to stop: {error}");
        }
    }
}

struct Server {
    poll: Poll,
    /// `None` once the server was told to stop.
    listener: Option<TcpListener>,
    /// When to accept again after an error that waiting helps against.
    accept_again_ns: Option<u64>,
    alarm: Alarm,
    context: Arc<ServerContext>,
    /// By place.
    connections: Vec<Option<(Key, Connection<TcpStream>)>>,
    /// Places without a connection.
    free: Vec<usize>,
    accepted: u64,
    /// Connections whose last turn was cut short.
    again: Vec<usize>,
    schedule: Schedule,
    /// Connections with a push that is due, between two steps.
    due: Vec<Key>,
    /// When to look for idle connections; `None` where there is no connection.
    look_ns: Option<u64>,
}

impl Server {
    /// Runs until `ends` says so of an event; with a `deadline_ns`, until all connections have ended or it has passed.
    fn run(&mut self, deadline_ns: Option<u64>, mut ends: impl FnMut(&Event) -> bool) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            if let Some(deadline_ns) = deadline_ns
                && (self.free.len() == self.connections.len() || now_ns() >= deadline_ns)
            {
                return Ok(());
            }
            let limit = match self.next_ns(deadline_ns) {
                _ if !self.again.is_empty() => Some(Duration::ZERO),
                next_ns => self.alarm.set(next_ns)?,
            };
            match self.poll.poll(&mut events, limit) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            for place in std::mem::take(&mut self.again) {
                self.turn(place);
            }
            let mut ended = false;
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    ALARM | STOP => ended |= ends(event),
                    Token(place) => {
                        self.note(place, event);
                        self.turn(place);
                    }
                }
            }
            self.keep_schedule();
            if ended {
                return Ok(());
            }
        }
    }

    fn accept(&mut self) {
        self.accept_again_ns = None;
        while let Some(listener) = &self.listener {
            let accepted = listener.accept().and_then(|(stream, _)| {
                stream.set_nodelay(true)?;
                Ok(stream)
            });
            let added = match accepted {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => Err(error),
                Ok(stream) => match ConnectionTally::admit(self.context.clone()) {
                    Some(tally) => self.add(stream, tally),
                    None => Ok(()),
                },
            };
            if let Err(error) = added {
                self.context.accept_failed();
                if let Some(pause) = net::accept_back_off(&error) {
                    // Edge-triggered: no event repeats what is still in the queue.
                    self.accept_again_ns = Some(now_ns() + pause.as_nanos() as u64);
                    return;
                }
            }
        }
    }

    fn add(&mut self, mut stream: TcpStream, tally: ConnectionTally) -> io::Result<()> {
        let place = self.free.last().copied().unwrap_or(self.connections.len());
        // Once and for both directions; its first event tells what has come already.
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(place), interest)?;
        let key = Key { place, number: self.accepted };
        self.accepted += 1;
        let spec = &self.context.spec().socket;
        let connection = Some((key, Connection::new(stream, spec, tally)));
        match self.free.pop() {
            Some(_) => self.connections[place] = connection,
            None => self.connections.push(connection),
        }
        let now_ns = now_ns();
        self.schedule.handshake(now_ns + spec.handshake_timeout().as_nanos() as u64, key);
        self.look_ns = self.look_ns.or(Some(now_ns + self.look_every_ns()));
        Ok(())
    }

    fn note(&mut self, place: usize, event: &Event) {
        if let Some((_, connection)) = &mut self.connections[place] {
            connection.note(Readiness {
                readable: event.is_readable(),
                writable: event.is_writable(),
                ending: event.is_read_closed() || event.is_error(),
            });
        }
    }

    fn turn(&mut self, place: usize) {
        let Some((key, connection)) = &mut self.connections[place] else { return };
        // A panic ends its connection, as it would end a task, and is counted; nobody sees what it left half done.
        match catch_unwind(AssertUnwindSafe(|| connection.turn())).unwrap_or(Turn::Ended) {
            Turn::Wait => {}
            Turn::Again => self.again.push(place),
            Turn::Due(due_ns) => self.schedule.push(due_ns, *key),
            Turn::Ended => self.remove(place),
        }
    }

    /// Closing the stream also ends its registration.
    fn remove(&mut self, place: usize) {
        self.connections[place] = None;
        self.free.push(place);
    }

    fn connection(&mut self, key: Key) -> Option<&mut Connection<TcpStream>> {
        let (found, connection) = self.connections[key.place].as_mut()?;
        (*found == key).then_some(connection)
    }

    fn keep_schedule(&mut self) {
        if self.accept_again_ns.is_some_and(|at_ns| at_ns <= now_ns()) {
            self.accept();
        }
        // One reading of the clock: what becomes due in the meantime has its turn after the events of others.
        let now_ns = now_ns();
        // All are taken first: a turn that could not send all that is late puts its connection back.
        let mut due = std::mem::take(&mut self.due);
        due.extend(std::iter::from_fn(|| self.schedule.due_push(now_ns)));
        for key in due.drain(..) {
            if let Some(connection) = self.connection(key) {
                connection.push_came_up();
                self.turn(key.place);
            }
        }
        self.due = due;
        while let Some(key) = self.schedule.expired_handshake(now_ns) {
            if self.connection(key).is_some_and(|connection| connection.is_in_handshake()) {
                self.remove(key.place);
            }
        }
        self.end_idle(now_ns);
    }

    /// Ends the connections on which nothing has happened for the idle timeout.
    fn end_idle(&mut self, now_ns: u64) {
        if self.look_ns.is_none_or(|look_ns| look_ns > now_ns) {
            return;
        }
        let limit = self.context.spec().socket.idle_timeout();
        for place in 0..self.connections.len() {
            if let Some((_, connection)) = &mut self.connections[place]
                // The opening handshake has a limit of its own.
                && !connection.is_in_handshake()
                && connection.is_idle()
            {
                connection.end_idle(limit);
                self.remove(place);
            }
        }
        let some_left = self.free.len() < self.connections.len();
        self.look_ns = some_left.then(|| now_ns + self.look_every_ns());
    }

    fn look_every_ns(&self) -> u64 {
        (self.context.spec().socket.idle_timeout() / LOOKS).as_nanos() as u64
    }

    fn next_ns(&mut self, deadline_ns: Option<u64>) -> Option<u64> {
        let connections = &self.connections;
        let in_handshake = |key: Key| {
            let found = connections[key.place].as_ref().filter(|(found, _)| *found == key);
            found.is_some_and(|(_, connection)| connection.is_in_handshake())
        };
        let scheduled = self.schedule.next_ns(in_handshake);
        scheduled.into_iter().chain(self.accept_again_ns).chain(deadline_ns).chain(self.look_ns).min()
    }
}
