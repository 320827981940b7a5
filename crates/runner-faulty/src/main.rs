//! A runner that misbehaves on request: what wsbench is tested against.
//!
//! It is the row `tokio` with one fault, named by the environment variable `WSBENCH_FAULT`, some with numbers behind it:
//! `stall:MESSAGE:MS` stops the whole server once, `late:EVERY:MS` answers some messages late, `burn:NS` spends CPU time
//! on every message that the server sends, and `client-burn:NS` on every one that the client sends. No row of
//! `runners/rows.toml` is built from it.

mod burn;
mod busy;
mod late;
mod stdin;
mod stdout;

use std::{
    ffi::OsString,
    io,
    net::SocketAddr,
    process::{ExitCode, abort, exit},
    sync::{
        Once,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use bench_core::{
    ClientConnection, ClientTask, DriveSpec, Kind, Message, Network, Row, RowInfo, Rows, Runtime, ServeSpec,
    ServerTask, Socket, SocketError, SocketResult, Timer,
    payload::Class,
    protocol::{ClientReport, Control, Ready, ServerReport},
    row::BuildInfo,
    service::Service,
    spec::SocketSpec,
    tally::Tally,
};
use burn::Burner;
use bytes::Bytes;
use nix::sys::signal::{Signal, raise};
use runner_tokio::Tokio;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

/// A fault inside a connection strikes at this message, so that the readiness check still passes.
const STRIKES_AT: u64 = 100;

/// Far longer than any limit that a test sets.
const FOREVER: Duration = Duration::from_secs(600);

fn main() -> ExitCode {
    let main = || runner_cli::main(ROWS, build());
    let serves = std::env::args_os().nth(1).is_some_and(|command| command == "serve");
    let code = match fault().as_str() {
        "any-row" => Ok(runner_cli::main_from(std::env::args_os().map(own_row), ROWS, build())),
        "held-stdout" if serves => stdout::through(stdout::hold_back, main),
        "wrong-pid" if serves => stdout::through(stdout::change_pid, main),
        "ignores-stdin" if serves => stdin::ignore().map(|()| main()),
        _ => Ok(main()),
    };
    code.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

const ROWS: &Rows = &[("faulty", &Faulty), ("tokio", &Faulty)];

/// An argument, with the name of a row of this runner instead of one that it does not have.
fn own_row(argument: OsString) -> OsString {
    if argument == "no-such-row" { "faulty".into() } else { argument }
}

/// The name of the fault.
fn fault() -> String {
    let fault = std::env::var("WSBENCH_FAULT").unwrap_or_default();
    fault.split(':').next().unwrap_or_default().to_owned()
}

/// The numbers behind the name of the fault.
fn numbers() -> Vec<u64> {
    let fault = std::env::var("WSBENCH_FAULT").unwrap_or_default();
    fault.split(':').skip(1).filter_map(|number| number.parse().ok()).collect()
}

/// Messages that this server has answered, over all connections.
static ANSWERED: AtomicU64 = AtomicU64::new(0);

fn build() -> BuildInfo {
    let build = build_info::build();
    if fault() == "other-build" {
        return BuildInfo { commit: "0000000000".to_owned(), ..build };
    }
    build
}

struct Faulty;

impl Row for Faulty {
    fn describe(&self) -> anyhow::Result<RowInfo> {
        let version = match fault().as_str() {
            "no-version" => "",
            "typed-version" => "yes",
            _ => "1",
        };
        let info = RowInfo::new("faulty", version);
        match fault().as_str() {
            "unavailable" => anyhow::bail!("this machine has no faults"),
            "other-protocol" => Ok(RowInfo { protocol: 99, ..info }),
            _ => Ok(info),
        }
    }

    fn serve(&self, spec: &ServeSpec, ready: Ready) -> anyhow::Result<ServerReport> {
        match fault().as_str() {
            "never-ready" => thread::sleep(FOREVER),
            "early-exit" => exit(0),
            "closes-stdout-first" => {
                stdout::close()?;
                thread::sleep(FOREVER);
            }
            fault => stdout::spoil(fault)?,
        }
        let runtime = match fault().as_str() {
            "two-threads" => {
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?
            }
            _ => tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        };
        let mut served = runtime.block_on(bench_core::serve(FaultyRuntime, spec, ready))?;
        match fault().as_str() {
            "count" => served.tally.class_mut(Class::Measured).received_messages += 1,
            "bytes" => served.tally.class_mut(Class::Measured).sent_bytes += 1,
            "open" => served.open_at_end += 1,
            "no-tally" => served.tally = Tally::default(),
            "no-accepted" => (served.accepted, served.upgraded) = (0, 0),
            "dropped" => served.dropped_messages = u64::MAX,
            "probe-count" => served.tally.class_mut(Class::Probe).sent_messages = u64::MAX,
            "huge" => served.tally.class_mut(Class::Measured).received_messages = u64::MAX,
            "never-stops" => thread::sleep(FOREVER),
            "fails-at-the-end" => exit(7),
            _ => {}
        }
        Ok(served)
    }

    fn drive(&self, spec: &DriveSpec, control: Control) -> anyhow::Result<ClientReport> {
        match fault().as_str() {
            "client-crash" => abort(),
            "client-hang" => thread::sleep(FOREVER),
            "client-early-exit" => exit(0),
            "client-killed" => raise(Signal::SIGKILL)?,
            "client-closes-stdout" => {
                stdout::close()?;
                thread::sleep(FOREVER);
            }
            "client-late" => return late::drive(spec, control),
            "client-busy" => return busy::drive(spec, control),
            "client-burn" => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                return runtime.block_on(bench_core::drive(FaultyRuntime, spec, control));
            }
            fault => stdout::spoil(fault.strip_prefix("client-").unwrap_or_default())?,
        }
        let mut drove = runner_tokio::ROWS[0].1.drive(spec, control)?;
        match fault().as_str() {
            "client-units" => drove.units += 1,
            "client-no-units" => drove.units = 0,
            "client-no-tally" => drove.tally = Tally::default(),
            "client-counts-nothing" => (drove.units, drove.tally) = (0, Tally::default()),
            "client-count" => drove.tally.class_mut(Class::Measured).sent_messages += 1,
            "client-samples" => drove.series.values_mut().for_each(|series| series.count += 1),
            "client-histogram" => drove.series.values_mut().for_each(|series| series.hdr = "AAAA".to_owned()),
            "client-never-stops" => thread::sleep(FOREVER),
            "client-fails-at-the-end" => exit(7),
            _ => {}
        }
        Ok(drove)
    }
}

/// tokio, with faulty connections.
#[derive(Clone)]
struct FaultyRuntime;

impl Network for FaultyRuntime {
    type Listener = TcpListener;
    type Stream = TcpStream;
    type Socket = FaultySocket<<Tokio as Network>::Socket>;

    fn listen(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        if fault() == "short-queue" {
            SockRef::from(&listener).listen(1)?;
        }
        Tokio::listen(listener)
    }

    async fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
        // By now the server has said that it listens.
        static LISTENS: Once = Once::new();
        LISTENS.call_once(|| match fault().as_str() {
            "closes-stdout" => stdout::close().expect("stdout is open until here"),
            "flood-later" => drop(thread::spawn(stdout::flood_lines)),
            _ => {}
        });
        Tokio::accept(listener).await
    }

    async fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
        Tokio::connect(addr).await
    }

    fn set_nodelay(stream: &TcpStream) -> io::Result<()> {
        if fault() == "delays" { Ok(()) } else { Tokio::set_nodelay(stream) }
    }

    async fn server_handshake(stream: TcpStream, spec: &SocketSpec) -> SocketResult<(Service, Self::Socket)> {
        let (service, inner) = Tokio::server_handshake(stream, spec).await?;
        Ok((service, FaultySocket::new(inner)))
    }

    async fn client_handshake(stream: TcpStream, url: &str, spec: &SocketSpec) -> SocketResult<Self::Socket> {
        Ok(FaultySocket::new(Tokio::client_handshake(stream, url, spec).await?))
    }
}

