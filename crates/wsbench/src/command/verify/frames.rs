//! Checks of a server, frame by frame.

use std::{io, time::Instant};

use bench_core::{Kind, spec::SocketSpec};

use super::{
    endpoint::Endpoint,
    fault::{Fault, fault},
    wire::{
        BINARY, CLOSE, CONTINUATION, FIN, KEY, PING, PONG, TEXT, Wire, close_payload, masked, masked_header,
        part_of_handshake, request, unmasked,
    },
};

/// What a check returns: what is wrong, if anything.
type Checked = Result<(), Fault>;

const PROTOCOL_ERROR: u16 = 1002;
const INVALID_PAYLOAD: u16 = 1007;
const TOO_BIG: u16 = 1009;

fn expect(wire: &mut Wire, kind: Kind, payload: &[u8]) -> Checked {
    let (got_kind, got) = wire.message()?;
    if (got_kind, got.as_slice()) == (kind, payload) {
        return Ok(());
    }
    Err(fault!(
        "{kind:?} of {} B was answered by {got_kind:?} of {} B `{}`",
        payload.len(),
        got.len(),
        got[..got.len().min(16)].escape_ascii()
    ))
}

/// Ends a connection that is still sound.
fn finish(mut wire: Wire) -> Checked {
    wire.send(&masked(FIN | CLOSE, &close_payload(1000, "")))?;
    let answer = wire.answer()?;
    if answer.opcode() != CLOSE {
        return Err(fault!("a close was answered by {}", answer.shown()));
    }
    wire.ended()
}

/// Sends what no server may accept, and expects a close frame with the right code, or the end of the connection.
fn refused(server: Endpoint<'_>, deadline: Instant, code: u16, what: &str, bytes: &[u8]) -> Checked {
    let mut wire = Wire::open(server.addr, server.echo, deadline)?;
    match wire.write(bytes) {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(fault!("{what}: {error}")),
        // A server may end the connection before it has read everything.
        _ => {}
    }
    loop {
        let frame = match wire.frame() {
            Ok(frame) => frame,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(fault!("{what} was neither refused nor answered: {error}"));
            }
            Err(_) => return Ok(()),
        };
        match frame.opcode() {
            PING | PONG if frame.head & FIN != 0 => {}
            CLOSE if frame.payload.starts_with(&code.to_be_bytes()) => {
                // The other half of the closing handshake; the server may be gone already.
                let _ = wire.write(&masked(FIN | CLOSE, &frame.payload));
                return wire.ended().map_err(|reason| fault!("{what}: {reason}"));
            }
            _ => return Err(fault!("{what} was answered by {}", frame.shown())),
        }
    }
}

pub fn handshake_forms(server: Endpoint<'_>, deadline: Instant) -> Checked {
    // As browsers write it, and in any case.
    let sound = request(server.addr, server.echo)
        .replace("Connection: Upgrade", "connection: keep-alive, upgrade")
        .replace("Upgrade: websocket", "upgrade: WebSocket");
    let mut wire = Wire::connect(server.addr, deadline)?;
    wire.send(sound.as_bytes())?;
    wire.upgraded()?;
    finish(wire)?;
    for (what, from, to) in [
        ("no key", format!("Sec-WebSocket-Key: {KEY}\r\n"), ""),
        ("no version", "Sec-WebSocket-Version: 13\r\n".to_owned(), ""),
        ("version 12", "Version: 13".to_owned(), "Version: 12"),
        ("no upgrade", "Upgrade: websocket\r\n".to_owned(), ""),
        ("a POST", "GET ".to_owned(), "POST "),
        ("no HTTP at all", request(server.addr, server.echo), "nonsense\r\n\r\n"),
    ] {
        let mut wire = Wire::connect(server.addr, deadline)?;
        wire.send(request(server.addr, server.echo).replace(&from, to).as_bytes())?;
        match wire.read_head() {
            Ok(head) if head.status() == Some(101) => return Err(fault!("{what}: accepted")),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(fault!("{what}: {error}")),
            _ => {}
        }
    }
    Ok(())
}

