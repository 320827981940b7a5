//! The cut between wsbench and a WebSocket stack: whole messages.

use std::{future::Future, io};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One established WebSocket connection, as a workload or a service sees it.
///
/// The futures carry no `Send` bound on purpose: a workload only awaits them, and the runner, where the type is
/// concrete, decides how to spawn.
pub trait Socket {
    /// The stack's own message type: an echo moves it from `recv` to `feed`, unconverted.
    type Message: Message;

    /// The next data message; `None` once the peer has closed in order. Control frames are answered inside.
    ///
    /// Under the flush policy `before-wait` it writes out what was fed before it reads from the connection.
    fn recv(&mut self) -> impl Future<Output = Result<Option<Self::Message>, SocketError>>;

    /// Queues a message; under the flush policy `each` it is also written out. Waits while the queue is full.
    fn feed(&mut self, message: Self::Message) -> impl Future<Output = Result<(), SocketError>>;

    /// Writes out what was fed.
    fn flush(&mut self) -> impl Future<Output = Result<(), SocketError>>;

    /// Runs the closing handshake to its end.
    fn close(&mut self) -> impl Future<Output = Result<(), SocketError>>;

    /// What TLS has agreed on; `None` for a plain connection.
    fn secured(&self) -> Option<Secured> {
        None
    }
}

/// A data message of a WebSocket stack.
pub trait Message {
    /// A message of this kind. A text payload must be UTF-8; all of wsbench's are ASCII.
    fn new(kind: Kind, payload: Bytes) -> Self;

    /// Text or binary.
    fn kind(&self) -> Kind;

    /// Its payload, unmasked.
    fn payload(&self) -> &[u8];
}

/// The two kinds of data message (RFC 6455, section 5.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// UTF-8 text, opcode 1.
    #[default]
    Text,
    /// Bytes, opcode 2.
    Binary,
}

/// What two ends of a connection under TLS have agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Secured {
    /// Version of the protocol, such as `TLSv1_3`.
    pub protocol: String,
    /// Cipher suite, such as `TLS13_AES_128_GCM_SHA256`.
    pub cipher_suite: String,
    /// Group of the key exchange, such as `X25519`.
    pub key_exchange: String,
}

/// What came of an operation on a connection.
pub type SocketResult<T> = Result<T, SocketError>;

/// Why a connection ended other than in order.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The transport failed.
    #[error(transparent)]
    Io(io::Error),
    /// TLS failed, or the peer's certificate is not trusted.
    #[error("TLS: {0}")]
    Tls(String),
    /// The peer ended the connection without a closing handshake.
    #[error("the connection ended without a closing handshake")]
    NotClosed,
    /// The peer, or this end, broke the WebSocket protocol.
    #[error("WebSocket protocol: {0}")]
    Protocol(String),
    /// The opening handshake was refused or malformed.
    #[error("WebSocket handshake: {0}")]
    Handshake(String),
    /// A limit on time ran out.
    #[error("{what} took longer than {limit_ms} ms")]
    TimedOut {
        /// What was waited for.
        what: &'static str,
        /// The limit in milliseconds.
        limit_ms: u64,
    },
}

/// Why TLS failed, in words. A stream under TLS wraps it in an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TlsFailure(pub(crate) String);

impl From<io::Error> for SocketError {
    fn from(error: io::Error) -> SocketError {
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(TlsFailure(reason)) => SocketError::Tls(reason.clone()),
            None => SocketError::Io(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn an_error_with_its_causes_says_everything_once() {
        let chain = |error: io::Error| {
            let result: Result<(), SocketError> = Err(error.into());
            format!("{:#}", result.context("connection 0").unwrap_err())
        };
        let refused = io::Error::from_raw_os_error(111);
        assert_eq!(chain(io::Error::from_raw_os_error(111)), format!("connection 0: {refused}"));
        let failure = TlsFailure("received fatal alert: ProtocolVersion".to_owned());
        assert_eq!(
            chain(io::Error::new(io::ErrorKind::InvalidData, failure)),
            "connection 0: TLS: received fatal alert: ProtocolVersion"
        );
    }
}
