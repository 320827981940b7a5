//! The readiness check: a full opening handshake and one verified echo, never a sleep.

use std::{
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use bench_core::{
    payload::{Class, header},
    spec::SocketSpec,
    tls::Connector,
    transport::Transport,
};
use tungstenite::Message;

/// Longest time for each read and write of the check.
const LIMIT: Duration = Duration::from_secs(10);

/// Sends one text message with a nonce to `/echo`, under TLS where there is a connector, and verifies the answer.
///
/// # Errors
/// When the server cannot be reached within `limit`, does not complete the handshake, or answers anything else.
pub fn echo_nonce(addr: SocketAddr, tls: Option<&Connector>, limit: Duration) -> Result<(), String> {
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
    let failed = |what: &str, error: String| format!("{what} {addr} failed: {error}");
    let stream = TcpStream::connect_timeout(&addr, limit)
        .and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(limit))?;
            stream.set_write_timeout(Some(limit))?;
            Ok(stream)
        })
        .map_err(|error| failed("connecting to", error.to_string()))?;
    let scheme = if tls.is_some() { "wss" } else { "ws" };
    let url = format!("{scheme}://{addr}/echo");
    let session = tls.map(|tls| tls.session(&url, &SocketSpec::default())).transpose();
    let session = session.map_err(|error| failed("TLS with", error.to_string()))?;
    let (mut socket, _) = tungstenite::client(url, Transport::new(stream, session))
        .map_err(|error| failed("the opening handshake with", error.to_string()))?;
    let answer = socket
        .send(Message::text(nonce.as_str()))
        .and_then(|()| socket.read())
        .map_err(|error| failed("the echo of a nonce by", error.to_string()))?;
    if answer != Message::text(nonce.as_str()) {
        return Err(format!("{addr} answered the nonce `{nonce}` with {answer:?}"));
    }
    socket.close(None).map_err(|error| failed("closing the connection to", error.to_string()))?;
    loop {
        match socket.read() {
            Ok(Message::Close(_)) => {}
            Ok(other) => return Err(format!("{addr} answered a close with {other:?}")),
            Err(tungstenite::Error::ConnectionClosed) => return Ok(()),
            Err(error) => return Err(failed("closing the connection to", error.to_string())),
        }
    }
}
