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
}

impl Target {
    /// Parses `HOST:PORT` or `ws://HOST[:PORT]/PATH` and resolves the host.
    ///
    /// # Errors
    /// When the text has another form or the host does not resolve.
    pub fn parse(text: &str) -> anyhow::Result<Target> {
        anyhow::ensure!(
            !text.starts_with("wss://"),
            "`{text}` asks for TLS, which this client does not speak: use ws://HOST:PORT/PATH"
        );
        let (authority, path) = match text.strip_prefix("ws://") {
            None => (text.to_owned(), None),
            Some(rest) => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                let default_port =
                    if authority.ends_with(']') || !authority.contains(':') { ":80" } else { "" };
                (format!("{authority}{default_port}"), Some(format!("/{path}")))
            }
        };
        let addr = authority
            .to_socket_addrs()
            .with_context(|| format!("`{text}` is not a target: use HOST:PORT or ws://HOST:PORT/PATH"))?
            .next()
            .with_context(|| format!("the host of `{text}` has no address"))?;
        Ok(Target { addr, authority, path })
    }

    /// The URL of `service` (a path and query) there; the target's own path stands in for `/echo`.
    pub fn url(&self, service: &str) -> String {
        let path = match (&self.path, service) {
            (Some(path), "/echo") => path,
            _ => service,
        };
        format!("ws://{}{path}", self.authority)
    }
}
