//! `soak`: one server for a long time under churn, slow readers and a paced load at once. At the end everything has to
//! add up: messages, open files, memory.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use bench_core::{
    DriveSpec, ServeSpec,
    protocol::{ClientReport, ServerReport},
    row::BuildInfo,
    spec::{Load, SocketSpec},
    tally::reconcile,
};
use clap::Args;
use trial::{ClientConversation, Program, ServerConversation, probe, process::Process};

use crate::{
    exit::{INCOMPLETE, OK, Stop, VERIFICATION},
    output::print::print,
    run::rows::Finder,
};

mod load;
mod report;
mod slow;
mod worker;

use load::{CHURN_PER_SECOND, churn, paced};
use report::{Reading, Report};
use slow::SlowReads;
use worker::{Worker, ended, repeat};

/// Time after which a server has everything that it makes when it is first used.
const SETTLING: Duration = Duration::from_secs(60);

/// Time for starting, and for what is under way at the end.
const SLACK: Duration = Duration::from_secs(120);

/// Flags of `soak`.
#[derive(Args, Clone, Debug)]
pub struct SoakArguments {
    /// How long, for each row: a time such as `5m` or `20s`
    #[arg(value_name = "TIME", value_parser = humantime::parse_duration)]
    time: Duration,
    /// Rows of the server, one after the other; `available` and `all` as elsewhere
    #[arg(value_name = "ROW", default_value = "tokio")]
    rows: Vec<String>,
    /// Folder of the runners; beside wsbench's own executable when not given
    #[arg(long, value_name = "DIR", env = "WSBENCH_RUNNER_DIR")]
    runner_dir: Option<PathBuf>,
}

/// Runs the load on each row, prints a report for each, and returns the exit code.
///
/// # Errors
/// When a row is unknown, its program is not a runner, or there is too little time.
pub fn soak(arguments: &SoakArguments, build: BuildInfo) -> Result<u8, Stop> {
    if arguments.time < Duration::from_secs(10) {
        return Err(Stop::usage("a soak takes at least 10 s: the first third is for settling"));
    }
    let finder = Finder::new(arguments.runner_dir.clone(), build)?;
    let rows = finder.select(&arguments.rows)?;
    let client = finder.find("tokio")?;
    for (row, reason) in &rows.unavailable {
        eprintln!("{row}: not available: {reason}");
    }
    let mut failed = false;
    for program in &rows.programs {
        eprintln!("{}: {} under load …", program.row, humantime::format_duration(arguments.time));
        let text = match run(program, &client, arguments.time) {
            Ok(report) => {
                failed |= !report.faults.is_empty();
                report.to_string()
            }
            Err(reason) => {
                failed = true;
                format!("{}: FAILED: {reason}\n", program.row)
            }
        };
        print(&text);
    }
    Ok(match (failed, rows.missing) {
        (true, _) => VERIFICATION,
        (false, true) => INCOMPLETE,
        (false, false) => OK,
    })
}

/// One row under load for `time`.
fn run(program: &Program, client: &Program, time: Duration) -> Result<Report, String> {
    let limit = time + SLACK;
    let (mut server, addr) = serve(program, limit)?;
    probe::echo_nonce(addr, None, limit)?;
    let before =
        report::read(server.peer_mut(), Duration::ZERO).ok_or("the server's use cannot be read here")?;

    let clients = Clients::start(client, addr, limit)?;
    let readings = watch(server.peer_mut(), clients.started, time);
    let (churn, paced, slow) = clients.end()?;

    let after = report::quiet(server.peer_mut(), before.files);
    let served = server.stop().and_then(|served| server.exit().map(|()| served));
    let served = served.map_err(|reason| format!("the server {reason}"))?;
    let mut report = Report {
        row: program.row.clone(),
        time,
        settling: settling(time),
        before,
        readings,
        after,
        churn,
        paced,
        slow_connections: slow.connections,
        slow: slow.tally,
        faults: Vec::new(),
    };
    report.faults = accounts(&report, &served).into_iter().chain(report.growth()).collect();
    Ok(report)
}

