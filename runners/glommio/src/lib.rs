//! The row `glommio`: one executor of glommio, not bound to a core.

#![cfg(target_os = "linux")]

use std::{
    future::Future,
    io,
    net::SocketAddr,
    os::fd::{FromRawFd, IntoRawFd},
    panic::{self, AssertUnwindSafe},
    time::Instant,
};

use anyhow::{Context, anyhow};
use bench_core::{
    ClientConnection, ClientTask, DriveSpec, Network, Row, RowInfo, Rows, Runtime, ServeSpec, ServerTask,
    SocketResult, Timer,
    protocol::{ClientReport, Control, Ready, ServerReport},
    service::Service,
    spec::SocketSpec,
    stack::websocket::{self, WebSocket},
};
use futures_lite::FutureExt;
use glommio::{
    LocalExecutor, LocalExecutorBuilder, Placement,
    net::{TcpListener, TcpStream},
};
use io_uring::IoUring;

/// The rows that this runner offers.
pub const ROWS: &Rows = &[("glommio", &SingleThread)];

/// Memory that is registered with each of the executor's three rings, for files: sockets never use it. glommio's default
/// of 10 MiB exceeds the usual memlock limit of 8 MiB and would count as this process's memory; 64 KiB is the least that
/// glommio takes.
const IO_MEMORY_BYTES: usize = 64 << 10;

struct SingleThread;

impl Row for SingleThread {
    fn describe(&self) -> anyhow::Result<RowInfo> {
        // Only setting up the rings tells whether this process may.
        executor()?;
        Ok(RowInfo {
            scheduler: "LocalExecutor".to_owned(),
            io_mode: "readiness (io_uring poll, one-shot; send and recv are system calls of their own)"
                .to_owned(),
            websocket: build_info::websocket("async-tungstenite"),
            ..RowInfo::new("glommio", build_info::version("glommio"))
        })
    }

    fn serve(&self, spec: &ServeSpec, ready: Ready) -> anyhow::Result<ServerReport> {
        executor()?.run(bench_core::serve(Glommio, spec, ready))
    }

    fn drive(&self, spec: &DriveSpec, control: Control) -> anyhow::Result<ClientReport> {
        executor()?.run(bench_core::drive(Glommio, spec, control))
    }
}

fn executor() -> anyhow::Result<LocalExecutor> {
    // Asked first, because glommio takes every refusal for an old kernel, and panics.
    IoUring::new(1).context("io_uring cannot be set up")?;
    let make = || LocalExecutorBuilder::new(Placement::Unbound).io_memory(IO_MEMORY_BYTES).make();
    match panic::catch_unwind(make) {
        Ok(executor) => executor.map_err(|error| {
            let error = error.to_string();
            // Where memlock is too low, it says only `MemLockLimit` and two numbers.
            let hint =
                if error.contains("MemLock") { ", bytes of locked memory allowed and needed" } else { "" };
            anyhow!("glommio cannot start: {error}{hint}")
        }),
        Err(_) => Err(anyhow!("glommio panicked: this kernel's io_uring lacks operations that it needs")),
    }
}

/// What an error of glommio's is without its own type.
fn io_error(error: glommio::GlommioError<()>) -> io::Error {
    error.into()
}

/// A handle to the executor of this thread.
#[derive(Clone)]
struct Glommio;

impl Network for Glommio {
    type Listener = TcpListener;
    type Stream = TcpStream;
    type Socket = WebSocket<TcpStream>;

    fn listen(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        // On a non-blocking socket an accept in the ring would fail instead of waiting.
        listener.set_nonblocking(false)?;
        #[allow(unsafe_code)]
        // SAFETY: the descriptor is a listening socket's, and `into_raw_fd` has given up its ownership.
        Ok(unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) })
    }

    async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        listener.accept().await.map_err(io_error)
    }

    async fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(addr).await.map_err(io_error)
    }

    fn set_nodelay(stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true).map_err(io_error)
    }

    async fn server_handshake(stream: TcpStream, spec: &SocketSpec) -> SocketResult<(Service, Self::Socket)> {
        websocket::accept(stream, spec).await
    }

    async fn client_handshake(stream: TcpStream, url: &str, spec: &SocketSpec) -> SocketResult<Self::Socket> {
        websocket::upgrade(stream, url, spec).await
    }
}

impl Runtime for Glommio {
    type Net = Glommio;

    fn spawn_detached(&self, task: ServerTask<Self>) -> io::Result<()> {
        // glommio lets a task's panic through to whoever runs the executor, which would end the server.
        glommio::spawn_local(AssertUnwindSafe(task.run()).catch_unwind()).detach();
        Ok(())
    }

    fn spawn(&self, task: ClientTask<Self>) -> impl Future<Output = Option<ClientConnection<Self>>> {
        let task = glommio::spawn_local(AssertUnwindSafe(task.run()).catch_unwind());
        async { task.await.ok() }
    }
}

impl Timer for Glommio {
    async fn sleep_until(&self, at: Instant) {
        glommio::timer::sleep(at.saturating_duration_since(Instant::now())).await;
    }
}
