//! The row `tokio-native`: tokio-tungstenite on tokio's own stream traits, without the futures-io adapter. A control: it
//! shows what the adapter costs the other tokio rows.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use bench_core::{
    ClientConnection, ClientTask, DriveSpec, Network, Row, RowInfo, Runtime, ServeSpec, ServerTask, Socket,
    SocketError, SocketResult, Timer,
    protocol::{ClientReport, Control, Ready, ServerReport},
    service::Service,
    spec::{Feature, Flush, SocketSpec},
    stack::{
        upgrade::Handshake,
        websocket::{self, handshake_error, request_not_seen, service_of, socket_error},
        write_behind::{Held, polled},
    },
};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
        protocol::Role,
    },
};

use crate::{Tokio, current_thread, describe};

/// A WebSocket connection of tokio-tungstenite.
struct NativeSocket {
    stream: WebSocketStream<NativeStream>,
    flush: Flush,
}

pub(crate) struct CurrentThread;

impl Row for CurrentThread {
    fn describe(&self) -> anyhow::Result<RowInfo> {
        // The control shows what the adapter costs, and TLS lies above the adapter.
        Ok(describe("current_thread", 1, "tokio-tungstenite").without_features(&[Feature::Tls]))
    }

    fn serve(&self, spec: &ServeSpec, ready: Ready) -> anyhow::Result<ServerReport> {
        current_thread()?.block_on(bench_core::serve(TokioNative, spec, ready))
    }

    fn drive(&self, spec: &DriveSpec, control: Control) -> anyhow::Result<ClientReport> {
        current_thread()?.block_on(bench_core::drive(TokioNative, spec, control))
    }
}

#[derive(Clone)]
struct TokioNative;

impl Network for TokioNative {
    type Listener = TcpListener;
    type Stream = TcpStream;
    type Socket = NativeSocket;

    fn listen(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        Tokio::listen(listener)
    }

    async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        Tokio::accept(listener).await
    }

    async fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
        Tokio::connect(addr).await
    }

    fn set_nodelay(stream: &TcpStream) -> io::Result<()> {
        Tokio::set_nodelay(stream)
    }

    async fn server_handshake(stream: TcpStream, spec: &SocketSpec) -> SocketResult<(Service, NativeSocket)> {
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

    async fn client_handshake(stream: TcpStream, url: &str, spec: &SocketSpec) -> SocketResult<NativeSocket> {
        let mut stream = NativeStream { inner: stream, held: Held::new(spec) };
        let mut handshake = Handshake::to(url)?;
        stream.write_all(handshake.request()).await?;
        stream.flush().await?;
        let tail = loop {
            let count = stream.read(handshake.room()).await?;
            if let Some(tail) = handshake.received(count)? {
                break tail;
            }
        };
        let config = Some(websocket::config(spec));
        let stream = WebSocketStream::from_partially_read(stream, tail, Role::Client, config).await;
        Ok(NativeSocket { stream, flush: spec.flush })
    }
}

impl Runtime for TokioNative {
    type Net = TokioNative;

    fn spawn_detached(&self, task: ServerTask<Self>) -> io::Result<()> {
        tokio::spawn(task.run());
        Ok(())
    }

    fn spawn(&self, task: ClientTask<Self>) -> impl Future<Output = Option<ClientConnection<Self>>> {
        let task = tokio::spawn(task.run());
        async { task.await.ok() }
    }
}

impl Timer for TokioNative {
    async fn sleep_until(&self, at: Instant) {
        Tokio.sleep_until(at).await;
    }
}

impl Socket for NativeSocket {
    type Message = Message;

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
