//! `drive` for programs: its end before its time, its records, conditions and exit codes, and the lock.

#![cfg(unix)]
// Outside of a `#[test]`, where clippy would allow it: a test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/faults.rs"]
mod faults;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use common::{lines, run, trials, wsbench};
use faults::{Running, ended, runners_of, send, until};
use nix::{sys::signal::Signal, unistd::Pid};
use serde_json::Value;
use trial::{mark::Mark, record::Line};
use tungstenite::Message;
use wsbench::run::lock::{Lock, LockArguments};

/// What a server does differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peculiarity {
    /// Nothing: an echo server.
    None,
    /// It sends so many echoes on each connection, and then none.
    SilentAfter(u64),
    /// It answers so many opening handshakes, and then none.
    OpensOnly(u64),
    /// An opening handshake takes so many milliseconds.
    SlowHandshake(u64),
    /// It resets the first connection after a few echoes.
    ResetsTheFirst,
    /// It answers with something else.
    Wrong,
    /// It sends each echo so many milliseconds later.
    Late(u64),
}

use Peculiarity::{Late, OpensOnly, ResetsTheFirst, SilentAfter, SlowHandshake, Wrong};

/// A server that ends with the test.
struct Server {
    addr: SocketAddr,
    /// Connections that are open, or were.
    opened: Arc<AtomicU64>,
    echoes: Arc<AtomicU64>,
}

impl Server {
    fn start(peculiarity: Peculiarity) -> Server {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let server =
            Server { addr: listener.local_addr().unwrap(), opened: Arc::default(), echoes: Arc::default() };
        let (opened, echoes) = (server.opened.clone(), server.echoes.clone());
        thread::spawn(move || {
            let mut held = Vec::new();
            for (number, stream) in (0..).zip(listener.incoming()) {
                let stream = stream.unwrap();
                if matches!(peculiarity, OpensOnly(most) if number >= most) {
                    held.push(stream);
                    continue;
                }
                let (opened, echoes) = (opened.clone(), echoes.clone());
                thread::spawn(move || connection(stream, number, peculiarity, &opened, &echoes));
            }
        });
        server
    }

    fn url(&self) -> String {
        format!("ws://{}/chat", self.addr)
    }

    /// A drive of this server.
    fn drive(&self, arguments: &str) -> Command {
        wsbench(&format!("drive {} --warm-up 0s {arguments}", self.url()))
    }

    /// A drive that goes on, from the moment on at which it has got so many echoes.
    fn driving(&self, arguments: &str, echoes: u64) -> (Running, Command) {
        let (child, command) = started(self.drive(arguments));
        until("an echo", || self.echoes.load(Relaxed) >= echoes);
        (child, command)
    }
}

fn started(mut command: Command) -> (Running, Command) {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
    (Running(child), command)
}

/// One connection, until its end or an error.
fn connection(
    stream: TcpStream,
    number: u64,
    peculiarity: Peculiarity,
    opened: &AtomicU64,
    echoes: &AtomicU64,
) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    if let SlowHandshake(ms) = peculiarity {
        thread::sleep(Duration::from_millis(ms));
    }
    let mut socket = tungstenite::accept(stream).ok()?;
    opened.fetch_add(1, Relaxed);
    let mut own = 0;
    loop {
        let message = socket.read().ok()?;
        if !message.is_text() {
            continue;
        }
        own += 1;
        match peculiarity {
            SilentAfter(most) if own > most => continue,
            ResetsTheFirst if number == 0 && own > 5 => {
                socket2::SockRef::from(socket.get_ref()).set_linger(Some(Duration::ZERO)).ok()?;
                return None;
            }
            Late(ms) => thread::sleep(Duration::from_millis(ms)),
            _ => {}
        }
        let echo = if peculiarity == Wrong { Message::text("something else") } else { message };
        socket.send(echo).ok()?;
        echoes.fetch_add(1, Relaxed);
    }
}

