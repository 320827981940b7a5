//! `verify`: does a row answer as a WebSocket server has to? Asked before anything is timed.

use std::{
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    time::Duration,
};

use bench_core::{
    ServeSpec,
    protocol::Event,
    runner::BuildInfo,
    spec::SocketSpec,
    trial::{Peer, Program, probe, process::Process},
};
use clap::Args;
use tungstenite::{Bytes, Message, WebSocket};

use crate::{
    exit::{INCOMPLETE, OK, Stop, VERIFICATION},
    rows::{AVAILABLE, Finder},
};

/// Longest time for one check, and for one read in it.
const LIMIT: Duration = Duration::from_secs(10);

/// Longest time for all checks of a row.
const ROW_LIMIT: Duration = Duration::from_secs(60);

/// Flags of `verify`.
#[derive(Args, Clone, Debug)]
pub struct VerifyArguments {
    /// Rows: `available`, `all`, names, or ROW@PATH
    #[arg(value_name = "ROW", default_value = AVAILABLE)]
    rows: Vec<String>,
    /// Folder of the runners; beside wsbench's own executable when not given
    #[arg(long, value_name = "DIR", env = "WSBENCH_RUNNER_DIR")]
    runner_dir: Option<PathBuf>,
}

type Check = (&'static str, fn(SocketAddr) -> Result<(), String>);

const CHECKS: &[Check] = &[
    ("handshake and nonce echo", |addr| probe::echo_nonce(addr, LIMIT)),
    ("unknown path is refused", unknown_path),
    ("order of 1,000 messages", order),
    ("text and binary", kinds),
    ("empty message", |addr| echo(addr, &[0])),
    ("64 KiB", |addr| echo(addr, &[65_535, 65_536])),
    ("1 MiB", |addr| echo(addr, &[1 << 20])),
    ("ping", ping),
    ("close", close),
];

/// Verifies rows, prints a line for each, and returns the exit code.
///
/// # Errors
/// When a row is unknown or its runner is none.
pub fn verify(arguments: &VerifyArguments, build: BuildInfo) -> Result<u8, Stop> {
    let finder = Finder::new(arguments.runner_dir.clone(), build)?;
    let rows = finder.select(&arguments.rows)?;
    let mut text = String::new();
    let mut failed = false;
    for program in &rows.programs {
        let faults = row(program);
        failed |= !faults.is_empty();
        if faults.is_empty() {
            text += &format!("{}: all {} checks passed\n", program.row, CHECKS.len());
        }
        for fault in faults {
            text += &format!("{}: FAILED: {fault}\n", program.row);
        }
    }
    for (row, reason) in &rows.unavailable {
        text += &format!("{row}: not available: {reason}\n");
    }
    crate::exit_quietly_on_closed_pipe(&text);
    if rows.programs.is_empty() {
        return Err(Stop::failed("no row can be verified"));
    }
    Ok(match (failed, rows.missing) {
        (true, _) => VERIFICATION,
        (false, true) => INCOMPLETE,
        (false, false) => OK,
    })
}

/// What is wrong with a row.
fn row(program: &Program) -> Vec<String> {
    let defaults = SocketSpec::default();
    let socket = SocketSpec { flush: program.info.flush_for(defaults.flush), ..defaults };
    let spec = ServeSpec { listen: ([127, 0, 0, 1], 0).into(), threads: 1, socket };
    let command = program.command("serve", spec.to_args());
    let started = Process::launch(command, &[], ROW_LIMIT).and_then(|mut server| match server.event()? {
        Event::Listening { addr, .. } => Ok((server, addr)),
        _ => Err("reported something else than that it listens".to_owned()),
    });
    let (mut server, addr) = match started {
        Ok(started) => started,
        Err(reason) => return vec![format!("start: the server {reason}")],
    };
    let mut faults: Vec<String> = CHECKS
        .iter()
        .filter_map(|(name, check)| check(addr).err().map(|reason| format!("{name}: {reason}")))
        .collect();
    server.end_input();
    match server.event() {
        Ok(Event::Served(served)) if served.panics > 0 => {
            faults.push(format!("{} panics in the server", served.panics));
        }
        Ok(Event::Served(_)) => {}
        Ok(_) => faults.push("stop: the server reported something else than its counts".to_owned()),
        Err(reason) => faults.push(format!("stop: the server {reason}")),
    }
    if let Err(reason) = server.wait() {
        faults.push(format!("stop: the server {reason}"));
    }
    faults
}

fn connect(addr: SocketAddr, path: &str) -> Result<WebSocket<TcpStream>, String> {
    let stream = TcpStream::connect_timeout(&addr, LIMIT).and_then(|stream| {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        Ok(stream)
    });
    let stream = stream.map_err(|error| format!("cannot connect: {error}"))?;
    match tungstenite::client(format!("ws://{addr}{path}"), stream) {
        Ok((socket, _)) => Ok(socket),
        Err(error) => Err(format!("no handshake: {error}")),
    }
}

fn exchange(socket: &mut WebSocket<TcpStream>, message: Message) -> Result<Message, String> {
    socket.send(message).map_err(|error| format!("sending failed: {error}"))?;
    read(socket)
}

fn read(socket: &mut WebSocket<TcpStream>) -> Result<Message, String> {
    socket.read().map_err(|error| format!("no answer: {error}"))
}

fn expect_same(sent: &Message, answer: &Message) -> Result<(), String> {
    if sent == answer {
        return Ok(());
    }
    let shown = |message: &Message| {
        let kind = if message.is_text() {
            "text"
        } else if message.is_binary() {
            "binary"
        } else {
            "control"
        };
        let data = message.clone().into_data();
        format!("{kind} `{}` of {} B", data[..data.len().min(16)].escape_ascii(), data.len())
    };
    Err(format!("{} was answered by {}", shown(sent), shown(answer)))
}

fn unknown_path(addr: SocketAddr) -> Result<(), String> {
    match connect(addr, "/no-such-service") {
        Ok(_) => Err("a path without a service was accepted".to_owned()),
        Err(reason) if reason.contains("404") => Ok(()),
        Err(reason) => Err(format!("404 was due: {reason}")),
    }
}

fn order(addr: SocketAddr) -> Result<(), String> {
    const MESSAGES: u32 = 1_000;
    let mut socket = connect(addr, "/echo")?;
    let message = |number: u32| Message::text(format!("message {number}"));
    for number in 0..MESSAGES {
        socket.write(message(number)).map_err(|error| format!("sending failed: {error}"))?;
    }
    socket.flush().map_err(|error| format!("sending failed: {error}"))?;
    for number in 0..MESSAGES {
        expect_same(&message(number), &read(&mut socket)?)?;
    }
    Ok(())
}

fn kinds(addr: SocketAddr) -> Result<(), String> {
    let mut socket = connect(addr, "/echo")?;
    for message in [
        Message::text("zażółć gęślą jaźń 漢字 🦀"),
        Message::binary(Bytes::from((0..=255).collect::<Vec<u8>>())),
    ] {
        expect_same(&message, &exchange(&mut socket, message.clone())?)?;
    }
    Ok(())
}

fn echo(addr: SocketAddr, sizes: &[usize]) -> Result<(), String> {
    let mut socket = connect(addr, "/echo")?;
    for size in sizes {
        let bytes: Vec<u8> = (0..*size).map(|place| b'a' + (place % 26) as u8).collect();
        for message in [
            Message::binary(bytes.clone()),
            Message::text(String::from_utf8(bytes.clone()).expect("letters are UTF-8")),
        ] {
            expect_same(&message, &exchange(&mut socket, message.clone())?)?;
        }
    }
    Ok(())
}

fn ping(addr: SocketAddr) -> Result<(), String> {
    let mut socket = connect(addr, "/echo")?;
    let pong = exchange(&mut socket, Message::Ping(Bytes::from_static(b"are you there")))?;
    expect_same(&Message::Pong(Bytes::from_static(b"are you there")), &pong)?;
    let message = Message::text("after the ping");
    expect_same(&message, &exchange(&mut socket, message.clone())?)
}

fn close(addr: SocketAddr) -> Result<(), String> {
    let mut socket = connect(addr, "/echo")?;
    socket.close(None).map_err(|error| format!("sending failed: {error}"))?;
    loop {
        match socket.read() {
            Ok(Message::Close(_)) => {}
            Ok(other) => return Err(format!("a close was answered by {other:?}")),
            Err(tungstenite::Error::ConnectionClosed) => return Ok(()),
            Err(error) => return Err(format!("the closing handshake was not completed: {error}")),
        }
    }
}
