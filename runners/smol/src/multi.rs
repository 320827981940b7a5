//! The row `smol-multi`: an explicit `Executor` that several threads run, stealing work from each other.

use std::{future::Future, io, net::SocketAddr, panic::AssertUnwindSafe, sync::Arc, thread, time::Instant};

use bench_core::{
    DriveSpec, Job, RowInfo, Runner, Runtime, ServeSpec, ServerContext, SocketError, Timer,
    drive::{Drove, Lane},
    net,
    protocol::{Control, Ready},
    runner::MAX_THREADS,
    serve_connection,
    service::Served,
    spec::SocketSpec,
    websocket::{self, WebSocket},
};
use smol::{
    Executor,
    channel::unbounded,
    future::FutureExt,
    net::{TcpListener, TcpStream},
};

use crate::{SmolTimer, describe};

pub(crate) struct SeveralThreads;

impl Runner for SeveralThreads {
    fn describe(&self) -> anyhow::Result<RowInfo> {
        Ok(describe("smol-multi", "Executor, work-stealing", MAX_THREADS))
    }

    fn serve(&self, spec: &ServeSpec, ready: Ready) -> anyhow::Result<Served> {
        let executor = Arc::new(Executor::new());
        on_threads(&executor, spec.threads, async {
            let listener = TcpListener::try_from(net::listen(spec)?)?;
            let stop = ready.listening(listener.local_addr()?)?;
            let context = ServerContext::new(spec);
            let accepting = executor.spawn(accept_loop(executor.clone(), listener, context.clone()));
            stop.await;
            accepting.cancel().await;
            Ok(context.finish(&SmolTimer).await)
        })
    }

    fn drive(&self, spec: &DriveSpec, control: Control) -> anyhow::Result<Drove> {
        let executor = Arc::new(Executor::new());
        on_threads(&executor, spec.threads, bench_core::drive(Smol(executor.clone()), spec, control))
    }
}

/// Runs the executor on `threads` threads of its own while `main` runs on this one.
fn on_threads<T>(executor: &Arc<Executor<'static>>, threads: u32, main: impl Future<Output = T>) -> T {
    let (running, ended) = unbounded::<()>();
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let (executor, ended) = (executor.clone(), ended.clone());
            thread::spawn(move || smol::block_on(executor.run(async move { ended.recv().await.ok() })))
        })
        .collect();
    let result = smol::block_on(main);
    drop(running);
    for worker in workers {
        // A worker only ends by panicking or by what was said above; panics are counted elsewhere.
        let _ = worker.join();
    }
    result
}

async fn accept_loop(executor: Arc<Executor<'static>>, listener: TcpListener, context: Arc<ServerContext>) {
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
struct Smol(Arc<Executor<'static>>);

impl Runtime for Smol {
    type Stream = TcpStream;
    type Socket = WebSocket<TcpStream>;
    type Timer = SmolTimer;

    async fn connect(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        crate::connect(addr).await
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
