//! The runner protocol, version 1, from the runner's side.
//!
//! stdout carries one JSON object a line, stderr is for people, stdin carries commands, and its end is the signal to
//! stop. docs/PROTOCOL.md is the reference.

use std::{
    io::{self, BufRead, Write},
    net::SocketAddr,
    pin::Pin,
    sync::mpsc,
    task::{Context, Poll},
    thread,
};

use anyhow::Context as _;
use futures::{
    channel::oneshot,
    future::{FutureExt, Shared},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::interrupt::Interrupt;

mod client_report;
mod server_report;

pub use client_report::{ClientReport, Counts, Failures, StepReport};
pub use server_report::ServerReport;

/// Version of the protocol that this crate speaks.
pub const VERSION: u32 = 1;

/// Exit code: done.
pub const EXIT_OK: u8 = 0;
/// Exit code: it was tried and failed.
pub const EXIT_FAILED: u8 = 1;
/// Exit code: the command line asks for something that does not exist or makes no sense.
pub const EXIT_USAGE: u8 = 2;
/// Exit code: this row is not available on this machine.
pub const EXIT_UNAVAILABLE: u8 = 3;

/// Environment variable with the process that starts a runner, which ends without it.
pub const PARENT: &str = "WSBENCH_PARENT";

/// What a runner prints, one object a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
// A process prints three of them at most.
#[allow(clippy::large_enum_variant)]
pub enum Event {
    /// `serve`: connections are accepted at `addr`.
    Listening {
        /// The bound address.
        addr: SocketAddr,
        /// The process that serves.
        pid: u32,
    },
    /// `serve`: stdin has ended, all connections are closed.
    Served(ServerReport),
    /// `drive`, of a server that is not wsbench's own: how far connecting is. At most once a second, and once when it is over.
    Connecting(Connecting),
    /// `drive`: connected, warmed up, drained; waits for `go`.
    Ready,
    /// `drive`: the measured window is over, drained, connections held; waits for `finish` or another `go`.
    Measured(Measured),
    /// `drive`: everything is closed.
    Drove(ClientReport),
}

impl Event {
    /// Name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Listening { .. } => "listening",
            Event::Served(_) => "served",
            Event::Connecting(_) => "connecting",
            Event::Ready => "ready",
            Event::Measured(_) => "measured",
            Event::Drove(_) => "drove",
        }
    }
}

/// How far a client is that opens its connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connecting {
    /// Connections that are open.
    pub open: u32,
    /// Connections that could not be opened.
    pub failed: u32,
}

/// The measured window in short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Measured {
    /// Round trips, acknowledged messages, deliveries or handshakes.
    pub units: u64,
    /// Length in nanoseconds.
    pub elapsed_ns: u64,
}

/// What a client is told on stdin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// `go` or `go N`: measure, with N messages (connects, batches) on each connection instead of the stated length.
    Go(Option<u64>),
    /// `finish`: close and report.
    Finish,
}

/// The line of stdin that is no command to wait for: what is being done ends now. Only a client of a server that is not
/// wsbench's own heeds it.
pub const STOP: &str = "stop";

impl Command {
    fn parse(line: &str) -> anyhow::Result<Command> {
        let mut words = line.split_whitespace();
        let command = match (words.next(), words.next()) {
            (Some("go"), None) => Command::Go(None),
            (Some("go"), Some(count)) => {
                let count = count.parse().ok().filter(|count| *count > 0);
                Command::Go(Some(count.with_context(|| format!("`{line}`: go takes a count over 0"))?))
            }
            (Some("finish"), None) => Command::Finish,
            _ => anyhow::bail!("`{line}` is not a command: go, go N, stop and finish are"),
        };
        Ok(command)
    }
}

/// Prints one event.
///
/// # Errors
/// When stdout is closed.
pub fn emit(event: &Event) -> anyhow::Result<()> {
    let mut line = serde_json::to_string(event).context("an event is always JSON")?;
    line.push('\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()).context("stdout is closed")
}

/// A server's end of the protocol.
#[derive(Debug)]
pub struct Ready(());

impl Ready {
    /// For a process that has printed nothing yet.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Ready {
        Ready(())
    }

    /// Announces that connections are accepted at `addr`. The future completes when the server should stop.
    ///
    /// # Errors
    /// When stdout is closed.
    pub fn listening(self, addr: SocketAddr) -> anyhow::Result<Stop> {
        emit(&Event::Listening { addr, pid: std::process::id() })?;
        let (stop, stopped) = oneshot::channel::<()>();
        // One thread that sleeps in a read for the whole life of the process, the same in every row.
        thread::spawn(move || {
            for _ in io::stdin().lock().lines().map_while(Result::ok) {}
            drop(stop);
        });
        Ok(Stop(StdinEnds(stopped).shared()))
    }
}