fn schema(of: &str) -> jsonschema::Validator {
    let (_, schema, _) = run(&mut wsbench(&format!("schema {of}")));
    jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap()
}

fn json(text: &str) -> Value {
    let json = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(schema("drive").is_valid(&json), "{json:#}");
    json
}

#[test]
fn the_published_schema_is_current() {
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/drive.schema.json");
    let (_, current, _) = run(&mut wsbench("schema drive"));
    let is_current = fs::read_to_string(published).unwrap() == current;
    assert!(is_current, "wsbench schema drive > docs/drive.schema.json");
}

#[test]
fn a_signal_prints_what_was_measured_so_far() {
    let loads = [
        ("tokio", "--connections 4"),
        ("smol", "--workload window --window 4"),
        ("async-std", "--connections 2 --rate 500"),
    ];
    for (row, load) in loads {
        let server = Server::start(Peculiarity::None);
        let (child, command) = server.driving(&format!("{load} --row {row} --duration 60s"), 50);
        send(&child, Signal::SIGINT);
        let (code, stdout, stderr) = ended(child);
        assert_eq!(code, 130, "{row}: {stdout}{stderr}");
        assert!(stdout.starts_with("partial: interrupted by SIGINT after "), "{row}: {stdout}");
        assert!(stdout.contains(" s of 60.00 s\n"), "{row}: {stdout}");
        assert!(stdout.contains("verified round trips") && stdout.contains("p50"), "{row}: {stdout}");
        assert!(!stdout.contains("failed"), "{row}: {stdout}");
        assert!(stderr.contains("once more ends at once"), "{row}: {stderr}");
        until("the end of the runner", || runners_of(&command).is_empty());
    }
}

#[test]
fn a_signal_to_the_whole_group_is_no_other() {
    let server = Server::start(Peculiarity::None);
    let (child, _) = server.driving("--duration 60s --json", 50);
    nix::sys::signal::killpg(Pid::from_raw(child.0.id() as i32), Signal::SIGTERM).unwrap();
    let (code, stdout, stderr) = ended(child);
    assert_eq!(code, 143, "{stdout}{stderr}");
    let json = json(&stdout);
    assert_eq!((&json["interrupted"], &json["marks"][0]), (&Value::Bool(true), &"interrupted".into()));
    // The window ends with the interruption, so that the rate is that of the time that was measured.
    let (units, elapsed_ns) = (json["units"].as_u64().unwrap(), json["elapsed_ns"].as_u64().unwrap());
    assert!(units >= 50 && elapsed_ns < 60_000_000_000, "{json:#}");
    assert_eq!(json["open_connections"], 1);
}

#[test]
fn who_waits_for_an_answer_when_it_ends_has_not_failed() {
    let server = Server::start(SilentAfter(3));
    let (child, _) = server.driving("--connections 4 --duration 60s --json", 12);
    send(&child, Signal::SIGINT);
    let (code, stdout, stderr) = ended(child);
    assert_eq!(code, 130, "{stdout}{stderr}");
    let json = json(&stdout);
    let [units, failed, open] = ["units", "failed_connections", "open_connections"].map(|key| &json[key]);
    assert_eq!((units, failed, open), (&12.into(), &0.into(), &4.into()), "{json:#}");
}

#[test]
fn what_was_due_when_it_ends_has_waited_so_long() {
    let server = Server::start(SilentAfter(3));
    let (child, _) = server.driving("--connections 2 --rate 100 --duration 60s --json", 6);
    // Five more are due on each connection, of which one is on its way.
    thread::sleep(Duration::from_millis(110));
    send(&child, Signal::SIGINT);
    let (code, stdout, stderr) = ended(child);
    assert_eq!(code, 130, "{stdout}{stderr}");
    let json = json(&stdout);
    assert_eq!(json["units"], 6, "{json:#}");
    assert!(json["not_sent"].as_u64().unwrap() >= 6, "{json:#}");
    assert!(json["latency"]["max_ns"].as_u64().unwrap() >= 80_000_000, "{json:#}");
}

