//! The guardian of a server that was started by a command: it speaks the runner protocol for the server, and leaves no
//! process of it behind.
//!
//! The guardian adopts every process below it that loses its parent. When it is told to stop, when wsbench ends in whatever
//! way, or when the server ends by itself, it ends all of them.

use std::{
    io::{self, BufRead},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::{fd::AsFd, unix::process::CommandExt},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use bench_core::{
    protocol::{EXIT_FAILED, EXIT_OK, Event, ServerReport, emit},
    stack::{tls::Connector, upgrade::Additions},
};
use nix::{
    sys::{
        prctl::{set_child_subreaper, set_pdeathsig},
        signal::Signal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use signal_hook::{
    consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use socket2::{Domain, Protocol, Socket, Type};
use trial::{
    exec::{Exec, Ready, StopSignal},
    probe,
    program::EXEC,
    tree::{self, Group},
};

use crate::exit::Stop;

/// How long the server's processes may take to end after they were asked to.
const GRACE: Duration = Duration::from_secs(5);

/// How long the kernel may take to end processes that are killed.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// Time between two attempts to reach a server that is not ready: it is not on the account of the server, which has its core
/// to share with them.
const RETRY: Duration = Duration::from_millis(10);

/// Longest time for one attempt.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(5);

/// Starts the server, and keeps it until stdin ends.
///
/// # Errors
/// When the definition is not one, or the command cannot be started.
pub fn guard() -> Result<u8, Stop> {
    let text = std::env::var(EXEC).map_err(|_| Stop::usage(format!("{EXEC} says what to guard")))?;
    let exec: Exec = serde_json::from_str(&text).map_err(Stop::usage)?;
    keep(&exec).map_err(|error| Stop::failed(format!("{error:#}")))
}

/// What the guardian waits for.
enum Happened {
    /// The server answers at this address.
    Ready(SocketAddr),
    /// stdin has ended: whoever started the guardian wants the server to stop, or is gone.
    StdinEnded,
    /// The guardian is to end at once.
    Ended,
    /// A process below has ended.
    ChildEnded,
}

fn keep(exec: &Exec) -> anyhow::Result<u8> {
    set_child_subreaper(true).context("orphaned processes cannot be adopted")?;
    // stdin ends as well when wsbench does, unless another process has inherited its other end.
    set_pdeathsig(Signal::SIGTERM).context("the end of wsbench would not be noticed")?;
    let (sender, happened) = mpsc::channel();
    listen_to_signals(sender.clone())?;
    listen_to_stdin(sender.clone());

    let port = free_port().context("no free port")?;
    let exec = exec.with_port(port);
    let group = Group::create().ok();
    let mut server = Server { group, status: None };
    server.start(&exec)?;
    let (attempts, last_attempt) = mpsc::channel();
    let attempt = Attempt::of(&exec)?;
    thread::spawn(move || attempt.until_ready(port, &sender, &attempts));
    for event in &happened {
        match event {
            Happened::Ready(addr) => emit(&Event::Listening { addr, pid: std::process::id() })?,
            Happened::ChildEnded if server.has_ended() => {
                server.kill();
                eprintln!("{} ended early ({})", exec.command[0], server.status());
                return Ok(EXIT_FAILED);
            }
            Happened::ChildEnded => {}
            Happened::StdinEnded => {
                if !server.stop(exec.stop) {
                    eprintln!(
                        "note: not all processes ended within {} s of {}",
                        GRACE.as_secs(),
                        name(exec.stop)
                    );
                }
                emit(&Event::Served(ServerReport::default()))?;
                return Ok(EXIT_OK);
            }
            Happened::Ended => {
                // Before the server is killed, which would end an attempt in a way of its own.
                let reason = last_attempt.try_iter().last();
                server.kill();
                if let Some(reason) = reason {
                    eprintln!("the server was not ready: {reason}");
                }
                return Ok(EXIT_FAILED);
            }
        }
    }
    anyhow::bail!("nothing is left to wait for")
}

fn listen_to_signals(sender: mpsc::Sender<Happened>) -> anyhow::Result<()> {
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGCHLD]);
    let mut signals = signals.context("signals cannot be handled")?;
    thread::spawn(move || {
        for signal in signals.forever() {
            let happened = if signal == SIGCHLD { Happened::ChildEnded } else { Happened::Ended };
            if sender.send(happened).is_err() {
                return;
            }
        }
    });
    Ok(())
}

fn listen_to_stdin(sender: mpsc::Sender<Happened>) {
    thread::spawn(move || {
        for _ in io::stdin().lock().lines().map_while(Result::ok) {}
        // Whoever waits for it is gone only when the process ends.
        let _ = sender.send(Happened::StdinEnded);
    });
}

/// A port that nothing uses, and that the system does not give to connections: those of a client that has just ended would
/// otherwise take it now and then before the server does.
fn free_port() -> io::Result<u16> {
    /// Ports below are reserved for services, or popular.
    const LOWEST: u16 = 10_240;
    /// Enough that not all can be in use.
    const ATTEMPTS: u32 = 200;
    let bind = |port: u16| -> io::Result<u16> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
        Ok(socket.local_addr()?.as_socket().map_or(port, |addr| addr.port()))
    };
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let end: u16 = range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0);
    let mut port = std::process::id();
    for _ in 0..ATTEMPTS {
        let Some(ports) = end.checked_sub(LOWEST).filter(|ports| *ports > 0) else { break };
        if let Ok(port) = bind(LOWEST + (port % u32::from(ports)) as u16) {
            return Ok(port);
        }
        // Not the next one: guardians that start together would follow each other.
        port = port.wrapping_mul(31).wrapping_add(7);
    }
    bind(0)
}

