//! The readiness check: a full opening handshake and one verified echo, never a sleep.

use std::{
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use bench_core::{
    payload::{Class, header},
    stack::{blocking, tls::Connector, upgrade::Additions},
};
use tungstenite::Message;

/// Longest time for each read and write of the check.
const LIMIT: Duration = Duration::from_secs(10);

/// Why a server is not ready.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A step of the check failed.
    #[error("{what} {addr} failed: {reason}")]
    Failed {
        /// The step.
        what: &'static str,
        /// The server's address.
        addr: SocketAddr,
        /// What the system, TLS or the WebSocket stack says.
        reason: String,
    },
    /// It did not echo the nonce.
    #[error("{addr} answered the nonce `{nonce}` with {answer:?}")]
    WrongEcho {
        /// The server's address.
        addr: SocketAddr,
        /// What was sent.
        nonce: String,
        /// What came back.
        answer: Message,
    },
    /// It sent something else than the answer to a close.
    #[error("{addr} answered a close with {answer:?}")]
    WrongClose {
        /// The server's address.
        addr: SocketAddr,
        /// What came back.
        answer: Message,
    },
}

impl From<ProbeError> for String {
    fn from(error: ProbeError) -> String {
        error.to_string()
    }
}

/// Sends one text message with a nonce to `/echo`, under TLS where there is a connector, and verifies the answer.
///
/// # Errors
/// When the server cannot be reached within `limit`, does not complete the handshake, or answers anything else.
pub fn echo_nonce(addr: SocketAddr, tls: Option<&Connector>, limit: Duration) -> Result<(), ProbeError> {
    let scheme = if tls.is_some() { "wss" } else { "ws" };
    echo_nonce_of(addr, &format!("{scheme}://{addr}/echo"), &Additions::default(), tls, limit)
}

/// The same at another URL, with what the client adds to its request.
///
/// # Errors
/// When the server cannot be reached within `limit`, does not complete the handshake, or answers anything else.
pub fn echo_nonce_of(
    addr: SocketAddr,
    url: &str,
    additions: &Additions,
    tls: Option<&Connector>,
    limit: Duration,
) -> Result<(), ProbeError> {
    // Distinct from trial to trial and from process to process, so that no stale server can answer for this one.
    static NONCE: AtomicU64 = AtomicU64::new(0);
    let nonce = format!(
        "{}{}-{}-{}",
        String::from_utf8_lossy(&header(Class::Probe, 0)),
        std::process::id(),
        bench_core::timer::now_ns(),
        NONCE.fetch_add(1, Relaxed)
    );
    let limit = limit.clamp(Duration::from_millis(1), LIMIT);
    let failed = |what, reason| ProbeError::Failed { what, addr, reason };
    let stream = TcpStream::connect_timeout(&addr, limit)
        .and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(limit))?;
            stream.set_write_timeout(Some(limit))?;
            Ok(stream)
        })
        .map_err(|error| failed("connecting to", error.to_string()))?;
    let mut socket = blocking::open(stream, url, additions, tls)
        .map_err(|error| failed("the opening handshake with", error.to_string()))?;
    let answer = socket
        .send(Message::text(nonce.as_str()))
        .and_then(|()| socket.read())
        .map_err(|error| failed("the echo of a nonce by", error.to_string()))?;
    if answer != Message::text(nonce.as_str()) {
        return Err(ProbeError::WrongEcho { addr, nonce, answer });
    }
    socket.close(None).map_err(|error| failed("closing the connection to", error.to_string()))?;
    loop {
        match socket.read() {
            Ok(Message::Close(_)) => {}
            Ok(answer) => return Err(ProbeError::WrongClose { addr, answer }),
            Err(tungstenite::Error::ConnectionClosed) => return Ok(()),
            Err(error) => return Err(failed("closing the connection to", error.to_string())),
        }
    }
}