#[test]
fn nothing_is_measured_while_connections_open() {
    let server = Server::start(OpensOnly(8));
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out.ndjson");
    let mut command = server.drive("--connections 50 --connecting 4");
    command.arg("--out").arg(&out);
    let (child, _) = started(command);
    until("some connections", || server.opened.load(Relaxed) == 8);
    send(&child, Signal::SIGINT);
    let (code, stdout, stderr) = ended(child);
    assert_eq!((code, stdout.as_str()), (130, ""), "{stderr}");
    let line = stderr.lines().last().unwrap();
    assert!(line.starts_with("SIGINT: nothing was measured: "), "{stderr}");
    assert!(line.ends_with(" of 50 connections were open"), "{stderr}");
    assert!(matches!(&lines(&out)[..], [Line::Session(_), Line::Partial(_)]));

    let server = Server::start(Peculiarity::None);
    let (code, _, stderr) = run(server.drive("--messages 5").arg("--out").arg(&out));
    assert_eq!(code, 0, "{stderr}");
    let (_, table, _) = run(wsbench("table").arg(&out));
    assert!(table.contains("partial: the drive ") && table.contains("has no figures"), "{table}");
    let (child, _) = started(wsbench(&format!("drive {} --warm-up 60s --connections 3", server.url())));
    until("the warm-up", || server.echoes.load(Relaxed) > 50);
    send(&child, Signal::SIGINT);
    let (code, _, stderr) = ended(child);
    assert_eq!(code, 130, "{stderr}");
    let line = stderr.lines().last().unwrap();
    let expected = "nothing was measured: the warm-up was not over, and 3 of 3 connections were open";
    assert!(line.ends_with(expected), "{stderr}");
}

#[test]
fn a_row_that_cannot_be_stopped_says_so() {
    let server = Server::start(Peculiarity::None);
    let (child, command) = server.driving("--row threads --duration 60s", 50);
    send(&child, Signal::SIGTERM);
    let (code, stdout, stderr) = ended(child);
    assert_eq!((code, stdout.as_str()), (143, ""), "{stderr}");
    assert!(stderr.contains("SIGTERM: the client of the row `threads` has no figures"), "{stderr}");
    until("the end of the runner", || runners_of(&command).is_empty());
}

#[test]
fn connecting_that_takes_long_says_how_far_it_is() {
    let server = Server::start(SlowHandshake(100));
    let (code, _, stderr) = run(&mut server.drive("--connections 35 --connecting 1 --messages 1"));
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains(" of 35 connections are open"), "{stderr}");
    let (code, _, stderr) = run(&mut server.drive("--connections 25 --connecting 1 --messages 1 -q"));
    assert_eq!((code, stderr.as_str()), (0, ""));
}

