//! Hostile servers of a client: it has to give up, in words, and soon.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use bench_core::{
    DriveSpec,
    spec::{Load, PingPong, SocketSpec, Work},
};
use trial::Program;
use wsbench::command::verify::wire::{BINARY, FIN, PING, TEXT, Wire, unmasked, unmasked_header};

use crate::{
    attacks::{Outcome, Size},
    server::PATIENCE,
};

/// A server's half of a conversation with the client that has connected.
type Manner = fn(TcpStream, Size);

/// All manners, by name.
pub const MANNERS: &[(&str, Manner)] = &[
    ("server-never-answers", |stream, _| hold(stream)),
    ("server-half-handshake", |mut stream, _| {
        let _ = stream.write_all(b"HTTP/1.1 101 Switching Proto");
        hold(stream);
    }),
    ("server-endless-header", |mut stream, size| {
        let _ = stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nX: ");
        let part = [b'x'; 16 << 10];
        for _ in 0..if size.full { 1_280 } else { 128 } {
            if stream.write_all(&part).is_err() {
                return;
            }
        }
        hold(stream);
    }),
    ("server-oversized-frame", |stream, _| {
        let bytes = [unmasked_header(FIN | BINARY, 1 << 40), vec![7; 32 << 10]].concat();
        after_handshake(stream, &bytes, 1);
    }),
    ("server-flood", |stream, size| {
        let flood = unmasked(FIN | TEXT, &[b'a'; 1_000]).repeat(100);
        after_handshake(stream, &flood, if size.full { 10_000 } else { 500 });
    }),
    ("server-pings-and-ends", |stream, size| {
        let flood = unmasked(FIN | PING, &[7; 125]).repeat(1_000);
        after_handshake(stream, &flood, if size.full { 100 } else { 10 });
    }),
];

/// Lets the client wait until it has had enough.
fn hold(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
}

/// Answers the handshake as is right, then sends what is not, then ends. It reads on meanwhile: who answers a flood is not
/// to wait for a peer that waits for it.
fn after_handshake(stream: TcpStream, bytes: &[u8], times: usize) {
    let (Ok(reader), Ok(end)) = (stream.try_clone(), stream.try_clone()) else { return };
    let Ok(mut wire) = Wire::new(stream, Instant::now() + PATIENCE) else { return };
    let Ok(head) = wire.read_head() else { return };
    let key = head.value("sec-websocket-key").unwrap_or_default();
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    thread::scope(|scope| {
        scope.spawn(|| hold(reader));
        let _ = wire.send(answer.as_bytes());
        // A client that has had enough ends the connection.
        let _ = (0..times).try_for_each(|_| wire.send(bytes));
        let _ = end.shutdown(Shutdown::Both);
    });
}

/// Lets a row's client meet the server, and expects it to fail with a reason.
pub fn meet(program: &Program, manner: Manner, size: Size) -> Outcome {
    let text = |error: std::io::Error| error.to_string();
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(text)?;
    let spec = DriveSpec::plain(
        listener.local_addr().map_err(text)?.to_string(),
        Load {
            work: Work::PingPong(PingPong { messages: Some(1_000), burn_us: 0 }),
            warm_up_ms: 0,
            ..Load::default()
        },
        SocketSpec {
            handshake_timeout_ms: 1_000,
            close_timeout_ms: 1_000,
            flush: program.info.flush_for(SocketSpec::default().flush),
            ..SocketSpec::default()
        },
    );
    let stderr = tempfile::tempfile().map_err(text)?;
    let mut command = program.command("drive", spec.to_args());
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(stderr.try_clone().map_err(text)?);
    let mut client = command.spawn().map_err(text)?;
    // What it does not read in the end does not matter.
    let _ = client.stdin.as_mut().ok_or("it has no stdin")?.write_all(b"go\nfinish\n");
    thread::spawn(move || {
        if let Ok((stream, _)) = listener.accept() {
            manner(stream, size);
        }
    });
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match client.try_wait().map_err(text)? {
            Some(status) => break status,
            None if Instant::now() > deadline => {
                let _ = client.kill();
                let _ = client.wait();
                return Err("the client never gave up".to_owned());
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    if status.code() != Some(1) {
        return Err(format!("the client ended with {status} and not with code 1"));
    }
    match stderr.metadata().map_err(text)?.len() {
        0..4_096 => Ok(()),
        length => Err(format!("the client wrote {length} B to stderr")),
    }
}
