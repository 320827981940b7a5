//! The row `compio`: compio on its io_uring driver.

#![cfg(target_os = "linux")]

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Instant};

use anyhow::{Context, ensure};
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
use compio::{
    io::{AsyncRead, AsyncWriteExt},
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
            io_mode: "completion (io_uring send and recv into buffers that are lent; one copy each way)"
                .to_owned(),
            websocket: format!("tungstenite {}", build_info::version("tungstenite")),
            ..RowInfo::new("compio", "compio", build_info::version("compio"))
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
                    let handshake = completion::accept(Stream(stream), spec);
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

struct Stream(TcpStream);

impl OwnedStream for Stream {
    async fn read(&mut self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        self.0.read(buffer).await.into()
    }

    async fn write_all(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        self.0.write_all(buffer).await.into()
    }
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
        completion::upgrade(Stream(stream), url, spec).await
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
