//! [`Socket`] on async-tungstenite, over any stream of futures-io.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use async_tungstenite::WebSocketStream;
use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};
use futures_lite::AsyncWriteExt;
use futures_util::{SinkExt, StreamExt};
use tungstenite::{
    Error, Message, Utf8Bytes,
    handshake::server::{ErrorResponse, Request, Response},
    http::StatusCode,
    protocol::WebSocketConfig,
};

use crate::{
    Kind, Socket, SocketError,
    service::Service,
    spec::{Flush, SocketSpec},
};

/// A WebSocket connection of async-tungstenite.
#[derive(Debug)]
pub struct WebSocket<S> {
    stream: WebSocketStream<WriteBehind<S>>,
    flush: Flush,
}

/// Runs the server's half of the opening handshake; the request path chooses the service.
///
/// # Errors
/// When the peer does not complete a valid handshake, or asks for a service that does not exist (answered by 404).
pub async fn accept<S>(stream: S, spec: &SocketSpec) -> Result<(Service, WebSocket<S>), SocketError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut requested = None;
    // The size of the error is tungstenite's choice: it is the HTTP response itself.
    #[allow(clippy::result_large_err)]
    let choose = |request: &Request, response: Response| match Service::parse(&request.uri().to_string()) {
        Ok(service) => {
            requested = Some(service);
            Ok(response)
        }
        Err(reason) => {
            let mut refusal = ErrorResponse::new(Some(reason));
            *refusal.status_mut() = StatusCode::NOT_FOUND;
            Err(refusal)
        }
    };
    let stream = async_tungstenite::accept_hdr_async_with_config(
        WriteBehind::new(stream, spec),
        choose,
        Some(config(spec)),
    )
    .await
    .map_err(handshake_error)?;
    let service =
        requested.ok_or_else(|| SocketError::Handshake("the request was never looked at".to_owned()))?;
    Ok((service, WebSocket { stream, flush: spec.flush }))
}

/// Runs the client's half of the opening handshake for `url`.
///
/// # Errors
/// When the server does not complete a valid handshake.
pub async fn upgrade<S>(stream: S, url: &str, spec: &SocketSpec) -> Result<WebSocket<S>, SocketError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let stream = WriteBehind::new(stream, spec);
    let (stream, _) = async_tungstenite::client_async_with_config(url, stream, Some(config(spec)))
        .await
        .map_err(handshake_error)?;
    Ok(WebSocket { stream, flush: spec.flush })
}

impl<S> Socket for WebSocket<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    type Message = Message;

    fn message(kind: Kind, payload: Bytes) -> Message {
        match kind {
            Kind::Binary => Message::Binary(payload),
            Kind::Text => Message::Text(
                Utf8Bytes::try_from(payload)
                    .expect("a text payload is ASCII: `PayloadSource` makes no other"),
            ),
        }
    }

    fn kind(message: &Message) -> Kind {
        if message.is_text() { Kind::Text } else { Kind::Binary }
    }

    fn payload(message: &Message) -> &[u8] {
        match message {
            Message::Text(text) => text.as_ref(),
            Message::Binary(bytes) => bytes,
            // `recv` hands out no other message.
            _ => &[],
        }
    }

    async fn recv(&mut self) -> Result<Option<Message>, SocketError> {
        while let Some(message) = self.stream.next().await {
            let message = message.map_err(socket_error)?;
            // tungstenite has queued the answer to a ping or close by itself and writes it with the next read.
            if matches!(message, Message::Text(_) | Message::Binary(_)) {
                return Ok(Some(message));
            }
        }
        // tungstenite hands over the answer to a close without a flush.
        self.stream.get_mut().flush().await?;
        Ok(None)
    }

    async fn feed(&mut self, message: Message) -> Result<(), SocketError> {
        self.stream.feed(message).await.map_err(socket_error)?;
        match self.flush {
            Flush::Each => self.flush().await,
            // A message that the connection does not take at once stays in tungstenite's buffer, and a read would not
            // write the rest of it: wait until it has left.
            Flush::BeforeWait => poll_fn(|cx| self.stream.poll_ready_unpin(cx)).await.map_err(socket_error),
        }
    }

    async fn flush(&mut self) -> Result<(), SocketError> {
        SinkExt::flush(&mut self.stream).await.map_err(socket_error)
    }

    async fn close(&mut self) -> Result<(), SocketError> {
        WebSocketStream::close(&mut self.stream, None).await.map_err(socket_error)?;
        while self.recv().await?.is_some() {}
        Ok(())
    }
}

