//! How many connections wait for a server that does not accept any.

use std::{
    fs, io,
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use bench_core::net::BACKLOG;
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::super::{
    fault::{Fault, fault},
    findings::Seen,
    running::Running,
};

/// Connections that are opened, each of which costs both ends a file: more than the queues of 128 and 511 that are the
/// defaults of most libraries, and few enough for the usual limit of 1,024 files.
const CONNECTIONS: usize = 600;

/// How long one connect may take. On loopback the kernel answers within the call where the queue has room, and drops the
/// request where it has none, to be sent again after a second.
const CONNECT_LIMIT: Duration = Duration::from_millis(500);

/// How long a process may take until it stands still.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// The most that the kernel lets anybody ask for.
const MOST: &str = "/proc/sys/net/core/somaxconn";

/// The accept queue is as long as everybody's: a burst of connects that overruns it costs a second each.
pub(super) fn is_long(server: &Running) -> Result<Seen, Fault> {
    let most = fs::read_to_string(MOST).ok().and_then(|text| text.trim().parse().ok());
    let asked = usize::try_from(BACKLOG).unwrap_or(CONNECTIONS);
    let due = CONNECTIONS.min(most.unwrap_or(asked));
    let stopped = match Stopped::stop(server.id()) {
        Ok(stopped) => stopped,
        Err(error) => return Ok(Seen::Unseen(format!("the server cannot be stopped for a moment: {error}"))),
    };
    let waiting = connect(server.addr(), due);
    drop(stopped);
    let waiting = match waiting {
        Err(error) if is_out_of_files(&error) => {
            return Ok(Seen::Unseen(format!("it needs {due} open files (`ulimit -n`): {error}")));
        }
        waiting => waiting.map_err(|error| fault!("a connection cannot be opened: {error}"))?,
    };
    if waiting.len() >= due {
        return Ok(Seen::Sound);
    }
    Err(fault!(
        "it takes {} connections and has to take {due}: ask listen() for a queue of {BACKLOG}",
        waiting.len()
    ))
}

/// Connects until there are so many connections or until one has to wait.
fn connect(addr: SocketAddr, due: usize) -> io::Result<Vec<TcpStream>> {
    let mut waiting = Vec::with_capacity(due);
    while waiting.len() < due {
        match TcpStream::connect_timeout(&addr, CONNECT_LIMIT) {
            Ok(stream) => waiting.push(stream),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => break,
            Err(error) => return Err(error),
        }
    }
    Ok(waiting)
}

/// Whether this process, or the system, has no file left for a connection.
fn is_out_of_files(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE))
}

/// A process that stands still until this is dropped.
struct Stopped(Pid);

impl Stopped {
    /// Stops a child of this process, with all its threads.
    fn stop(process: u32) -> io::Result<Stopped> {
        let pid = Pid::from_raw(i32::try_from(process).map_err(io::Error::other)?);
        kill(pid, Signal::SIGSTOP)?;
        let stopped = Stopped(pid);
        let deadline = Instant::now() + STOP_LIMIT;
        while !is_still(process)? {
            if Instant::now() > deadline {
                return Err(io::Error::other("it keeps running after a SIGSTOP"));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(stopped)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // Fails only where it is gone.
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

/// Whether all threads of a process are stopped.
fn is_still(process: u32) -> io::Result<bool> {
    Ok(fs::read_dir(format!("/proc/{process}/task"))?.flatten().all(|task| {
        // A thread that ends just now has no state any more.
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        // The state comes after the name, which may hold anything.
        stat.rsplit(')')
            .next()
            .is_none_or(|rest| matches!(rest.trim_start().chars().next(), Some('T') | None))
    }))
}
