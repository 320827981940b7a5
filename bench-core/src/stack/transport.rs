//! What lies between a TCP stream and the WebSocket protocol: nothing, or TLS.

use std::{
    io::{self, Read, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::io::{AsyncRead, AsyncWrite};

use crate::{
    SocketError,
    socket::Secured,
    spec::SocketSpec,
    stack::{
        tls::{self, Session},
        write_behind::polled,
    },
};

/// A stream that is plain or under TLS, as its specification says.
///
/// It is as asynchronous as what it wraps: a stream of futures-io, or one of std's traits.
#[derive(Debug)]
pub struct Transport<S> {
    stream: S,
    // In a box, because its size would be every plain connection's as well.
    tls: Option<Box<Session>>,
}

impl<S> Transport<S> {
    /// The server's end.
    ///
    /// # Errors
    /// When TLS is asked for and this process has no certificate.
    pub fn accept(stream: S, spec: &SocketSpec) -> Result<Transport<S>, SocketError> {
        let session = spec.tls.then(|| tls::acceptor()?.session(spec)).transpose()?;
        Ok(Transport::new(stream, session))
    }

    /// The client's end, for the host of `url`.
    ///
    /// # Errors
    /// When TLS is asked for and this process trusts no certificate.
    pub fn connect(stream: S, url: &str, spec: &SocketSpec) -> Result<Transport<S>, SocketError> {
        let session = spec.tls.then(|| tls::connector()?.session(url, spec)).transpose()?;
        Ok(Transport::new(stream, session))
    }

    /// Around `stream`; plain without a session.
    pub fn new(stream: S, session: Option<Session>) -> Transport<S> {
        Transport { stream, tls: session.map(Box::new) }
    }

    /// The stream below.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream below, to change it.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// What TLS has agreed on; `None` for a plain stream.
    pub fn secured(&self) -> Option<Secured> {
        self.tls.as_ref().and_then(|session| session.secured())
    }

    /// Announces the end of the stream, where that is this end's to do. Whether there is anything to flush now.
    pub fn say_goodbye(&mut self) -> bool {
        self.tls.as_mut().is_some_and(|session| session.say_goodbye())
    }
}

impl<S: Read + Write> Read for Transport<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.stream.read(buffer),
            Some(session) => session.read(buffer, &mut self.stream),
        }
    }
}

impl<S: Write> Write for Transport<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.stream.write(bytes),
            Some(session) => session.write(bytes, &mut self.stream),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(session) = &mut self.tls {
            session.flush(&mut self.stream)?;
        }
        self.stream.flush()
    }
}

/// A stream of futures-io during one poll, as one of std's traits: [`io::ErrorKind::WouldBlock`] stands for
/// [`Poll::Pending`].
struct Polled<'a, 'cx, S> {
    stream: &'a mut S,
    cx: &'a mut Context<'cx>,
}

fn attempted<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl<S: AsyncRead + Unpin> Read for Polled<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        attempted(Pin::new(&mut *self.stream).poll_read(self.cx, buffer))
    }
}

