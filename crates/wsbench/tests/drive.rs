//! `drive` against servers with one peculiarity each: what was measured is printed, and what failed is counted beneath.

// Outside of a `#[test]`, where clippy would allow it: a test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use common::{run, wsbench};
use tungstenite::handshake::derive_accept_key;

/// What a server does differently.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peculiarity {
    /// Nothing: an echo server.
    None,
    /// It never answers a close.
    NoClose,
    /// It ends TCP where a close is to be answered.
    EndsWithoutClose,
    /// An opening handshake takes 50 ms.
    SlowHandshake,
    /// It resets the first connection after a few echoes.
    ResetsTheFirst,
    /// The first connection gets no more answers after a few echoes.
    SilentToTheFirst,
    /// It pings every 100 ms and drops who does not answer by then.
    Pings,
    /// It closes each connection after 50 ms.
    ClosesIdle,
    /// It greets whoever connects.
    Greets,
    /// It answers text as binary.
    Binary,
}

use Peculiarity::{
    Binary, ClosesIdle, EndsWithoutClose, Greets, NoClose, Pings, ResetsTheFirst, SilentToTheFirst,
    SlowHandshake,
};

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Echoes after which a server turns on its first connection.
const FEW: u32 = 5;

/// Starts a server; it ends with the test.
fn serve(peculiarity: Peculiarity) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let stream = stream.unwrap();
            thread::spawn(move || connection(stream, number, peculiarity));
        }
    });
    addr
}

/// One connection, until its end or an error.
fn connection(stream: TcpStream, number: usize, peculiarity: Peculiarity) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream.try_clone().ok()?;
    let key = request_key(&mut reader)?;
    if peculiarity == SlowHandshake {
        thread::sleep(Duration::from_millis(50));
    }
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    writer.write_all(answer.as_bytes()).ok()?;
    if peculiarity == Greets {
        send(&mut writer, TEXT, b"hello");
    }
    let pongs = Arc::new(AtomicU64::new(0));
    // After a close nothing else is sent.
    let closed = Arc::new(AtomicBool::new(false));
    match peculiarity {
        Pings => {
            let (stream, pongs, closed) = (stream.try_clone().ok()?, pongs.clone(), closed.clone());
            thread::spawn(move || ping(stream, &pongs, &closed));
        }
        ClosesIdle => {
            let (mut stream, closed) = (stream.try_clone().ok()?, closed.clone());
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(50));
                closed.store(true, Relaxed);
                send(&mut stream, CLOSE, &1001_u16.to_be_bytes());
            });
        }
        _ => {}
    }
    let mut echoes = 0;
    loop {
        let (opcode, payload) = frame(&mut reader)?;
        match opcode {
            CLOSE if peculiarity == NoClose => {}
            CLOSE if peculiarity == EndsWithoutClose => return None,
            CLOSE if closed.swap(true, Relaxed) => return None,
            CLOSE => return send(&mut writer, CLOSE, &payload),
            PING => send(&mut writer, PONG, &payload)?,
            PONG => {
                pongs.fetch_add(1, Relaxed);
            }
            _ => {
                echoes += 1;
                if number == 0 && echoes > FEW && peculiarity == ResetsTheFirst {
                    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).ok()?;
                    return None;
                }
                if number == 0 && echoes > FEW && peculiarity == SilentToTheFirst {
                    continue;
                }
                send(&mut writer, if peculiarity == Binary { BINARY } else { opcode }, &payload)?;
            }
        }
    }
}

