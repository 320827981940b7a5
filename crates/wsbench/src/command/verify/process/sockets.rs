//! The options of a server's sockets, read from the sockets themselves.

use std::{
    fs, io,
    net::{SocketAddr, TcpStream},
};

use rustix::{
    io::Errno,
    process::{ForeignRawFd, Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};
use tungstenite::Message;

use super::super::{
    fault::{Fault, fault},
    findings::{Seen, deadline},
    messages,
    running::Running,
};

/// An accepted connection sends every message at once: with Nagle's algorithm a second small message would wait for the
/// client's acknowledgement of the first.
pub(super) fn no_delay(server: &Running) -> Result<Seen, Fault> {
    let mut socket = messages::connect(server.addr(), "/echo", deadline())?;
    // An echo shows that the server has set up its end.
    messages::exchange(&mut socket, Message::text("is everything set"))?;
    let own = socket.get_ref().local_addr().map_err(|error| fault!("no local address: {error}"))?;
    let accepted = match accepted_from(own, server.id()) {
        Ok(Some(accepted)) => accepted,
        Ok(None) => {
            return Ok(Seen::Unseen("the connection is not among the files of the server".to_owned()));
        }
        Err(error) => {
            return Ok(Seen::Unseen(format!("the system does not show the server's sockets: {error}")));
        }
    };
    let no_delay = accepted.nodelay().map_err(|error| fault!("the option cannot be read: {error}"))?;
    // Else the connection would stay open for as long as this process has its other end, too.
    drop(accepted);
    messages::close_politely(&mut socket);
    if no_delay {
        return Ok(Seen::Sound);
    }
    Err(fault!("it is not set on a connection that was accepted"))
}

/// The process's end of the connection that comes from `from`: the same socket, not a copy.
fn accepted_from(from: SocketAddr, process: u32) -> io::Result<Option<TcpStream>> {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    let process_fd = pidfd_open(pid, PidfdFlags::empty())?;
    for entry in fs::read_dir(format!("/proc/{process}/fd"))?.flatten() {
        let is_socket =
            fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"));
        let number = entry.file_name().to_str().and_then(|name| name.parse::<ForeignRawFd>().ok());
        let Some(number) = number.filter(|_| is_socket) else { continue };
        let file = match pidfd_getfd(&process_fd, number, PidfdGetfdFlags::empty()) {
            // Closed in the meantime.
            Err(Errno::BADF) => continue,
            file => file?,
        };
        let stream = TcpStream::from(file);
        // Whatever is not a TCP connection has no such address.
        let peer = stream.peer_addr().map(|peer| SocketAddr::new(peer.ip().to_canonical(), peer.port()));
        if peer.is_ok_and(|peer| peer == from) {
            return Ok(Some(stream));
        }
    }
    Ok(None)
}
