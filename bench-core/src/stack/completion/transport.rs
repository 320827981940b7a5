//! An [`OwnedStream`] that is plain or under TLS, as its specification says.

use std::io::{self, Read, Write};

use super::stream::OwnedStream;
use crate::{
    SocketError,
    socket::Secured,
    spec::SocketSpec,
    stack::tls::{self, Session},
};

/// Around a stream. Without TLS it adds nothing; with it, what is received and what is sealed lie in buffers of its own,
/// because between a submission and its end the kernel owns what it is given.
#[derive(Debug)]
pub(super) struct Transport<S> {
    stream: S,
    // In a box, because its size would be every plain connection's as well.
    tls: Option<Box<Tls>>,
}

#[derive(Debug)]
struct Tls {
    session: Session,
    received: Vec<u8>,
    /// How much of `received` has been read.
    read: usize,
    ended: bool,
    sealed: Vec<u8>,
}

impl<S> Transport<S> {
    /// The server's end.
    pub(super) fn accept(stream: S, spec: &SocketSpec) -> Result<Transport<S>, SocketError> {
        let session = spec.tls.then(|| tls::acceptor()?.session(spec)).transpose()?;
        Ok(Transport::new(stream, session, spec))
    }

    /// The client's end, for the host of `url`.
    pub(super) fn connect(stream: S, url: &str, spec: &SocketSpec) -> Result<Transport<S>, SocketError> {
        let session = spec.tls.then(|| tls::connector()?.session(url, spec)).transpose()?;
        Ok(Transport::new(stream, session, spec))
    }

    fn new(stream: S, session: Option<Session>, spec: &SocketSpec) -> Transport<S> {
        let tls = session.map(|session| {
            let received = Vec::with_capacity(spec.read_buffer_bytes.max(1) as usize);
            Box::new(Tls { session, received, read: 0, ended: false, sealed: Vec::new() })
        });
        Transport { stream, tls }
    }

    /// The stream below.
    #[cfg(test)]
    pub(super) fn stream(&self) -> &S {
        &self.stream
    }

    /// What TLS has agreed on; `None` for a plain stream.
    pub(super) fn secured(&self) -> Option<Secured> {
        self.tls.as_ref().and_then(|tls| tls.session.secured())
    }
}

impl<S: OwnedStream> Transport<S> {
    /// Announces the end of the stream, where that is this end's to do.
    pub(super) async fn say_goodbye(&mut self) -> io::Result<()> {
        let Transport { stream, tls: Some(tls) } = self else { return Ok(()) };
        if tls.session.say_goodbye() {
            tls.session_and_memory(|session, memory| session.flush(memory))?;
            tls.send(stream).await?;
        }
        Ok(())
    }
}

impl<S: OwnedStream> OwnedStream for Transport<S> {
    async fn read(&mut self, mut buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        let Transport { stream, tls: Some(tls) } = self else { return self.stream.read(buffer).await };
        buffer.resize(buffer.capacity(), 0);
        let result = tls.read(stream, &mut buffer).await;
        buffer.truncate(*result.as_ref().unwrap_or(&0));
        (result, buffer)
    }

    async fn write_all(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let Transport { stream, tls: Some(tls) } = self else { return self.stream.write_all(buffer).await };
        (tls.write_all(stream, &buffer).await, buffer)
    }
}

impl Tls {
    /// Lets the session work on what was received and what is sealed.
    fn session_and_memory<T>(&mut self, work: impl FnOnce(&mut Session, &mut Memory<'_>) -> T) -> T {
        let Tls { session, received, read, ended, sealed } = self;
        work(session, &mut Memory { received, read, ended: *ended, sealed })
    }

    async fn read<S: OwnedStream>(&mut self, stream: &mut S, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let result = self.session_and_memory(|session, memory| session.read(buffer, memory));
            // The handshake's part of this end, or the alert that tells why it failed.
            let sent = self.send(stream).await;
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => sent?,
                result => return result,
            }
            let mut received = std::mem::take(&mut self.received);
            received.clear();
            let (result, received) = stream.read(received).await;
            (self.received, self.read) = (received, 0);
            self.ended = result? == 0;
        }
    }

    /// Everything in one write, however many records it takes.
    async fn write_all<S: OwnedStream>(&mut self, stream: &mut S, bytes: &[u8]) -> io::Result<()> {
        self.session_and_memory(|session, memory| {
            let mut left = bytes;
            while !left.is_empty() {
                left = &left[session.write(left, memory)?..];
            }
            Ok::<_, io::Error>(())
        })?;
        self.send(stream).await
    }

    async fn send<S: OwnedStream>(&mut self, stream: &mut S) -> io::Result<()> {
        if self.sealed.is_empty() {
            return Ok(());
        }
        let (result, mut buffer) = stream.write_all(std::mem::take(&mut self.sealed)).await;
        buffer.clear();
        self.sealed = buffer;
        result
    }
}

/// The stream that a session sees: reading takes what was received and then would block; writing never does.
struct Memory<'a> {
    received: &'a [u8],
    read: &'a mut usize,
    ended: bool,
    sealed: &'a mut Vec<u8>,
}

impl Read for Memory<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = &self.received[*self.read..];
        if left.is_empty() && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = left.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&left[..taken]);
        *self.read += taken;
        Ok(taken)
    }
}

impl Write for Memory<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sealed.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