/// Pings until a ping is not answered before the next one.
fn ping(mut stream: TcpStream, pongs: &AtomicU64, closed: &AtomicBool) {
    for sent in 1.. {
        if closed.load(Relaxed) || send(&mut stream, PING, b"?").is_none() {
            return;
        }
        thread::sleep(Duration::from_millis(100));
        if pongs.load(Relaxed) < sent && !closed.swap(true, Relaxed) {
            send(&mut stream, CLOSE, &1011_u16.to_be_bytes());
            let _ = stream.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

fn request_key(reader: &mut impl BufRead) -> Option<String> {
    let mut key = None;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let (name, value) = match line.trim().split_once(':') {
            Some((name, value)) => (name.to_ascii_lowercase(), value.trim().to_owned()),
            None if line.trim().is_empty() => return key,
            None => continue,
        };
        if name == "sec-websocket-key" {
            key = Some(value);
        }
    }
}

/// A client's frame: opcode and payload, unmasked. Everything that `drive` sends here is short.
fn frame(reader: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 6];
    reader.read_exact(&mut head).ok()?;
    let mut payload = vec![0; usize::from(head[1] & 127)];
    reader.read_exact(&mut payload).ok()?;
    payload.iter_mut().zip(head[2..].iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Some((head[0] & 15, payload))
}

fn send(writer: &mut impl Write, opcode: u8, payload: &[u8]) -> Option<()> {
    let mut frame = vec![0x80 | opcode, payload.len() as u8];
    frame.extend_from_slice(payload);
    writer.write_all(&frame).ok()
}

/// Exit code, stdout and stderr of a short load.
fn drive(addr: SocketAddr, arguments: &str) -> (i32, String, String) {
    run(&mut wsbench(&format!("drive ws://{addr}/ --warm-up 0s {arguments}")))
}

fn driven(peculiarity: Peculiarity, arguments: &str) -> (i32, String, String) {
    drive(serve(peculiarity), arguments)
}

#[test]
fn a_server_that_never_answers_a_close_loses_no_figures() {
    // All connections wait for it at once.
    let (code, stdout, stderr) = driven(NoClose, "--connections 4 --messages 20 --close-timeout 300ms");
    assert_eq!(code, 5, "{stdout}{stderr}");
    assert!(stdout.starts_with("80 verified round trips"), "{stdout}");
    assert!(stdout.contains("4 of 4 connections failed:"), "{stdout}");
    assert!(stdout.contains("4  the closing handshake took too long"), "{stdout}");
}

#[test]
fn an_end_without_a_close_loses_no_figures() {
    let (code, stdout, stderr) = driven(EndsWithoutClose, "--connections 3 --messages 20");
    assert_eq!(code, 5, "{stdout}{stderr}");
    assert!(stdout.starts_with("60 verified round trips"), "{stdout}");
    assert!(stdout.contains("3  the connection ended without a closing handshake"), "{stdout}");
}

#[test]
fn one_connection_that_is_reset_does_not_spoil_the_others() {
    for load in ["--messages 50", "--workload window --window 4 --messages 50", "--rate 200 --duration 500ms"]
    {
        let (code, stdout, stderr) = driven(ResetsTheFirst, &format!("--connections 3 {load}"));
        assert_eq!(code, 5, "{load}: {stdout}{stderr}");
        assert!(stdout.contains("1 of 3 connections failed:") && stdout.contains("p50"), "{load}: {stdout}");
        assert!(!stdout.starts_with("0 verified"), "{load}: {stdout}");
    }
}

#[test]
fn a_connection_without_an_answer_is_given_up() {
    let arguments = "--connections 2 --duration 200ms --answer-timeout 200ms";
    let (code, stdout, stderr) = driven(SilentToTheFirst, arguments);
    assert_eq!(code, 5, "{stdout}{stderr}");
    assert!(stdout.contains("1 of 2 connections failed:"), "{stdout}");
    assert!(stdout.contains("1  an answer never came"), "{stdout}");
    assert!(stdout.contains("in 0.2"), "its wait must not count as part of the window\n{stdout}");
}

#[test]
fn connections_open_side_by_side() {
    let started = Instant::now();
    let (code, stdout, stderr) = driven(SlowHandshake, "--connections 200 --messages 1");
    assert_eq!(code, 0, "{stdout}{stderr}");
    // One after the other they take ten seconds at least.
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn pings_are_answered_while_nothing_is_due() {
    let held = "--workload idle --connections 5 --duration 1s";
    let (code, stdout, stderr) = driven(Pings, held);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("5 of 5 connections held for 1.00 s"), "{stdout}");
    let (code, stdout, stderr) = driven(Pings, "--rate 4 --connections 4 --duration 1500ms");
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.starts_with("6 verified round trips"), "{stdout}");
}

#[test]
fn idle_connections_that_the_server_ends_are_counted() {
    let (code, stdout, stderr) = driven(ClosesIdle, "--workload idle --connections 10 --duration 500ms");
    assert_eq!(code, 5, "{stdout}{stderr}");
    assert!(stdout.starts_with("0 of 10 connections held"), "{stdout}");
    assert!(stdout.contains("10  the server closed the connection"), "{stdout}");
    assert!(stdout.contains("after 0.") && stdout.contains("s of silence"), "{stdout}");
}

#[test]
fn json_keeps_to_its_schema() {
    let (code, json, stderr) = driven(ResetsTheFirst, "--connections 3 --messages 50 --format json");
    assert_eq!(code, 5, "{stderr}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let (_, schema, _) = run(&mut wsbench("schema drive"));
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert!(jsonschema::validator_for(&schema).unwrap().is_valid(&json), "{json:#}");
    assert_eq!(
        (json["failed_connections"].as_u64(), json["failures"][0]["connections"].as_u64()),
        (Some(1), Some(1))
    );
    assert!(
        json["units"].as_u64().unwrap() >= 100 && json["latency"]["p50_ns"].as_u64().unwrap() > 0,
        "{json:#}"
    );
}

#[test]
fn a_greeting_is_named_and_can_be_left_out() {
    let (code, stdout, stderr) = driven(Greets, "--messages 5");
    assert_eq!(code, 3, "{stdout}{stderr}");
    assert!(stdout.contains("--skip 1 reads that first"), "{stdout}");
    let (code, stdout, stderr) = driven(Greets, "--messages 5 --skip 1");
    assert_eq!(code, 0, "{stdout}{stderr}");
}

#[test]
fn an_echo_of_the_other_kind_is_named() {
    let (code, stdout, stderr) = driven(Binary, "--messages 5");
    assert_eq!(code, 3, "{stdout}{stderr}");
    assert!(stdout.contains("try --kind binary"), "{stdout}");
    let (code, stdout, stderr) = driven(Binary, "--messages 5 --kind binary");
    assert_eq!(code, 0, "{stdout}{stderr}");
}

#[test]
fn a_server_that_is_not_there_is_one_line() {
    // Bound and closed again, so that nobody listens there.
    let addr = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let (code, stdout, stderr) = drive(addr, "--connections 3 --duration 200ms");
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    let line = stderr.lines().last().unwrap();
    assert!(
        line.contains("no connection got an answer; 3 of them: connection 0: Connection refused"),
        "{stderr}"
    );
    assert!(!line.contains("(os error 111): "), "{stderr}");
}

#[test]
fn addresses_of_this_machine_in_all_their_forms() {
    let addr = serve(Peculiarity::None);
    let port = addr.port();
    for host in ["localhost", "127.8.8.8", "0.0.0.0", "[::ffff:127.0.0.1]"] {
        let (code, stdout, stderr) =
            run(&mut wsbench(&format!("drive ws://{host}:{port}?x=/1 --messages 3 --warm-up 0s")));
        // Only the unspecified address reaches a server on 127.0.0.1 from all of them; what counts is that none is refused.
        assert!(!stderr.contains("not on this machine"), "{host}: {stderr}");
        assert!([0, 1].contains(&code), "{host}: {stdout}{stderr}");
    }
    let (code, _, stderr) = run(&mut wsbench("drive ws://198.51.100.7:9001/"));
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("198.51.100.7:9001 is not on this machine"), "{stderr}");
}
