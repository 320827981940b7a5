//! The row `glommio`: one executor of glommio, not bound to a core.

#![cfg(target_os = "linux")]

use std::{
    future::Future,
    io,
    net::SocketAddr,
    os::fd::{FromRawFd, IntoRawFd},
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, anyhow};
use bench_core::{
    DriveSpec, Job, Row, RowInfo, Runner, Runtime, ServeSpec, ServerContext, SocketError, Timer,
    drive::{Drove, Lane},
    net,
    protocol::{Control, Ready},
    serve_connection,
    service::Served,
    spec::SocketSpec,
    websocket::{self, WebSocket},
};
use futures_lite::FutureExt;
use glommio::{
    LocalExecutor, LocalExecutorBuilder, Placement,
    net::{TcpListener, TcpStream},
};
use io_uring::IoUring;

/// The rows that this runner offers.
pub const ROWS: &[Row] = &[Row { name: "glommio", runner: &SingleThread }];

/// Memory that is registered with each of the executor's three rings, for files: sockets never use it. glommio's default
/// of 10 MiB exceeds the usual memlock limit of 8 MiB and would count as this process's memory; 64 KiB is the least that
/// glommio takes.
const IO_MEMORY_BYTES: usize = 64 << 10;

struct SingleThread;

impl Runner for SingleThread {
    fn describe(&self) -> anyhow::Result<RowInfo> {
        // Only setting up the rings tells whether this process may.
        executor()?;
        Ok(RowInfo {
            scheduler: "LocalExecutor".to_owned(),
            io_mode: "readiness (io_uring poll, one-shot; send and recv are system calls of their own)"
                .to_owned(),
            websocket: format!(
                "async-tungstenite {} on tungstenite {}",
                build_info::version("async-tungstenite"),
                build_info::version("tungstenite")
            ),
            ..RowInfo::new("glommio", "glommio", build_info::version("glommio"))
        })
    }

    fn serve(&self, spec: &ServeSpec, ready: Ready) -> anyhow::Result<Served> {
        executor()?.run(async {
            let listener = net::listen(spec)?;
            // On a non-blocking socket an accept in the ring would fail instead of waiting.
            listener.set_nonblocking(false)?;
            #[allow(unsafe_code)]
            // SAFETY: the descriptor is a listening socket's, and `into_raw_fd` has given up its ownership.
            let listener = unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) };
            let stop = ready.listening(listener.local_addr().map_err(io_error)?)?;
            let context = ServerContext::new(spec);
            let accepting = glommio::spawn_local(accept_loop(listener, context.clone()));
            stop.await;
            accepting.cancel().await;
            Ok(context.finish(&GlommioTimer).await)
        })
    }

    fn drive(&self, spec: &DriveSpec, control: Control) -> anyhow::Result<Drove> {
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

async fn accept_loop(listener: TcpListener, context: Arc<ServerContext>) {
    loop {
        let accepted = listener.accept().await;
        match accepted.and_then(|stream| stream.set_nodelay(true).map(|()| stream)).map_err(io_error) {
            Ok(stream) => {
                let context = context.clone();
                let serving = async move {
                    let handshake = websocket::accept(stream, &context.spec().socket);
                    serve_connection(handshake, GlommioTimer, context.clone()).await;
                };
                // glommio lets a task's panic through to whoever runs the executor, which would end the server.
                glommio::spawn_local(AssertUnwindSafe(serving).catch_unwind()).detach();
            }
            Err(error) => {
                context.accept_failed();
                if let Some(pause) = net::accept_back_off(&error) {
                    GlommioTimer.sleep_until(Instant::now() + pause).await;
                }
            }
        }
    }
}

#[derive(Clone)]
struct Glommio;

impl Runtime for Glommio {
    type Stream = TcpStream;
    type Socket = WebSocket<TcpStream>;
    type Timer = GlommioTimer;

    async fn connect(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(addr).await.map_err(io_error)?;
        stream.set_nodelay(true).map_err(io_error)?;
        Ok(stream)
    }

    async fn upgrade(
        &self,
        stream: TcpStream,
        url: &str,
        spec: &SocketSpec,
    ) -> Result<Self::Socket, SocketError> {
        websocket::upgrade(stream, url, spec).await
    }

    fn timer(&self) -> GlommioTimer {
        GlommioTimer
    }

    fn spawn(&self, job: Job<Self>) -> impl Future<Output = Option<Lane<Self::Socket>>> {
        let task = glommio::spawn_local(AssertUnwindSafe(job.run()).catch_unwind());
        async { task.await.ok() }
    }
}

struct GlommioTimer;

impl Timer for GlommioTimer {
    async fn sleep_until(&self, at: Instant) {
        glommio::timer::sleep(at.saturating_duration_since(Instant::now())).await;
    }
}
