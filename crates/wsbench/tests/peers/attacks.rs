//! Hostile peers of a server, each on plain TCP. What they return is what a sound client notices of them, if anything.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

use socket2::SockRef;
use wsbench::command::verify::{
    basics,
    wire::{BINARY, CONTINUATION, FIN, PING, TEXT, Wire, masked, masked_header, request},
};

use crate::server::{PATIENCE, Server};

pub type Outcome = Result<(), String>;

/// How much of an attack there is.
#[derive(Clone, Copy)]
pub struct Size {
    /// The long form.
    pub full: bool,
}

impl Size {
    fn of(self, short: usize, full: usize) -> usize {
        if self.full { full } else { short }
    }
}

/// Longest time that a write may be stuck before the server counts as one that does not read.
const STUCK: Duration = Duration::from_millis(300);

fn text(error: impl ToString) -> String {
    error.to_string()
}

fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

fn connect(server: &Server) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(server.addr).map_err(text)?;
    stream.set_nodelay(true).map_err(text)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(text)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(text)?;
    Ok(stream)
}

/// A connection after its opening handshake.
fn upgrade(server: &Server, path: &str) -> Result<TcpStream, String> {
    let mut stream = connect(server)?;
    stream.write_all(request(server.addr, path).as_bytes()).map_err(text)?;
    let head = read_head(&mut stream).map_err(text)?;
    if head.starts_with("HTTP/1.1 101") { Ok(stream) } else { Err(format!("`{head}` answered {path}")) }
}

/// The head of an answer, or what came of it until the connection's end.
fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Reads to the end of the connection, which may be a reset, but has to come.
fn ends(stream: &mut TcpStream, what: &str) -> Outcome {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(format!("{what}: the connection stayed open"));
            }
            Err(_) => return Ok(()),
        }
    }
}

/// Sends what is no sound request, and expects anything but an upgrade. The server may end before it has read all.
fn no_upgrade(server: &Server, what: &str, bytes: &[u8]) -> Outcome {
    let mut stream = connect(server)?;
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    match read_head(&mut stream) {
        Ok(head) if head.starts_with("HTTP/1.1 101") => Err(format!("{what} was upgraded")),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(format!("{what}: no end")),
        _ => Ok(()),
    }
}

/// A sound client, judged by getting through and not by its time.
fn others_are_served(server: &Server) -> Outcome {
    for _ in 0..3 {
        basics(server.addr, deadline()).map_err(|reason| format!("meanwhile: {reason}"))?;
    }
    Ok(())
}

pub fn silent(server: &Server, size: Size) -> Outcome {
    let silent: Result<Vec<_>, _> = (0..size.of(100, 500)).map(|_| connect(server)).collect();
    let silent = silent?;
    others_are_served(server)?;
    drop(silent);
    Ok(())
}

pub fn silent_until_ended(server: &Server, size: Size) -> Outcome {
    let silent: Result<Vec<_>, _> = (0..size.of(20, 500)).map(|_| connect(server)).collect();
    silent?.iter_mut().try_for_each(|stream| ends(stream, "a connection without a handshake"))
}

pub fn crumbs(server: &Server, _: Size) -> Outcome {
    let mut stream = connect(server)?;
    stream.set_read_timeout(Some(Duration::from_millis(100))).map_err(text)?;
    for byte in request(server.addr, "/echo").bytes() {
        if stream.write_all(&[byte]).is_err() {
            return Ok(());
        }
        match stream.read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(1) => return Err("a handshake in crumbs was answered".to_owned()),
            _ => return Ok(()),
        }
    }
    Err("a handshake may take as long as it likes".to_owned())
}

pub fn huge_header(server: &Server, size: Size) -> Outcome {
    let sound = request(server.addr, "/echo");
    let filler = "x".repeat(size.of(1 << 20, 20_000_000));
    let huge = sound.replace("\r\n\r\n", &format!("\r\nCookie: {filler}\r\n\r\n"));
    no_upgrade(server, "a huge header", huge.as_bytes())
}

pub fn many_headers(server: &Server, _: Size) -> Outcome {
    let lines: String = (0..200).map(|number| format!("X-{number}: y\r\n")).collect();
    let many = request(server.addr, "/echo").replace("Upgrade: ", &format!("{lines}Upgrade: "));
    no_upgrade(server, "200 headers", many.as_bytes())
}

pub fn bytewise_header(server: &Server, size: Size) -> Outcome {
    for _ in 0..size.of(2, 20) {
        let mut stream = connect(server)?;
        for byte in request(server.addr, "/echo").bytes() {
            // A refusal in the middle of it is as good as an upgrade at its end.
            if stream.write_all(&[byte]).is_err() {
                break;
            }
            thread::sleep(Duration::from_micros(50));
        }
        let _ = stream.shutdown(Shutdown::Write);
        ends(&mut stream, "a header byte by byte")?;
    }
    Ok(())
}

