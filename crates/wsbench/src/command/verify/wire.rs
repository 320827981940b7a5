//! WebSocket frames by hand, on a plain TCP stream: a check has to be able to send what no library would.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use bench_core::Kind;
use tungstenite::handshake::derive_accept_key;

use super::fault::{Fault, fault};

/// Opcode of a frame that continues a message.
pub const CONTINUATION: u8 = 0x0;
/// Opcode of a text message.
pub const TEXT: u8 = 0x1;
/// Opcode of a binary message.
pub const BINARY: u8 = 0x2;
/// Opcode of a close frame.
pub const CLOSE: u8 = 0x8;
/// Opcode of a ping.
pub const PING: u8 = 0x9;
/// Opcode of a pong.
pub const PONG: u8 = 0xa;

/// The bit of the first byte that ends a message.
pub const FIN: u8 = 0x80;

/// The client's half of RFC 6455's example handshake.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The bit of the second byte that says that a frame is masked.
const MASK_BIT: u8 = 0x80;

/// Any key without a zero byte shows a peer that does not unmask.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What a runner may answer beyond this is no answer: more than the largest message of any check.
const LONGEST_PAYLOAD: u64 = 64 << 20;

/// Between two parts of a frame that is sent in parts: long enough that the peer, which is waiting for the first part,
/// usually reads it alone. A part that is read together with the next one makes the check easier, never wrong.
const PART_PAUSE: Duration = Duration::from_micros(100);

/// One frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The first byte: FIN, the reserved bits, the opcode.
    pub head: u8,
    /// Whether it was masked; the payload is not any more.
    pub masked: bool,
    /// What it carries.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Its opcode.
    pub fn opcode(&self) -> u8 {
        self.head & 0x0f
    }

    /// In a few words.
    pub fn shown(&self) -> String {
        let kind = match self.opcode() {
            CONTINUATION => "a continuation",
            TEXT => "a text",
            BINARY => "a binary",
            CLOSE => "a close",
            PING => "a ping",
            PONG => "a pong",
            _ => "a reserved",
        };
        let start = self.payload[..self.payload.len().min(16)].escape_ascii();
        format!("{kind} frame `{start}` of {} B", self.payload.len())
    }
}

