//! The row `compio`: compio on its io_uring driver.

#![cfg(target_os = "linux")]

use std::{future::Future, io, net::SocketAddr, pin::Pin, sync::Arc, time::Instant};

use anyhow::{Context, ensure};
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
use compio::{
    io::compat::AsyncStream,
    net::{TcpListener, TcpStream},
    runtime,
};

/// The rows that this runner offers.
pub const ROWS: &[Row] = &[Row { name: "compio", runner: &SingleThread }];

struct SingleThread;

impl Runner for SingleThread {
    fn describe(&self) -> anyhow::Result<RowInfo> {
        // Only setting up a ring tells whether this process may.
        runtime()?;
        Ok(RowInfo {
            scheduler: "single thread".to_owned(),
            io_mode:
                "completion (io_uring send and recv, through compio's AsyncStream: one more copy each way)"
                    .to_owned(),
            websocket: format!(
                "async-tungstenite {} on tungstenite {}",
                build_info::version("async-tungstenite"),
                build_info::version("tungstenite")
            ),
            ..RowInfo::new("compio", "compio", build_info::version("compio"))
        })
    }

    fn serve(&self, spec: &ServeSpec, ready: Ready) -> anyhow::Result<Served> {
        runtime()?.block_on(async {
            let listener = net::listen(spec.listen)?;
            // On a non-blocking socket an accept in the ring would fail instead of waiting.
            listener.set_nonblocking(false)?;
            let listener = TcpListener::from_std(listener)?;
            let stop = ready.listening(listener.local_addr()?)?;
            let context = ServerContext::new(spec);
            // A task, not part of the main future: that one is polled at every turn of the loop.
            let accepting = runtime::spawn(accept_loop(listener, context.clone()));
            stop.await;
            accepting.cancel().await;
            Ok(context.finish(&CompioTimer).await)
        })
    }

    fn drive(&self, spec: &DriveSpec, control: Control) -> anyhow::Result<Drove> {
        runtime()?.block_on(bench_core::drive(Compio, spec, control))
    }
}

fn runtime() -> anyhow::Result<runtime::Runtime> {
    let runtime = runtime::Runtime::new().context("io_uring cannot be set up")?;
    ensure!(runtime.driver_type().is_iouring(), "compio chose another driver than io_uring");
    Ok(runtime)
}

async fn accept_loop(listener: TcpListener, context: Arc<ServerContext>) {
    loop {
        let accepted = listener.accept().await;
        match accepted.and_then(|(stream, _)| stream.set_nodelay(true).map(|()| stream)) {
            Ok(stream) => {
                let context = context.clone();
                let serving = async move {
                    let spec = &context.spec().socket;
                    let handshake = websocket::accept(compat(stream, spec), spec);
                    serve_connection(handshake, CompioTimer, context.clone()).await;
                };
                runtime::spawn(serving).detach();
            }
            Err(error) => {
                context.accept_failed();
                if let Some(pause) = net::accept_back_off(&error) {
                    CompioTimer.sleep_until(Instant::now() + pause).await;
                }
            }
        }
    }
}

/// compio's streams take buffers by value; this one lends its own. It must not move, hence the box.
type Stream = Pin<Box<AsyncStream<TcpStream>>>;

fn compat(stream: TcpStream, spec: &SocketSpec) -> Stream {
    // What is written passes through as it comes: `WriteBehind` has collected it, up to this much.
    let most = spec.read_buffer_bytes.max(spec.write_buffer_bytes).max(1) as usize;
    Box::pin(AsyncStream::with_limits(spec.read_buffer_bytes.max(1) as usize, most, stream))
}

#[derive(Clone)]
struct Compio;

impl Runtime for Compio {
    type Stream = TcpStream;
    type Socket = WebSocket<Stream>;
    type Timer = CompioTimer;

    async fn connect(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn upgrade(
        &self,
        stream: TcpStream,
        url: &str,
        spec: &SocketSpec,
    ) -> Result<Self::Socket, SocketError> {
        websocket::upgrade(compat(stream, spec), url, spec).await
    }

    fn timer(&self) -> CompioTimer {
        CompioTimer
    }

    fn spawn(&self, job: Job<Self>) -> impl Future<Output = Option<Lane<Self::Socket>>> {
        let task = runtime::spawn(job.run());
        async { task.await.ok() }
    }
}

struct CompioTimer;

impl Timer for CompioTimer {
    async fn sleep_until(&self, at: Instant) {
        compio::time::sleep_until(at).await;
    }
}
