//! [`Socket`] on tungstenite over a stream that takes its buffers by value, as completion I/O does:
//! between an operation's submission and its end the kernel owns the buffer.
//!
//! tungstenite itself reads from and writes to memory. Once it has nothing left to read, what it wrote is sent, and then
//! the next receive is submitted: this is the flush policy `before-wait`, with one copy each way and no adapter.

use std::{
    borrow::BorrowMut,
    io::{self, Read, Write},
    mem,
};

use async_tungstenite::tungstenite::{
    self, Error, HandshakeError, Message,
    handshake::{
        HandshakeRole, MidHandshake,
        server::{Request, Response, ServerHandshake},
    },
    protocol::Role,
};

use crate::{
    Socket, SocketError,
    service::Service,
    socket::Secured,
    spec::{Flush, SocketSpec},
    stack::{
        upgrade::Handshake,
        websocket::{config, handshake_error, is_data, request_not_seen, service_of, socket_error},
    },
};

mod stream;
mod transport;

pub use stream::OwnedStream;
use transport::Transport;

/// How such a row waits for I/O, as it says of itself in [`RowInfo::io_mode`](crate::RowInfo::io_mode).
pub const IO_MODE: &str = "completion (io_uring send and recv into buffers that are lent; one copy each way)";

/// A WebSocket connection over an [`OwnedStream`].
///
/// When a future of it is dropped before its end, so is the buffer that the kernel has: nothing but dropping the
/// connection is left then.
#[derive(Debug)]
pub struct WebSocket<S> {
    protocol: tungstenite::WebSocket<Memory>,
    role: Role,
    stream: Transport<S>,
    flush: Flush,
}

/// Runs the server's half of the opening handshake; the request path chooses the service.
///
/// # Errors
/// When the peer does not complete a valid handshake, or asks for a service that does not exist (answered by 404).
pub async fn accept<S: OwnedStream>(
    stream: S,
    spec: &SocketSpec,
) -> Result<(Service, WebSocket<S>), SocketError> {
    let mut stream = Transport::accept(stream, spec)?;
    let mut memory = Memory::new(spec);
    let mut requested = None;
    // As with `service_of`.
    #[allow(clippy::result_large_err)]
    let choose = |request: &Request, response: Response| {
        requested = Some(service_of(request)?);
        Ok(response)
    };
    // The memory is lent, because a failed handshake keeps what it was given, and the refusal is in there.
    let handshake = ServerHandshake::start(&mut memory, choose, Some(config(spec)));
    let result = shake_hands(handshake, &mut stream).await.map(drop);
    memory.send(&mut stream).await?;
    result?;
    let service = requested.ok_or_else(request_not_seen)?;
    // tungstenite refuses a client that sends more than its request, so that nothing is lost with the lent one.
    let protocol = tungstenite::WebSocket::from_raw_socket(memory, Role::Server, Some(config(spec)));
    Ok((service, WebSocket { protocol, role: Role::Server, stream, flush: spec.flush }))
}

/// Runs the client's half of the opening handshake for `url`.
///
/// # Errors
/// When the server does not complete a valid handshake.
pub async fn upgrade<S: OwnedStream>(
    stream: S,
    url: &str,
    spec: &SocketSpec,
) -> Result<WebSocket<S>, SocketError> {
    let mut stream = Transport::connect(stream, url, spec)?;
    let mut handshake = Handshake::to(url)?;
    let mut memory = Memory::new(spec);
    memory.write_all(handshake.request())?;
    memory.send(&mut stream).await?;
    let tail = loop {
        match memory.read(handshake.room()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => memory.receive(&mut stream).await?,
            result => {
                if let Some(tail) = handshake.received(result?)? {
                    break tail;
                }
            }
        }
    };
    let protocol =
        tungstenite::WebSocket::from_partially_read(memory, tail, Role::Client, Some(config(spec)));
    Ok(WebSocket { protocol, role: Role::Client, stream, flush: spec.flush })
}