pub fn fragments(server: Endpoint<'_>, deadline: Instant) -> Checked {
    let mut wire = Wire::open(server.addr, server.echo, deadline)?;
    // The first cut is inside of a character.
    let text = "żółć 🦀 jaźń".as_bytes();
    let (first, rest) = text.split_at(1);
    let (second, third) = rest.split_at(9);
    for (kind, opcode) in [(Kind::Text, TEXT), (Kind::Binary, BINARY)] {
        for parts in [
            vec![first, second, third],
            vec![b"", text],
            vec![text, b""],
            vec![first, b"", b"", rest],
            vec![b"", b"", b""],
            text.chunks(1).collect(),
        ] {
            for (place, part) in parts.iter().enumerate() {
                let fin = if place + 1 == parts.len() { FIN } else { 0 };
                let opcode = if place == 0 { opcode } else { CONTINUATION };
                wire.send(&masked(fin | opcode, part))?;
            }
            expect(&mut wire, kind, &parts.concat())?;
        }
    }
    finish(wire)
}

pub fn pings_between_fragments(server: Endpoint<'_>, deadline: Instant) -> Checked {
    let mut wire = Wire::open(server.addr, server.echo, deadline)?;
    for payload in [b"one".to_vec(), Vec::new(), vec![0xff; 125]] {
        wire.send(&masked(TEXT, b"be"))?;
        pinged(&mut wire, &payload)?;
        wire.send(&masked(CONTINUATION, b"twe"))?;
        // Nobody asked for this one, and it has to be ignored.
        wire.send(&masked(FIN | PONG, b"unasked"))?;
        pinged(&mut wire, &payload)?;
        wire.send(&masked(FIN | CONTINUATION, b"en"))?;
        expect(&mut wire, Kind::Text, b"between")?;
    }
    finish(wire)
}

fn pinged(wire: &mut Wire, payload: &[u8]) -> Checked {
    wire.send(&masked(FIN | PING, payload))?;
    let pong = wire.answer()?;
    if pong.head != FIN | PONG || pong.payload != payload {
        return Err(fault!("a ping of {} B was answered by {}", payload.len(), pong.shown()));
    }
    Ok(())
}

pub fn closes(server: Endpoint<'_>, deadline: Instant) -> Checked {
    let long = "r".repeat(123);
    let sound = [
        close_payload(1000, "done"),
        close_payload(1000, &long),
        close_payload(1001, ""),
        close_payload(3000, "żółć"),
        close_payload(4999, ""),
        Vec::new(),
    ];
    for payload in sound {
        let mut wire = Wire::open(server.addr, server.echo, deadline)?;
        wire.send(&masked(FIN | CLOSE, &payload))?;
        let answer = wire.answer()?;
        let code = payload.get(..2).unwrap_or_default();
        let same = answer.payload.is_empty() || answer.payload.get(..2) == Some(code);
        // A close without a code may be answered by 1000.
        let normal = payload.is_empty() && answer.payload.starts_with(&1000_u16.to_be_bytes());
        if answer.head != FIN | CLOSE || !(same || normal) {
            return Err(fault!("a close `{}` was answered by {}", payload.escape_ascii(), answer.shown()));
        }
        wire.ended()?;
    }
    Ok(())
}

pub fn invalid_closes(server: Endpoint<'_>, deadline: Instant) -> Checked {
    for code in [0, 999, 1004, 1005, 1006, 1015, 2999] {
        let bytes = masked(FIN | CLOSE, &close_payload(code, ""));
        refused(server, deadline, PROTOCOL_ERROR, &format!("a close with the code {code}"), &bytes)?;
    }
    refused(server, deadline, PROTOCOL_ERROR, "a close with half a code", &masked(FIN | CLOSE, &[3]))?;
    let reason = [&1000_u16.to_be_bytes()[..], b"\xce\xba\xff"].concat();
    let bytes = masked(FIN | CLOSE, &reason);
    // Some take it for a broken payload and some for a broken frame, and both are right.
    refused(server, deadline, INVALID_PAYLOAD, "a close whose reason is no UTF-8", &bytes)
        .or_else(|_| refused(server, deadline, PROTOCOL_ERROR, "a close whose reason is no UTF-8", &bytes))
}

/// The largest message that a server has to accept.
fn limit() -> usize {
    SocketSpec::default().max_message_bytes as usize
}

pub fn largest(server: Endpoint<'_>, deadline: Instant) -> Checked {
    let mut wire = Wire::open(server.addr, server.echo, deadline)?;
    let payload: Vec<u8> = (0..limit()).map(|place| (place % 251) as u8).collect();
    wire.send(&masked(FIN | BINARY, &payload))?;
    expect(&mut wire, Kind::Binary, &payload)?;
    finish(wire)
}

