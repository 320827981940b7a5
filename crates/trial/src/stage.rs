//! What a trial is played on: two ends that can be started, told something and read from.

use std::net::SocketAddr;

use bench_core::{DriveSpec, ServeSpec, protocol::Event};

use crate::sample::{MachineSample, Sample};

/// Where the two ends of one trial come from. Everything that takes time has a limit of its own there.
pub trait Stage {
    /// A started process.
    type Peer: Peer;

    /// Starts the server.
    ///
    /// # Errors
    /// When there is no such program or it cannot be started.
    fn start_server(&mut self, spec: &ServeSpec) -> Result<Self::Peer, String>;

    /// Starts the client.
    ///
    /// # Errors
    /// When there is no such program or it cannot be started.
    fn start_client(&mut self, spec: &DriveSpec) -> Result<Self::Peer, String>;

    /// A full handshake and a verified echo of a nonce that no other trial has.
    ///
    /// # Errors
    /// When the server does not answer, or wrongly.
    fn probe(&mut self, addr: SocketAddr) -> Result<(), String>;

    /// Reads the whole machine's state.
    fn sample_machine(&mut self) -> Option<MachineSample>;
}

/// One end of a trial, as wsbench sees it. Dropping it leaves no process behind.
pub trait Peer {
    /// The next event that the process prints.
    ///
    /// # Errors
    /// When it prints anything else, ends, or takes too long.
    fn event(&mut self) -> Result<Event, String>;

    /// Writes a line to its stdin.
    ///
    /// # Errors
    /// When it has closed it.
    fn tell(&mut self, line: &str) -> Result<(), String>;

    /// Reads its cost so far.
    fn sample(&mut self) -> Option<Sample>;

    /// Ends its stdin.
    fn end_input(&mut self);

    /// Waits for its end.
    ///
    /// # Errors
    /// When it takes too long or does not exit with code 0.
    fn wait(&mut self) -> Result<(), String>;

    /// How it ended, if it has by itself.
    fn ended(&mut self) -> Option<String>;

    /// Ends it at once and returns the last lines that it wrote to stderr.
    fn abandon(&mut self) -> String;
}
