//! Checks of a server, message by message, through a library's client.

use std::{
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use bench_core::{
    payload::{Class, header, push_due_ns},
    service::fanout::GREETING,
};
use tungstenite::{Bytes, Error, HandshakeError, Message, WebSocket};

use super::{
    endpoint::Endpoint,
    fault::{Fault, fault},
};

/// Connects and upgrades.
pub fn connect(addr: SocketAddr, path: &str, deadline: Instant) -> Result<WebSocket<TcpStream>, Fault> {
    // Every single read may take what is left of the check's time.
    let limit = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let stream = TcpStream::connect_timeout(&addr, limit).and_then(|stream| {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(stream)
    });
    let stream = stream.map_err(|error| fault!("cannot connect: {error}"))?;
    match tungstenite::client(format!("ws://{addr}{path}"), stream) {
        Ok((socket, _)) => Ok(socket),
        Err(HandshakeError::Failure(Error::Http(answer))) => Err(Fault::Refused {
            status: answer.status().as_u16(),
            reason: format!("no handshake: {}", Error::Http(answer)),
        }),
        Err(error) => Err(fault!("no handshake: {error}")),
    }
}

/// Sends a message and reads the next one.
pub fn exchange(socket: &mut WebSocket<TcpStream>, message: Message) -> Result<Message, Fault> {
    socket.send(message).map_err(|error| fault!("sending failed: {error}"))?;
    read(socket)
}

/// Ends a connection by a closing handshake, as far as the server takes part in it.
pub fn close_politely(socket: &mut WebSocket<TcpStream>) {
    // Another check looks at how connections end.
    let _ = socket.close(None);
    while socket.read().is_ok() {}
}

fn read(socket: &mut WebSocket<TcpStream>) -> Result<Message, Fault> {
    socket.read().map_err(|error| fault!("no answer: {error}"))
}

fn expect_same(sent: &Message, answer: &Message) -> Result<(), Fault> {
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
    Err(fault!("{} was answered by {}", shown(sent), shown(answer)))
}

pub fn unknown_path(server: Endpoint<'_>, deadline: Instant) -> Result<(), Fault> {
    for path in ["/no-such-service", "/", "/echo?x=1", "/sink", "/sink?messages=0", "/push?count=x"] {
        match connect(server.addr, path, deadline) {
            Ok(_) => return Err(fault!("{path} was accepted")),
            Err(Fault::Refused { status: 404, .. }) => {}
            Err(reason) => return Err(fault!("{path}: 404 was due: {reason}")),
        }
    }
    Ok(())
}

pub fn order(server: Endpoint<'_>, deadline: Instant) -> Result<(), Fault> {
    const MESSAGES: u32 = 1_000;
    let mut socket = connect(server.addr, server.echo, deadline)?;
    let message = |number: u32| Message::text(format!("message {number}"));
    for number in 0..MESSAGES {
        socket.write(message(number)).map_err(|error| fault!("sending failed: {error}"))?;
    }
    socket.flush().map_err(|error| fault!("sending failed: {error}"))?;
    for number in 0..MESSAGES {
        expect_same(&message(number), &read(&mut socket)?)?;
    }
    Ok(())
}

pub fn kinds(server: Endpoint<'_>, deadline: Instant) -> Result<(), Fault> {
    let mut socket = connect(server.addr, server.echo, deadline)?;
    for message in [
        Message::text("zażółć gęślą jaźń 漢字 🦀"),
        Message::binary(Bytes::from((0..=255).collect::<Vec<u8>>())),
    ] {
        expect_same(&message, &exchange(&mut socket, message.clone())?)?;
    }
    Ok(())
}

pub fn echo(server: Endpoint<'_>, deadline: Instant, sizes: &[usize]) -> Result<(), Fault> {
    let mut socket = connect(server.addr, server.echo, deadline)?;
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

pub fn ping(server: Endpoint<'_>, deadline: Instant) -> Result<(), Fault> {
    let mut socket = connect(server.addr, server.echo, deadline)?;
    let pong = exchange(&mut socket, Message::Ping(Bytes::from_static(b"are you there")))?;
    expect_same(&Message::Pong(Bytes::from_static(b"are you there")), &pong)?;
    let message = Message::text("after the ping");
    expect_same(&message, &exchange(&mut socket, message.clone())?)
}

pub fn close(server: Endpoint<'_>, deadline: Instant) -> Result<(), Fault> {
    let mut socket = connect(server.addr, server.echo, deadline)?;
    socket.close(None).map_err(|error| fault!("sending failed: {error}"))?;
    loop {
        match socket.read() {
            Ok(Message::Close(_)) => {}
            Ok(other) => return Err(fault!("a close was answered by {other:?}")),
            Err(Error::ConnectionClosed) => return Ok(()),
            Err(error) => return Err(fault!("the closing handshake was not completed: {error}")),
        }
    }
}

pub fn sink(server: Endpoint<'_>, deadline: Instant) -> Result<(), Fault> {
    let mut socket = connect(server.addr, "/sink?messages=3", deadline)?;
    for _ in 0..2 {
        for message in [Message::text("one"), Message::binary(&b"two"[..]), Message::text("")] {
            socket.send(message).map_err(|error| fault!("sending failed: {error}"))?;
        }
        let answer = read(&mut socket)?;
        if answer != Message::text("3") {
            return Err(fault!("three messages were acknowledged by {answer:?}"));
        }
    }
    Ok(())
}

pub fn push(server: Endpoint<'_>, deadline: Instant) -> Result<(), Fault> {
    const PERIOD_NS: u64 = 2_000_000;
    let mut socket = connect(server.addr, "/push?every_us=2000&count=3&payload=40&class=warm_up", deadline)?;
    let mut first_ns = None;
    for sequence in 0..3 {
        let message = read(&mut socket)?;
        let data = message.clone().into_data();
        let due_ns = push_due_ns(Class::WarmUp, sequence, &data);
        let due_ns = due_ns.ok_or_else(|| fault!("push {sequence} is {message:?}"))?;
        if !message.is_text() || data.len() != 40 || !data[24..].iter().all(|byte| *byte == b'.') {
            return Err(fault!(
                "push {sequence} is not 40 B of text, filled up with full stops: {message:?}"
            ));
        }
        let first_ns = *first_ns.get_or_insert(due_ns);
        if due_ns != first_ns + sequence * PERIOD_NS {
            return Err(fault!("push {sequence} is due {} ns after push 0", due_ns - first_ns));
        }
    }
    Ok(())
}

/// Two subscribers, one with a queue of one message, get everything in its order and kind.
pub fn fan_out(server: Endpoint<'_>, deadline: Instant) -> Result<(), Fault> {
    let mut subscribers = [
        connect(server.addr, "/subscribe", deadline)?,
        connect(server.addr, "/subscribe?queue=1&when_full=wait", deadline)?,
    ];
    for subscriber in &mut subscribers {
        expect_same(&Message::text(GREETING), &read(subscriber)?)?;
    }
    let mut publisher = connect(server.addr, "/publish", deadline)?;
    let messages = (0..50).map(|number| match number % 2 {
        0 => Message::text(format!("message {number}")),
        _ => Message::binary(vec![number; 200]),
    });
    for message in messages.clone() {
        publisher.send(message).map_err(|error| fault!("sending failed: {error}"))?;
    }
    for subscriber in &mut subscribers {
        for message in messages.clone() {
            expect_same(&message, &read(subscriber)?)?;
        }
    }
    Ok(())
}

/// Messages of the measured class; no other check sends any, so that the server has to have counted exactly these.
pub const COUNTED: u64 = 40;
/// Size of one of them.
pub const COUNTED_BYTES: u64 = 24;

pub fn counted(server: Endpoint<'_>, deadline: Instant) -> Result<(), Fault> {
    let mut socket = connect(server.addr, server.echo, deadline)?;
    for sequence in 0..COUNTED {
        let text = format!("{}-counted-by-both", String::from_utf8_lossy(&header(Class::Measured, sequence)));
        let message = Message::text(text);
        expect_same(&message, &exchange(&mut socket, message.clone())?)?;
    }
    close_politely(&mut socket);
    Ok(())
}