impl<S: AsyncWrite + Unpin> Write for Polled<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        attempted(Pin::new(&mut *self.stream).poll_write(self.cx, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        attempted(Pin::new(&mut *self.stream).poll_flush(self.cx))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Transport<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Transport { stream, tls } = &mut *self;
        match tls {
            None => Pin::new(stream).poll_read(cx, buffer),
            Some(session) => polled(session.read(buffer, &mut Polled { stream, cx })),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Transport { stream, tls } = &mut *self;
        match tls {
            None => Pin::new(stream).poll_write(cx, bytes),
            Some(session) => polled(session.write(bytes, &mut Polled { stream, cx })),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Transport { stream, tls } = &mut *self;
        if let Some(session) = tls {
            ready!(polled(session.flush(&mut Polled { stream: &mut *stream, cx: &mut *cx })))?;
        }
        Pin::new(stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixStream, thread};

    use futures_lite::future::block_on;

    use super::*;
    use crate::{
        Socket,
        stack::{
            tls::{
                Connector,
                tests::{Identity, install_a_new_identity},
            },
            websocket::{self, WebSocket},
        },
    };

    /// A blocking stream behind the traits of futures-io; remembers its writes.
    struct Blocking {
        stream: UnixStream,
        writes: Vec<usize>,
    }

    impl AsyncRead for Blocking {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, b: &mut [u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(self.stream.read(b))
        }
    }

    impl AsyncWrite for Blocking {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
            self.writes.push(b.len());
            Poll::Ready(self.stream.write(b))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn writes(socket: &WebSocket<Blocking>) -> &[usize] {
        &socket.transport().stream.writes
    }

    #[test]
    fn what_was_fed_leaves_in_one_write_of_records_and_both_ends_agree() {
        install_a_new_identity();
        let spec = SocketSpec { tls: true, ..SocketSpec::default() };
        let (one, other) = UnixStream::pair().unwrap();
        let (server, client) =
            (Blocking { stream: one, writes: Vec::new() }, Blocking { stream: other, writes: Vec::new() });
        let (count, large) = (20, 50_000);
        let server_spec = spec.clone();
        let serving = thread::spawn(move || {
            block_on(async {
                let (_, mut socket) = websocket::accept(server, &server_spec).await.unwrap();
                let mut received = 0;
                while let Some(message) = socket.recv().await.unwrap() {
                    received += 1;
                    // One answer to all small ones, and one to the large one.
                    if received >= count {
                        socket.feed(message).await.unwrap();
                    }
                }
                (socket.secured(), writes(&socket).to_vec())
            })
        });
        let (secured, client_writes) = block_on(async {
            let mut socket = websocket::upgrade(client, "wss://127.0.0.1:1/echo", &spec).await.unwrap();
            let before = writes(&socket).len();
            let message = |size| async_tungstenite::tungstenite::Message::binary(vec![7; size]);
            for _ in 0..count {
                socket.feed(message(100)).await.unwrap();
            }
            assert_eq!(writes(&socket).len(), before, "held until the next read");
            assert!(socket.recv().await.unwrap().is_some());
            assert_eq!(writes(&socket).len(), before + 1);
            // Several records of 16 KiB, in one write as well.
            socket.feed(message(large)).await.unwrap();
            assert!(socket.recv().await.unwrap().is_some());
            assert_eq!(writes(&socket).len(), before + 2);
            assert!(writes(&socket)[before + 1] > large);
            socket.close().await.unwrap();
            (socket.secured(), writes(&socket).to_vec())
        });
        let (server_secured, server_writes) = serving.join().unwrap();
        // Client hello; the end of the handshake with the request; two messages; the close.
        assert_eq!(client_writes.len(), 5, "{client_writes:?}");
        // Server hello to Finished; the response; two answers; the close; the goodbye.
        assert_eq!(server_writes.len(), 6, "{server_writes:?}");
        let secured = secured.unwrap();
        assert_eq!(secured.cipher_suite, "TLS13_AES_128_GCM_SHA256");
        assert_eq!((secured.protocol.as_str(), secured.key_exchange.as_str()), ("TLSv1_3", "X25519"));
        assert_eq!(server_secured, Some(secured));
    }

    #[test]
    fn another_certificate_is_not_trusted() {
        install_a_new_identity();
        let spec = SocketSpec { tls: true, ..SocketSpec::default() };
        let other = Identity::make();
        let stranger = Connector::from_file(&other.certificate()).unwrap();
        let (one, two) = UnixStream::pair().unwrap();
        let serving = thread::spawn(move || {
            let mut stream = Transport::accept(one, &spec).unwrap();
            Read::read(&mut stream, &mut [0; 10]).unwrap_err()
        });
        let session = stranger.session("wss://127.0.0.1:1/", &SocketSpec::default()).unwrap();
        let mut stream = Transport::new(two, Some(session));
        let error = Read::read(&mut stream, &mut [0; 10]).unwrap_err();
        assert!(error.to_string().contains("certificate"), "{error}");
        drop(stream);
        assert_eq!(serving.join().unwrap().kind(), io::ErrorKind::InvalidData);
    }
}
