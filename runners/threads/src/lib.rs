//! The row `threads`, a baseline: a blocking thread for each connection, and no runtime.
//!
//! It runs the same workloads and services as every other row. Their futures never wait here, because what they await
//! blocks its thread.

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bench_core::{
    ClientConnection, ClientTask, DriveSpec, Network, Row, RowInfo, Rows, Runtime, ServeSpec, ServerTask,
    SocketResult, Timer,
    protocol::{ClientReport, Control, Ready, ServerReport},
    service::Service,
    spec::{Feature, SocketSpec},
};
use futures_lite::future::block_on;

use crate::socket::BlockingSocket;

mod socket;

/// Stack of a connection's thread. The default of 2 MiB is address space that thousands of connections would multiply;
/// a connection needs little of it, because tungstenite has its buffers on the heap and does not recurse.
const STACK_BYTES: usize = 256 << 10;

/// The rows that this runner offers.
pub const ROWS: &Rows = &[("threads", &ThreadPerConnection)];

struct ThreadPerConnection;

impl Row for ThreadPerConnection {
    fn describe(&self) -> anyhow::Result<RowInfo> {
        Ok(RowInfo {
            scheduler: "a thread for each connection".to_owned(),
            io_mode: "blocking".to_owned(),
            threads_per_connection: 1,
            websocket: build_info::websocket("tungstenite"),
            // The standard library has the compiler's version.
            ..RowInfo::new("std", build_info::build().rustc.trim_start_matches("rustc "))
        }
        // A blocking read waits for nothing else.
        .without_features(&[Feature::AnyServer]))
    }

    fn serve(&self, spec: &ServeSpec, ready: Ready) -> anyhow::Result<ServerReport> {
        block_on(bench_core::serve(Threads, spec, ready))
    }

    fn drive(&self, spec: &DriveSpec, control: Control) -> anyhow::Result<ClientReport> {
        block_on(bench_core::drive(Threads, spec, control))
    }
}

/// Starts a thread that runs `work` to its end.
fn start<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> io::Result<JoinHandle<T>> {
    thread::Builder::new().stack_size(STACK_BYTES).spawn(|| block_on(work))
}

/// A handle to what starts threads, which is the system.
#[derive(Clone)]
struct Threads;

impl Network for Threads {
    type Listener = TcpListener;
    type Stream = TcpStream;
    type Socket = BlockingSocket;

    fn listen(listener: TcpListener) -> io::Result<TcpListener> {
        listener.set_nonblocking(false)?;
        Ok(listener)
    }

    async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        Ok(listener.accept()?.0)
    }

    async fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(addr)
    }

    fn set_nodelay(stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)
    }

    async fn server_handshake(stream: TcpStream, spec: &SocketSpec) -> SocketResult<(Service, Self::Socket)> {
        socket::accept(stream, spec)
    }

    async fn client_handshake(stream: TcpStream, url: &str, spec: &SocketSpec) -> SocketResult<Self::Socket> {
        socket::upgrade(stream, url, spec)
    }
}

impl Runtime for Threads {
    type Net = Threads;

    fn spawn_detached(&self, task: ServerTask<Self>) -> io::Result<()> {
        start(task.run()).map(drop)
    }

    fn spawn(&self, task: ClientTask<Self>) -> impl Future<Output = Option<ClientConnection<Self>>> {
        let thread = start(task.run());
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

impl Timer for Threads {
    const BLOCKS: bool = true;

    async fn sleep_until(&self, at: Instant) {
        let left = at.saturating_duration_since(Instant::now());
        if left > Duration::ZERO {
            thread::sleep(left);
        }
    }
}
