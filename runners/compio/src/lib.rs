//! The row `compio`: compio on its io_uring driver.

#![cfg(target_os = "linux")]

use std::{future::Future, io, net::SocketAddr, time::Instant};

use anyhow::{Context, ensure};
use bench_core::{
    ClientConnection, ClientTask, DriveSpec, Network, Row, RowInfo, Rows, Runtime, ServeSpec, ServerTask,
    SocketResult, Timer,
    protocol::{ClientReport, Control, Ready, ServerReport},
    service::Service,
    spec::{Feature, SocketSpec},
    stack::completion::{self, OwnedStream, WebSocket},
};
use compio::{
    io::{AsyncRead, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime,
};

/// The rows that this runner offers.
pub const ROWS: &Rows = &[("compio", &SingleThread)];

struct SingleThread;

impl Row for SingleThread {
    fn describe(&self) -> anyhow::Result<RowInfo> {
        // Only setting up a ring tells whether this process may.
        runtime()?;
        Ok(RowInfo {
            scheduler: "single thread".to_owned(),
            io_mode: completion::IO_MODE.to_owned(),
            websocket: build_info::websocket("tungstenite"),
            ..RowInfo::new("compio", build_info::version("compio"))
        }
        // A read that is given up may take a message along.
        .without_features(&[Feature::AnyServer]))
    }

    fn serve(&self, spec: &ServeSpec, ready: Ready) -> anyhow::Result<ServerReport> {
        runtime()?.block_on(bench_core::serve(Compio, spec, ready))
    }

    fn drive(&self, spec: &DriveSpec, control: Control) -> anyhow::Result<ClientReport> {
        runtime()?.block_on(bench_core::drive(Compio, spec, control))
    }
}

fn runtime() -> anyhow::Result<runtime::Runtime> {
    let runtime = runtime::Runtime::new().context("io_uring cannot be set up")?;
    ensure!(runtime.driver_type().is_iouring(), "compio chose another driver than io_uring");
    Ok(runtime)
}

struct Stream(TcpStream);

impl OwnedStream for Stream {
    async fn read(&mut self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        self.0.read(buffer).await.into()
    }

    async fn write_all(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        self.0.write_all(buffer).await.into()
    }
}

/// A handle to the runtime of this thread.
#[derive(Clone)]
struct Compio;

impl Network for Compio {
    type Listener = TcpListener;
    type Stream = TcpStream;
    type Socket = WebSocket<Stream>;

    fn listen(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        // On a non-blocking socket an accept in the ring would fail instead of waiting.
        listener.set_nonblocking(false)?;
        TcpListener::from_std(listener)
    }

    async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        Ok(listener.accept().await?.0)
    }

    async fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(addr).await
    }

    fn set_nodelay(stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)
    }

    async fn server_handshake(stream: TcpStream, spec: &SocketSpec) -> SocketResult<(Service, Self::Socket)> {
        completion::accept(Stream(stream), spec).await
    }

    async fn client_handshake(stream: TcpStream, url: &str, spec: &SocketSpec) -> SocketResult<Self::Socket> {
        completion::upgrade(Stream(stream), url, spec).await
    }
}

impl Runtime for Compio {
    type Net = Compio;

    fn spawn_detached(&self, task: ServerTask<Self>) -> io::Result<()> {
        runtime::spawn(task.run()).detach();
        Ok(())
    }

    fn spawn(&self, task: ClientTask<Self>) -> impl Future<Output = Option<ClientConnection<Self>>> {
        let task = runtime::spawn(task.run());
        async { task.await.ok() }
    }
}

impl Timer for Compio {
    async fn sleep_until(&self, at: Instant) {
        compio::time::sleep_until(at).await;
    }
}
