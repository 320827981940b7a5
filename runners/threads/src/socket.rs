//! [`Socket`] on tungstenite alone, over a blocking stream: every future is ready when it is first polled.

use std::{io, net::TcpStream, time::Duration};

use bench_core::{
    Kind, Socket, SocketError, WriteBehind,
    service::Service,
    spec::{Flush, SocketSpec},
    websocket::{self, config, handshake_error, is_data, request_not_seen, service_of, socket_error},
};
use tungstenite::{
    Bytes, Error, HandshakeError, Message, WebSocket,
    handshake::{
        HandshakeRole,
        server::{Request, Response},
    },
};

/// A WebSocket connection whose operations block the calling thread.
#[derive(Debug)]
pub struct BlockingSocket {
    socket: WebSocket<WriteBehind<TcpStream>>,
    flush: Flush,
    /// Limit of the closing handshake, as of the opening one.
    closing_limit: Duration,
}

/// Runs the server's half of the opening handshake; the request path chooses the service.
pub async fn accept(stream: TcpStream, spec: &SocketSpec) -> Result<(Service, BlockingSocket), SocketError> {
    let limit = spec.handshake_timeout();
    limit_waits(&stream, Some(limit))?;
    let mut requested = None;
    // The size of the error is tungstenite's choice.
    #[allow(clippy::result_large_err)]
    let choose = |request: &Request, response: Response| {
        requested = Some(service_of(request)?);
        Ok(response)
    };
    let stream = WriteBehind::new(stream, spec);
    let socket = tungstenite::accept_hdr_with_config(stream, choose, Some(config(spec)))
        .map_err(|error| failed(error, limit))?;
    let socket = BlockingSocket::new(socket, spec)?;
    Ok((requested.ok_or_else(request_not_seen)?, socket))
}

/// Runs the client's half of the opening handshake for `url`.
pub fn upgrade(stream: TcpStream, url: &str, spec: &SocketSpec) -> Result<BlockingSocket, SocketError> {
    let limit = spec.handshake_timeout();
    limit_waits(&stream, Some(limit))?;
    let stream = WriteBehind::new(stream, spec);
    let (socket, _) = tungstenite::client::client_with_config(url, stream, Some(config(spec)))
        .map_err(|error| failed(error, limit))?;
    BlockingSocket::new(socket, spec)
}

/// Lets the kernel end each read and write that takes longer than `limit`, which nothing else can while the thread
/// blocks in it. A peer that sends its handshake in crumbs gets the limit for each; tungstenite bounds their number.
fn limit_waits(stream: &TcpStream, limit: Option<Duration>) -> io::Result<()> {
    stream.set_read_timeout(limit)?;
    stream.set_write_timeout(limit)
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
        socket: WebSocket<WriteBehind<TcpStream>>,
        spec: &SocketSpec,
    ) -> Result<BlockingSocket, SocketError> {
        limit_waits(socket.get_ref().get_ref(), None)?;
        Ok(BlockingSocket { socket, flush: spec.flush, closing_limit: spec.handshake_timeout() })
    }

    fn next(&mut self) -> Result<Option<Message>, SocketError> {
        loop {
            match self.socket.read() {
                Ok(message) if is_data(&message) => return Ok(Some(message)),
                // tungstenite has queued the answer to a ping or close by itself and writes it with the next read.
                Ok(_) => {}
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => break,
                Err(error) => return Err(socket_error(error)),
            }
        }
        // tungstenite hands over the answer to a close without a flush.
        io::Write::flush(self.socket.get_mut())?;
        Ok(None)
    }

    fn close_in_order(&mut self) -> Result<(), SocketError> {
        limit_waits(self.socket.get_ref().get_ref(), Some(self.closing_limit))?;
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

    fn message(kind: Kind, payload: Bytes) -> Message {
        websocket::message(kind, payload)
    }

    fn kind(message: &Message) -> Kind {
        websocket::kind(message)
    }

    fn payload(message: &Message) -> &[u8] {
        websocket::payload(message)
    }

    async fn recv(&mut self) -> Result<Option<Message>, SocketError> {
        self.next()
    }

    async fn feed(&mut self, message: Message) -> Result<(), SocketError> {
        self.socket.write(message).map_err(socket_error)?;
        match self.flush {
            Flush::Each => self.flush().await,
            Flush::BeforeWait => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<(), SocketError> {
        self.socket.flush().map_err(socket_error)
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
}