/// Goes on with a handshake to its end.
async fn shake_hands<S, R>(
    mut handshake: MidHandshake<R>,
    stream: &mut S,
) -> Result<R::FinalResult, SocketError>
where
    S: OwnedStream,
    R: HandshakeRole<InternalStream: BorrowMut<Memory>>,
{
    loop {
        let memory: &mut Memory = handshake.get_mut().get_mut().borrow_mut();
        memory.send(stream).await?;
        memory.receive(stream).await?;
        match handshake.handshake() {
            Ok(done) => return Ok(done),
            Err(HandshakeError::Interrupted(unfinished)) => handshake = unfinished,
            Err(HandshakeError::Failure(error)) => return Err(handshake_error(error)),
        }
    }
}

impl<S: OwnedStream> Socket for WebSocket<S> {
    type Message = Message;

    async fn recv(&mut self) -> Result<Option<Message>, SocketError> {
        let mut closing = false;
        loop {
            match self.protocol.read() {
                Ok(message) if is_data(&message) => return Ok(Some(message)),
                // tungstenite has queued the answer; what follows a close may be an error, and it has to leave before.
                Ok(message) if message.is_close() => {
                    closing = true;
                    // A server's flush says by an error that the connection is closed now.
                    let _ = self.protocol.flush();
                    self.protocol.get_mut().send(&mut self.stream).await?;
                }
                // The answer to a ping leaves with the next read.
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    let memory = self.protocol.get_mut();
                    memory.send(&mut self.stream).await?;
                    memory.receive(&mut self.stream).await?;
                }
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    self.protocol.get_mut().send(&mut self.stream).await?;
                    self.stream.say_goodbye().await?;
                    return Ok(None);
                }
                // Nothing after a close counts. The server ends the connection; a client waits until it has.
                Err(_) if closing => {
                    let memory = self.protocol.get_mut();
                    while self.role == Role::Client && !memory.ended {
                        memory.receive(&mut self.stream).await?;
                    }
                    self.stream.say_goodbye().await?;
                    return Ok(None);
                }
                Err(error) => return Err(socket_error(error)),
            }
        }
    }

    async fn feed(&mut self, message: Message) -> Result<(), SocketError> {
        self.protocol.write(message).map_err(socket_error)?;
        if self.flush == Flush::Each || self.protocol.get_ref().is_full() {
            self.flush().await
        } else {
            Ok(())
        }
    }

    async fn flush(&mut self) -> Result<(), SocketError> {
        self.protocol.flush().map_err(socket_error)?;
        self.protocol.get_mut().send(&mut self.stream).await
    }

    async fn close(&mut self) -> Result<(), SocketError> {
        self.protocol.close(None).map_err(socket_error)?;
        while self.recv().await?.is_some() {}
        Ok(())
    }

    fn secured(&self) -> Option<Secured> {
        self.stream.secured()
    }
}

/// The stream that tungstenite sees: reading takes what was received and then would block; writing never does.
#[derive(Debug)]
struct Memory {
    received: Vec<u8>,
    /// How much of `received` has been read.
    read: usize,
    /// The peer sends nothing more.
    ended: bool,
    unsent: Vec<u8>,
    limit: usize,
}

impl Memory {
    fn new(spec: &SocketSpec) -> Memory {
        Memory {
            // A read into no room at all would look like the end.
            received: Vec::with_capacity(spec.read_buffer_bytes.max(1) as usize),
            read: 0,
            ended: false,
            unsent: Vec::new(),
            limit: spec.write_buffer_bytes as usize,
        }
    }

    fn is_full(&self) -> bool {
        self.unsent.len() >= self.limit
    }

    async fn send<S: OwnedStream>(&mut self, stream: &mut S) -> Result<(), SocketError> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let (result, mut buffer) = stream.write_all(mem::take(&mut self.unsent)).await;
        buffer.clear();
        // One large message should not cost its memory as long as the connection lives.
        if buffer.capacity() > 2 * self.limit {
            buffer.shrink_to(self.limit);
        }
        self.unsent = buffer;
        Ok(result?)
    }

    /// To be called when everything has been read.
    async fn receive<S: OwnedStream>(&mut self, stream: &mut S) -> Result<(), SocketError> {
        let mut buffer = mem::take(&mut self.received);
        buffer.clear();
        let (result, buffer) = stream.read(buffer).await;
        self.received = buffer;
        self.read = 0;
        self.ended = result? == 0;
        Ok(())
    }
}

