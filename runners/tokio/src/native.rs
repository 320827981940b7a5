//! The row `tokio-native`: tokio-tungstenite on tokio's own stream traits, without the futures-io adapter. A control: it
//! shows what the adapter costs the other tokio rows.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bench_core::{
    Job, Kind, Runtime, Socket, SocketError,
    drive::Lane,
    service::Service,
    spec::{Flush, SocketSpec},
    websocket::{self, handshake_error, request_not_seen, service_of, socket_error},
    write_behind::{Held, polled},
};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config, client_async_with_config,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
    },
};

use crate::TokioTimer;

/// A WebSocket connection of tokio-tungstenite.
pub(crate) struct NativeSocket {
    stream: WebSocketStream<NativeStream>,
    flush: Flush,
}

/// Runs the server's half of the opening handshake; the request path chooses the service.
pub(crate) async fn accept(
    stream: TcpStream,
    spec: &SocketSpec,
) -> Result<(Service, NativeSocket), SocketError> {
    let mut requested = None;
    // The size of the error is tungstenite's choice: it is the HTTP response itself.
    #[allow(clippy::result_large_err)]
    let choose = |request: &Request, response: Response| {
        requested = Some(service_of(request)?);
        Ok(response)
    };
    let stream = NativeStream { inner: stream, held: Held::new(spec) };
    let stream = accept_hdr_async_with_config(stream, choose, Some(websocket::config(spec)))
        .await
        .map_err(handshake_error)?;
    Ok((requested.ok_or_else(request_not_seen)?, NativeSocket { stream, flush: spec.flush }))
}

#[derive(Clone)]
pub(crate) struct TokioNative;

impl Runtime for TokioNative {
    type Stream = TcpStream;
    type Socket = NativeSocket;
    type Timer = TokioTimer;

    async fn connect(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        crate::connect(addr).await
    }

    async fn upgrade(
        &self,
        stream: TcpStream,
        url: &str,
        spec: &SocketSpec,
    ) -> Result<NativeSocket, SocketError> {
        let stream = NativeStream { inner: stream, held: Held::new(spec) };
        let (stream, _) = client_async_with_config(url, stream, Some(websocket::config(spec)))
            .await
            .map_err(handshake_error)?;
        Ok(NativeSocket { stream, flush: spec.flush })
    }

    fn timer(&self) -> TokioTimer {
        TokioTimer
    }

    fn spawn(&self, job: Job<Self>) -> impl Future<Output = Option<Lane<NativeSocket>>> {
        let task = tokio::spawn(job.run());
        async { task.await.ok() }
    }
}

impl Socket for NativeSocket {
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
        while let Some(message) = self.stream.next().await {
            let message = message.map_err(socket_error)?;
            if websocket::is_data(&message) {
                return Ok(Some(message));
            }
        }
        // tungstenite hands over the answer to a close without a flush.
        self.stream.get_mut().flush().await?;
        Ok(None)
    }

    async fn feed(&mut self, message: Message) -> Result<(), SocketError> {
        self.stream.feed(message).await.map_err(socket_error)?;
        // Until `Held` has the whole message: what stays in tungstenite's buffer would wait behind the next read.
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
}

/// The common flush policy on tokio's stream traits.
struct NativeStream {
    inner: TcpStream,
    held: Held,
}

impl NativeStream {
    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        polled(self.held.write_out(|bytes| attempt(&mut self.inner, cx, bytes)))
    }
}

/// One attempt at a write, as [`Held`] takes it.
fn attempt(stream: &mut TcpStream, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
    match Pin::new(stream).poll_write(cx, bytes) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl AsyncRead for NativeStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(cx))?;
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for NativeStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let NativeStream { inner, held } = &mut *self;
        polled(held.write(bytes, |bytes| attempt(inner, cx, bytes)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