pub fn other_protocols(server: &Server, size: Size) -> Outcome {
    no_upgrade(server, "plain HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")?;
    no_upgrade(server, "HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0xa5; 508]].concat();
    no_upgrade(server, "a TLS hello", &hello)?;
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..size.of(10, 500) {
        let noise = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        });
        no_upgrade(server, "random bytes", &noise.take(700).collect::<Vec<u8>>())?;
    }
    let wrong = request(server.addr, "/echo").replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ=");
    no_upgrade(server, "a wrong key", wrong.as_bytes())
}

pub fn oversized(server: &Server, size: Size) -> Outcome {
    let part = [7; 32 << 10];
    for _ in 0..size.of(5, 50) {
        for length in [65_537, 1 << 40, u64::MAX >> 1, u64::MAX] {
            let mut stream = upgrade(server, "/echo")?;
            stream.write_all(&masked_header(FIN | BINARY, length)).map_err(text)?;
            let _ = stream.write_all(&part);
            ends(&mut stream, "an oversized frame")?;
        }
        let mut stream = upgrade(server, "/echo")?;
        let mut opcode = BINARY;
        // The server ends the connection long before all of it is there.
        for _ in 0..1_000 {
            if stream.write_all(&masked(opcode, &part)).is_err() {
                break;
            }
            opcode = CONTINUATION;
        }
        ends(&mut stream, "an oversized message")?;
    }
    Ok(())
}

pub fn fragments(server: &Server, size: Size) -> Outcome {
    let count = size.of(20_000, 1_000_000);
    let mut wire = Wire::open(server.addr, "/echo", deadline())?;
    let mut bytes = masked(TEXT, b"a");
    (2..count).for_each(|_| bytes.extend(masked(CONTINUATION, b"a")));
    bytes.extend(masked(FIN | CONTINUATION, b"a"));
    wire.send(&bytes)?;
    let (_, whole) = wire.message()?;
    if whole.len() != count {
        return Err(format!("{count} fragments of a byte came back as {} B", whole.len()));
    }
    // Fragments that add nothing never reach a limit on the message's size; they should cost nothing either.
    let mut stream = upgrade(server, "/echo")?;
    let mut bytes = masked(TEXT, b"");
    (0..count).for_each(|_| bytes.extend(masked(CONTINUATION, b"")));
    stream.write_all(&bytes).map_err(text)
}

pub fn ping_flood(server: &Server, size: Size) -> Outcome {
    let pings: Vec<u8> = masked(FIN | PING, &[7; 125]).repeat(1_000);
    let flood = |mut stream: TcpStream| {
        stream.set_write_timeout(Some(STUCK)).map_err(text)?;
        for _ in 0..size.of(100, 1_000) {
            // Its pongs are never read: at some time the server has to stop reading.
            if stream.write_all(&pings).is_err() {
                break;
            }
        }
        Ok::<_, String>(stream)
    };
    let stuck: Result<Vec<_>, _> = (0..4).map(|_| flood(upgrade(server, "/echo")?)).collect();
    let stuck = stuck?;
    others_are_served(server)?;
    drop(stuck);
    Ok(())
}

pub fn broken_frames(server: &Server, size: Size) -> Outcome {
    for _ in 0..size.of(3, 50) {
        for (what, bytes) in [
            ("a reserved bit", masked(FIN | 0x40 | TEXT, b"x")),
            ("a reserved opcode", masked(FIN | 0x3, b"x")),
            ("a reserved control opcode", masked(FIN | 0xf, b"x")),
            ("invalid UTF-8", masked(FIN | TEXT, &[0xc3, 0x28, 0xff])),
            ("a long ping", masked(FIN | PING, &[7; 126])),
        ] {
            let mut stream = upgrade(server, "/echo")?;
            stream.write_all(&bytes).map_err(text)?;
            ends(&mut stream, what)?;
        }
    }
    Ok(())
}

pub fn no_close_frame(server: &Server, size: Size) -> Outcome {
    for _ in 0..size.of(20, 500) {
        let mut stream = upgrade(server, "/echo")?;
        stream.write_all(&masked(FIN | TEXT, b"00000000")).map_err(text)?;
        stream.shutdown(Shutdown::Write).map_err(text)?;
        ends(&mut stream, "an end without a close frame")?;
    }
    Ok(())
}

pub fn reset_within_a_frame(server: &Server, size: Size) -> Outcome {
    for _ in 0..size.of(20, 500) {
        let mut stream = upgrade(server, "/echo")?;
        let frame = masked(FIN | TEXT, &[b'a'; 1_000]);
        stream.write_all(&frame[..500]).map_err(text)?;
        // Closing it is a reset now.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).map_err(text)?;
    }
    Ok(())
}