impl Runtime for FaultyRuntime {
    type Net = FaultyRuntime;

    fn spawn_detached(&self, task: ServerTask<Self>) -> io::Result<()> {
        tokio::spawn(task.run());
        Ok(())
    }

    fn spawn(&self, task: ClientTask<Self>) -> impl Future<Output = Option<ClientConnection<Self>>> {
        let task = tokio::spawn(task.run());
        async { task.await.ok() }
    }
}

impl Timer for FaultyRuntime {
    async fn sleep_until(&self, at: Instant) {
        Tokio.sleep_until(at).await;
    }
}

impl<S: Socket> FaultySocket<S> {
    fn new(inner: S) -> FaultySocket<S> {
        let (fault, numbers) = (fault(), numbers());
        let burner = match (fault.as_str(), numbers.as_slice()) {
            ("burn" | "client-burn", [ns]) => Some(Burner::new(*ns)),
            _ => None,
        };
        FaultySocket { inner, fault, numbers, burner, messages: 0, kept: None }
    }

    /// The faults that cost time and nothing else.
    async fn take_time(&mut self) {
        // By every server, so that one that burns does nothing but burning beside.
        let answered = ANSWERED.fetch_add(1, Relaxed) + 1;
        if let Some(burner) = &mut self.burner {
            burner.burn();
        }
        match (self.fault.as_str(), self.numbers.as_slice()) {
            ("stall", [at, ms]) if answered == *at => thread::sleep(Duration::from_millis(*ms)),
            ("late", [every, ms]) if answered.is_multiple_of(*every) => {
                tokio::time::sleep(Duration::from_millis(*ms)).await;
            }
            _ => {}
        }
    }
}

