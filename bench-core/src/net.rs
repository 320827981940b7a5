//! Sockets: made here, with options that are equal for every row; the runtimes wrap them. What remains to a runner is
//! TCP_NODELAY on every accepted and every connected stream.

use std::{io, net::TcpListener, time::Duration};

use socket2::{Domain, Protocol, Socket, Type};

use crate::ServeSpec;

/// Length of the accept queue asked for. std, mio and async-io ask for 128, which a burst of connects overruns; the
/// kernel cuts this down to net.core.somaxconn (4096 by default).
pub const BACKLOG: i32 = 4096;

/// How long a server waits after a failed accept, where waiting helps (no file descriptor left): long enough not to
/// spin, short enough that a freed descriptor is used soon.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(10);

/// A non-blocking listener with SO_REUSEADDR and the common backlog. What it accepts has the send buffer of `spec`.
///
/// # Errors
/// When the address cannot be listened on.
pub fn listen(spec: &ServeSpec) -> io::Result<TcpListener> {
    let addr = spec.listen;
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // On Windows SO_REUSEADDR would let two servers share a port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if let Some(bytes) = spec.socket.send_buffer_bytes {
        socket.set_send_buffer_size(bytes as usize)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// How long an accept loop should wait after this error before it accepts again; `None`: not at all.
///
/// No error of one accept ends a server: a connection that was reset in the queue says nothing about the next one.
pub fn accept_back_off(error: &io::Error) -> Option<Duration> {
    let of_one_connection = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    );
    (!of_one_connection).then_some(ACCEPT_BACK_OFF)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::SocketSpec;

    #[test]
    fn a_listener_has_a_port_and_does_not_block() {
        let socket = SocketSpec { send_buffer_bytes: Some(64 << 10), ..SocketSpec::default() };
        let listener = listen(&ServeSpec::on_loopback(1, socket)).unwrap();
        assert_ne!(listener.local_addr().unwrap().port(), 0);
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn only_a_lack_of_resources_makes_an_accept_loop_wait() {
        assert_eq!(accept_back_off(&io::ErrorKind::ConnectionAborted.into()), None);
        assert_eq!(accept_back_off(&io::Error::from_raw_os_error(24)), Some(ACCEPT_BACK_OFF));
    }
}
