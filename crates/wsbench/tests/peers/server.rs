//! A row's server as a hostile peer meets it: a process whose files, memory and words are watched from outside.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Seek},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use bench_core::{
    ServeSpec,
    protocol::{Event, ServerReport},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use trial::Program;

/// Longest time for anything that should be over soon: for a machine that stalls.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a server may write to stderr in all: a line for each packet would be more.
const STDERR_BYTES: u64 = 4 << 10;

/// A server that serves.
pub struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    stderr: File,
    /// Where it listens.
    pub addr: SocketAddr,
}

/// What a server uses.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Open files.
    pub files: usize,
    /// Largest resident memory so far.
    pub peak_bytes: u64,
}

impl Server {
    /// Starts a row's server, with at most `files` open files where that is given, and variables in its environment.
    pub fn start(
        program: &Program,
        spec: &ServeSpec,
        files: Option<u32>,
        variables: &[(&str, &str)],
    ) -> Result<Server, String> {
        let mut command = program.command("serve", spec.to_args());
        if let Some(files) = files {
            command = limited(&command, files);
        }
        let text = |error: std::io::Error| format!("the server cannot be started: {error}");
        let stderr = tempfile::tempfile().map_err(text)?;
        command.envs(variables.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(stderr.try_clone().map_err(text)?).spawn().map_err(text)?;
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().ok_or("it has no stdout")?);
        let mut server = Server { child, stdin, stdout, stderr, addr: ([0, 0, 0, 0], 0).into() };
        match server.event()? {
            Event::Listening { addr, .. } => server.addr = addr,
            other => return Err(format!("it reported {other:?}")),
        }
        Ok(server)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops it by signal, waits until all of its threads stand still, and lets it go on.
    pub fn pause(&self) -> Result<(), String> {
        let id = self.id();
        let pid = Pid::from_raw(i32::try_from(id).map_err(|error| error.to_string())?);
        let send = |signal| kill(pid, signal).map_err(|error| format!("{signal} cannot be sent: {error}"));
        let is_still = || -> std::io::Result<bool> {
            Ok(fs::read_dir(format!("/proc/{id}/task"))?.flatten().all(|task| {
                // A thread that ends just now has none, and is not listed the next time.
                let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
                // The state comes after the name, which may hold anything.
                stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
            }))
        };
        send(Signal::SIGSTOP)?;
        let deadline = Instant::now() + PATIENCE;
        while !is_still().map_err(|error| format!("the server is gone: {error}"))? {
            if Instant::now() > deadline {
                return Err("the server does not stop".to_owned());
            }
            thread::yield_now();
        }
        send(Signal::SIGCONT)
    }

    fn event(&mut self) -> Result<Event, String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).map_err(|error| error.to_string())?;
        serde_json::from_str(&line).map_err(|_| format!("it printed `{line}` and said {:?}", self.said()))
    }

    /// What it uses now.
    pub fn usage(&self) -> Result<Usage, String> {
        let id = self.id();
        let gone = |error: std::io::Error| format!("the server is gone ({error}): {}", self.said());
        let files = fs::read_dir(format!("/proc/{id}/fd")).map_err(gone)?.count();
        let status = fs::read_to_string(format!("/proc/{id}/status")).map_err(gone)?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
        let peak = peak.and_then(|kib| kib.trim().parse::<u64>().ok()).ok_or("it has no VmHWM")?;
        Ok(Usage { files, peak_bytes: peak * 1024 })
    }

    /// Waits until its number of open files is as wanted.
    pub fn wait_for_files(&self, what: &str, wanted: impl Fn(usize) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let files = self.usage()?.files;
            if wanted(files) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{what}: the server still has {files} open files"));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it wrote to stderr.
    pub fn said(&self) -> String {
        let mut text = Vec::new();
        if let Ok(mut file) = self.stderr.try_clone() {
            let _ = file.rewind().and_then(|()| file.take(STDERR_BYTES).read_to_end(&mut text));
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Stops it; it has to end in order, and to have kept its words short.
    pub fn finish(mut self) -> Result<ServerReport, String> {
        let length = self.stderr.metadata().map_err(|error| error.to_string())?.len();
        if length > STDERR_BYTES {
            return Err(format!("it wrote {length} B to stderr: {}", self.said()));
        }
        self.stdin = None;
        let served = match self.event()? {
            Event::Served(served) => served,
            other => return Err(format!("it reported {other:?}")),
        };
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(served) } else { Err(format!("it ended with {status}")) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The same command under a limit on open files, set by a shell that becomes the command.
fn limited(command: &Command, files: u32) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &files.to_string()]);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}
