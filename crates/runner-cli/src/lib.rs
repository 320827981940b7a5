//! The command line of a runner: [`main`] with the rows that it offers.
//!
//! `describe`, `serve` and `drive` speak the runner protocol, and are what wsbench calls. With the feature `run`, a runner
//! without a subcommand also runs the four tests of the original evaluation and prints them. That needs everything that
//! measures, so a build whose programs are measured leaves it out.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    process::{Command as Process, ExitCode},
};

use anyhow::Context;
use bench_core::{
    DriveSpec, Row, RowInfo, Rows, ServeSpec, panics,
    protocol::{Control, EXIT_FAILED, EXIT_OK, EXIT_UNAVAILABLE, EXIT_USAGE, Event, PARENT, Ready, emit},
    row::BuildInfo,
    spec::DriveFlags,
    stack::{
        tls::{Acceptor, Connector},
        upgrade::Additions,
    },
};
use clap::{Args, Parser, Subcommand};

#[cfg(not(feature = "run"))]
mod no_run;
mod print;
#[cfg(feature = "run")]
mod run;

#[cfg(not(feature = "run"))]
use no_run as run;
use print::print;

/// What this program was built with beyond what is measured.
const FEATURES: &[&str] = if cfg!(feature = "run") { &["run"] } else { &[] };

#[derive(Parser)]
#[command(
    about = "One async runtime as a WebSocket server and client",
    long_about = run::LONG_ABOUT,
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    row: RowArgument,
    #[command(flatten)]
    run: run::RunArguments,
}

#[derive(Subcommand)]
enum Command {
    /// Run the four tests of the original evaluation and print them (the default)
    #[cfg_attr(not(feature = "run"), command(hide = true))]
    Run {
        #[command(flatten)]
        row: RowArgument,
        #[command(flatten)]
        run: run::RunArguments,
    },
    /// Print what a row is, as one line of JSON
    Describe {
        #[command(flatten)]
        row: RowArgument,
    },
    /// Serve until stdin ends
    Serve {
        #[command(flatten)]
        row: RowArgument,
        #[command(flatten)]
        spec: ServeSpec,
    },
    /// Carry out a client's half of a trial: prints `ready`, waits for a line `go` on stdin, measures, prints
    /// `measured`, waits for `finish`, prints `drove`
    Drive {
        #[command(flatten)]
        row: RowArgument,
        #[command(flatten)]
        flags: DriveFlags,
    },
    /// Connect and answer every message with itself until the server closes: for conformance tests
    #[command(hide = true)]
    EchoClient {
        #[command(flatten)]
        row: RowArgument,
        #[command(flatten)]
        flags: DriveFlags,
    },
}

#[derive(Args)]
struct RowArgument {
    /// Row of this runner; the first one when not given
    #[arg(long, value_name = "ROW")]
    row: Option<String>,
}

/// Runs the command line of a runner that offers `rows`.
pub fn main(rows: &Rows, build: BuildInfo) -> ExitCode {
    main_from(std::env::args_os(), rows, build)
}

/// The same with other arguments than the process's own; the first one is the name of the program.
pub fn main_from(arguments: impl IntoIterator<Item = OsString>, rows: &Rows, build: BuildInfo) -> ExitCode {
    panics::count_panics();
    let Arguments { command, row, run } = Arguments::parse_from(arguments);
    let build = BuildInfo { features: FEATURES.iter().map(|name| (*name).to_owned()).collect(), ..build };
    match carry_out(rows, build, command.unwrap_or(Command::Run { row, run })) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(EXIT_FAILED)
        }
    }
}

fn carry_out(rows: &Rows, build: BuildInfo, command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Run { row, run } => {
            let Some(row) = row.find(rows) else { return Ok(EXIT_USAGE) };
            run::run(row.name, &build, &run)
        }
        Command::Describe { row } => {
            let Some(row) = row.find(rows) else { return Ok(EXIT_USAGE) };
            match row.describe(&build) {
                Ok(info) => {
                    let line = serde_json::to_string(&info).context("RowInfo is JSON")?;
                    print(&(line + "\n"))?;
                    Ok(EXIT_OK)
                }
                Err(reason) => {
                    eprintln!("{}: not available here: {reason:#}", row.name);
                    Ok(EXIT_UNAVAILABLE)
                }
            }
        }
        Command::Serve { row, spec } => {
            let Some(row) = row.find(rows) else { return Ok(EXIT_USAGE) };
            if let Some(code) = prepare(row, &build, spec.threads, prepare_server(&spec))? {
                return Ok(code);
            }
            warn_of_strangers(&spec);
            let served = row.row.serve(&spec, Ready::new())?;
            emit(&Event::Served(served))?;
            Ok(EXIT_OK)
        }
        Command::Drive { row, flags } => {
            let Some(row) = row.find(rows) else { return Ok(EXIT_USAGE) };
            let Some(spec) = parsed(flags) else { return Ok(EXIT_USAGE) };
            if let Some(code) = prepare(row, &build, spec.threads, prepare_client(&spec))? {
                return Ok(code);
            }
            let drove = row.row.drive(&spec, Control::listen())?;
            let failed = drove.failed_connections > 0 || drove.panics > 0;
            emit(&Event::Drove(drove))?;
            Ok(if failed { EXIT_FAILED } else { EXIT_OK })
        }
        Command::EchoClient { row, flags } => {
            let Some(row) = row.find(rows) else { return Ok(EXIT_USAGE) };
            let Some(spec) = parsed(flags) else { return Ok(EXIT_USAGE) };
            reflect(row, &build, &spec)
        }
    }
}

