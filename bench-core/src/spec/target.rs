//! Where a client connects to.

use std::net::{SocketAddr, ToSocketAddrs};

use anyhow::Context;

/// Where a client connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The address, resolved.
    pub addr: SocketAddr,
    /// What the Host header says: host and port as given.
    pub authority: String,
    /// The path of the echo service, where it is not wsbench's own.
    pub path: Option<String>,
    /// How it is reached, where the text says so.
    pub scheme: Option<Scheme>,
}

/// The two schemes of WebSocket URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain TCP.
    Ws,
    /// TLS.
    Wss,
}

impl Target {
    /// Parses `HOST:PORT` or `ws://HOST[:PORT]/PATH` or the same with `wss://`, and resolves the host.
    ///
    /// # Errors
    /// When the text has another form or the host does not resolve.
    pub fn parse(text: &str) -> anyhow::Result<Target> {
        let schemes = [("ws://", Scheme::Ws, 80), ("wss://", Scheme::Wss, 443)];
        let url = schemes
            .iter()
            .find_map(|(prefix, scheme, port)| Some((text.strip_prefix(prefix)?, scheme, port)));
        let (authority, path, scheme) = match url {
            None => (text.to_owned(), None, None),
            Some((rest, scheme, port)) => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                let has_port = !authority.ends_with(']') && authority.contains(':');
                let default_port = if has_port { String::new() } else { format!(":{port}") };
                (format!("{authority}{default_port}"), Some(format!("/{path}")), Some(*scheme))
            }
        };
        let addr = authority
            .to_socket_addrs()
            .with_context(|| format!("`{text}` is not a target: use HOST:PORT or ws://HOST:PORT/PATH"))?
            .next()
            .with_context(|| format!("the host of `{text}` has no address"))?;
        Ok(Target { addr, authority, path, scheme })
    }

    /// The URL of `service` (a path and query) there, under TLS or not; the target's own path stands in for `/echo`.
    pub fn url(&self, service: &str, tls: bool) -> String {
        let path = match (&self.path, service) {
            (Some(path), "/echo") => path,
            _ => service,
        };
        let scheme = if tls { "wss" } else { "ws" };
        format!("{scheme}://{}{path}", self.authority)
    }
}
