//! Checks of a client: it drives a few messages against a server of this module, which looks at every frame.

use std::{
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use bench_core::{
    DriveSpec, Kind,
    payload::Class,
    protocol::Measured,
    spec::{Load, PingPong, SocketSpec, Work},
    tally::Tally,
};
use trial::{ClientConversation, Peer, Program, process::Process};
use tungstenite::handshake::derive_accept_key;

use super::{
    fault::{Fault, fault},
    findings::{Findings, LIMIT, TIMED_OUT_CHECKS},
    running::quoted,
    wire::{
        BINARY, CLOSE, CONTINUATION, FIN, Frame, PING, PONG, TEXT, Wire, close_payload, part_of_handshake,
        unmasked,
    },
};

/// How the server treats the client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Every echo in one frame.
    Plain,
    /// Every echo in four frames, one of them empty.
    Fragments,
    /// A ping before every echo and one between its frames, each of which has to be answered.
    Pings,
    /// Every echo byte by byte, and the handshake's answer in many parts.
    Bytes,
    /// Every echo in two segments, the n-th cut after n bytes.
    Splits,
    /// A close frame where an echo is due: the client has to answer it.
    Closes,
    // From here on nothing is right, and the client has to say so.
    /// An accept key that belongs to another request.
    WrongAccept,
    /// 200 instead of 101.
    NoUpgrade,
    /// The last byte of the second echo is another one.
    Damaged,
    /// Text is answered by binary.
    OtherKind,
    /// The second echo is the first one again.
    Stale,
    /// The second message is answered by an end without a closing handshake.
    Vanishes,
    /// The second echo is masked.
    Masked,
    /// The second echo has a reserved opcode.
    Reserved,
    /// The second echo is text that is no UTF-8.
    InvalidText,
}

struct Case {
    name: &'static str,
    manner: Manner,
    kind: Kind,
    payload_bytes: u64,
    messages: u64,
    /// Whether the client should get through.
    sound: bool,
}

/// A frame of 200 B has a header of four bytes here: this many cuts lie inside of it.
const CUTS: u64 = 203;

const fn sound(name: &'static str, manner: Manner, payload_bytes: u64, messages: u64) -> Case {
    Case { name, manner, kind: Kind::Text, payload_bytes, messages, sound: true }
}

const fn wrong(name: &'static str, manner: Manner) -> Case {
    Case { name, manner, kind: Kind::Text, payload_bytes: 24, messages: 3, sound: false }
}

const CASES: &[Case] = &[
    sound("request, masking and closing", Manner::Plain, 24, 20),
    Case { kind: Kind::Binary, ..sound("binary", Manner::Plain, 126, 5) },
    sound("64 KiB", Manner::Plain, 65_536, 3),
    sound("1 MiB", Manner::Plain, 1 << 20, 3),
    sound("16 MiB", Manner::Plain, 16 << 20, 2),
    sound("fragmented echoes", Manner::Fragments, 200, 5),
    sound("1 MiB in fragments", Manner::Fragments, 1 << 20, 2),
    sound("pings between echoes and fragments", Manner::Pings, 200, 5),
    sound("echoes byte by byte", Manner::Bytes, 24, 3),
    sound("echoes split anywhere", Manner::Splits, 200, CUTS),
    wrong("a close instead of an echo is answered and reported", Manner::Closes),
    wrong("a wrong accept key is refused", Manner::WrongAccept),
    wrong("200 instead of an upgrade is refused", Manner::NoUpgrade),
    wrong("a damaged echo is reported", Manner::Damaged),
    wrong("an echo of another kind is reported", Manner::OtherKind),
    wrong("the echo of another message is reported", Manner::Stale),
    wrong("an end instead of an echo is reported", Manner::Vanishes),
    wrong("a masked frame is refused", Manner::Masked),
    wrong("a reserved opcode is refused", Manner::Reserved),
    wrong("invalid UTF-8 is refused", Manner::InvalidText),
];

/// What is wrong with a row's client.
pub(super) fn client(program: &Program) -> Findings {
    let mut findings = Findings::default();
    let mut timed_out = 0;
    for case in CASES {
        let started = Instant::now();
        findings.add(&format!("client: {}", case.name), check(program, case));
        timed_out += usize::from(started.elapsed() >= LIMIT);
        if timed_out == TIMED_OUT_CHECKS {
            let reason = format!("{} was the last: {timed_out} took {} s each", case.name, LIMIT.as_secs());
            findings.add("client", Err(Fault::Wrong(reason)));
            return findings;
        }
    }
    findings
}