impl Read for Memory {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = &self.received[self.read..];
        if left.is_empty() && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = left.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&left[..taken]);
        self.read += taken;
        Ok(taken)
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unsent.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
        thread,
    };

    use futures_lite::future::block_on;

    use super::*;

    /// A blocking stream, whose futures never wait; remembers its writes.
    struct Blocking {
        stream: UnixStream,
        writes: Vec<usize>,
    }

    impl OwnedStream for Blocking {
        async fn read(&mut self, mut buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
            buffer.resize(buffer.capacity(), 0);
            let result = self.stream.read(&mut buffer);
            buffer.truncate(*result.as_ref().unwrap_or(&0));
            (result, buffer)
        }

        async fn write_all(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
            self.writes.push(buffer.len());
            (self.stream.write_all(&buffer), buffer)
        }
    }

    fn pair() -> (Blocking, UnixStream) {
        let (one, other) = UnixStream::pair().unwrap();
        (Blocking { stream: one, writes: Vec::new() }, other)
    }

    fn spec() -> SocketSpec {
        SocketSpec { write_buffer_bytes: 1_000, ..SocketSpec::default() }
    }

    #[test]
    fn both_ends_meet_and_what_was_fed_leaves_before_a_read_or_when_there_is_much_of_it() {
        let (server, client) = pair();
        let client = Blocking { stream: client, writes: Vec::new() };
        let serving = thread::spawn(move || {
            block_on(async {
                let (service, mut socket) = accept(server, &spec()).await.unwrap();
                while let Some(message) = socket.recv().await.unwrap() {
                    socket.feed(message).await.unwrap();
                }
                (service, socket.stream.stream().writes.clone())
            })
        });
        let writes = block_on(async {
            let mut socket = upgrade(client, "ws://localhost/echo", &spec()).await.unwrap();
            for size in [10, 10, 2_000, 10] {
                socket.feed(Message::binary(vec![7; size])).await.unwrap();
            }
            for size in [10, 10, 2_000, 10] {
                assert_eq!(socket.recv().await.unwrap(), Some(Message::binary(vec![7; size])));
            }
            socket.close().await.unwrap();
            socket.stream.stream().writes.clone()
        });
        let (service, server_writes) = serving.join().unwrap();
        assert_eq!(service, Service::Echo { burn_us: 0 });
        // A client's frame has 6 bytes of header, or 8 where it is longer than 125.
        assert_eq!(writes[1..], [16 + 16 + 2_008, 16, 6], "{writes:?}");
        assert!(server_writes.len() <= 5, "handshake, echoes, close: {server_writes:?}");
    }

    #[test]
    fn under_tls_a_send_stays_one_write() {
        crate::stack::tls::tests::install_a_new_identity();
        let (server, client) = pair();
        let client = Blocking { stream: client, writes: Vec::new() };
        let spec = SocketSpec { tls: true, ..SocketSpec::default() };
        let server_spec = spec.clone();
        let serving = thread::spawn(move || {
            block_on(async {
                let (_, mut socket) = accept(server, &server_spec).await.unwrap();
                while let Some(message) = socket.recv().await.unwrap() {
                    socket.feed(message).await.unwrap();
                }
                socket.secured()
            })
        });
        let (secured, writes) = block_on(async {
            let mut socket = upgrade(client, "wss://localhost:1/echo", &spec).await.unwrap();
            // The last is several records.
            for size in [10, 10, 50_000] {
                socket.feed(Message::binary(vec![7; size])).await.unwrap();
            }
            for size in [10, 10, 50_000] {
                assert_eq!(socket.recv().await.unwrap(), Some(Message::binary(vec![7; size])));
            }
            socket.close().await.unwrap();
            (socket.secured(), socket.stream.stream().writes.clone())
        });
        assert!(secured.is_some());
        assert_eq!(serving.join().unwrap(), secured);
        // Client hello; the end of the handshake with the request; the messages; the close.
        assert_eq!(writes.len(), 4, "{writes:?}");
    }

    #[test]
    fn a_path_without_a_service_is_answered_before_it_fails() {
        let (server, mut client) = pair();
        client
            .write_all(
                b"GET /nothing HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            )
            .unwrap();
        assert!(block_on(accept(server, &spec())).is_err());
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
}
