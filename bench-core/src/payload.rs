//! Payloads: what a message carries, so that both ends can account for it and the client can verify it.
//!
//! The first eight bytes of every payload are eight lower-case hexadecimal digits, in text and binary alike: one for
//! the [`Class`], seven for the sequence number of the message in its class on its connection. The rest differs from
//! message to message and from connection to connection, so that an answer to another message is never taken for
//! the right one.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Length of the header that every payload starts with, in bytes.
pub const HEADER_BYTES: usize = 8;

/// Length of a push's header: the common one and the due instant, 16 hexadecimal digits.
pub const PUSH_HEADER_BYTES: usize = HEADER_BYTES + 16;

/// Sequence numbers have seven hexadecimal digits and start again from zero after this many messages.
pub const SEQUENCES: u64 = 1 << 28;

/// Number of distinct bodies a connection cycles through; a prime, so that no power-of-two window of messages in
/// flight ever holds two equal bodies.
const BODIES: u64 = 1021;

/// What a message belongs to. Both ends count each class apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The readiness check before a trial.
    Probe,
    /// Sent before the measured window.
    WarmUp,
    /// Sent inside the measured window.
    Measured,
    /// Anything without a valid header.
    Other,
}

impl Class {
    /// All classes, in the order of their digits.
    pub const ALL: [Class; 4] = [Class::Probe, Class::WarmUp, Class::Measured, Class::Other];

    /// The class that a payload's header names; [`Class::Other`] where there is no valid header.
    pub fn of(payload: &[u8]) -> Class {
        let Some(header) = payload.get(..HEADER_BYTES) else { return Class::Other };
        if !header.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte)) {
            return Class::Other;
        }
        match header[0] {
            b'0' => Class::Probe,
            b'1' => Class::WarmUp,
            b'2' => Class::Measured,
            _ => Class::Other,
        }
    }

    /// Name on the wire and in records.
    pub fn name(self) -> &'static str {
        match self {
            Class::Probe => "probe",
            Class::WarmUp => "warm_up",
            Class::Measured => "measured",
            Class::Other => "other",
        }
    }

    /// The class of that [`name`](Class::name).
    pub fn from_name(name: &str) -> Option<Class> {
        Class::ALL.into_iter().find(|class| class.name() == name)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The eight header bytes of message number `sequence` of `class`.
pub fn header(class: Class, sequence: u64) -> [u8; HEADER_BYTES] {
    let mut digits = hex::<HEADER_BYTES>(sequence % SEQUENCES);
    digits[0] = b'0' + class as u8;
    digits
}

/// A push: message number `sequence` of `class`, due at `due_ns` of CLOCK_MONOTONIC, filled up to `length` bytes.
pub fn push(class: Class, sequence: u64, due_ns: u64, length: usize) -> Bytes {
    let mut payload = BytesMut::with_capacity(length.max(PUSH_HEADER_BYTES));
    payload.put_slice(&header(class, sequence));
    payload.put_slice(&hex::<16>(due_ns));
    payload.resize(length.max(PUSH_HEADER_BYTES), b'.');
    payload.freeze()
}

/// The due instant that a push states, in nanoseconds of CLOCK_MONOTONIC, if `payload` is push `sequence` of `class`.
pub fn push_due_ns(class: Class, sequence: u64, payload: &[u8]) -> Option<u64> {
    if payload.get(..HEADER_BYTES)? != header(class, sequence) {
        return None;
    }
    let digits = std::str::from_utf8(payload.get(HEADER_BYTES..PUSH_HEADER_BYTES)?).ok()?;
    u64::from_str_radix(digits, 16).ok()
}

/// The number of a message in `class`, if its header names that class.
pub fn sequence(class: Class, payload: &[u8]) -> Option<u64> {
    let digits = payload.get(1..HEADER_BYTES).filter(|_| Class::of(payload) == class)?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn hex<const N: usize>(value: u64) -> [u8; N] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|place| DIGITS[(value >> (4 * (N - 1 - place)) & 0xf) as usize])
}

/// Makes and checks the payloads of one connection.
#[derive(Clone, Debug)]
pub struct PayloadSource {
    pool: Bytes,
    body: usize,
    connection: u64,
}

impl PayloadSource {
    /// Payloads of `length` bytes for connection number 0; [`HEADER_BYTES`] is the least.
    pub fn new(length: usize) -> PayloadSource {
        let body = length.saturating_sub(HEADER_BYTES);
        // xorshift64 (Marsaglia 2003): any fixed sequence without short repeats serves here.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let pool = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b'!' + (state % 94) as u8
        });
        PayloadSource { pool: pool.take(body + BODIES as usize).collect(), body, connection: 0 }
    }

    /// The same for another connection; the memory is shared.
    pub fn for_connection(&self, connection: u64) -> PayloadSource {
        PayloadSource { connection, ..self.clone() }
    }

    /// Payload of message number `sequence` of `class`.
    pub fn payload(&self, class: Class, sequence: u64) -> Bytes {
        let mut payload = BytesMut::with_capacity(HEADER_BYTES + self.body);
        payload.put_slice(&header(class, sequence));
        payload.put_slice(self.body(sequence));
        payload.freeze()
    }

    /// Whether `payload` is exactly the payload of message `sequence` of `class`.
    pub fn is_payload(&self, class: Class, sequence: u64, payload: &[u8]) -> bool {
        payload
            .split_at_checked(HEADER_BYTES)
            .is_some_and(|(head, body)| head == header(class, sequence) && body == self.body(sequence))
    }

    fn body(&self, sequence: u64) -> &[u8] {
        let start = ((sequence % BODIES * 7 + self.connection * 131) % BODIES) as usize;
        &self.pool[start..start + self.body]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_class_and_sequence() {
        assert_eq!(&header(Class::Measured, 0x1f), b"2000001f");
        assert_eq!(&header(Class::Probe, SEQUENCES + 2), b"00000002");
        for class in [Class::Probe, Class::WarmUp, Class::Measured] {
            assert_eq!(Class::of(&header(class, 77)), class);
            assert_eq!(sequence(class, &header(class, 77)), Some(77));
        }
    }

    #[test]
    fn what_has_no_header_is_other() {
        for payload in [&b""[..], b"2", b"2000001", b"Performance", b"9000001f", b"2000001F"] {
            assert_eq!(Class::of(payload), Class::Other);
            assert_eq!(sequence(Class::Measured, payload), None);
        }
    }

    #[test]
    fn payloads_are_told_apart() {
        let source = PayloadSource::new(24);
        let mine = source.payload(Class::Measured, 5);
        assert_eq!(mine.len(), 24);
        assert!(mine.is_ascii());
        assert!(source.is_payload(Class::Measured, 5, &mine));
        assert!(!source.is_payload(Class::Measured, 6, &mine));
        assert!(!source.is_payload(Class::WarmUp, 5, &mine));
        assert!(!source.for_connection(1).is_payload(Class::Measured, 5, &mine));
        assert!(!source.is_payload(Class::Measured, 5, &mine[..23]));
        let header_only = PayloadSource::new(HEADER_BYTES);
        assert!(header_only.is_payload(Class::Measured, 5, &header(Class::Measured, 5)));
    }

    #[test]
    fn a_push_states_its_due_instant() {
        let payload = push(Class::Measured, 3, 1_234_567_890_123, 24);
        assert_eq!(payload.len(), 24);
        assert_eq!(push_due_ns(Class::Measured, 3, &payload), Some(1_234_567_890_123));
        assert_eq!(push_due_ns(Class::Measured, 4, &payload), None);
        assert_eq!(push(Class::Measured, 3, 1, 100).len(), 100);
    }
}
