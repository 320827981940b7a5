//! `drive`: one client workload against any echo server. The client's figures only, and no ranking.

use std::{path::PathBuf, time::Duration};

use bench_core::{
    DriveSpec,
    protocol::ClientReport,
    row::BuildInfo,
    spec::{LoadFlags, Pacing, Scheme, SocketSpec, Target, Workload},
};
use clap::Args;
use histogram::Series;
use trial::{ClientConversation, Peer, process::Process};
use units::{Unit, human};

use crate::{
    exit::{FAILED, OK, Stop},
    output::print::print,
    run::{resources, rows::Finder},
};

/// Time that connecting and closing may take beyond the load.
const SLACK: Duration = Duration::from_secs(30);

/// Flags of `drive`.
#[derive(Args, Clone, Debug)]
pub struct DriveArguments {
    /// The server: ws://HOST:PORT/PATH, or wss://… with --tls-cert. It has to answer every message with itself
    url: String,
    /// Certificate that is trusted under TLS, and no other: a file in PEM
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Row of the client
    #[arg(long, value_name = "ROW", default_value = "tokio")]
    row: String,
    /// What a paced load waits with
    #[arg(long, value_enum, default_value = "spin")]
    pacing: Pacing,
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

/// Runs the workload and prints what the client saw.
///
/// # Errors
/// When the target is not a WebSocket address or not on this machine, or the load is impossible.
pub fn drive(arguments: DriveArguments, build: BuildInfo) -> Result<u8, Stop> {
    let target = Target::parse(&arguments.url).map_err(|error| Stop::usage(format!("{error:#}")))?;
    if !target.addr.ip().is_loopback() && !arguments.allow_remote {
        return Err(Stop::usage(format!(
            "{} is not on this machine: give --allow-remote if the server is yours",
            target.addr
        )));
    }
    let workload = arguments.load.workload;
    if !matches!(workload, Workload::PingPong | Workload::Window | Workload::Idle | Workload::Paced) {
        return Err(Stop::usage(format!(
            "the workload {} needs wsbench's own server; any echo server can be driven with ping-pong, window, paced and idle",
            workload.name()
        )));
    }
    let tls = arguments.socket.tls || target.scheme == Some(Scheme::Wss);
    let url = match (target.scheme, tls) {
        (Some(_), _) => arguments.url,
        (None, false) => format!("ws://{}/", arguments.url),
        (None, true) => format!("wss://{}/", arguments.url),
    };
    let pacing = arguments.pacing;
    let spec = DriveSpec {
        target: url,
        threads: 1,
        pacing,
        tls_cert: arguments.tls_cert,
        load: arguments.load.try_into().map_err(Stop::usage)?,
        socket: SocketSpec { tls, ..arguments.socket },
    };
    spec.validate().map_err(Stop::usage)?;
    resources::open_files([("this load", spec.load.connections)])?;
    let program = Finder::new(arguments.runner_dir, build)?.find(&arguments.row)?;
    let limit = spec.load.expected() * 3 + Duration::from_millis(spec.load.warm_up_ms) + SLACK;
    let command = program.command("drive", spec.to_args());
    let client = Process::launch(command, &[], limit).map_err(Stop::failed)?;
    let mut client = ClientConversation::with(client);
    match converse(&mut client).and_then(|report| text(&report, workload)) {
        Ok(text) => {
            print(&text);
            Ok(OK)
        }
        Err(reason) => {
            let stderr = client.peer_mut().abandon();
            let said = if stderr.is_empty() { String::new() } else { format!(": {stderr}") };
            eprintln!("error: the client {reason}{said}");
            Ok(FAILED)
        }
    }
}

/// Lets the client go through its load, and returns what it saw.
fn converse(client: &mut ClientConversation<Process>) -> Result<ClientReport, String> {
    client.ready()?;
    client.go(None)?;
    client.measured()?;
    let report = client.finish()?;
    if let Some(error) = report.errors.first() {
        return Err(format!("found: {error} ({} connections failed)", report.failed_connections));
    }
    client.exit()?;
    Ok(report)
}

/// What the client saw, for a person.
fn text(report: &ClientReport, workload: Workload) -> Result<String, String> {
    let (series, what) = match workload {
        Workload::Paced => (Series::FromIntended, "paced, latency from the intended instant"),
        _ => (Series::RoundTrip, "closed loop"),
    };
    let seconds = report.elapsed_ns as f64 / 1e9;
    let mut text = format!(
        "{} verified round trips in {seconds:.2} s: {} ({what})\n",
        report.units,
        human(report.units as f64 / seconds, Unit::PerSecond),
    );
    if report.not_sent > 0 {
        text += &format!("{} more were intended and could not be sent in time\n", report.not_sent);
    }
    if let Some(latency) = report.series.get(&series) {
        let histogram = latency.histogram().map_err(|error| error.to_string())?;
        for (label, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)] {
            if let Some(ns) = latency.quantile_of_ns(&histogram, q) {
                text += &format!("{label:>7}  {:>9}\n", human(ns as f64, Unit::Nanoseconds));
            }
        }
        text += &format!("{:>7}  {:>9}\n", "max", human(latency.max_ns as f64, Unit::Nanoseconds));
    }
    Ok(text)
}