/// Starts the row's server, and says where it listens.
fn serve(program: &Program, limit: Duration) -> Result<(ServerConversation<Process>, SocketAddr), String> {
    let spec = ServeSpec::on_loopback(1, socket(program));
    let server = Process::launch_server(program, &spec, &[], limit)?;
    let mut server = ServerConversation::with(server);
    let addr = server.listening().map_err(|reason| format!("the server {reason}"))?;
    Ok((server, addr))
}

/// Starts a client that waits for its signal to go.
fn launch(
    client: &Program,
    addr: SocketAddr,
    load: Load,
    limit: Duration,
) -> Result<ClientConversation<Process>, String> {
    let spec = DriveSpec::plain(addr.to_string(), load, socket(client));
    spec.validate().map_err(|error| error.to_string())?;
    let client = Process::launch(client.command("drive", spec.to_args()), &[], limit)?;
    Ok(ClientConversation::with(client))
}

/// Everything that uses the server.
struct Clients {
    started: Instant,
    stop: Arc<AtomicBool>,
    churn: Worker<ClientReport>,
    paced: Worker<ClientReport>,
    slow: Vec<Worker<SlowReads>>,
}

impl Clients {
    fn start(client: &Program, addr: SocketAddr, limit: Duration) -> Result<Clients, String> {
        let stop = Arc::new(AtomicBool::new(false));
        let churn = launch(client, addr, churn(), limit)?;
        let paced = launch(client, addr, paced(), limit)?;
        Ok(Clients {
            started: Instant::now(),
            churn: repeat(churn, Some(CHURN_PER_SECOND.into()), Duration::from_secs(1), stop.clone()),
            paced: repeat(paced, None, Duration::ZERO, stop.clone()),
            slow: slow::start(addr, stop.clone()),
            stop,
        })
    }

    /// Stops them, and gives what each found.
    fn end(self) -> Result<(ClientReport, ClientReport, SlowReads), String> {
        self.stop.store(true, Relaxed);
        let churn = ended(self.churn).map_err(|reason| format!("churn: {reason}"))?;
        let paced = ended(self.paced).map_err(|reason| format!("paced load: {reason}"))?;
        let mut slow = SlowReads::default();
        for reader in self.slow {
            let own = ended(reader).map_err(|reason| format!("slow reader: {reason}"))?;
            slow.connections += own.connections;
            slow.tally.add(&own.tally);
        }
        Ok((churn, paced, slow))
    }
}

fn socket(program: &Program) -> SocketSpec {
    let defaults = SocketSpec::default();
    SocketSpec { flush: program.info.flush_for(defaults.flush), ..defaults }
}

fn settling(time: Duration) -> Duration {
    SETTLING.min(time / 3)
}

/// Reads the server's use until the time is over.
fn watch(server: &mut Process, started: Instant, time: Duration) -> Vec<Reading> {
    let every = (time / 100).clamp(Duration::from_millis(100), Duration::from_secs(1));
    let mut readings = Vec::new();
    while started.elapsed() < time {
        thread::sleep(every.min(time.saturating_sub(started.elapsed())));
        // A server that is gone is noticed by its clients.
        readings.extend(report::read(server, started.elapsed()));
    }
    readings
}

/// What does not add up between what both ends counted.
fn accounts(report: &Report, served: &ServerReport) -> Vec<String> {
    let mut clients = report.slow;
    clients.add(&report.churn.tally);
    clients.add(&report.paced.tally);
    let mut faults: Vec<String> =
        reconcile(&clients, &served.tally, served.dropped()).err().map(String::from).into_iter().collect();
    let ended = [
        (served.panics, "panics"),
        (served.open_at_end, "connections that did not close"),
        (served.handshake_errors, "failed handshakes"),
        (served.protocol_errors, "protocol errors"),
        (served.io_errors, "transport errors"),
        (served.accept_errors, "failed accepts"),
        (served.refused, "connections beyond the most that it may have"),
        (served.idle_ended, "connections that were idle for too long"),
    ];
    faults.extend(
        ended
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("the server counted {count} {what}")),
    );
    // The readiness check is one more.
    let due = report.connections() + 1;
    if served.accepted != due || served.upgraded != due {
        faults.push(format!(
            "{due} connections were opened, and the server counted {} and {} opening handshakes",
            served.accepted, served.upgraded
        ));
    }
    faults
}