pub fn vanished(server: &Server, size: Size) -> Outcome {
    // Their machine lost its power, say: the connection stands, and nothing comes any more.
    let silent: Result<Vec<_>, _> = (0..size.of(10, 200)).map(|_| upgrade(server, "/echo")).collect();
    let mut silent = silent?;
    for (number, stream) in silent.iter_mut().enumerate() {
        if number % 2 == 0 {
            stream.write_all(&masked(FIN | TEXT, &[b'a'; 1_000])[..500]).map_err(text)?;
        }
    }
    silent.iter_mut().try_for_each(|stream| ends(stream, "a peer that vanished"))
}

/// No peer, but whoever stops and continues the server's process: all that it was waiting for has to go on.
pub fn paused(server: &Server, _: Size) -> Outcome {
    let request = request(server.addr, "/echo");
    let (begin, rest) = request.split_at(request.len() / 2);
    let mut opening = connect(server)?;
    opening.write_all(begin.as_bytes()).map_err(text)?;
    let open: Result<Vec<_>, _> = (0..10).map(|_| Wire::open(server.addr, "/echo", deadline())).collect();
    let mut open = open?;
    for pauses in 0..3 {
        for (number, wire) in open.iter_mut().enumerate() {
            let payload = format!("{number} after {pauses} pauses");
            wire.send(&masked(FIN | TEXT, payload.as_bytes()))?;
            let (_, echo) = wire.message()?;
            if echo != payload.as_bytes() {
                return Err(format!("`{}` answered `{payload}`", String::from_utf8_lossy(&echo)));
            }
        }
        server.pause()?;
    }
    opening.write_all(rest.as_bytes()).map_err(text)?;
    let head = read_head(&mut opening).map_err(text)?;
    if head.starts_with("HTTP/1.1 101") { Ok(()) } else { Err(format!("`{head}` after a pause")) }
}

/// Peers that never read are there until the server drops them, which is seen by its open files.
fn until_dropped(server: &Server, stuck: Vec<TcpStream>, files: usize) -> Outcome {
    let result = server.wait_for_files("peers that never read", |now| now <= files);
    drop(stuck);
    result
}

pub fn never_reads_pushes(server: &Server, size: Size) -> Outcome {
    let files = server.usage()?.files;
    let path = "/push?every_us=1&count=100000000&payload=65536";
    let stuck: Result<Vec<_>, _> = (0..size.of(8, 100)).map(|_| upgrade(server, path)).collect();
    let stuck = stuck?;
    others_are_served(server)?;
    until_dropped(server, stuck, files)
}

pub fn never_reads_echoes(server: &Server, size: Size) -> Outcome {
    let files = server.usage()?.files;
    let message = masked(FIN | BINARY, &[7; 64 << 10]);
    let fill = |mut stream: TcpStream| {
        stream.set_write_timeout(Some(STUCK)).map_err(text)?;
        // More than both directions hold.
        for _ in 0..1_000 {
            if stream.write_all(&message).is_err() {
                return Ok(stream);
            }
        }
        Err("a server took 64 MiB of messages whose echoes nobody reads".to_owned())
    };
    let stuck: Result<Vec<_>, _> = (0..size.of(3, 20)).map(|_| fill(upgrade(server, "/echo")?)).collect();
    let stuck = stuck?;
    others_are_served(server)?;
    until_dropped(server, stuck, files)
}

pub fn no_file_left(server: &Server, _: Size) -> Outcome {
    let many: Result<Vec<_>, _> = (0..100).map(|_| connect(server)).collect();
    let many = many?;
    server.wait_for_files("out of files", |now| now >= FILES as usize)?;
    drop(many);
    server.wait_for_files("after it was out of files", |now| now < FILES as usize / 2)
}

/// The limit on open files for [`no_file_left`].
pub const FILES: u32 = 64;

pub fn panicking_handler(server: &Server, _: Size) -> Outcome {
    for _ in 0..PANICS {
        no_upgrade(server, "/panic", request(server.addr, "/panic").as_bytes())?;
    }
    Ok(())
}

/// Panics that [`panicking_handler`] asks for.
pub const PANICS: u64 = 5;

pub fn too_many(server: &Server, _: Size) -> Outcome {
    let files = server.usage()?.files;
    let held: Result<Vec<_>, _> = (0..MOST).map(|_| upgrade(server, "/echo")).collect();
    let held = held?;
    for _ in 0..2 * MOST {
        let mut stream = connect(server)?;
        let _ = stream.write_all(request(server.addr, "/echo").as_bytes());
        match read_head(&mut stream) {
            Ok(head) if !head.is_empty() => return Err("a connection too many was answered".to_owned()),
            _ => {}
        }
    }
    drop(held);
    server.wait_for_files("after too many", |now| now <= files)
}

/// The most connections for [`too_many`].
pub const MOST: u64 = 10;