/// The bytes of a masked frame, as a client sends it. `head` is FIN, the reserved bits and the opcode.
pub fn masked(head: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = masked_header(head, payload.len() as u64);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// The bytes of an unmasked frame, as a server sends it.
pub fn unmasked(head: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = unmasked_header(head, payload.len() as u64);
    bytes.extend(payload);
    bytes
}

/// The header of a masked frame whose payload has `length` bytes, with the mask's key.
pub fn masked_header(head: u8, length: u64) -> Vec<u8> {
    let mut bytes = unmasked_header(head, length);
    bytes[1] |= MASK_BIT;
    bytes.extend(MASK);
    bytes
}

/// The header of an unmasked frame whose payload has `length` bytes.
pub fn unmasked_header(head: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![head];
    match length {
        0..=125 => bytes.push(length as u8),
        126..=0xffff => {
            bytes.push(126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes
}

/// What stands in a close frame.
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason.as_bytes()].concat()
}

/// One end of a connection, all of whose reads and writes end by a deadline.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    deadline: Instant,
}

impl Wire {
    /// A connection that was accepted.
    pub fn new(stream: TcpStream, deadline: Instant) -> Result<Wire, Fault> {
        stream.set_nodelay(true).map_err(|error| fault!("TCP_NODELAY: {error}"))?;
        Ok(Wire { stream, deadline })
    }

    /// Connects, without a handshake.
    pub fn connect(addr: SocketAddr, deadline: Instant) -> Result<Wire, Fault> {
        let stream = TcpStream::connect_timeout(&addr, left(deadline).map_err(|error| error.to_string())?);
        Wire::new(stream.map_err(|error| fault!("cannot connect: {error}"))?, deadline)
    }

    /// Connects and upgrades.
    pub fn open(addr: SocketAddr, path: &str, deadline: Instant) -> Result<Wire, Fault> {
        let mut wire = Wire::connect(addr, deadline)?;
        wire.send(request(addr, path).as_bytes())?;
        wire.upgraded()?;
        Ok(wire)
    }

    /// Reads the answer to a handshake, which has to be the right one.
    pub fn upgraded(&mut self) -> Result<(), Fault> {
        let head = self.read_head().map_err(|error| fault!("no handshake: {error}"))?;
        if head.status() != Some(101) {
            return Err(fault!("the handshake was answered by `{}`", head.line));
        }
        let accept = derive_accept_key(KEY.as_bytes());
        if head.value("sec-websocket-accept") != Some(&accept) {
            return Err(fault!("the handshake was answered without the right Sec-WebSocket-Accept"));
        }
        Ok(())
    }

    /// Writes bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.write(bytes).map_err(|error| fault!("sending failed: {error}"))
    }

    /// The same, for a caller that wants to know how it failed.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.set_write_timeout(Some(left(self.deadline)?))?;
        self.stream.write_all(bytes).map_err(timed_out)
    }

    /// Writes bytes in parts of `size`, each in a segment of its own.
    pub fn send_in_parts(&mut self, bytes: &[u8], size: usize) -> Result<(), Fault> {
        for part in bytes.chunks(size) {
            self.send(part)?;
            std::thread::sleep(PART_PAUSE);
        }
        Ok(())
    }

    /// Writes bytes in two segments.
    pub fn send_split(&mut self, bytes: &[u8], at: usize) -> Result<(), Fault> {
        self.send(&bytes[..at])?;
        std::thread::sleep(PART_PAUSE);
        self.send(&bytes[at..])
    }

    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.stream.set_read_timeout(Some(left(self.deadline)?))?;
        self.stream.read_exact(bytes).map_err(timed_out)
    }

    /// The next frame.
    pub fn frame(&mut self) -> io::Result<Frame> {
        let mut start = [0; 2];
        self.fill(&mut start)?;
        let mut longer = [0; 8];
        let length = match start[1] & !MASK_BIT {
            126 => {
                self.fill(&mut longer[6..])?;
                u64::from_be_bytes(longer)
            }
            127 => {
                self.fill(&mut longer)?;
                u64::from_be_bytes(longer)
            }
            short => short.into(),
        };
        if length > LONGEST_PAYLOAD {
            return Err(io::Error::other(format!("a frame of {length} B began")));
        }
        let masked = start[1] & MASK_BIT != 0;
        let mut key = [0; 4];
        if masked {
            self.fill(&mut key)?;
        }
        let mut payload = vec![0; length as usize];
        self.fill(&mut payload)?;
        if masked {
            payload.iter_mut().zip(key.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        }
        Ok(Frame { head: start[0], masked, payload })
    }

    /// The next frame of a server: unmasked, without reserved bits.
    pub fn answer(&mut self) -> Result<Frame, Fault> {
        let frame = self.frame().map_err(|error| fault!("no answer: {error}"))?;
        if frame.masked || frame.head & 0x70 != 0 {
            return Err(fault!("{} came masked or with reserved bits", frame.shown()));
        }
        Ok(frame)
    }

    /// The next message, in as many frames as the peer likes.
    pub fn message(&mut self) -> Result<(Kind, Vec<u8>), Fault> {
        let mut frame = self.answer()?;
        let kind = match frame.opcode() {
            TEXT => Kind::Text,
            BINARY => Kind::Binary,
            _ => return Err(fault!("a message was due, and {} came", frame.shown())),
        };
        let mut whole = std::mem::take(&mut frame.payload);
        while frame.head & FIN == 0 {
            frame = self.answer()?;
            if frame.opcode() != CONTINUATION {
                return Err(fault!("the rest of a message was due, and {} came", frame.shown()));
            }
            whole.extend(&frame.payload);
        }
        Ok((kind, whole))
    }

    /// Reads an HTTP head, byte by byte: what follows it belongs to frames.
    pub fn read_head(&mut self) -> io::Result<Head> {
        const LONGEST: usize = 16 << 10;
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.fill(&mut byte)?;
            bytes.push(byte[0]);
            if bytes.len() > LONGEST {
                return Err(io::Error::other("the head is endless"));
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.lines().filter(|line| !line.is_empty());
        let line = lines.next().unwrap_or_default().to_owned();
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().to_lowercase(), value.trim().to_owned()))
        };
        Ok(Head { line, headers: lines.filter_map(header).collect() })
    }

    /// Whether the peer ends the connection, by an end or a reset, before anything else comes.
    pub fn ended(&mut self) -> Result<(), Fault> {
        match self.fill(&mut [0]) {
            Ok(()) => Err(fault!("more came where the connection should have ended")),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                Err(fault!("the connection stayed open: {error}"))
            }
            Err(_) => Ok(()),
        }
    }
}

/// An HTTP head.
#[derive(Debug)]
pub struct Head {
    /// Its first line.
    pub line: String,
    headers: Vec<(String, String)>,
}

impl Head {
    /// The status, where its first line is that of an answer.
    pub fn status(&self) -> Option<u16> {
        let mut words = self.line.strip_prefix("HTTP/1.1 ")?.split(' ');
        words.next()?.parse().ok()
    }

    /// The value of the first header of that name, which is given in lower case.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Whether a header's list of words holds `word`, in any case.
    pub fn has_word(&self, name: &str, word: &str) -> bool {
        let words = self.value(name).unwrap_or_default().split(',');
        words.into_iter().any(|own| own.trim().eq_ignore_ascii_case(word))
    }
}

/// A sound request for a handshake.
pub fn request(addr: SocketAddr, path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// The size of the parts of a handshake that is sent in many: tungstenite takes a handshake of more than 64 small
/// segments for an attack and refuses it, which no standard forbids.
pub fn part_of_handshake(bytes: &[u8]) -> usize {
    const PARTS: usize = 48;
    bytes.len().div_ceil(PARTS)
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(timed_out(io::ErrorKind::TimedOut.into()));
    }
    Ok(left)
}

/// Unix reports a read that timed out as one that would block.
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            io::Error::new(io::ErrorKind::TimedOut, "nothing more happened until the check's time was over")
        }
        _ => error,
    }
}