struct FaultySocket<S: Socket> {
    inner: S,
    fault: String,
    numbers: Vec<u64>,
    burner: Option<Burner>,
    messages: u64,
    kept: Option<S::Message>,
}

impl<S> Socket for FaultySocket<S>
where
    S: Socket,
    S::Message: Clone,
{
    type Message = S::Message;

    async fn recv(&mut self) -> Result<Option<S::Message>, SocketError> {
        self.inner.recv().await
    }

    async fn feed(&mut self, message: S::Message) -> Result<(), SocketError> {
        self.messages += 1;
        self.take_time().await;
        if let Some(kept) = self.kept.take() {
            self.inner.feed(message).await?;
            return self.inner.feed(kept).await;
        }
        if self.messages != STRIKES_AT {
            return self.inner.feed(message).await;
        }
        let payload = Bytes::copy_from_slice(message.payload());
        match self.fault.as_str() {
            "crash" => abort(),
            "killed" => raise(Signal::SIGKILL).map_err(std::io::Error::from)?,
            "panic" => panic!("a fault that was asked for"),
            "hang" => thread::sleep(FOREVER),
            "close" => return self.inner.close().await,
            "drop" => return Ok(()),
            "twice" => self.inner.feed(message.clone()).await?,
            "swap" => {
                self.kept = Some(message);
                return Ok(());
            }
            "kind" => return self.inner.feed(S::Message::new(Kind::Binary, payload)).await,
            "damage" => {
                let damaged = [&payload[..payload.len() - 1], b"?"].concat();
                return self.inner.feed(S::Message::new(message.kind(), damaged.into())).await;
            }
            _ => {}
        }
        self.inner.feed(message).await
    }

    async fn flush(&mut self) -> Result<(), SocketError> {
        self.inner.flush().await
    }

    async fn close(&mut self) -> Result<(), SocketError> {
        self.inner.close().await
    }
}
