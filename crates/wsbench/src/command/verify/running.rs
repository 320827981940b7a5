//! A row's server in a process of its own, with a limit on each step of the conversation.

use std::{net::SocketAddr, time::Duration};

use bench_core::{
    ServeSpec,
    protocol::{Event, ServerReport},
    spec::SocketSpec,
};
use trial::{Peer, Program, ServerConversation, process::Process};

use super::fault::{Fault, fault};

/// Longest time until a server listens, until it reports after its stdin has ended, and until it exits after that. An
/// interpreter with its libraries is there within a second, and a server waits two for connections that are still closing.
const STEP: Duration = Duration::from_secs(5);

/// Longest time until a server answers that a command starts: it may load whatever it needs.
const COMMAND_START: Duration = Duration::from_secs(30);

/// Longest time until the processes of such a server have ended: its guardian gives them five seconds.
const COMMAND_STOP: Duration = Duration::from_secs(8);

/// How long an event may take that was only held back: it comes when the process ends.
const HELD_BACK: Duration = Duration::from_secs(3);

/// A server that listens.
pub(super) struct Running {
    conversation: ServerConversation<Process>,
    addr: SocketAddr,
    /// What it may take to end.
    stop: Duration,
}

impl Running {
    /// Starts the row's server and waits until it listens.
    pub(super) fn start(program: &Program) -> Result<Running, Fault> {
        let defaults = SocketSpec::default();
        let socket = SocketSpec { flush: program.info.flush_for(defaults.flush), ..defaults };
        let spec = ServeSpec::on_loopback(1, socket);
        let (start, stop) = if program.exec.is_some() { (COMMAND_START, COMMAND_STOP) } else { (STEP, STEP) };
        let mut process = Process::launch_server(program, &spec, &[], start)?;
        process.allow(start);
        let mut conversation = ServerConversation::with(process);
        match conversation.listening() {
            Ok(addr) => Ok(Running { conversation, addr, stop }),
            Err(error) => {
                let process = conversation.peer_mut();
                let speaks = program.exec.is_none();
                let hint = if speaks && error.is_too_long() && was_held_back(process) {
                    ". The event came when stdin ended: flush stdout after every event"
                } else {
                    ""
                };
                Err(fault!("the server {error}{hint}{}", quoted(&process.abandon())))
            }
        }
    }

    /// Where it listens.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its process.
    #[cfg(target_os = "linux")]
    pub(super) fn id(&self) -> u32 {
        self.conversation.peer().id()
    }

    /// Ends its stdin and waits for its report and its exit.
    pub(super) fn stop(&mut self) -> Result<ServerReport, Fault> {
        self.conversation.peer_mut().allow(self.stop);
        let mut stopped = self.conversation.stop();
        if stopped.is_ok() {
            self.conversation.peer_mut().allow(STEP);
            stopped = self.conversation.exit().and(stopped);
        }
        stopped.map_err(|error| {
            let hint =
                if error.is_too_long() { ". Its stdin has ended, which is the signal to stop" } else { "" };
            fault!("the server {error}{hint}{}", quoted(&self.said()))
        })
    }

    /// Ends it at once, if it has not ended yet, and gives its last lines on stderr.
    pub(super) fn said(&mut self) -> String {
        self.conversation.peer_mut().abandon()
    }
}

/// Whether the event that did not come in time comes when the process is told to end.
fn was_held_back(process: &mut Process) -> bool {
    process.end_input();
    process.allow(HELD_BACK);
    matches!(process.event(), Ok(Event::Listening { .. }))
}

/// The last lines on stderr, behind what is wrong.
pub(super) fn quoted(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!("; it said on stderr: {stderr}") }
}