/// tungstenite's settings for `spec`.
pub fn config(spec: &SocketSpec) -> WebSocketConfig {
    let max_message = spec.max_message_bytes as usize;
    WebSocketConfig::default()
        .read_buffer_size(spec.read_buffer_bytes as usize)
        // Every frame goes straight to `WriteBehind`, which decides when it is written.
        .write_buffer_size(0)
        // Room for one message and its header: `feed` waits until the previous one has left this buffer. tungstenite
        // panics where this does not exceed the write buffer's size.
        .max_write_buffer_size(max_message + 1024)
        .max_message_size(Some(max_message))
        .max_frame_size(Some(spec.max_frame_bytes as usize))
}

/// Turns a failed opening handshake into a [`SocketError`].
pub fn handshake_error(error: Error) -> SocketError {
    match error {
        Error::Io(error) => SocketError::Io(error),
        Error::Http(response) => {
            let reason = response.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            SocketError::Handshake(format!("answered by {} {reason}", response.status()))
        }
        other => SocketError::Handshake(other.to_string()),
    }
}

/// Turns an error of an established connection into a [`SocketError`].
pub fn socket_error(error: Error) -> SocketError {
    match error {
        Error::Io(error) => SocketError::Io(error),
        other => SocketError::Protocol(other.to_string()),
    }
}

/// The flush policy, below the WebSocket protocol and hence the same for every stack: holds what is written, and
/// writes it out before it reads, when it is flushed, or when the buffer is full.
#[derive(Debug)]
struct WriteBehind<S> {
    inner: S,
    held: Vec<u8>,
    /// How much of `held` has been written.
    written: usize,
    /// Whether `inner` has taken bytes since it was last flushed: a stream over completion I/O only holds them then.
    unflushed: bool,
    limit: usize,
}

impl<S> WriteBehind<S> {
    fn new(inner: S, spec: &SocketSpec) -> WriteBehind<S> {
        let limit = spec.write_buffer_bytes as usize;
        WriteBehind { inner, held: Vec::new(), written: 0, unflushed: false, limit }
    }
}

impl<S: AsyncWrite + Unpin> WriteBehind<S> {
    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.held.len() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.held[self.written..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
            self.unflushed = true;
        }
        self.held.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_flush_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(cx))?;
        if self.unflushed {
            ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WriteBehind<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush_out(cx))?;
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteBehind<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.held.len() + bytes.len() > self.limit {
            ready!(self.poll_write_out(cx))?;
            if bytes.len() >= self.limit {
                // Copying what fills the buffer by itself would only cost time.
                self.unflushed = true;
                return Pin::new(&mut self.inner).poll_write(cx, bytes);
            }
        }
        self.held.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush_out(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(cx))?;
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::{AsyncReadExt, future::block_on};

    use super::*;

    /// Remembers every write; reads one byte.
    #[derive(Default)]
    struct Log(Vec<usize>);

    impl AsyncRead for Log {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(1))
        }
    }

    impl AsyncWrite for Log {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.push(bytes.len());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn held_by(limit: u64) -> WriteBehind<Log> {
        let spec = SocketSpec { write_buffer_bytes: limit, ..SocketSpec::default() };
        WriteBehind::new(Log::default(), &spec)
    }

    #[test]
    fn what_is_held_goes_out_in_one_write_before_a_read() {
        let mut stream = held_by(100);
        block_on(async {
            stream.write_all(&[0; 30]).await.unwrap();
            stream.write_all(&[0; 30]).await.unwrap();
            assert!(stream.inner.0.is_empty());
            stream.read_exact(&mut [0]).await.unwrap();
            stream.read_exact(&mut [0]).await.unwrap();
        });
        assert_eq!(stream.inner.0, [60]);
    }

    #[test]
    fn a_full_buffer_and_a_flush_write_out() {
        let mut stream = held_by(100);
        block_on(async {
            stream.write_all(&[0; 70]).await.unwrap();
            stream.write_all(&[0; 70]).await.unwrap();
            stream.write_all(&[0; 200]).await.unwrap();
            stream.write_all(&[0; 5]).await.unwrap();
            stream.flush().await.unwrap();
        });
        assert_eq!(stream.inner.0, [70, 70, 200, 5]);
    }
}
