//! The rows `tokio`, on the current-thread scheduler, `tokio-multi`, on the work-stealing one, and `tokio-native`, a control
//! without the futures-io adapter.

use std::{future::Future, io, net::SocketAddr, time::Instant};

use bench_core::{
    ClientConnection, ClientTask, DriveSpec, Network, Row, RowInfo, Runtime, ServeSpec, ServerTask,
    SocketResult, Timer,
    protocol::{ClientReport, Control, Ready, ServerReport},
    service::Service,
    spec::SocketSpec,
    stack::websocket::{self, WebSocket},
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

mod multi;
mod native;
mod rows;

pub use rows::ROWS;

struct CurrentThread;

impl Row for CurrentThread {
    fn describe(&self) -> anyhow::Result<RowInfo> {
        Ok(describe("current_thread", 1, "async-tungstenite"))
    }

    fn serve(&self, spec: &ServeSpec, ready: Ready) -> anyhow::Result<ServerReport> {
        current_thread()?.block_on(bench_core::serve(Tokio, spec, ready))
    }

    fn drive(&self, spec: &DriveSpec, control: Control) -> anyhow::Result<ClientReport> {
        current_thread()?.block_on(bench_core::drive(Tokio, spec, control))
    }
}

fn describe(scheduler: &str, max_threads: u32, stack: &str) -> RowInfo {
    RowInfo {
        scheduler: scheduler.to_owned(),
        max_threads,
        io_mode: "readiness (epoll, edge-triggered)".to_owned(),
        websocket: build_info::websocket(stack),
        ..RowInfo::new("tokio", build_info::version("tokio"))
    }
}

fn current_thread() -> io::Result<tokio::runtime::Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// A handle to the runtime that polls the calling task.
#[derive(Clone, Debug)]
pub struct Tokio;

impl Network for Tokio {
    type Listener = TcpListener;
    type Stream = TcpStream;
    type Socket = WebSocket<Compat<TcpStream>>;

    fn listen(listener: std::net::TcpListener) -> io::Result<TcpListener> {
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
        websocket::accept(stream.compat(), spec).await
    }

    async fn client_handshake(stream: TcpStream, url: &str, spec: &SocketSpec) -> SocketResult<Self::Socket> {
        websocket::upgrade(stream.compat(), url, spec).await
    }
}

impl Runtime for Tokio {
    type Net = Tokio;

    fn spawn_detached(&self, task: ServerTask<Self>) -> io::Result<()> {
        tokio::spawn(task.run());
        Ok(())
    }

    fn spawn(&self, task: ClientTask<Self>) -> impl Future<Output = Option<ClientConnection<Self>>> {
        let task = tokio::spawn(task.run());
        async { task.await.ok() }
    }
}

impl Timer for Tokio {
    async fn sleep_until(&self, at: Instant) {
        tokio::time::sleep_until(at.into()).await;
    }
}
