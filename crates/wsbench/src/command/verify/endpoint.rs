//! Where a server is that checks are made on.

use std::net::SocketAddr;

/// Where a server is, and its echo service.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint<'a> {
    /// The address at which it listens.
    pub addr: SocketAddr,
    /// Path and query of the service that answers every message with itself.
    pub echo: &'a str,
}

impl From<SocketAddr> for Endpoint<'_> {
    /// A server of a runner.
    fn from(addr: SocketAddr) -> Self {
        Endpoint { addr, echo: "/echo" }
    }
}
