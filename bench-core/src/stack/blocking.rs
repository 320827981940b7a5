//! A blocking WebSocket connection over std's TCP stream, without a row: enough to ask a server one question.

use std::{io::ErrorKind, net::TcpStream};

use async_tungstenite::tungstenite::{WebSocket, protocol::Role};

use crate::{
    SocketError, SocketResult,
    spec::SocketSpec,
    stack::{
        tls::Connector,
        transport::Transport,
        upgrade::{Additions, Handshake, shake_hands},
    },
};

/// Runs the client's half of the opening handshake for `url` over a connected, blocking stream, under TLS if there is a
/// connector. The stream's own time limits apply to each read and write.
///
/// # Errors
/// When the server does not complete a valid handshake, or a time limit of the stream runs out.
pub fn open(
    stream: TcpStream,
    url: &str,
    additions: &Additions,
    tls: Option<&Connector>,
) -> SocketResult<WebSocket<Transport<TcpStream>>> {
    let limit = stream.read_timeout()?.unwrap_or_default();
    let session = tls.map(|tls| tls.session(url, &SocketSpec::default())).transpose()?;
    let mut stream = Transport::new(stream, session);
    let tail = shake_hands(&mut stream, Handshake::new(url, additions)?).map_err(|error| match error {
        // What the kernel says when its limit on a read or write has run out.
        SocketError::Io(error) if error.kind() == ErrorKind::WouldBlock => {
            SocketError::TimedOut { what: "the opening handshake", limit_ms: limit.as_millis() as u64 }
        }
        error => error,
    })?;
    Ok(WebSocket::from_partially_read(stream, tail, Role::Client, None))
}