/// The specification that a client's flags stand for; where they stand for none, says why.
fn parsed(flags: DriveFlags) -> Option<DriveSpec> {
    flags.try_into().inspect_err(|reason| eprintln!("error: {reason}")).ok()
}

/// A server here trusts whoever reaches it: that more than this machine can should not be an oversight.
fn warn_of_strangers(spec: &ServeSpec) {
    if !spec.listen.ip().is_loopback() {
        eprintln!(
            "warning: listening on {}, beyond this machine: anyone who can connect is served, without authentication \
             and without TLS. The default, 127.0.0.1, is for this machine only",
            spec.listen
        );
    }
}

/// Lets a row's client answer what a server sends.
fn reflect(row: Chosen, build: &BuildInfo, spec: &DriveSpec) -> anyhow::Result<u8> {
    if let Some(code) = prepare(row, build, spec.threads, prepare_client(spec))? {
        return Ok(code);
    }
    let drove = row.row.drive(spec, Control::reflecting())?;
    Ok(if drove.panics > 0 { EXIT_FAILED } else { EXIT_OK })
}

/// The row that a command is about.
#[derive(Clone, Copy)]
struct Chosen {
    name: &'static str,
    row: &'static dyn Row,
}

impl RowArgument {
    /// The row that was asked for; says so if no row has that name.
    fn find(&self, rows: &Rows) -> Option<Chosen> {
        let wanted = |(name, _): &&(&'static str, _)| self.row.as_ref().is_none_or(|row| row == name);
        let found = rows.iter().find(wanted).map(|(name, row)| Chosen { name, row: *row });
        if let (None, Some(name)) = (found, &self.row) {
            let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
            eprintln!("error: this runner has no row `{name}`; it has: {}", names.join(", "));
        }
        found
    }
}

impl Chosen {
    fn describe(self, build: &BuildInfo) -> anyhow::Result<RowInfo> {
        Ok(RowInfo { row: self.name.to_owned(), build: Some(build.clone()), ..self.row.describe()? })
    }
}

/// Sound values, and the certificate of a server under TLS.
fn prepare_server(spec: &ServeSpec) -> anyhow::Result<()> {
    spec.validate()?;
    if let (true, Some(certificate), Some(key)) = (spec.socket.tls, &spec.tls_cert, &spec.tls_key) {
        Acceptor::from_files(certificate, key)?.install();
    }
    Ok(())
}

/// Sound values, what a client adds to its opening handshakes, and whom it trusts under TLS.
fn prepare_client(spec: &DriveSpec) -> anyhow::Result<()> {
    spec.validate()?;
    let (headers, subprotocols) = (spec.headers.clone(), spec.subprotocols.clone());
    Additions { headers, subprotocols }.install();
    if let (true, Some(tls)) = (spec.socket.tls, &spec.tls) {
        Connector::new(tls)?.install();
    }
    Ok(())
}

/// What has to hold before a row starts: sound values, a possible number of threads, the row's environment.
fn prepare(
    row: Chosen,
    build: &BuildInfo,
    threads: u32,
    valid: anyhow::Result<()>,
) -> anyhow::Result<Option<u8>> {
    bind_to_parent();
    if let Err(reason) = valid {
        eprintln!("error: {reason:#}");
        return Ok(Some(EXIT_USAGE));
    }
    let info = match row.describe(build) {
        Ok(info) => info,
        Err(reason) => {
            eprintln!("{}: not available here: {reason:#}", row.name);
            return Ok(Some(EXIT_UNAVAILABLE));
        }
    };
    if threads > info.max_threads {
        eprintln!(
            "error: the row `{0}` takes at most {1} thread(s) and cannot run on {threads}; `{0}-multi` takes several",
            row.name, info.max_threads
        );
        return Ok(Some(EXIT_USAGE));
    }
    with_environment(&info.environment_for(threads))
}

/// Some runtimes read their settings from the environment, once, and nothing may change a process's own environment
/// safely: a runner that was started without them starts itself again.
fn with_environment(environment: &BTreeMap<String, String>) -> anyhow::Result<Option<u8>> {
    let missing = environment.iter().any(|(name, value)| std::env::var(name).ok().as_deref() != Some(value));
    if !missing {
        return Ok(None);
    }
    let mut again = Process::new(std::env::current_exe().context("own executable")?);
    again.args(std::env::args_os().skip(1)).envs(environment);
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        Err(again.exec()).context("cannot start again with the row's environment")
    }
    #[cfg(not(unix))]
    {
        let status = again.status().context("cannot start again with the row's environment")?;
        Ok(Some(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(EXIT_FAILED)))
    }
}

/// Lets the kernel end this process when the one that started it dies; the end of stdin does the same everywhere, as
/// long as this process gets to read it.
fn bind_to_parent() {
    #[cfg(target_os = "linux")]
    {
        if let Err(error) = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL) {
            eprintln!("cannot ask for a signal at the parent's death: {error}");
        }
        // It may have died before there was anything to ask for.
        let is_gone = |parent: String| {
            // A process that nobody has waited for yet still has its entry.
            std::fs::read_to_string(format!("/proc/{parent}/stat")).map_or(true, |stat| stat.contains(") Z "))
        };
        if std::env::var(PARENT).is_ok_and(is_gone) {
            eprintln!("the process that started this one is gone");
            std::process::exit(EXIT_FAILED.into());
        }
    }
}
