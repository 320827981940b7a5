//! The real stage of a trial: pinned child processes with limits.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::SocketAddr,
    path::PathBuf,
    process::{ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use bench_core::{DriveSpec, ServeSpec, protocol::Event, spec::SpecError, stack::tls::Connector};

use crate::{
    child::{Child, Kind},
    exec::url_at,
    interrupt,
    placement::{Cores, spawn_on},
    probe,
    program::Program,
    sample::{MachineSample, MachineSampler, Sample, sample},
    stage::{Ending, Limit, Peer, PeerError, Stage, StageError},
};
#[cfg(target_os = "linux")]
use crate::{counters::Counters, tree};

/// Longest line a runner may print. A report with its histograms takes some ten kilobytes.
const LONGEST_LINE: u64 = 4 << 20;

/// Lines of stdout that may wait to be read. A runner prints three; one that floods is held up by its own pipe.
const LINES_AHEAD: usize = 8;

/// Lines of stderr that an error quotes of a runner.
const STDERR_LINES: usize = 5;

/// The same of a server that a command starts: an interpreter says first what is wrong, and then where it was.
const STDERR_LINES_OF_COMMAND: usize = 20;

/// Longest stretch of one stderr line that is kept.
const STDERR_LINE_BYTES: u64 = 400;

/// How long a process may take to exit after its output has ended.
const EXIT_LIMIT: Duration = Duration::from_secs(5);

/// How long after the other end noticed it a process that died may take to be gone: the kernel closes its connections
/// first.
const EXIT_NOTICE: Duration = Duration::from_millis(100);

/// How long the last words of a process that is gone may take to be read. They end with it, unless a child of its own
/// still holds the other end of the pipe.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(2);

/// Starts real processes for one trial, on given cores, all under one deadline.
#[derive(Debug)]
pub struct Processes<'a> {
    server: &'a Program,
    client: &'a Program,
    cores: &'a Cores,
    machine: &'a mut MachineSampler,
    counts: bool,
    deadline: Deadline,
    /// What the readiness check trusts, where the server is under TLS.
    tls_cert: Option<PathBuf>,
}

impl<'a> Processes<'a> {
    /// A stage for one trial that may take `limit` in all, and `counts` what the kernel and the processor can count.
    pub fn new(
        server: &'a Program,
        client: &'a Program,
        cores: &'a Cores,
        machine: &'a mut MachineSampler,
        counts: bool,
        limit: Duration,
    ) -> Processes<'a> {
        let deadline = Deadline::after(Limit::Trial(limit));
        Processes { server, client, cores, machine, counts, deadline, tls_cert: None }
    }

    fn start(&self, command: Command, kind: Kind, cores: &[u32]) -> Result<Process, StageError> {
        let mut process = Process::start(command, kind, cores, self.deadline)?;
        process.counts = self.counts;
        Ok(process)
    }
}

impl Stage for Processes<'_> {
    type Peer = Process;

    fn start_server(&mut self, spec: &ServeSpec) -> Result<Process, StageError> {
        self.tls_cert = spec.tls_cert.clone().filter(|_| spec.socket.tls);
        self.start(self.server.serve(spec), kind_of(self.server), &self.cores.server)
    }

    fn start_client(&mut self, spec: &DriveSpec) -> Result<Process, StageError> {
        let command = self.client.command("drive", spec.to_args());
        self.start(command, Kind::Single, &self.cores.client)
    }

    fn probe(&mut self, addr: SocketAddr) -> Result<(), StageError> {
        let limit = self.deadline.left();
        match &self.server.exec {
            None => {
                let tls = self.tls_cert.as_ref().map(|file| Connector::from_file(file)).transpose();
                Ok(probe::echo_nonce(addr, tls.map_err(StageError::Certificate)?.as_ref(), limit)?)
            }
            Some(exec) => {
                let read = |error: SpecError| StageError::Certificate(error.into());
                let tls = exec.client_tls().map_err(read)?.map(|tls| Connector::new(&tls)).transpose();
                let (tls, additions) =
                    (tls.map_err(StageError::Certificate)?, exec.additions().map_err(read)?);
                Ok(probe::echo_nonce_of(addr, &url_at(&exec.url, addr), &additions, tls.as_ref(), limit)?)
            }
        }
    }

    fn pause(&mut self, length: Duration) {
        thread::sleep(length);
    }

    fn sample_machine(&mut self) -> Option<MachineSample> {
        let cores = self.cores.server.iter().chain(&self.cores.client).copied();
        self.machine.sample(&cores.collect())
    }
}

