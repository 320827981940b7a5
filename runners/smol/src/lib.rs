//! The rows `smol`, one thread that runs a `LocalExecutor`, and `smol-multi`, several that run an `Executor`.

use std::{future::Future, io, net::SocketAddr, panic::AssertUnwindSafe, rc::Rc, time::Instant};

use bench_core::{
    ClientConnection, ClientTask, DriveSpec, Network, Row, RowInfo, Runtime, ServeSpec, ServerTask,
    SocketResult, Timer,
    protocol::{ClientReport, Control, Ready, ServerReport},
    service::Service,
    spec::SocketSpec,
    stack::websocket::{self, WebSocket},
};
use smol::{
    LocalExecutor,
    future::FutureExt,
    net::{TcpListener, TcpStream},
};

mod multi;
mod rows;

pub use rows::ROWS;

struct SingleThread;

impl Row for SingleThread {
    fn describe(&self) -> anyhow::Result<RowInfo> {
        Ok(describe("LocalExecutor", 1))
    }

    fn serve(&self, spec: &ServeSpec, ready: Ready) -> anyhow::Result<ServerReport> {
        let executor = Rc::new(LocalExecutor::new());
        smol::block_on(executor.run(bench_core::serve(Smol(executor.clone()), spec, ready)))
    }

    fn drive(&self, spec: &DriveSpec, control: Control) -> anyhow::Result<ClientReport> {
        let executor = Rc::new(LocalExecutor::new());
        smol::block_on(executor.run(bench_core::drive(Smol(executor.clone()), spec, control)))
    }
}

fn describe(scheduler: &str, max_threads: u32) -> RowInfo {
    RowInfo {
        scheduler: scheduler.to_owned(),
        max_threads,
        io_mode: "readiness (epoll, one-shot, by async-io)".to_owned(),
        websocket: build_info::websocket("async-tungstenite"),
        ..RowInfo::new("smol", build_info::version("smol"))
    }
}

/// smol's network, the same on both executors.
struct Net;

impl Network for Net {
    type Listener = TcpListener;
    type Stream = TcpStream;
    type Socket = WebSocket<TcpStream>;

    fn listen(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        listener.try_into()
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

/// smol on one of its executors.
#[derive(Clone)]
struct Smol<E>(E);

impl Runtime for Smol<Rc<LocalExecutor<'static>>> {
    type Net = Net;

    fn spawn_detached(&self, task: ServerTask<Self>) -> io::Result<()> {
        self.0.spawn(task.run()).detach();
        Ok(())
    }

    fn spawn(&self, task: ClientTask<Self>) -> impl Future<Output = Option<ClientConnection<Self>>> {
        let task = self.0.spawn(task.run());
        async { AssertUnwindSafe(task).catch_unwind().await.ok() }
    }
}

impl<E> Timer for Smol<E> {
    async fn sleep_until(&self, at: Instant) {
        smol::Timer::at(at).await;
    }
}
