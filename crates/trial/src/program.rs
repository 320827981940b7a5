//! The program behind a row.

use std::{
    ffi::OsString,
    fmt::Write,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bench_core::{
    RowInfo, ServeSpec, protocol,
    row::{Accounting, MAX_THREADS},
    spec::Feature,
};
use sha2::{Digest, Sha256};

use crate::exec::{Exec, ExecError};

/// The subcommand of wsbench that guards a server which was started by a command.
pub const GUARD: &str = "guard";

/// The environment variable from which it takes the server, in JSON.
pub const EXEC: &str = "WSBENCH_EXEC";

/// Digits of a checksum that are shown.
const SHOWN_DIGITS: usize = 8;

/// `describe` starts no runtime and prints one line.
const DESCRIBE_LIMIT: Duration = Duration::from_secs(10);

/// A row with the program that offers it, described and identified.
#[derive(Clone, Debug)]
pub struct Program {
    /// Name of the row in the results.
    pub row: String,
    /// The executable.
    pub path: PathBuf,
    /// Arguments before the runner's own.
    pub prefix: Vec<String>,
    /// What the row says of itself.
    pub info: RowInfo,
    /// SHA-256 of the executable, in hexadecimal; of a server that is started by a command, of its definition and all files
    /// that the command names.
    pub sha256: String,
    /// Set where the server is started by a command: then `path` is what guards it.
    pub exec: Option<Arc<Exec>>,
}

/// Why a row cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// It says that it cannot run on this machine.
    #[error("{0}")]
    Unavailable(String),
    /// It does not answer as a runner does.
    #[error("{0}")]
    Broken(String),
}

impl Program {
    /// Asks the executable at `path` for its row `row`.
    ///
    /// # Errors
    /// When it does not run, is not a runner, speaks another protocol version, states no version of its runtime, or
    /// says that the row is not available here.
    pub fn describe(path: &Path, prefix: &[String], row: &str) -> Result<Program, DescribeError> {
        let broken = |reason: String| DescribeError::Broken(format!("{}: {reason}", path.display()));
        let mut command = Command::new(path);
        command.args(prefix).args(["describe", "--row", row]);
        let output =
            output_within(command, DESCRIBE_LIMIT).map_err(|error| broken(no_start(path, &error)))?;
        if output.code == Some(protocol::EXIT_UNAVAILABLE.into()) {
            return Err(DescribeError::Unavailable(output.stderr.trim().to_owned()));
        }
        if output.code != Some(0) {
            let said = match output.stderr.trim() {
                "" => "it said nothing",
                said => said,
            };
            return Err(broken(format!("`describe` failed: {said}")));
        }
        if output.stdout.trim().is_empty() {
            return Err(broken("`describe` printed nothing".to_owned()));
        }
        let info: RowInfo = serde_json::from_str(&output.stdout)
            .map_err(|error| broken(format!("`describe` printed no row description: {error}")))?;
        if info.protocol != protocol::VERSION {
            return Err(broken(format!(
                "speaks version {} of the runner protocol, and this program version {}",
                info.protocol,
                protocol::VERSION
            )));
        }
        if info.row != row {
            return Err(broken(format!("was asked for the row `{row}` and describes `{}`", info.row)));
        }
        if info.runtime_version.is_empty() {
            return Err(broken(
                "states no version of its runtime; without one it is not measured".to_owned(),
            ));
        }
        Ok(Program {
            row: row.to_owned(),
            path: path.to_owned(),
            prefix: prefix.to_vec(),
            sha256: sha256(&[], &[path.to_owned()]).map_err(|error| broken(error.to_string()))?,
            info,
            exec: None,
        })
    }