#[test]
fn records_are_what_tables_and_reports_read() {
    let server = Server::start(Peculiarity::None);
    let directory = tempfile::tempdir().unwrap();
    let (out, page) = (directory.path().join("out.ndjson"), directory.path().join("page.html"));
    for _ in 0..2 {
        let mut command = wsbench(&format!("drive {}?token=secret --warm-up 0s", server.url()));
        command.args(["--connections", "2", "--messages", "600"]).arg("--out").arg(&out);
        let (code, _, stderr) = run(&mut command);
        assert_eq!(code, 0, "{stderr}");
    }
    let text = fs::read_to_string(&out).unwrap();
    assert!(!text.contains("secret"), "{text}");
    let schema = schema("record");
    assert!(text.lines().all(|line| schema.is_valid(&serde_json::from_str(line).unwrap())));
    let records = trials(&out);
    let [one, _] = &records[..] else { panic!("two trials") };
    let row = format!("{}/chat", server.addr);
    assert_eq!((one.server.row.as_str(), one.report().unwrap().units), (row.as_str(), 1_200));
    assert_eq!(one.server.info.accounting, bench_core::row::Accounting::Client);
    assert!(one.error.is_none() && one.server_samples.both().is_none());
    assert!(one.clients[0].samples.both().is_some());

    let (code, table, stderr) = run(wsbench("table").arg(&out));
    assert_eq!(code, 0, "{stderr}");
    let cells: Vec<&str> =
        table.lines().find(|line| line.trim_start().starts_with(&row)).unwrap().split("  ").collect();
    assert!(table.starts_with("drive-ping-pong · 2 connections"), "{table}");
    assert!(table.contains("client tokio, not pinned · 2 drives · ranked by p50"), "{table}");
    assert!(!cells.contains(&"–") && !table.contains("server CPU") && !table.contains("seed"), "{table}");
    let (_, figures, _) = run(wsbench("table --format json").arg(&out));
    let figures: Value = serde_json::from_str(&figures).unwrap();
    let of = |metric: &str| {
        figures.as_array().unwrap().iter().find(|figure| figure["metric"] == metric).unwrap().clone()
    };
    assert_eq!((&of("rate")["rounds"], &of("connections_held")["median"]), (&2.into(), &100.0.into()));
    let (code, _, stderr) = run(wsbench("report").arg(&out).arg("-o").arg(&page));
    assert_eq!(code, 0, "{stderr}");
    let page = fs::read_to_string(&page).unwrap();
    assert!(page.contains(&format!("a drive of {row}")), "the runs are named");

    let (code, stdout, stderr) = run(wsbench("run --resume").arg(&out));
    assert_eq!((code, stdout.as_str(), stderr.lines().count()), (2, "", 1), "{stderr}");
    assert!(stderr.contains(&format!("is of `wsbench drive` ({row}), which cannot be resumed")), "{stderr}");
}

#[test]
fn failures_and_interruptions_are_marked_in_records() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out.ndjson");
    let server = Server::start(ResetsTheFirst);
    let (code, _, stderr) = run(server.drive("--connections 3 --messages 50").arg("--out").arg(&out));
    assert_eq!(code, 5, "{stderr}");
    let server = Server::start(Peculiarity::None);
    let mut command = server.drive("--duration 60s");
    command.arg("--out").arg(&out);
    let (child, _) = started(command);
    until("an echo", || server.echoes.load(Relaxed) > 50);
    send(&child, Signal::SIGINT);
    assert_eq!(ended(child).0, 130);

    let records = trials(&out);
    let marks: Vec<Vec<Mark>> = records.iter().map(|record| record.marks.iter().copied().collect()).collect();
    assert!(marks[0].contains(&Mark::ConnectionsFailed), "{marks:?}");
    assert!(marks[1].contains(&Mark::Interrupted), "{marks:?}");
    assert!(records.iter().all(|record| record.error.is_none()));
    assert!(matches!(&lines(&out)[..], [_, _, _, _, Line::Partial(_)]));
    let (code, table, _) = run(wsbench("table").arg(&out));
    assert_eq!(code, 0, "{table}");
    for text in ["f connections-failed in 1 trial", "i interrupted in 1 trial"] {
        assert!(table.contains(text), "{text}: {table}");
    }

    // Nothing was measured at all: that is a failed trial.
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let mut command = wsbench(&format!("drive ws://{nobody}/ --duration 100ms"));
    let (code, _, stderr) = run(command.arg("--out").arg(&out));
    assert_eq!(code, 1, "{stderr}");
    let failed = trials(&out).pop().unwrap().error.unwrap();
    assert!(failed.message.contains("no connection got an answer"), "{failed}");
}

