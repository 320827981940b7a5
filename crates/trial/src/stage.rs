//! What a trial is played on: two ends that can be started, told something and read from.

use std::{fmt, io, net::SocketAddr, process::ExitStatus, time::Duration};

use bench_core::{DriveSpec, ServeSpec, protocol::Event};

use crate::{
    probe::ProbeError,
    sample::{MachineSample, Sample},
};

/// Why the stage cannot do what a trial asks for.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A process cannot be started.
    #[error("cannot start {program}: {reason}")]
    Start {
        /// Its executable.
        program: String,
        /// What the system says.
        reason: io::Error,
    },
    /// The certificate that the readiness check should trust cannot be read.
    #[error("{0:#}")]
    Certificate(anyhow::Error),
    /// The server does not answer the readiness check as it should.
    #[error(transparent)]
    Probe(#[from] ProbeError),
}

/// What is wrong with a process, as said of "the server" or "the client".
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// It has ended while something was expected of it.
    #[error("{0}")]
    Ended(Ending),
    /// It has ended with another exit code than 0.
    #[error("ended with {0}")]
    Failed(ExitStatus),
    /// It took too long.
    #[error("did not get there within {limit} and was ended")]
    TooLong {
        /// What it was allowed.
        limit: Limit,
    },
    /// Something else came than what it was expected to do.
    #[error("{}", instead(.came, *.due))]
    Instead {
        /// What came.
        came: Box<PeerError>,
        /// What it was expected to do.
        due: Due,
    },
    /// Another process does the work than the one whose cost is read.
    #[error("is process {serves} and not the one that was started ({started}): put `exec` into the script")]
    OtherProcess {
        /// The process that says that it serves.
        serves: u32,
        /// The process that was started.
        started: u32,
    },
    /// It printed something other than an event.
    #[error("printed {0}")]
    Printed(String),
    /// It reported one event where another was due.
    #[error("reported `{came}` where `{due}` was due")]
    OutOfTurn {
        /// Name of the event that came.
        came: &'static str,
        /// Name of the event that was due.
        due: &'static str,
    },
    /// It no longer prints anything, and has not ended either.
    #[error("closed its output but is still running")]
    OutputClosed,
    /// It was told to stop before, and takes no more commands.
    #[error("takes no more commands: its input has ended")]
    InputEnded,
    /// It does not read what it is told.
    #[error("did not read `{line}`: {reason}")]
    NotTold {
        /// What it should have been told.
        line: String,
        /// What the system says.
        reason: io::Error,
    },
    /// The system does not say whether it has ended.
    #[error("cannot be waited for: {0}")]
    NotWaitedFor(io::Error),
}

impl PeerError {
    /// The same, with what was expected of the process, unless the error says that already.
    pub(crate) fn instead_of(self, due: Due) -> PeerError {
        match self {
            PeerError::Ended(_)
            | PeerError::TooLong { .. }
            | PeerError::Printed(_)
            | PeerError::OutputClosed => PeerError::Instead { came: Box::new(self), due },
            _ => self,
        }
    }

    /// How the process ended, if that is what is wrong.
    pub fn ending(&self) -> Option<Ending> {
        match self {
            PeerError::Ended(ending) => Some(*ending),
            PeerError::Instead { came, .. } => came.ending(),
            _ => None,
        }
    }

    /// Whether it took too long.
    pub fn is_too_long(&self) -> bool {
        match self {
            PeerError::TooLong { .. } => true,
            PeerError::Instead { came, .. } => came.is_too_long(),
            _ => false,
        }
    }
}

/// What is expected of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// An event of this name.
    Event(&'static str),
    /// Its end.
    Exit,
}

impl fmt::Display for Due {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Due::Event(name) => write!(formatter, "`{name}`"),
            Due::Exit => formatter.write_str("its exit"),
        }
    }
}

/// What came, with what was due.
fn instead(came: &PeerError, due: Due) -> String {
    match (came, due) {
        (PeerError::TooLong { limit }, Due::Event(_)) => {
            format!("did not report {due} within {limit} and was ended")
        }
        (PeerError::TooLong { limit }, Due::Exit) => format!("did not exit within {limit} and was ended"),
        _ => format!("{came}; {due} was due"),
    }
}

/// What a process is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So long for the whole trial.
    Trial(Duration),
    /// So long for what it was asked last.
    Step(Duration),
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Trial(limit) => write!(formatter, "the trial's {} s", limit.as_secs_f64()),
            Limit::Step(limit) => write!(formatter, "{} s", limit.as_secs_f64()),
        }
    }
}

/// How a process ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending(pub ExitStatus);

impl fmt::Display for Ending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ended early ({})", self.0)
    }
}

impl From<StageError> for String {
    fn from(error: StageError) -> String {
        error.to_string()
    }
}

impl From<PeerError> for String {
    fn from(error: PeerError) -> String {
        error.to_string()
    }
}

/// Where the two ends of one trial come from. Everything that takes time has a limit of its own there.
pub trait Stage {
    /// A started process.
    type Peer: Peer;

    /// Starts the server.
    ///
    /// # Errors
    /// When there is no such program or it cannot be started.
    fn start_server(&mut self, spec: &ServeSpec) -> Result<Self::Peer, StageError>;

    /// Starts the client.
    ///
    /// # Errors
    /// When there is no such program or it cannot be started.
    fn start_client(&mut self, spec: &DriveSpec) -> Result<Self::Peer, StageError>;

    /// A full handshake and a verified echo of a nonce that no other trial has.
    ///
    /// # Errors
    /// When the server does not answer, or wrongly.
    fn probe(&mut self, addr: SocketAddr) -> Result<(), StageError>;

    /// Does nothing for so long.
    fn pause(&mut self, length: Duration);

    /// Reads the whole machine's state.
    fn sample_machine(&mut self) -> Option<MachineSample>;
}

/// One end of a trial, as wsbench sees it. Dropping it leaves no process behind.
pub trait Peer {
    /// The next event that the process prints.
    ///
    /// # Errors
    /// When it prints anything else, ends, or takes too long.
    fn event(&mut self) -> Result<Event, PeerError>;

    /// Writes a line to its stdin.
    ///
    /// # Errors
    /// When it has closed it.
    fn tell(&mut self, line: &str) -> Result<(), PeerError>;

    /// Reads its cost so far.
    fn sample(&mut self) -> Option<Sample>;

    /// Ends its stdin.
    fn end_input(&mut self);

    /// Waits for its end.
    ///
    /// # Errors
    /// When it takes too long or does not exit with code 0.
    fn wait(&mut self) -> Result<(), PeerError>;

    /// How it ended, if it has by itself.
    fn ended(&mut self) -> Option<Ending>;

    /// Ends it at once and returns the last lines that it wrote to stderr.
    fn abandon(&mut self) -> String;
}
