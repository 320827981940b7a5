//! The rows `smol`, one thread that runs a `LocalExecutor`, and `smol-multi`, several that run an `Executor`.

use std::{future::Future, io, net::SocketAddr, panic::AssertUnwindSafe, rc::Rc, sync::Arc, time::Instant};

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
use smol::{
    LocalExecutor,
    future::FutureExt,
    net::{TcpListener, TcpStream},
};

mod multi;

/// The rows that this runner offers.
pub const ROWS: &[Row] = &[
    Row { name: "smol", runner: &SingleThread },
    Row { name: "smol-multi", runner: &multi::SeveralThreads },
];

struct SingleThread;

impl Runner for SingleThread {
    fn describe(&self) -> anyhow::Result<RowInfo> {
        Ok(describe("smol", "LocalExecutor", 1))
    }

    fn serve(&self, spec: &ServeSpec, ready: Ready) -> anyhow::Result<Served> {
        let executor = Rc::new(LocalExecutor::new());
        smol::block_on(executor.run(async {
            let listener = TcpListener::try_from(net::listen(spec)?)?;
            let stop = ready.listening(listener.local_addr()?)?;
            let context = ServerContext::new(spec);
            // A task, not part of the main future: that one is polled on every wake-up of the executor, and each
            // poll of an accept costs two system calls.
            let accepting = executor.spawn(accept_loop(executor.clone(), listener, context.clone()));
            stop.await;
            accepting.cancel().await;
            Ok(context.finish(&SmolTimer).await)
        }))
    }

    fn drive(&self, spec: &DriveSpec, control: Control) -> anyhow::Result<Drove> {
        let executor = Rc::new(LocalExecutor::new());
        smol::block_on(executor.run(bench_core::drive(Smol(executor.clone()), spec, control)))
    }
}

fn describe(row: &str, scheduler: &str, max_threads: u32) -> RowInfo {
    RowInfo {
        scheduler: scheduler.to_owned(),
        max_threads,
        io_mode: "readiness (epoll, one-shot, by async-io)".to_owned(),
        websocket: format!(
            "async-tungstenite {} on tungstenite {}",
            build_info::version("async-tungstenite"),
            build_info::version("tungstenite")
        ),
        ..RowInfo::new(row, "smol", build_info::version("smol"))
    }
}

async fn accept_loop(
    executor: Rc<LocalExecutor<'static>>,
    listener: TcpListener,
    context: Arc<ServerContext>,
) {
    loop {
        let accepted = listener.accept().await;
        match accepted.and_then(|(stream, _)| stream.set_nodelay(true).map(|()| stream)) {
            Ok(stream) => {
                let context = context.clone();
                let serving = async move {
                    let handshake = websocket::accept(stream, &context.spec().socket);
                    serve_connection(handshake, SmolTimer, context.clone()).await;
                };
                executor.spawn(serving).detach();
            }
            Err(error) => {
                context.accept_failed();
                if let Some(pause) = net::accept_back_off(&error) {
                    SmolTimer.sleep_until(Instant::now() + pause).await;
                }
            }
        }
    }
}

#[derive(Clone)]
struct Smol(Rc<LocalExecutor<'static>>);

impl Runtime for Smol {
    type Stream = TcpStream;
    type Socket = WebSocket<TcpStream>;
    type Timer = SmolTimer;

    async fn connect(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        connect(addr).await
    }

    async fn upgrade(
        &self,
        stream: TcpStream,
        url: &str,
        spec: &SocketSpec,
    ) -> Result<Self::Socket, SocketError> {
        websocket::upgrade(stream, url, spec).await
    }

    fn timer(&self) -> SmolTimer {
        SmolTimer
    }

    fn spawn(&self, job: Job<Self>) -> impl Future<Output = Option<Lane<Self::Socket>>> {
        let task = self.0.spawn(job.run());
        async { AssertUnwindSafe(task).catch_unwind().await.ok() }
    }
}

async fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

struct SmolTimer;

impl Timer for SmolTimer {
    async fn sleep_until(&self, at: Instant) {
        smol::Timer::at(at).await;
    }
}
