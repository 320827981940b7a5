//! Where a client connects to.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};

use anyhow::{Context, bail, ensure};
use async_tungstenite::tungstenite::http::Uri;

use super::user::without_password;

/// Where a client connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The addresses that the host resolves to, in the order in which they are tried. There is at least one.
    pub addrs: Vec<SocketAddr>,
    /// What the Host header says: the host as given, and the port where it is not the scheme's own.
    pub authority: String,
    /// The path of the echo service, with its query, where it is not wsbench's own.
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

impl Scheme {
    /// The port that a URL of this scheme need not name.
    fn port(self) -> u16 {
        match self {
            Scheme::Ws => 80,
            Scheme::Wss => 443,
        }
    }
}

impl Target {
    /// Parses `HOST:PORT` or `ws://HOST[:PORT][/PATH][?QUERY]` or the same with `wss://`, and resolves the host.
    ///
    /// # Errors
    /// When the text has another form or the host does not resolve.
    pub fn parse(text: &str) -> anyhow::Result<Target> {
        let form = || {
            let text = without_password(text);
            format!("`{text}` is not a target: use HOST:PORT or ws://HOST:PORT/PATH")
        };
        ensure!(without_password(text) == text, "{}, without a user", form());
        let scheme = match text.split_once("://") {
            None => None,
            Some(("ws", _)) => Some(Scheme::Ws),
            Some(("wss", _)) => Some(Scheme::Wss),
            Some(_) => bail!(form()),
        };
        let Some(scheme) = scheme else {
            let addrs = resolve(text).with_context(form)?;
            return Ok(Target { addrs, authority: text.to_owned(), path: None, scheme: None });
        };
        let uri: Uri = text.parse().with_context(form)?;
        let authority = uri.authority().with_context(form)?;
        let (host, port) = (authority.host(), authority.port_u16().unwrap_or(scheme.port()));
        let addrs = resolve(&format!("{host}:{port}")).with_context(form)?;
        let port = if port == scheme.port() { String::new() } else { format!(":{port}") };
        let query = uri.query().map_or(String::new(), |query| format!("?{query}"));
        let path = format!("{}{query}", uri.path());
        Ok(Target { addrs, authority: format!("{host}{port}"), path: Some(path), scheme: Some(scheme) })
    }

    /// Whether every address is one of this machine.
    pub fn is_own(&self) -> bool {
        self.addrs.iter().all(|addr| is_own(addr.ip()))
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

fn resolve(host_and_port: &str) -> anyhow::Result<Vec<SocketAddr>> {
    let addrs: Vec<SocketAddr> = host_and_port.to_socket_addrs()?.collect();
    ensure!(!addrs.is_empty(), "`{host_and_port}` has no address");
    Ok(addrs)
}

/// Whether an address is one of this machine: loopback, or of an interface. Only such an address can be bound.
fn is_own(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_in_all_their_forms() {
        let of = |text: &str| {
            let target = Target::parse(text).unwrap();
            (target.addrs[0].to_string(), target.authority, target.path)
        };
        let whole = |addr: &str, authority: &str, path: &str| {
            (addr.to_owned(), authority.to_owned(), Some(path.to_owned()))
        };
        assert_eq!(of("ws://127.0.0.1:9001?token=a"), whole("127.0.0.1:9001", "127.0.0.1:9001", "/?token=a"));
        assert_eq!(of("ws://127.0.0.1:9001?next=/x"), whole("127.0.0.1:9001", "127.0.0.1:9001", "/?next=/x"));
        assert_eq!(of("ws://[::1]:9001/chat#part"), whole("[::1]:9001", "[::1]:9001", "/chat"));
        // The scheme's own port is not named.
        assert_eq!(of("ws://127.0.0.1:80/"), whole("127.0.0.1:80", "127.0.0.1", "/"));
        assert_eq!(of("wss://127.0.0.1"), whole("127.0.0.1:443", "127.0.0.1", "/"));
        for wrong in ["http://127.0.0.1/", "ws://", "ws://a b/", "127.0.0.1"] {
            let error = Target::parse(wrong).unwrap_err().to_string();
            assert!(error.contains("is not a target: use HOST:PORT or ws://"), "{wrong}: {error}");
        }
    }

    #[test]
    fn addresses_of_this_machine() {
        for own in ["127.0.0.1", "127.8.8.8", "0.0.0.0", "::1", "::ffff:127.0.0.1"] {
            assert!(is_own(own.parse().unwrap()), "{own}");
        }
        // From a block for documentation: nobody's.
        assert!(!is_own("198.51.100.7".parse().unwrap()));
    }
}