#[test]
fn conditions_end_with_codes_of_their_own() {
    let exit = |peculiarity, arguments: &str, conditions: &[&str]| {
        let server = Server::start(peculiarity);
        let mut command = server.drive(arguments);
        command.args(conditions.iter().flat_map(|condition| ["--fail-if", *condition]));
        let (code, _, stderr) = run(&mut command);
        (code, stderr)
    };
    let plain = "--connections 2 --messages 600";
    let (code, stderr) = exit(Peculiarity::None, plain, &["p99>10min", "failed>0", "rate<1/s"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let (code, stderr) = exit(Peculiarity::None, plain, &["p99>10min", "rate<1000M/s", "p99_99>1ns"]);
    assert_eq!(code, 4, "{stderr}");
    assert!(stderr.contains("failed: rate<1000M/s: rate is "), "{stderr}");
    assert!(stderr.contains("not judged: p99_99>1ns: 1200 round trips do not give a p99.99"), "{stderr}");
    assert!(!stderr.contains("10min"), "{stderr}");
    let (code, stderr) = exit(Peculiarity::None, "--workload idle --duration 100ms", &["p50>1ns"]);
    assert_eq!(code, 6, "{stderr}");
    assert!(stderr.contains("not judged: p50>1ns: the workload idle has no latency"), "{stderr}");
    let failing = "--connections 3 --messages 50";
    for (condition, expected) in [("failed>0", 4), ("failed>10%", 4), ("failed>1", 5), ("failed>50%", 5)] {
        let (code, stderr) = exit(ResetsTheFirst, failing, &[condition]);
        assert_eq!(code, expected, "{condition}: {stderr}");
    }
    // A failure comes before a condition without a value, and a wrong answer before everything else.
    assert_eq!(exit(ResetsTheFirst, failing, &["p99_99>1ns"]).0, 5);
    assert_eq!(exit(Wrong, failing, &["failed>0"]).0, 3);
    for (condition, reason) in [
        ("p98>1ms", "Did you mean"),
        ("p99>nan", "a time with a unit"),
        ("rate<inf", "from 0 on"),
        ("failed>-1", "a number of connections"),
    ] {
        let (code, stderr) = exit(Peculiarity::None, plain, &[condition]);
        assert_eq!(code, 2, "{condition}: {stderr}");
        assert!(stderr.contains(reason), "{condition}: {stderr}");
    }
}

#[test]
fn json_has_conditions_and_marks() {
    let server = Server::start(Peculiarity::None);
    // The timers of tokio have a grain of a millisecond: so late are the messages of connections that are free.
    let load = "--connections 50 --rate 2000 --duration 1s --pacing timers --json --fail-if not_sent>5000 --fail-if p50>1ns";
    let (code, stdout, stderr) = run(&mut server.drive(load));
    assert_eq!(code, 4, "{stderr}");
    let json = json(&stdout);
    let marks: Vec<&str> = json["marks"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(marks.contains(&"generator-late"), "{json:#}");
    let conditions = json["conditions"].as_array().unwrap();
    let of = |place: usize| {
        (&conditions[place]["condition"], &conditions[place]["holds"], &conditions[place]["unit"])
    };
    assert_eq!(of(0), (&"not_sent>5000".into(), &false.into(), &"count".into()));
    assert_eq!(of(1), (&"p50>1ns".into(), &true.into(), &"ns".into()));
    assert_eq!(json["interrupted"], false);
}

#[test]
fn two_measurements_at_once_are_refused() {
    let server = Server::start(Late(1));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lock");
    let held = Lock::take(&LockArguments { lock: Some(path.clone()), wait: false }).unwrap();
    let (code, stdout, stderr) = run(server.drive("--messages 5").arg("--lock").arg(&path));
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    assert!(stderr.contains("is measuring on this machine"), "{stderr}");
    assert_eq!(server.opened.load(Relaxed), 0);

    let mut command = server.drive("--messages 5 --wait");
    command.arg("--lock").arg(&path);
    let (child, _) = started(command);
    drop(held);
    let started = Instant::now();
    let (code, stdout, stderr) = ended(child);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("5 verified round trips") && started.elapsed() < faults::SOON, "{stdout}");
}
