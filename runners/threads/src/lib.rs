//! The row `threads`, a baseline: a blocking thread for each connection, and no runtime.
//!
//! It runs the same workloads and services as every other row. Their futures never wait here, because what they await
//! blocks its thread.

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bench_core::{
    DriveSpec, Job, Row, RowInfo, Runner, Runtime, ServeSpec, ServerContext, SocketError, Timer,
    drive::{Drove, Lane},
    net,
    protocol::{Control, Ready},
    serve_connection,
    service::Served,
    spec::SocketSpec,
};
use futures_lite::future::block_on;

use crate::socket::BlockingSocket;

mod socket;

/// Stack of a connection's thread. The default of 2 MiB is address space that thousands of connections would multiply;
/// a connection needs little of it, because tungstenite has its buffers on the heap and does not recurse.
const STACK_BYTES: usize = 256 << 10;

/// The rows that this runner offers.
pub const ROWS: &[Row] = &[Row { name: "threads", runner: &ThreadPerConnection }];

struct ThreadPerConnection;

impl Runner for ThreadPerConnection {
    fn describe(&self) -> anyhow::Result<RowInfo> {
        Ok(RowInfo {
            scheduler: "a thread for each connection".to_owned(),
            io_mode: "blocking".to_owned(),
            websocket: format!("tungstenite {}", build_info::version("tungstenite")),
            // The standard library has the compiler's version.
            ..RowInfo::new("threads", "std", build_info::build().rustc.trim_start_matches("rustc "))
        })
    }

    fn serve(&self, spec: &ServeSpec, ready: Ready) -> anyhow::Result<Served> {
        let listener = net::listen(spec)?;
        listener.set_nonblocking(false)?;
        let stop = ready.listening(listener.local_addr()?)?;
        let context = ServerContext::new(spec);
        let accepting = context.clone();
        // Nothing ends a thread that blocks in accept: it, and what it serves, ends with the process.
        thread::Builder::new().spawn(move || accept_loop(&listener, &accepting))?;
        Ok(block_on(async {
            stop.await;
            context.finish(&ThreadTimer).await
        }))
    }

    fn drive(&self, spec: &DriveSpec, control: Control) -> anyhow::Result<Drove> {
        block_on(bench_core::drive(Threads, spec, control))
    }
}

fn accept_loop(listener: &TcpListener, context: &Arc<ServerContext>) {
    loop {
        let accepted = listener.accept().and_then(|(stream, _)| {
            stream.set_nodelay(true)?;
            let context = context.clone();
            start(async move {
                let handshake = socket::accept(stream, &context.spec().socket);
                serve_connection(handshake, ThreadTimer, context.clone()).await;
            })
        });
        // A thread that cannot be started is a failed accept: its connection is gone.
        if let Err(error) = accepted {
            context.accept_failed();
            if let Some(pause) = net::accept_back_off(&error) {
                thread::sleep(pause);
            }
        }
    }
}

/// Starts a thread that runs `work` to its end.
fn start<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().stack_size(STACK_BYTES).spawn(|| block_on(work))
}

#[derive(Clone)]
struct Threads;

impl Runtime for Threads {
    type Stream = TcpStream;
    type Socket = BlockingSocket;
    type Timer = ThreadTimer;

    async fn connect(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn upgrade(
        &self,
        stream: TcpStream,
        url: &str,
        spec: &SocketSpec,
    ) -> Result<Self::Socket, SocketError> {
        socket::upgrade(stream, url, spec)
    }

    fn timer(&self) -> ThreadTimer {
        ThreadTimer
    }

    fn spawn(&self, job: Job<Self>) -> impl Future<Output = Option<Lane<Self::Socket>>> {
        let thread = start(job.run());
        async {
            match thread {
                Ok(thread) => thread.join().ok(),
                Err(error) => {
                    eprintln!("a connection's thread cannot be started: {error}");
                    None
                }
            }
        }
    }
}

/// Sleeps on the calling thread.
struct ThreadTimer;

impl Timer for ThreadTimer {
    const BLOCKS: bool = true;

    async fn sleep_until(&self, at: Instant) {
        let left = at.saturating_duration_since(Instant::now());
        if left > Duration::ZERO {
            thread::sleep(left);
        }
    }
}
