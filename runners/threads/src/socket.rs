//! [`Socket`] on tungstenite alone, over a blocking stream: every future is ready when it is first polled.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use bench_core::{
    Socket, SocketError,
    service::Service,
    socket::Secured,
    spec::{Flush, SocketSpec},
    stack::{
        transport::Transport,
        upgrade::{Handshake, shake_hands},
        websocket::{config, handshake_error, is_data, request_not_seen, service_of, socket_error},
        write_behind::WriteBehind,
    },
};
use tungstenite::{
    Error, HandshakeError, Message, WebSocket,
    handshake::{
        HandshakeRole,
        server::{Request, Response},
    },
    protocol::Role,
};

/// A WebSocket connection whose operations block the calling thread.
#[derive(Debug)]
pub struct BlockingSocket {
    socket: WebSocket<WriteBehind<Transport<Timed>>>,
    flush: Flush,
    /// Longest silence; a client waits for its server as long as its own process may run.
    idle_limit: Option<Duration>,
    closing_limit: Duration,
}

/// Runs the server's half of the opening handshake; the request path chooses the service.
pub fn accept(stream: TcpStream, spec: &SocketSpec) -> Result<(Service, BlockingSocket), SocketError> {
    let limit = spec.handshake_timeout();
    let mut requested = None;
    // The size of the error is tungstenite's choice.
    #[allow(clippy::result_large_err)]
    let choose = |request: &Request, response: Response| {
        requested = Some(service_of(request)?);
        Ok(response)
    };
    let stream = WriteBehind::new(Transport::accept(Timed::until(stream, limit), spec)?, spec);
    let socket = tungstenite::accept_hdr_with_config(stream, choose, Some(config(spec)))
        .map_err(|error| failed(error, limit))?;
    let socket = BlockingSocket::new(socket, spec, Some(spec.idle_timeout()))?;
    Ok((requested.ok_or_else(request_not_seen)?, socket))
}

/// Runs the client's half of the opening handshake for `url`.
pub fn upgrade(stream: TcpStream, url: &str, spec: &SocketSpec) -> Result<BlockingSocket, SocketError> {
    let limit = spec.handshake_timeout();
    let mut stream = WriteBehind::new(Transport::connect(Timed::until(stream, limit), url, spec)?, spec);
    let tail = shake_hands(&mut stream, Handshake::to(url)?).map_err(|error| match error {
        // What the kernel says when its limit on a read or write has run out.
        SocketError::Io(error) if error.kind() == io::ErrorKind::WouldBlock => {
            timed_out("the opening handshake", limit)
        }
        error => error,
    })?;
    let socket = WebSocket::from_partially_read(stream, tail, Role::Client, Some(config(spec)));
    BlockingSocket::new(socket, spec, None)
}

/// A stream whose reads and writes the kernel ends in time, which nothing else can while the thread blocks in one.
#[derive(Debug)]
struct Timed {
    stream: TcpStream,
    /// When a handshake has to be done. Each read and write gets what is left, so that a peer which sends in crumbs gets
    /// no more time than another.
    deadline: Option<Instant>,
}

impl Timed {
    fn until(stream: TcpStream, limit: Duration) -> Timed {
        Timed { stream, deadline: Some(Instant::now() + limit) }
    }

    /// From now on every single read and write may take so long.
    fn limit_each(&mut self, limit: Option<Duration>) -> io::Result<()> {
        self.deadline = None;
        self.stream.set_read_timeout(limit)?;
        self.stream.set_write_timeout(limit)
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        match self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            // What the kernel says when its own limit has run out.
            Some(Duration::ZERO) => Err(io::ErrorKind::WouldBlock.into()),
            left => Ok(left),
        }
    }
}

/// Again after a stop: a call that has a time limit is not resumed by the kernel when its process is stopped and continued,
/// but ends with `EINTR` (signal(7)).
fn unless_stopped<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        unless_stopped(|| {
            if let Some(left) = self.left()? {
                self.stream.set_read_timeout(Some(left))?;
            }
            self.stream.read(buffer)
        })
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unless_stopped(|| {
            if let Some(left) = self.left()? {
                self.stream.set_write_timeout(Some(left))?;
            }
            self.stream.write(bytes)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn failed<R: HandshakeRole>(error: HandshakeError<R>, limit: Duration) -> SocketError {
    match error {
        HandshakeError::Failure(error) => handshake_error(error),
        // A blocking stream is interrupted by nothing but its time limit.
        HandshakeError::Interrupted(_) => timed_out("the opening handshake", limit),
    }
}

fn timed_out(what: &'static str, limit: Duration) -> SocketError {
    SocketError::TimedOut { what, limit_ms: limit.as_millis() as u64 }
}

impl BlockingSocket {
    fn new(
        socket: WebSocket<WriteBehind<Transport<Timed>>>,
        spec: &SocketSpec,
        idle_limit: Option<Duration>,
    ) -> Result<BlockingSocket, SocketError> {
        let mut socket =
            BlockingSocket { socket, flush: spec.flush, idle_limit, closing_limit: spec.close_timeout() };
        socket.stream().limit_each(idle_limit)?;
        Ok(socket)
    }

    fn stream(&mut self) -> &mut Timed {
        self.socket.get_mut().get_mut().get_mut()
    }

    /// An error of the established connection, by the limit that it ran into where it did.
    fn failed(&self, error: Error) -> SocketError {
        match (error, self.idle_limit) {
            (Error::Io(error), Some(limit)) if error.kind() == io::ErrorKind::WouldBlock => {
                timed_out("silence", limit)
            }
            (error, _) => socket_error(error),
        }
    }

    fn next(&mut self) -> Result<Option<Message>, SocketError> {
        loop {
            match self.socket.read() {
                Ok(message) if is_data(&message) => return Ok(Some(message)),
                // tungstenite has queued the answer to a ping or close by itself and writes it with the next read.
                Ok(_) => {}
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => break,
                Err(error) => return Err(self.failed(error)),
            }
        }
        // tungstenite hands over the answer to a close without a flush.
        let stream = self.socket.get_mut();
        let mut flushed = stream.flush();
        if flushed.is_ok() && stream.get_mut().say_goodbye() {
            flushed = stream.flush();
        }
        flushed.map_err(|error| self.failed(error.into()))?;
        Ok(None)
    }

    fn close_in_order(&mut self) -> Result<(), SocketError> {
        let limit = Some(self.closing_limit);
        self.stream().limit_each(limit)?;
        self.idle_limit = None;
        match self.socket.close(None) {
            Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => {}
            Err(error) => return Err(socket_error(error)),
        }
        while self.next()?.is_some() {}
        Ok(())
    }
}

impl Socket for BlockingSocket {
    type Message = Message;

    async fn recv(&mut self) -> Result<Option<Message>, SocketError> {
        self.next()
    }

    async fn feed(&mut self, message: Message) -> Result<(), SocketError> {
        self.socket.write(message).map_err(|error| self.failed(error))?;
        match self.flush {
            Flush::Each => self.flush().await,
            Flush::BeforeWait => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<(), SocketError> {
        self.socket.flush().map_err(|error| self.failed(error))
    }

    async fn close(&mut self) -> Result<(), SocketError> {
        self.close_in_order().map_err(|error| match error {
            // What the kernel says when its limit on a read or write has run out.
            SocketError::Io(error) if error.kind() == io::ErrorKind::WouldBlock => {
                timed_out("the closing handshake", self.closing_limit)
            }
            error => error,
        })
    }

    fn secured(&self) -> Option<Secured> {
        self.socket.get_ref().get_ref().secured()
    }
}
