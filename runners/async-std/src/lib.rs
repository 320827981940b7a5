//! The rows `async-std` and `async-std-multi`: async-std's global executor on one thread and on several. async-std is
//! discontinued (RUSTSEC-2025-0052).

use std::{future::Future, io, net::SocketAddr, panic::AssertUnwindSafe, sync::Arc, time::Instant};

use async_std::{
    net::{TcpListener, TcpStream},
    task,
};
use bench_core::{
    DriveSpec, Job, Row, RowInfo, Runner, Runtime, ServeSpec, ServerContext, SocketError, Timer,
    drive::{Drove, Lane},
    net,
    protocol::{Control, Ready},
    runner::MAX_THREADS,
    serve_connection,
    service::Served,
    spec::SocketSpec,
    websocket::{self, WebSocket},
};
use futures_lite::FutureExt;

/// The rows that this runner offers.
pub const ROWS: &[Row] = &[
    Row { name: "async-std", runner: &GlobalExecutor::OneThread },
    Row { name: "async-std-multi", runner: &GlobalExecutor::SeveralThreads },
];

enum GlobalExecutor {
    OneThread,
    SeveralThreads,
}

impl Runner for GlobalExecutor {
    fn describe(&self) -> anyhow::Result<RowInfo> {
        let (row, scheduler, max_threads) = match self {
            GlobalExecutor::OneThread => ("async-std", "global executor, 1 thread", 1),
            GlobalExecutor::SeveralThreads => {
                ("async-std-multi", "global executor, work-stealing", MAX_THREADS)
            }
        };
        Ok(RowInfo {
            scheduler: scheduler.to_owned(),
            max_threads,
            io_mode: "readiness (epoll, one-shot, by async-io)".to_owned(),
            websocket: format!(
                "async-tungstenite {} on tungstenite {}",
                build_info::version("async-tungstenite"),
                build_info::version("tungstenite")
            ),
            status: Some("discontinued".to_owned()),
            // The default is a thread for each core.
            environment: [("ASYNC_STD_THREAD_COUNT".to_owned(), "{threads}".to_owned())].into(),
            ..RowInfo::new(row, "async-std", build_info::version("async-std"))
        })
    }

    fn serve(&self, spec: &ServeSpec, ready: Ready) -> anyhow::Result<Served> {
        task::block_on(async {
            let listener = TcpListener::from(net::listen(spec)?);
            let stop = ready.listening(listener.local_addr()?)?;
            let context = ServerContext::new(spec);
            let accepting = task::spawn(accept_loop(listener, context.clone()));
            stop.await;
            accepting.cancel().await;
            Ok(context.finish(&AsyncStdTimer).await)
        })
    }

    fn drive(&self, spec: &DriveSpec, control: Control) -> anyhow::Result<Drove> {
        task::block_on(bench_core::drive(AsyncStd, spec, control))
    }
}

async fn accept_loop(listener: TcpListener, context: Arc<ServerContext>) {
    loop {
        let accepted = listener.accept().await;
        match accepted.and_then(|(stream, _)| stream.set_nodelay(true).map(|()| stream)) {
            Ok(stream) => {
                let context = context.clone();
                task::spawn(async move {
                    let handshake = websocket::accept(stream, &context.spec().socket);
                    serve_connection(handshake, AsyncStdTimer, context.clone()).await;
                });
            }
            Err(error) => {
                context.accept_failed();
                if let Some(pause) = net::accept_back_off(&error) {
                    AsyncStdTimer.sleep_until(Instant::now() + pause).await;
                }
            }
        }
    }
}

#[derive(Clone)]
struct AsyncStd;

impl Runtime for AsyncStd {
    type Stream = TcpStream;
    type Socket = WebSocket<TcpStream>;
    type Timer = AsyncStdTimer;

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
        websocket::upgrade(stream, url, spec).await
    }

    fn timer(&self) -> AsyncStdTimer {
        AsyncStdTimer
    }

    fn spawn(&self, job: Job<Self>) -> impl Future<Output = Option<Lane<Self::Socket>>> {
        let task = task::spawn(job.run());
        async { AssertUnwindSafe(task).catch_unwind().await.ok() }
    }
}

struct AsyncStdTimer;

impl Timer for AsyncStdTimer {
    async fn sleep_until(&self, at: Instant) {
        task::sleep(at.saturating_duration_since(Instant::now())).await;
    }
}
