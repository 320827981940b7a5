//! A child process and the way in which it is ended before its time.

use std::{
    io, process,
    process::ExitStatus,
    time::{Duration, Instant},
};

/// How long a guardian may take to end what it guards.
const GUARDIAN_LIMIT: Duration = Duration::from_secs(10);

/// A child process.
#[derive(Debug)]
pub(crate) struct Child {
    child: process::Child,
    kind: Kind,
}

/// What a child process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One process, which is killed.
    Single,
    /// A guardian of other processes, which is asked to end, because nobody would end those if it were killed.
    Guardian,
}

impl Child {
    pub(crate) fn new(child: process::Child, kind: Kind) -> Child {
        Child { child, kind }
    }

    /// How it has ended, if it has.
    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Ends it, or asks it to end, without waiting for that. Nothing happens where it is gone already.
    pub(crate) fn end(&mut self) {
        match self.kind {
            Kind::Single => {
                let _ = self.child.kill();
            }
            Kind::Guardian => self.ask(),
        }
    }

    /// Ends it and waits until it has.
    pub(crate) fn end_and_wait(&mut self) {
        self.end();
        if self.kind == Kind::Guardian {
            let deadline = Instant::now() + GUARDIAN_LIMIT;
            while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }

    #[cfg(unix)]
    fn ask(&mut self) {
        use nix::{
            sys::signal::{Signal, kill},
            unistd::Pid,
        };
        // Its number may be another process's once it was waited for.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        }
    }

    #[cfg(not(unix))]
    fn ask(&mut self) {
        let _ = self.child.kill();
    }
}