/// How to find out whether the server is ready.
struct Attempt {
    exec: Exec,
    additions: Additions,
    tls: Option<Connector>,
}

impl Attempt {
    fn of(exec: &Exec) -> anyhow::Result<Attempt> {
        let tls = exec.client_tls()?.map(|tls| Connector::new(&tls)).transpose()?;
        Ok(Attempt { exec: exec.clone(), additions: exec.additions()?, tls })
    }

    /// Tries until the server is ready, and tells what the attempts failed with.
    fn until_ready(&self, port: u16, ready: &mpsc::Sender<Happened>, failed: &mpsc::Sender<String>) {
        for addr in self.exec.addresses(port).iter().cycle() {
            let Err(reason) = self.once(*addr) else {
                // Nobody waits for it where the guardian is about to end.
                let _ = ready.send(Happened::Ready(*addr));
                return;
            };
            if failed.send(reason).is_err() {
                return;
            }
            thread::sleep(RETRY);
        }
    }

    fn once(&self, addr: SocketAddr) -> Result<(), String> {
        match self.exec.ready {
            Ready::Port => {
                let connected = TcpStream::connect_timeout(&addr, ATTEMPT_LIMIT);
                connected.map(drop).map_err(|error| error.to_string())
            }
            Ready::Echo => {
                let (url, tls) = (&self.exec.url, self.tls.as_ref());
                Ok(probe::echo_nonce_of(addr, url, &self.additions, tls, ATTEMPT_LIMIT)?)
            }
        }
    }
}

fn name(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::SigTerm => Signal::SIGTERM,
        StopSignal::SigInt => Signal::SIGINT,
        StopSignal::SigQuit => Signal::SIGQUIT,
        StopSignal::SigHup => Signal::SIGHUP,
        StopSignal::SigUsr1 => Signal::SIGUSR1,
        StopSignal::SigUsr2 => Signal::SIGUSR2,
    }
}

/// The processes of the server.
struct Server {
    group: Option<Group>,
    /// The process that was started, and how it ended.
    status: Option<(Pid, Option<WaitStatus>)>,
}

impl Server {
    fn start(&mut self, exec: &Exec) -> anyhow::Result<()> {
        let mut command = Command::new(exec.program()?);
        command.args(&exec.command[1..]).env_remove(EXEC).envs(&exec.environment).stdin(Stdio::null());
        if let Some(folder) = &exec.directory {
            command.current_dir(folder);
        }
        // stdout is the protocol's. What the server prints may say why it does not start.
        let to_stderr = || Ok::<_, io::Error>(Stdio::from(io::stderr().as_fd().try_clone_to_owned()?));
        command.stdout(to_stderr()?).stderr(to_stderr()?);
        // A server that signals its group should not hit the guardian.
        command.process_group(0);
        let spawned = match &self.group {
            None => command.spawn(),
            Some(group) => group.with(|| command.spawn()),
        };
        let child = spawned.with_context(|| format!("cannot start {}", exec.command[0]))?;
        self.status = Some((Pid::from_raw(child.id() as i32), None));
        Ok(())
    }

    /// Waits for those that have ended. Whether all have.
    fn has_ended(&mut self) -> bool {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => return false,
                Ok(status) => {
                    if let (Some((first, own)), Some(pid)) = (&mut self.status, status.pid())
                        && *first == pid
                    {
                        *own = Some(status);
                    }
                }
                // There is none.
                Err(_) => return true,
            }
        }
    }

    /// Asks all to end, and kills those that do not. Whether that was not necessary.
    fn stop(&mut self, signal: StopSignal) -> bool {
        tree::signal(std::process::id(), name(signal));
        let ended = self.wait(GRACE);
        self.kill();
        ended
    }

    /// Ends all at once, whatever they start meanwhile.
    fn kill(&mut self) {
        let deadline = Instant::now() + KILL_LIMIT;
        while tree::signal(std::process::id(), Signal::SIGKILL) > 0 && Instant::now() < deadline {
            self.has_ended();
            thread::sleep(Duration::from_millis(1));
        }
        self.has_ended();
        if let Some(group) = self.group.take() {
            // A process that has ended may take a moment to leave it.
            while group.remove().is_err() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn wait(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while !self.has_ended() {
            if Instant::now() > deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// How the process that was started has ended, in words.
    fn status(&self) -> String {
        match self.status {
            Some((_, Some(WaitStatus::Exited(_, code)))) => format!("exit status: {code}"),
            Some((_, Some(WaitStatus::Signaled(_, signal, _)))) => format!("signal: {signal}"),
            _ => "it is gone".to_owned(),
        }
    }
}