pub fn too_large(server: Endpoint<'_>, deadline: Instant) -> Checked {
    let payload = vec![b'x'; limit() + 1];
    refused(server, deadline, TOO_BIG, "one byte over the limit", &masked(FIN | BINARY, &payload))?;
    let half = &payload[..limit() / 2 + 1];
    let bytes = [masked(BINARY, half), masked(FIN | CONTINUATION, half)].concat();
    refused(server, deadline, TOO_BIG, "a message over the limit in two frames below it", &bytes)?;
    // A frame that nobody could hold. Its header is enough to refuse it; at the latest, what exceeds the limit is.
    let bytes = [masked_header(FIN | BINARY, 1 << 62), payload].concat();
    refused(server, deadline, TOO_BIG, "a frame of 4 EiB, once more than the limit of it was sent", &bytes)
}

pub fn invalid_utf8(server: Endpoint<'_>, deadline: Instant) -> Checked {
    for (what, text) in [
        ("a byte that no UTF-8 has", &b"valid \xff"[..]),
        ("an overlong form", b"\xc0\xaf"),
        ("a surrogate", b"\xed\xa0\x80"),
        ("a code point beyond the last", b"\xf4\x90\x80\x80"),
        ("half a character", b"\xce\xba\xe1\xbd"),
    ] {
        refused(server, deadline, INVALID_PAYLOAD, what, &masked(FIN | TEXT, text))?;
    }
    let bytes = [masked(TEXT, b"\xce"), masked(FIN | CONTINUATION, b"\xce")].concat();
    refused(server, deadline, INVALID_PAYLOAD, "invalid UTF-8 across two frames", &bytes)
}

pub fn unmasked_frame(server: Endpoint<'_>, deadline: Instant) -> Checked {
    refused(server, deadline, PROTOCOL_ERROR, "an unmasked frame", &unmasked(FIN | TEXT, b"bare"))
}

pub fn reserved(server: Endpoint<'_>, deadline: Instant) -> Checked {
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        let bytes = masked(FIN | opcode, b"x");
        refused(server, deadline, PROTOCOL_ERROR, &format!("the reserved opcode {opcode:#x}"), &bytes)?;
    }
    for bit in [0x40, 0x20, 0x10] {
        let bytes = masked(FIN | bit | TEXT, b"x");
        refused(server, deadline, PROTOCOL_ERROR, &format!("the reserved bit {bit:#x}"), &bytes)?;
    }
    Ok(())
}

pub fn out_of_sequence(server: Endpoint<'_>, deadline: Instant) -> Checked {
    for (what, bytes) in [
        ("a continuation of nothing", masked(FIN | CONTINUATION, b"x")),
        ("a message inside of another", [masked(TEXT, b"x"), masked(FIN | TEXT, b"y")].concat()),
        ("a fragmented ping", masked(PING, b"x")),
        ("a ping of 126 B", masked(FIN | PING, &[b'x'; 126])),
        ("a fragmented close", masked(CLOSE, &close_payload(1000, ""))),
    ] {
        refused(server, deadline, PROTOCOL_ERROR, what, &bytes)?;
    }
    Ok(())
}

pub fn byte_by_byte(server: Endpoint<'_>, deadline: Instant) -> Checked {
    let mut wire = Wire::connect(server.addr, deadline)?;
    let request = request(server.addr, server.echo);
    wire.send_in_parts(request.as_bytes(), part_of_handshake(request.as_bytes()))?;
    wire.upgraded()?;
    let text = "one byte in each segment: żółć";
    wire.send_in_parts(&masked(FIN | TEXT, text.as_bytes()), 1)?;
    expect(&mut wire, Kind::Text, text.as_bytes())?;
    finish(wire)
}

pub fn split_anywhere(server: Endpoint<'_>, deadline: Instant) -> Checked {
    let mut wire = Wire::open(server.addr, server.echo, deadline)?;
    // Its length takes the form of two bytes.
    let text = "ten bytes ".repeat(20);
    let bytes = masked(FIN | TEXT, text.as_bytes());
    for at in 1..bytes.len() {
        wire.send_split(&bytes, at)?;
        expect(&mut wire, Kind::Text, text.as_bytes())
            .map_err(|reason| fault!("split at byte {at}: {reason}"))?;
    }
    finish(wire)
}

pub fn in_one_segment(server: Endpoint<'_>, deadline: Instant) -> Checked {
    let mut wire = Wire::open(server.addr, server.echo, deadline)?;
    let text = |number: u32| format!("message {number}");
    let bytes: Vec<u8> = (0..100).flat_map(|number| masked(FIN | TEXT, text(number).as_bytes())).collect();
    wire.send(&bytes)?;
    for number in 0..100 {
        expect(&mut wire, Kind::Text, text(number).as_bytes())?;
    }
    finish(wire)
}
