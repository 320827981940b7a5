//! The rows `async-std` and `async-std-multi`: async-std's global executor on one thread and on several. async-std is
//! discontinued (RUSTSEC-2025-0052).

use std::{future::Future, io, net::SocketAddr, panic::AssertUnwindSafe, time::Instant};

use async_std::{
    net::{TcpListener, TcpStream},
    task,
};
use bench_core::{
    ClientConnection, ClientTask, DriveSpec, Network, Row, RowInfo, Rows, Runtime, ServeSpec, ServerTask,
    SocketResult, Timer,
    protocol::{ClientReport, Control, Ready, ServerReport},
    row::MAX_THREADS,
    service::Service,
    spec::SocketSpec,
    stack::websocket::{self, WebSocket},
};
use futures_lite::FutureExt;

/// The rows that this runner offers.
pub const ROWS: &Rows = &[
    ("async-std", &AsyncStd { scheduler: "global executor, 1 thread", max_threads: 1 }),
    ("async-std-multi", &AsyncStd { scheduler: "global executor, work-stealing", max_threads: MAX_THREADS }),
];

/// The executor is global: the number of its threads comes from the environment.
#[derive(Clone)]
struct AsyncStd {
    scheduler: &'static str,
    max_threads: u32,
}

impl Row for AsyncStd {
    fn describe(&self) -> anyhow::Result<RowInfo> {
        Ok(RowInfo {
            scheduler: self.scheduler.to_owned(),
            max_threads: self.max_threads,
            io_mode: "readiness (epoll, one-shot, by async-io)".to_owned(),
            websocket: build_info::websocket("async-tungstenite"),
            status: Some("discontinued".to_owned()),
            // The default is a thread for each core.
            environment: [("ASYNC_STD_THREAD_COUNT".to_owned(), "{threads}".to_owned())].into(),
            ..RowInfo::new("async-std", build_info::version("async-std"))
        })
    }

    fn serve(&self, spec: &ServeSpec, ready: Ready) -> anyhow::Result<ServerReport> {
        task::block_on(bench_core::serve(Global, spec, ready))
    }

    fn drive(&self, spec: &DriveSpec, control: Control) -> anyhow::Result<ClientReport> {
        task::block_on(bench_core::drive(Global, spec, control))
    }
}

/// A handle to the global executor, which needs none.
#[derive(Clone)]
struct Global;

impl Network for Global {
    type Listener = TcpListener;
    type Stream = TcpStream;
    type Socket = WebSocket<TcpStream>;

    fn listen(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        Ok(listener.into())
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
        websocket::accept(stream, spec).await
    }

    async fn client_handshake(stream: TcpStream, url: &str, spec: &SocketSpec) -> SocketResult<Self::Socket> {
        websocket::upgrade(stream, url, spec).await
    }
}

impl Runtime for Global {
    type Net = Global;

    fn spawn_detached(&self, task: ServerTask<Self>) -> io::Result<()> {
        task::spawn(task.run());
        Ok(())
    }

    fn spawn(&self, task: ClientTask<Self>) -> impl Future<Output = Option<ClientConnection<Self>>> {
        let task = task::spawn(task.run());
        async { AssertUnwindSafe(task).catch_unwind().await.ok() }
    }
}

impl Timer for Global {
    async fn sleep_until(&self, at: Instant) {
        task::sleep(at.saturating_duration_since(Instant::now())).await;
    }
}
