//! [`Socket`] on async-tungstenite, over any stream of futures-io, plain or under TLS.

use std::{fmt::Display, future::poll_fn};

use async_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        error::ProtocolError,
        handshake::server::{ErrorResponse, Request, Response},
        http::StatusCode,
        protocol::{Role, WebSocketConfig},
    },
};
use bytes::Bytes;
use futures::{AsyncRead, AsyncWrite, SinkExt, StreamExt};
use futures_lite::{AsyncReadExt, AsyncWriteExt};

use crate::{
    Kind, Socket, SocketError,
    service::Service,
    socket::Secured,
    spec::{Flush, SocketSpec},
    stack::{transport::Transport, upgrade::Handshake, write_behind::WriteBehind},
};

/// A WebSocket connection of async-tungstenite.
#[derive(Debug)]
pub struct WebSocket<S> {
    stream: WebSocketStream<WriteBehind<Transport<S>>>,
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
    // As with `service_of`.
    #[allow(clippy::result_large_err)]
    let choose = |request: &Request, response: Response| {
        requested = Some(service_of(request)?);
        Ok(response)
    };
    let stream = async_tungstenite::accept_hdr_async_with_config(
        WriteBehind::new(Transport::accept(stream, spec)?, spec),
        choose,
        Some(config(spec)),
    )
    .await
    .map_err(handshake_error)?;
    let service = requested.ok_or_else(request_not_seen)?;
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
    let mut stream = WriteBehind::new(Transport::connect(stream, url, spec)?, spec);
    let mut handshake = Handshake::to(url)?;
    stream.write_all(handshake.request()).await?;
    stream.flush().await?;
    let tail = loop {
        let count = stream.read(handshake.room()).await?;
        if let Some(tail) = handshake.received(count)? {
            break tail;
        }
    };
    let stream = WebSocketStream::from_partially_read(stream, tail, Role::Client, Some(config(spec))).await;
    Ok(WebSocket { stream, flush: spec.flush })
}

#[cfg(test)]
impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    pub(crate) fn transport(&self) -> &Transport<S> {
        self.stream.get_ref().get_ref()
    }
}

impl<S> Socket for WebSocket<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    type Message = Message;

    async fn recv(&mut self) -> Result<Option<Message>, SocketError> {
        while let Some(message) = self.stream.next().await {
            let message = message.map_err(socket_error)?;
            // tungstenite has queued the answer to a ping or close by itself and writes it with the next read.
            if is_data(&message) {
                return Ok(Some(message));
            }
        }
        // tungstenite hands over the answer to a close without a flush.
        let stream = self.stream.get_mut();
        stream.flush().await?;
        if stream.get_mut().say_goodbye() {
            stream.flush().await?;
        }
        Ok(None)
    }

    async fn feed(&mut self, message: Message) -> Result<(), SocketError> {
        self.stream.feed(message).await.map_err(socket_error)?;
        // A message that the kernel did not take whole would stay in tungstenite's buffer while the next read waits, and
        // the peer with it: this waits until `WriteBehind` has it, and costs nothing where it has.
        poll_fn(|cx| self.stream.poll_ready_unpin(cx)).await.map_err(socket_error)?;
        match self.flush {
            Flush::Each => self.flush().await,
            Flush::BeforeWait => Ok(()),
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

    fn secured(&self) -> Option<Secured> {
        self.stream.get_ref().get_ref().secured()
    }
}

impl crate::Message for Message {
    fn new(kind: Kind, payload: Bytes) -> Message {
        match kind {
            Kind::Binary => Message::Binary(payload),
            Kind::Text => Message::Text(
                Utf8Bytes::try_from(payload)
                    .expect("a text payload is ASCII: `PayloadSource` makes no other"),
            ),
        }
    }

    fn kind(&self) -> Kind {
        if self.is_text() { Kind::Text } else { Kind::Binary }
    }

    /// Empty for a control frame.
    fn payload(&self) -> &[u8] {
        match self {
            Message::Text(text) => text.as_ref(),
            Message::Binary(bytes) => bytes,
            _ => &[],
        }
    }
}

/// Whether [`Socket::recv`] hands out this message.
pub fn is_data(message: &Message) -> bool {
    matches!(message, Message::Text(_) | Message::Binary(_))
}

/// The service that an opening handshake asks for, or the answer to one that asks for none: 404 with the reason.
///
/// # Errors
/// When the path names no service.
// The size of the error is tungstenite's choice: it is the HTTP response itself.
#[allow(clippy::result_large_err)]
pub fn service_of(request: &Request) -> Result<Service, ErrorResponse> {
    Service::parse(&request.uri().to_string()).map_err(no_service)
}

/// The answer to a request for a service that there is not: 404 with the reason.
pub fn no_service(reason: impl Display) -> ErrorResponse {
    let mut refusal = ErrorResponse::new(Some(reason.to_string()));
    *refusal.status_mut() = StatusCode::NOT_FOUND;
    refusal
}

/// For a handshake that was completed without a look at its request, which tungstenite does not do.
pub fn request_not_seen() -> SocketError {
    SocketError::Handshake("the request was never looked at".to_owned())
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
        Error::Io(error) => error.into(),
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
        Error::Io(error) => error.into(),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => SocketError::NotClosed,
        other => SocketError::Protocol(other.to_string()),
    }
}