fn check(program: &Program, case: &Case) -> Result<(), Fault> {
    let deadline = Instant::now() + LIMIT;
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| fault!("no port: {error}"))?;
    let addr = listener.local_addr().map_err(|error| fault!("no port: {error}"))?;
    let spec = DriveSpec::plain(
        addr.to_string(),
        Load {
            kind: case.kind,
            payload_bytes: case.payload_bytes,
            work: Work::PingPong(PingPong { messages: Some(case.messages), burn_us: 0 }),
            warm_up_ms: 0,
            ..Load::default()
        },
        SocketSpec {
            handshake_timeout_ms: LIMIT.as_millis() as u64 / 2,
            flush: program.info.flush_for(SocketSpec::default().flush),
            ..SocketSpec::default()
        },
    );
    let manner = case.manner;
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().map_err(|error| fault!("no connection: {error}"))?;
        serve(Wire::new(stream, deadline)?, &addr.to_string(), manner)
    });
    let drove = drive(program, &spec, case);
    if !server.is_finished() {
        // Where the client never connected, this ends the wait for it.
        let _ = std::net::TcpStream::connect_timeout(&addr, Duration::from_secs(1));
    }
    let served = server.join().unwrap_or_else(|_| Err(fault!("the verifying server panicked")));
    match (drove, case.sound) {
        (Ok(()), true) => served,
        // What the server saw explains why the client gave up, unless it only saw that.
        (Err(reason), true) => Err(match served {
            Ok(()) => reason,
            Err(seen) => fault!("{reason}; {seen}"),
        }),
        (Ok(()), false) => Err(fault!("the client noticed nothing")),
        (Err(_), false) if Instant::now() >= deadline => {
            Err(fault!("the client noticed nothing within {} s", LIMIT.as_secs()))
        }
        (Err(_), false) => served,
    }
}

/// Lets the row's client go through the load.
fn drive(program: &Program, spec: &DriveSpec, case: &Case) -> Result<(), Fault> {
    let mut client = Process::launch(program.command("drive", spec.to_args()), &[], LIMIT)?;
    client.allow(LIMIT);
    let mut client = ClientConversation::with(client);
    let result = converse(&mut client, case);
    result.map_err(|reason| {
        let stderr = client.peer_mut().abandon();
        fault!("the client {reason}{}", quoted(&stderr))
    })
}

fn converse(client: &mut ClientConversation<Process>, case: &Case) -> Result<(), Fault> {
    client.ready()?;
    client.go(None)?;
    let measured = client.measured()?;
    let report = client.finish()?;
    let exit = client.exit();
    if let Some(error) = report.errors.first() {
        return Err(fault!("found: {error}"));
    }
    exit?;
    if report.failed_connections > 0 || report.panics > 0 {
        return Err(fault!("counted {} failed connections", report.failed_connections));
    }
    if (report.units, &report.tally) == (0, &Tally::default()) {
        return Err(fault!(
            "counts nothing: `drove` has 0 units and an empty tally after {} messages",
            case.messages
        ));
    }
    if measured.units != case.messages || measured.elapsed_ns == 0 {
        let Measured { units, elapsed_ns } = measured;
        return Err(fault!(
            "reported {units} units in {elapsed_ns} ns by `measured` for {} messages",
            case.messages
        ));
    }
    let count = report.tally.class(Class::Measured);
    let bytes = case.messages * case.payload_bytes;
    let counted = (count.sent_messages, count.sent_bytes, count.received_messages, count.received_bytes);
    if report.units != case.messages || counted != (case.messages, bytes, case.messages, bytes) {
        return Err(fault!("counted {} units and {counted:?} for {} messages", report.units, case.messages));
    }
    Ok(())
}

/// Serves the one connection of a client; what is wrong with it is the error.
fn serve(mut wire: Wire, authority: &str, manner: Manner) -> Result<(), Fault> {
    let answer = handshake(&mut wire, authority, manner)?;
    match manner {
        Manner::Bytes => wire.send_in_parts(&answer, part_of_handshake(&answer))?,
        _ => wire.send(&answer)?,
    }
    if matches!(manner, Manner::WrongAccept | Manner::NoUpgrade) {
        return gave_up(&mut wire);
    }
    let mut first = Vec::new();
    for number in 0.. {
        let message = message(&mut wire)?;
        if message.opcode() == CLOSE {
            if !matches!(message.payload.len(), 0 | 2..) {
                return Err(fault!("the client's close has half a code"));
            }
            // Dropping the connection is the server's part of ending it.
            return wire.send(&unmasked(FIN | CLOSE, &message.payload));
        }
        if number == 0 {
            first = message.payload.clone();
        }
        let strikes = number == 1;
        match manner {
            Manner::Closes if strikes => {
                wire.send(&unmasked(FIN | CLOSE, &close_payload(1001, "going away")))?;
                let answer = client_frame(&mut wire)?;
                return match answer.opcode() {
                    CLOSE => Ok(()),
                    _ => Err(fault!("a close was answered by {}", answer.shown())),
                };
            }
            Manner::Vanishes if strikes => return Ok(()),
            Manner::Damaged | Manner::Stale | Manner::Masked | Manner::Reserved | Manner::InvalidText
                if strikes =>
            {
                wire.send(&fault(manner, &message, &first))?;
                return gave_up(&mut wire);
            }
            Manner::OtherKind => {
                wire.send(&unmasked(FIN | BINARY, &message.payload))?;
                return gave_up(&mut wire);
            }
            _ => echo(&mut wire, manner, &message, number)?,
        }
    }
    Ok(())
}

