//! The rows `tokio`, on the current-thread scheduler, `tokio-multi`, on the work-stealing one, and `tokio-native`, a control
//! without the futures-io adapter.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Instant};

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
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

mod native;

/// The rows that this runner offers.
pub const ROWS: &[Row] = &[
    Row { name: "tokio", runner: &TokioRow::Single },
    Row { name: "tokio-multi", runner: &TokioRow::Multi },
    Row { name: "tokio-native", runner: &TokioRow::Native },
];

enum TokioRow {
    Single,
    Multi,
    Native,
}

impl TokioRow {
    fn start(&self, threads: u32) -> io::Result<tokio::runtime::Runtime> {
        match self {
            TokioRow::Single | TokioRow::Native => Builder::new_current_thread().enable_all().build(),
            TokioRow::Multi => {
                Builder::new_multi_thread().worker_threads(threads as usize).enable_all().build()
            }
        }
    }
}

impl Runner for TokioRow {
    fn describe(&self) -> anyhow::Result<RowInfo> {
        // The control shows what the adapter costs, and TLS lies above the adapter.
        let lacks: &[&str] = if matches!(self, TokioRow::Native) { &["tls"] } else { &[] };
        let (row, scheduler, stack, max_threads) = match self {
            TokioRow::Single => ("tokio", "current_thread", "async-tungstenite", 1),
            TokioRow::Multi => {
                ("tokio-multi", "multi_thread, work-stealing", "async-tungstenite", MAX_THREADS)
            }
            TokioRow::Native => ("tokio-native", "current_thread", "tokio-tungstenite", 1),
        };
        Ok(RowInfo {
            scheduler: scheduler.to_owned(),
            max_threads,
            io_mode: "readiness (epoll, edge-triggered)".to_owned(),
            websocket: format!(
                "{stack} {} on tungstenite {}",
                build_info::version(stack),
                build_info::version("tungstenite")
            ),
            ..RowInfo::new(row, "tokio", build_info::version("tokio")).without(lacks)
        })
    }

    fn serve(&self, spec: &ServeSpec, ready: Ready) -> anyhow::Result<Served> {
        let native = matches!(self, TokioRow::Native);
        self.start(spec.threads)?.block_on(async {
            let listener = TcpListener::from_std(net::listen(spec)?)?;
            let stop = ready.listening(listener.local_addr()?)?;
            let context = ServerContext::new(spec);
            let accepting = tokio::spawn(accept_loop(listener, context.clone(), native));
            stop.await;
            accepting.abort();
            Ok(context.finish(&TokioTimer).await)
        })
    }

    fn drive(&self, spec: &DriveSpec, control: Control) -> anyhow::Result<Drove> {
        let runtime = self.start(spec.threads)?;
        match self {
            TokioRow::Native => runtime.block_on(bench_core::drive(native::TokioNative, spec, control)),
            TokioRow::Single | TokioRow::Multi => runtime.block_on(bench_core::drive(Tokio, spec, control)),
        }
    }
}

async fn accept_loop(listener: TcpListener, context: Arc<ServerContext>, native: bool) {
    loop {
        let accepted = listener.accept().await;
        match accepted.and_then(|(stream, _)| stream.set_nodelay(true).map(|()| stream)) {
            Ok(stream) => {
                let context = context.clone();
                if native {
                    tokio::spawn(async move {
                        let handshake = native::accept(stream, &context.spec().socket);
                        serve_connection(handshake, TokioTimer, context.clone()).await;
                    });
                } else {
                    tokio::spawn(async move {
                        let handshake = websocket::accept(stream.compat(), &context.spec().socket);
                        serve_connection(handshake, TokioTimer, context.clone()).await;
                    });
                }
            }
            Err(error) => {
                context.accept_failed();
                if let Some(pause) = net::accept_back_off(&error) {
                    TokioTimer.sleep_until(Instant::now() + pause).await;
                }
            }
        }
    }
}

#[derive(Clone)]
struct Tokio;

impl Runtime for Tokio {
    type Stream = TcpStream;
    type Socket = WebSocket<Compat<TcpStream>>;
    type Timer = TokioTimer;

    async fn connect(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        connect(addr).await
    }

    async fn upgrade(
        &self,
        stream: TcpStream,
        url: &str,
        spec: &SocketSpec,
    ) -> Result<Self::Socket, SocketError> {
        websocket::upgrade(stream.compat(), url, spec).await
    }

    fn timer(&self) -> TokioTimer {
        TokioTimer
    }

    fn spawn(&self, job: Job<Self>) -> impl Future<Output = Option<Lane<Self::Socket>>> {
        let task = tokio::spawn(job.run());
        async { task.await.ok() }
    }
}

async fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

struct TokioTimer;

impl Timer for TokioTimer {
    async fn sleep_until(&self, at: Instant) {
        tokio::time::sleep_until(at.into()).await;
    }
}
