//! `drive`: one client workload against any echo server. The client's figures only, and no ranking.

use std::{path::PathBuf, time::Duration};

use bench_core::{
    DriveSpec,
    payload::Class,
    protocol::ClientReport,
    row::BuildInfo,
    spec::{AnyServer, Feature, LoadFlags, Pacing, Scheme, SocketSpec, Target, Workload, take_user},
    stack::tls::UNTRUSTED,
};
use clap::{Args, ValueEnum};
use indicatif::HumanDuration;
use trial::{ClientConversation, Peer, PeerError, Program, process::Process};
use units::parse_millis;

use crate::{
    exit::{FAILED, INCOMPLETE, OK, Stop, VERIFICATION},
    output::{print::print, terminal::say},
    run::{resources, rows::Finder},
};

mod reach;
mod seen;

use reach::{Reach, ReachFlags};
use seen::Seen;
pub use seen::schema;

/// Time that starting the client may take, and whatever else the machine does.
const SLACK: Duration = Duration::from_secs(20);

/// A load that takes longer than this is announced.
const SLOW: Duration = Duration::from_secs(2);

/// How the figures are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// For a person
    #[default]
    Terminal,
    /// One object, for programs
    Json,
}

/// Flags of `drive`.
#[derive(Args, Clone, Debug)]
pub struct DriveArguments {
    /// The server: ws://HOST:PORT/PATH, or wss://… for TLS. It has to answer every message with itself. A user in it,
    /// ws://USER:PASSWORD@HOST/, is sent as Basic authorization
    url: String,
    /// What the client says and accepts when it connects.
    #[command(flatten)]
    reach: ReachFlags,
    /// Row of the client
    #[arg(long = "client-row", visible_alias = "row", value_name = "ROW", default_value = "tokio")]
    row: String,
    /// What a paced load waits with
    #[arg(long, value_enum, default_value = "spin")]
    pacing: Pacing,
    /// Connections that may be opening at once
    #[arg(long, value_name = "N", default_value_t = 64)]
    connecting: u32,
    /// Most connections to begin per second; as many as --connecting allows when not given
    #[arg(long, value_name = "N")]
    connect_rate: Option<u32>,
    /// How long after the end of the load an answer may still come
    #[arg(long, value_name = "TIME", value_parser = parse_millis, default_value = "5s")]
    answer_timeout: u64,
    /// Messages that the server sends on its own once a connection is open: they are read and left out
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: u32,
    /// How the figures are written
    #[arg(long, value_enum, default_value_t)]
    format: Layout,
    /// Allow a server that is not on this machine. Only use this against servers that are yours
    #[arg(long)]
    allow_remote: bool,
    /// Folder of the runners; beside wsbench's own executable when not given
    #[arg(long, value_name = "DIR", env = "WSBENCH_RUNNER_DIR")]
    runner_dir: Option<PathBuf>,
    /// The load.
    #[command(flatten)]
    load: LoadFlags,
    /// Its connections.
    #[command(flatten)]
    socket: SocketSpec,
}

/// Runs the workload and prints what the client saw: whatever was measured, and beneath it what failed.
///
/// # Errors
/// When the target is not a WebSocket address or not on this machine, or the load is impossible.
pub fn drive(arguments: DriveArguments, build: BuildInfo) -> Result<u8, Stop> {
    let mut arguments = arguments;
    let (url, user) = take_user(&arguments.url).map_err(Stop::usage)?;
    arguments.url = url;
    let target = Target::parse(&arguments.url).map_err(|error| Stop::usage(format!("{error:#}")))?;
    if !target.is_own() && !arguments.allow_remote {
        return Err(Stop::usage(format!(
            "{} is not on this machine: give --allow-remote if the server is yours",
            target.authority
        )));
    }
    // A rate says what is wanted.
    if arguments.load.rate_per_s.is_some() && arguments.load.workload == Workload::default() {
        arguments.load.workload = Workload::Paced;
    }
    let workload = arguments.load.workload;
    if !matches!(workload, Workload::PingPong | Workload::Window | Workload::Idle | Workload::Paced) {
        return Err(Stop::usage(format!(
            "the workload {} needs wsbench's own server; any echo server can be driven with ping-pong, window, paced and idle",
            workload.name()
        )));
    }
    let program = Finder::new(arguments.runner_dir.clone(), build)?.find(&arguments.row)?;
    let layout = arguments.format;
    let tls = arguments.socket.tls || target.scheme == Some(Scheme::Wss);
    let reach = arguments.reach.clone().read(user, tls)?;
    let spec = spec(arguments, &target, &program, &reach)?;
    resources::open_files([("this load", spec.load.connections)])?;
    let expected = spec.load.expected() + Duration::from_millis(spec.load.warm_up_ms);
    if expected > SLOW {
        say(&format!("driving {} for about {}", spec.target, HumanDuration(expected)));
    }
    let client = Process::launch(program.command("drive", spec.to_args()), &[], limit(&spec));
    let mut client = ClientConversation::with(client.map_err(Stop::failed)?);
    match converse(&mut client) {
        Ok((report, cpu_ns)) => {
            if let Some(reason) = nothing_measured(&report, workload) {
                return Err(Stop::failed(format!("{}: {reason}", spec.target)));
            }
            let seen = Seen::new(&report, &spec, cpu_ns);
            print(&match layout {
                Layout::Terminal => seen.text(),
                Layout::Json => seen.json(),
            });
            Ok(code(&report))
        }
        Err(reason) => {
            let stderr = client.peer_mut().abandon();
            let said = if stderr.is_empty() { String::new() } else { format!(": {stderr}") };
            say(&format!("error: the client {reason}{said}"));
            Ok(FAILED)
        }
    }
}