/// Completes when a server should stop. A clone is told as well.
#[derive(Clone, Debug)]
pub struct Stop(Shared<StdinEnds>);

impl Future for Stop {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

#[derive(Debug)]
struct StdinEnds(oneshot::Receiver<()>);

impl Future for StdinEnds {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

/// A client's end of the protocol.
///
/// Its methods block the calling thread: at both edges of the measured window there is nothing else to do.
#[derive(Debug)]
pub struct Control {
    commands: mpsc::Receiver<anyhow::Result<Command>>,
    /// Raised by `stop`.
    interrupt: Interrupt,
    reflects: bool,
}

impl Control {
    /// Listens to stdin from now on. When it ends before `finish`, the process ends at once: whoever started it is
    /// gone.
    pub fn listen() -> Control {
        let (sender, commands) = mpsc::channel();
        let interrupt = Interrupt::default();
        let stops = interrupt.clone();
        thread::spawn(move || {
            let mut is_last = false;
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                // Also after the last command: closing may be what takes so long.
                if line.trim() == STOP {
                    stops.raise();
                    continue;
                }
                let command = Command::parse(&line);
                is_last |= !matches!(command, Ok(Command::Go(_)));
                if sender.send(command).is_err() {
                    return;
                }
            }
            if !is_last {
                eprintln!("stdin ended before `finish`: stopping");
                std::process::exit(1);
            }
        });
        Control { commands, interrupt, reflects: false }
    }

    /// For a client that is told nothing: it answers the server's messages until the server closes.
    pub fn reflecting() -> Control {
        let (_, commands) = mpsc::channel();
        Control { commands, interrupt: Interrupt::default(), reflects: true }
    }

    /// Whether the client only answers what the server sends.
    pub(crate) fn reflects(&self) -> bool {
        self.reflects
    }

    /// What `stop` raises.
    pub(crate) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Announces how far connecting is.
    ///
    /// # Errors
    /// When stdout is closed.
    pub fn connecting(&self, connecting: Connecting) -> anyhow::Result<()> {
        emit(&Event::Connecting(connecting))
    }

    /// Announces that the client is connected, warmed up and drained, and waits for the next command.
    ///
    /// # Errors
    /// When stdout is closed or the command is none.
    pub fn ready(&mut self) -> anyhow::Result<Command> {
        emit(&Event::Ready)?;
        self.next()
    }

    /// Announces the end of a measured window and waits for the next command.
    ///
    /// # Errors
    /// When stdout is closed or the command is none.
    pub fn measured(&mut self, measured: &Measured) -> anyhow::Result<Command> {
        emit(&Event::Measured(*measured))?;
        self.next()
    }

    fn next(&mut self) -> anyhow::Result<Command> {
        self.commands.recv().context("no further command is possible")?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        assert_eq!(Command::parse("go").unwrap(), Command::Go(None));
        assert_eq!(Command::parse("go 12").unwrap(), Command::Go(Some(12)));
        assert_eq!(Command::parse("finish").unwrap(), Command::Finish);
        for wrong in ["", "go 0", "go x", "finish now", "halt"] {
            assert!(Command::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn events_are_tagged_lines() {
        let event = Event::Measured(Measured { units: 5, elapsed_ns: 7 });
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(json, r#"{"event":"measured","units":5,"elapsed_ns":7}"#);
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event);
        assert_eq!(serde_json::to_string(&Event::Ready).unwrap(), r#"{"event":"ready"}"#);
        let events = [
            Event::Listening { addr: ([127, 0, 0, 1], 9).into(), pid: 1 },
            Event::Served(ServerReport::default()),
            Event::Connecting(Connecting { open: 1, failed: 0 }),
            Event::Ready,
            event,
            Event::Drove(ClientReport::default()),
        ];
        for event in events {
            assert_eq!(serde_json::to_value(&event).unwrap()["event"], event.name());
        }
    }
}