#[derive(Clone, Copy, Debug)]
struct Deadline {
    at: Instant,
    limit: Limit,
}

impl Deadline {
    /// As long from now as the limit is.
    fn after(limit: Limit) -> Deadline {
        let (Limit::Trial(length) | Limit::Step(length)) = limit;
        Deadline { at: Instant::now() + length, limit }
    }

    fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }
}

/// A child process that speaks the runner protocol. It is ended when this value is dropped.
#[derive(Debug)]
pub struct Process {
    child: Arc<Mutex<Child>>,
    id: u32,
    kind: Kind,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<Result<String, PeerError>>,
    stderr: Arc<Mutex<VecDeque<String>>>,
    /// Disconnected once stderr has been read to its end.
    stderr_end: mpsc::Receiver<()>,
    deadline: Deadline,
    counts: bool,
    /// From the first sample on, where they are asked for.
    #[cfg(target_os = "linux")]
    counters: Option<Counters>,
}

impl Process {
    /// Starts `command` on `cores` (anywhere when there are none); it has to be done by the deadline.
    fn start(command: Command, kind: Kind, cores: &[u32], deadline: Deadline) -> Result<Process, StageError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut command = command;
        // The interrupt key of a terminal goes to a whole group: it is wsbench that ends its children, and the trial that
        // they die in is no result.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            spawn_on(&mut command, cores).map_err(|reason| StageError::Start { program, reason })?;
        let (sender, lines) = mpsc::sync_channel(LINES_AHEAD);
        let stdout = child.stdout.take();
        thread::spawn(move || {
            if let Some(stdout) = stdout {
                forward_lines(BufReader::new(stdout), &sender);
            }
        });
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let stderr = child.stderr.take();
        let kept = tail.clone();
        let lines_kept = match kind {
            Kind::Single => STDERR_LINES,
            Kind::Guardian => STDERR_LINES_OF_COMMAND,
        };
        let (reading, stderr_end) = mpsc::channel();
        thread::spawn(move || {
            let _ends_with_the_thread = reading;
            if let Some(stderr) = stderr {
                keep_tail(BufReader::new(stderr), &kept, lines_kept);
            }
        });
        let (stdin, id) = (child.stdin.take(), child.id());
        let child = Arc::new(Mutex::new(Child::new(child, kind)));
        interrupt::watch(&child);
        Ok(Process {
            stdin,
            id,
            kind,
            child,
            lines,
            stderr: tail,
            stderr_end,
            deadline,
            counts: false,
            #[cfg(target_os = "linux")]
            counters: None,
        })
    }

    /// Starts `command` on `cores` with a limit on its whole life.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch(command: Command, cores: &[u32], limit: Duration) -> Result<Process, StageError> {
        Process::start(command, Kind::Single, cores, Deadline::after(Limit::Trial(limit)))
    }

    /// Starts the server of a row, in the same way.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn launch_server(
        program: &Program,
        spec: &ServeSpec,
        cores: &[u32],
        limit: Duration,
    ) -> Result<Process, StageError> {
        Process::start(program.serve(spec), kind_of(program), cores, Deadline::after(Limit::Trial(limit)))
    }

    /// Gives it so long from now for what it is asked next, instead of what was left of its limit.
    pub fn allow(&mut self, limit: Duration) {
        self.deadline = Deadline::after(Limit::Step(limit));
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.id
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end_now(&mut self) {
        self.child().end_and_wait();
        // Only now: the end of stdin asks a process to end in good order, and a guardian would take its time.
        self.stdin = None;
    }

    #[cfg(target_os = "linux")]
    fn sample_guarded(&self) -> Option<Sample> {
        tree::sample_below(self.id)
    }

    #[cfg(not(target_os = "linux"))]
    fn sample_guarded(&self) -> Option<Sample> {
        None
    }

    fn too_long(&self) -> PeerError {
        PeerError::TooLong { limit: self.deadline.limit }
    }

    /// How it ended, waiting for that no longer than `limit`.
    fn ending(&mut self, limit: Duration) -> Option<Ending> {
        let limit = Instant::now() + limit;
        loop {
            if let Ok(Some(status)) = self.child().try_wait() {
                return Some(Ending(status));
            }
            if Instant::now() > limit {
                return None;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Peer for Process {
    fn event(&mut self) -> Result<Event, PeerError> {
        match self.lines.recv_timeout(self.deadline.left()) {
            Ok(Ok(line)) => match serde_json::from_str(&line) {
                // Its cost is read by the id that it was started with.
                Ok(Event::Listening { pid, .. }) if pid != self.id => {
                    Err(PeerError::OtherProcess { serves: pid, started: self.id })
                }
                Ok(event) => Ok(event),
                Err(error) => {
                    Err(PeerError::Printed(format!("`{}`, which is not an event: {error}", shortened(&line))))
                }
            },
            Ok(Err(reason)) => Err(reason),
            Err(mpsc::RecvTimeoutError::Timeout) => Err(self.too_long()),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                Err(self.ending(EXIT_LIMIT).map_or(PeerError::OutputClosed, PeerError::Ended))
            }
        }
    }

    fn tell(&mut self, line: &str) -> Result<(), PeerError> {
        let stdin = self.stdin.as_mut().ok_or(PeerError::InputEnded)?;
        writeln!(stdin, "{line}")
            .and_then(|()| stdin.flush())
            .map_err(|reason| PeerError::NotTold { line: line.to_owned(), reason })
    }

    fn sample(&mut self) -> Option<Sample> {
        let cost = match self.kind {
            Kind::Single => sample(self.id)?,
            Kind::Guardian => self.sample_guarded()?,
        };
        #[cfg(target_os = "linux")]
        if self.counts {
            let (kind, id) = (self.kind, self.id);
            let processes = || if kind == Kind::Guardian { tree::below(id) } else { vec![id] };
            let counters = self.counters.get_or_insert_with(|| Counters::attach(&processes()));
            let (system_calls, instructions) = (counters.system_calls(), counters.instructions());
            return Some(Sample { system_calls, instructions, ..cost });
        }
        Some(cost)
    }

    fn end_input(&mut self) {
        self.stdin = None;
    }

    fn wait(&mut self) -> Result<(), PeerError> {
        self.stdin = None;
        loop {
            let status = self.child().try_wait();
            match status {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(PeerError::Failed(status)),
                Ok(None) if self.deadline.left().is_zero() => {
                    self.end_now();
                    return Err(self.too_long());
                }
                Ok(None) => thread::sleep(Duration::from_millis(1)),
                Err(error) => return Err(PeerError::NotWaitedFor(error)),
            }
        }
    }

    fn ended(&mut self) -> Option<Ending> {
        self.ending(EXIT_NOTICE)
    }

    fn abandon(&mut self) -> String {
        self.end_now();
        // Nothing is ever sent: this waits for the reader, which may be behind the process that wrote.
        let _ = self.stderr_end.recv_timeout(LAST_WORDS_LIMIT);
        let tail = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        tail.iter().map(String::as_str).collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end_now();
    }
}

fn kind_of(server: &Program) -> Kind {
    if server.exec.is_some() { Kind::Guardian } else { Kind::Single }
}

fn forward_lines(mut stdout: impl BufRead, lines: &mpsc::SyncSender<Result<String, PeerError>>) {
    loop {
        let mut bytes = Vec::new();
        let line = match stdout.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(_) if bytes.last() != Some(&b'\n') && bytes.len() as u64 == LONGEST_LINE => {
                Err(PeerError::Printed(format!("a line of over {LONGEST_LINE} B")))
            }
            Ok(_) => {
                String::from_utf8(bytes).map_err(|_| PeerError::Printed("bytes that are no text".to_owned()))
            }
        };
        let over = line.is_err();
        if lines.send(line).is_err() || over {
            return;
        }
    }
}

fn keep_tail(mut stderr: impl BufRead, tail: &Mutex<VecDeque<String>>, lines: usize) {
    let mut bytes = Vec::new();
    while stderr.by_ref().take(STDERR_LINE_BYTES).read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == lines {
            tail.pop_front();
        }
        tail.push_back(String::from_utf8_lossy(&bytes).trim_end().to_owned());
        bytes.clear();
    }
}

fn shortened(line: &str) -> String {
    const SHOWN: usize = 80;
    let line = line.trim_end();
    match line.char_indices().nth(SHOWN) {
        None => line.escape_debug().to_string(),
        Some((end, _)) => format!("{}…", line[..end].escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_a_process_are_read_to_their_end() {
        let mut command = Command::new("sh");
        // What writes outlives what is waited for, as a reader that is behind would see it.
        command.args(["-c", "(sleep 0.05; echo last words >&2) >&- & exit 1"]);
        let mut process = Process::launch(command, &[], Duration::from_secs(60)).unwrap();
        assert!(process.event().is_err());
        assert_eq!(process.abandon(), "last words");
    }
}