    /// A row whose server is started by a command. `guardian` is the executable of wsbench.
    ///
    /// # Errors
    /// When there is no such program, or its file cannot be read.
    pub fn started_by(exec: Exec, row: &str, guardian: &Path) -> Result<Program, ExecError> {
        let files = exec.files()?;
        let definition = serde_json::to_vec(&exec).expect("texts are JSON");
        let sha256 = sha256(&definition, &files)
            .map_err(|error| ExecError::Command(format!("{}: {error}", files[0].display())))?;
        let runtime = files[0].file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Of the version of a foreign program nothing is known but what it is made of.
        let version = format!("sha256 {}", &sha256[..SHOWN_DIGITS]);
        let info = RowInfo {
            row: row.to_owned(),
            scheduler: "its own".to_owned(),
            io_mode: "its own".to_owned(),
            websocket: "its own".to_owned(),
            max_threads: if exec.takes_threads() { MAX_THREADS } else { 1 },
            services: vec!["echo".to_owned()],
            workloads: Vec::new(),
            features: exec.tls.iter().map(|_| Feature::Tls).collect(),
            accounting: Accounting::Client,
            ..RowInfo::new(&runtime, &version)
        };
        Ok(Program {
            row: row.to_owned(),
            path: guardian.to_owned(),
            prefix: vec![GUARD.to_owned()],
            info,
            sha256,
            exec: Some(Arc::new(exec)),
        })
    }

    /// What `sha256` is the checksum of, in words.
    pub fn made_of(&self) -> String {
        match self.exec.as_ref().map(|exec| exec.files().unwrap_or_default()) {
            None => self.path.display().to_string(),
            Some(files) => {
                let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
                format!("the command of `{}` or one of its files ({})", self.row, files.join(", "))
            }
        }
    }

    /// Worker threads of this row where rows that take several get `several`.
    pub fn threads(&self, several: u32) -> u32 {
        several.min(self.info.max_threads)
    }

    /// The command that starts this row's server.
    pub fn serve(&self, spec: &ServeSpec) -> Command {
        let Some(exec) = &self.exec else { return self.command("serve", spec.to_args()) };
        let exec = exec.with_threads(spec.threads);
        let mut command = Command::new(&self.path);
        // Not as an argument, which every user of the machine could read.
        command.args(&self.prefix).env(EXEC, serde_json::to_string(&exec).expect("texts are JSON"));
        command
    }

    /// The command that starts this row as `serve` or `drive`.
    pub fn command(&self, subcommand: &str, args: Vec<OsString>) -> Command {
        let count = args.iter().skip_while(|arg| *arg != "--threads").nth(1);
        let threads = count.and_then(|count| count.to_str()?.parse().ok());
        let mut command = Command::new(&self.path);
        command.args(&self.prefix).args([subcommand, "--row", &self.info.row]).args(args);
        command.envs(self.info.environment_for(threads.unwrap_or(1)));
        // An error quotes the last lines of stderr: they should be the panic's message and not its backtrace.
        command.env("RUST_BACKTRACE", "0");
        command.env(protocol::PARENT, std::process::id().to_string());
        command
    }
}

/// What a program printed until its end, and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it told a person.
    pub stderr: String,
}

/// Runs a command to its end, with no input; one that takes longer than `limit` is ended.
///
/// # Errors
/// When it cannot be started or takes too long.
pub fn output_within(mut command: Command, limit: Duration) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    // Both pipes are read to their end on threads of their own, so that a full one never holds the child up.
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other(format!("gave no answer within {} s", limit.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let text = |thread: std::thread::JoinHandle<String>| thread.join().unwrap_or_default();
    Ok(Output { code: status.code(), stdout: text(stdout), stderr: text(stderr) })
}

/// Why a program does not start. Where the file is there, the system means what it is to be started with.
fn no_start(path: &Path, error: &io::Error) -> String {
    if error.kind() != io::ErrorKind::NotFound || !path.exists() {
        return error.to_string();
    }
    match interpreter(path) {
        Some(interpreter) => format!("its interpreter {interpreter} is gone"),
        None => "what the system loads it with is gone".to_owned(),
    }
}

/// The interpreter that the first line of a script names.
fn interpreter(path: &Path) -> Option<String> {
    /// Longer ones are cut off by the kernel as well.
    const LONGEST: u64 = 256;
    let mut start = Vec::new();
    fs::File::open(path).ok()?.take(LONGEST).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    String::from_utf8_lossy(line).split_whitespace().next().map(str::to_owned)
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    // A description is a few kilobytes; what exceeds this is no description.
    const LIMIT: u64 = 1 << 20;
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            // What was read before an error still helps to name what went wrong.
            let _ = pipe.take(LIMIT).read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The checksum of some bytes and some files, one after the other.
fn sha256(bytes: &[u8], paths: &[PathBuf]) -> io::Result<String> {
    let mut digest = Sha256::new();
    digest.update(bytes);
    for path in paths {
        digest.update(fs::read(path)?);
    }
    Ok(digest.finalize().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    }))
}
