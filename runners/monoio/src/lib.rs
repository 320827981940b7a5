//! The row `monoio`: monoio on its io_uring driver.

#![cfg(target_os = "linux")]

use std::{future::Future, io, net::SocketAddr, panic::AssertUnwindSafe, sync::Arc, time::Instant};

use anyhow::Context;
use bench_core::{
    DriveSpec, Job, Row, RowInfo, Runner, Runtime, ServeSpec, ServerContext, SocketError, Timer,
    completion::{self, OwnedStream, WebSocket},
    drive::{Drove, Lane},
    net,
    protocol::{Control, Ready},
    serve_connection,
    service::Served,
    spec::SocketSpec,
};
use futures_lite::{FutureExt, future};
use monoio::{
    IoUringDriver, RuntimeBuilder,
    io::{AsyncReadRent, AsyncWriteRentExt},
    net::{TcpListener, TcpStream},
    time::TimeDriver,
};

/// The rows that this runner offers.
pub const ROWS: &[Row] = &[Row { name: "monoio", runner: &SingleThread }];

struct SingleThread;

impl Runner for SingleThread {
    fn describe(&self) -> anyhow::Result<RowInfo> {
        // Only setting up a ring tells whether this process may.
        runtime()?;
        Ok(RowInfo {
            scheduler: "single thread".to_owned(),
            io_mode: "completion (io_uring send and recv into buffers that are lent; one copy each way)"
                .to_owned(),
            websocket: format!("tungstenite {}", build_info::version("tungstenite")),
            ..RowInfo::new("monoio", "monoio", build_info::version("monoio"))
        })
    }

    fn serve(&self, spec: &ServeSpec, ready: Ready) -> anyhow::Result<Served> {
        runtime()?.block_on(async {
            let listener = net::listen(spec)?;
            // On a non-blocking socket an accept in the ring would fail instead of waiting.
            listener.set_nonblocking(false)?;
            let listener = TcpListener::from_std(listener)?;
            let stop = ready.listening(listener.local_addr()?)?;
            let context = ServerContext::new(spec);
            // monoio's tasks cannot be cancelled, and its main future is polled only when it was woken itself.
            future::or(stop, accept_loop(listener, context.clone())).await;
            Ok(context.finish(&MonoioTimer).await)
        })
    }

    fn drive(&self, spec: &DriveSpec, control: Control) -> anyhow::Result<Drove> {
        runtime()?.block_on(bench_core::drive(Monoio, spec, control))
    }
}

/// On io_uring or not at all: the builder that chooses would fall back to epoll.
fn runtime() -> anyhow::Result<monoio::Runtime<TimeDriver<IoUringDriver>>> {
    RuntimeBuilder::<IoUringDriver>::new().enable_timer().build().context("io_uring cannot be set up")
}

async fn accept_loop(listener: TcpListener, context: Arc<ServerContext>) {
    loop {
        let accepted = listener.accept().await;
        match accepted.and_then(|(stream, _)| stream.set_nodelay(true).map(|()| stream)) {
            Ok(stream) => {
                let context = context.clone();
                let serving = async move {
                    let spec = &context.spec().socket;
                    let handshake = completion::accept(Stream(stream), spec);
                    serve_connection(handshake, MonoioTimer, context.clone()).await;
                };
                // monoio lets a task's panic through to whoever runs the runtime, which would end the server.
                monoio::spawn(AssertUnwindSafe(serving).catch_unwind());
            }
            Err(error) => {
                context.accept_failed();
                if let Some(pause) = net::accept_back_off(&error) {
                    MonoioTimer.sleep_until(Instant::now() + pause).await;
                }
            }
        }
    }
}

struct Stream(TcpStream);

impl OwnedStream for Stream {
    async fn read(&mut self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        self.0.read(buffer).await
    }

    async fn write_all(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let (result, buffer) = self.0.write_all(buffer).await;
        (result.map(drop), buffer)
    }
}

#[derive(Clone)]
struct Monoio;

impl Runtime for Monoio {
    type Stream = TcpStream;
    type Socket = WebSocket<Stream>;
    type Timer = MonoioTimer;

    async fn connect(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_addr(addr).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn upgrade(
        &self,
        stream: TcpStream,
        url: &str,
        spec: &SocketSpec,
    ) -> Result<Self::Socket, SocketError> {
        completion::upgrade(Stream(stream), url, spec).await
    }

    fn timer(&self) -> MonoioTimer {
        MonoioTimer
    }

    fn spawn(&self, job: Job<Self>) -> impl Future<Output = Option<Lane<Self::Socket>>> {
        let task = monoio::spawn(AssertUnwindSafe(job.run()).catch_unwind());
        async { task.await.ok() }
    }
}

struct MonoioTimer;

impl Timer for MonoioTimer {
    async fn sleep_until(&self, at: Instant) {
        monoio::time::sleep_until(at.into()).await;
    }
}