/// What the client is started with.
fn spec(
    arguments: DriveArguments,
    target: &Target,
    program: &Program,
    reach: &Reach,
) -> Result<DriveSpec, Stop> {
    let tls = reach.tls.is_some();
    let url = match (target.scheme, tls) {
        (Some(_), _) => arguments.url,
        (None, false) => format!("ws://{}/", arguments.url),
        (None, true) => format!("wss://{}/", arguments.url),
    };
    let DriveArguments { connecting, connect_rate, answer_timeout, skip, .. } = arguments;
    let any_server = AnyServer { connecting, connect_rate, answer_timeout_ms: answer_timeout, skip };
    let can = program.info.features.contains(&Feature::AnyServer);
    if !can && connect_rate.is_none() {
        say(&format!(
            "note: the row {} opens one connection after the other, does not read while it waits, and ends with the first \
             failure; tokio does better",
            program.row
        ));
    }
    let spec = DriveSpec {
        target: url,
        threads: 1,
        pacing: arguments.pacing,
        headers: reach.headers.clone(),
        subprotocols: reach.subprotocols.clone(),
        tls: reach.tls.clone(),
        // Without it a row opens one connection after the other, but not at a rate.
        any_server: (can || connect_rate.is_some()).then_some(any_server),
        load: arguments.load.try_into().map_err(Stop::usage)?,
        socket: SocketSpec { tls, ..arguments.socket },
    };
    spec.validate().map_err(Stop::usage)?;
    if let Some(feature) = spec.needs().into_iter().find(|needed| !program.info.features.contains(needed)) {
        return Err(Stop::usage(format!(
            "the row `{}` does not offer the feature `{}`, which this load needs: give another one with --client-row, such \
             as tokio",
            program.row,
            feature.name()
        )));
    }
    Ok(spec)
}

/// How long the client may take: each of its steps with its own limit.
fn limit(spec: &DriveSpec) -> Duration {
    let (at_once, answer_timeout) = spec
        .any_server
        .map_or((1, Duration::ZERO), |any| (any.connecting, Duration::from_millis(any.answer_timeout_ms)));
    let connecting = spec.socket.handshake_timeout() * spec.load.connections.div_ceil(at_once);
    let phases = spec.load.expected() * 3 + Duration::from_millis(spec.load.warm_up_ms) + answer_timeout * 2;
    let at_rate = spec.any_server.and_then(|any| any.connect_rate);
    let waiting =
        at_rate.map_or(Duration::ZERO, |rate| Duration::from_secs(spec.load.connections.into()) / rate);
    connecting + waiting + phases + spec.socket.close_timeout() + SLACK
}

/// Lets the client go through its load; returns what it saw, and the CPU time that it used in the window.
fn converse(client: &mut ClientConversation<Process>) -> Result<(ClientReport, Option<u64>), PeerError> {
    client.ready()?;
    let before = client.peer_mut().sample();
    client.go(None)?;
    client.measured()?;
    let after = client.peer_mut().sample();
    let report = client.finish()?;
    // It ends with another code where a connection failed, which the report says better.
    let _ = client.exit();
    let cpu_ns = after.zip(before).map(|(after, before)| after.cpu_ns.saturating_sub(before.cpu_ns));
    Ok((report, cpu_ns))
}

/// Why nothing at all was measured, where that is so: no connection got as far as a first answer.
fn nothing_measured(report: &ClientReport, workload: Workload) -> Option<String> {
    let answers = |class| report.tally.class(class).received_messages;
    let has_answers = answers(Class::WarmUp) + answers(Class::Measured) > 0;
    let first = report.failures.first().filter(|_| workload != Workload::Idle && !has_answers)?;
    let hint = match first.kind.ends_with(UNTRUSTED) {
        true => ": name its certificate, or that of its authority, with --tls-ca",
        false => "",
    };
    Some(format!("no connection got an answer; {} of them: {}{hint}", first.connections, first.first))
}

/// The exit code: wrong answers are worse than connections that failed.
fn code(report: &ClientReport) -> u8 {
    if report.failures.iter().any(|failure| failure.is_wrong_answer) {
        VERIFICATION
    } else if report.failed_connections > 0 || report.panics > 0 {
        INCOMPLETE
    } else {
        OK
    }
}