/// The client's request has to be a sound one; the answer to it.
fn handshake(wire: &mut Wire, authority: &str, manner: Manner) -> Result<Vec<u8>, Fault> {
    let head = wire.read_head().map_err(|error| fault!("no request came: {error}"))?;
    if head.line != "GET /echo HTTP/1.1" {
        return Err(fault!("the client asked `{}`", head.line));
    }
    for (name, value) in [("host", authority), ("sec-websocket-version", "13")] {
        if head.value(name) != Some(value) {
            return Err(fault!("the request's {name} is {:?} and not {value}", head.value(name)));
        }
    }
    if !head.has_word("upgrade", "websocket") || !head.has_word("connection", "upgrade") {
        return Err(fault!("the request asks for no upgrade to websocket"));
    }
    let key = head.value("sec-websocket-key").unwrap_or_default();
    // 16 bytes in base64.
    let digits = key.trim_end_matches('=');
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    if key.len() != 24 || digits.len() != 22 || !digits.bytes().all(valid) {
        return Err(fault!("the request's key `{key}` is not 16 bytes in base64"));
    }
    if manner == Manner::NoUpgrade {
        return Ok(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec());
    }
    let key = if manner == Manner::WrongAccept { "AAAAAAAAAAAAAAAAAAAAAA==" } else { key };
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    )
    .into_bytes())
}

fn echo(wire: &mut Wire, manner: Manner, message: &Frame, number: usize) -> Result<(), Fault> {
    let (opcode, payload) = (message.opcode(), &message.payload);
    let whole = unmasked(FIN | opcode, payload);
    match manner {
        Manner::Bytes => wire.send_in_parts(&whole, 1),
        Manner::Splits => wire.send_split(&whole, number % (whole.len() - 1) + 1),
        Manner::Fragments | Manner::Pings => {
            let (head, rest) = payload.split_at(payload.len() / 3);
            let (middle, tail) = rest.split_at(rest.len() / 2);
            let parts = [(opcode, head), (CONTINUATION, middle), (CONTINUATION, b""), (FIN, tail)];
            for (head, part) in parts {
                if manner == Manner::Pings {
                    ping(wire, format!("{number} {}", part.len()).as_bytes())?;
                }
                wire.send(&unmasked(head, part))?;
            }
            Ok(())
        }
        _ => wire.send(&whole),
    }
}

fn ping(wire: &mut Wire, payload: &[u8]) -> Result<(), Fault> {
    wire.send(&unmasked(FIN | PING, payload))?;
    let pong = client_frame(wire)?;
    if pong.head != FIN | PONG || pong.payload != payload {
        return Err(fault!("a ping was answered by {}", pong.shown()));
    }
    Ok(())
}

/// What no client may take for the echo of `message`.
fn fault(manner: Manner, message: &Frame, first: &[u8]) -> Vec<u8> {
    let mut payload = message.payload.clone();
    let last = payload.len() - 1;
    match manner {
        Manner::Stale => unmasked(FIN | TEXT, first),
        Manner::Masked => super::wire::masked(FIN | TEXT, &payload),
        Manner::Reserved => unmasked(FIN | 0x3, &payload),
        Manner::InvalidText => {
            payload[last] = 0xff;
            unmasked(FIN | TEXT, &payload)
        }
        _ => {
            payload[last] ^= 1;
            unmasked(FIN | TEXT, &payload)
        }
    }
}

/// The next frame of the client, which has to be masked and without reserved bits.
fn client_frame(wire: &mut Wire) -> Result<Frame, Fault> {
    let frame = wire.frame().map_err(|error| fault!("nothing came from the client: {error}"))?;
    if !frame.masked || frame.head & 0x70 != 0 {
        return Err(fault!("{} came unmasked or with reserved bits", frame.shown()));
    }
    Ok(frame)
}

/// The next message of the client, or its close. It may come in fragments.
fn message(wire: &mut Wire) -> Result<Frame, Fault> {
    let mut whole = client_frame(wire)?;
    if !matches!(whole.opcode(), TEXT | BINARY | CLOSE) {
        return Err(fault!("a message was due, and {} came", whole.shown()));
    }
    while whole.head & FIN == 0 {
        let next = client_frame(wire)?;
        if next.opcode() != CONTINUATION {
            return Err(fault!("the rest of a message was due, and {} came", next.shown()));
        }
        whole.payload.extend(next.payload);
        whole.head |= next.head & FIN;
    }
    Ok(whole)
}

/// After a fault the client may close or end the connection, and nothing else.
fn gave_up(wire: &mut Wire) -> Result<(), Fault> {
    match wire.frame() {
        Ok(frame) if frame.opcode() != CLOSE => Err(fault!("after it the client sent {}", frame.shown())),
        Ok(frame) => {
            // The other half of the closing handshake; the client may be gone already.
            let _ = wire.write(&unmasked(FIN | CLOSE, &frame.payload));
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::TimedOut => Err(fault!("after it: {error}")),
        Err(_) => Ok(()),
    }
}
