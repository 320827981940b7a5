//! TLS at the client's end.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, ValueEnum};
/// The name that a server's certificate has to bear, as rustls has it.
pub use rustls::pki_types::ServerName;

use super::{
    error::SpecError,
    flags::{file, flag_value, flags},
};

/// Whom a client trusts under TLS, and what it negotiates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    /// Whose certificates it trusts.
    pub trust: Trust,
    /// The name that the server's certificate has to bear and that the server is told; the URL's host when not given.
    pub server_name: Option<ServerName<'static>>,
    /// What it negotiates.
    pub negotiation: Negotiation,
}

/// Whose certificates a client trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those in a file in PEM, one or several, and what they have signed.
    Certificates(PathBuf),
    /// Everybody's: it does not verify who the server is.
    Everybody,
}

/// What a client negotiates under TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Negotiation {
    /// TLS 1.3, TLS13_AES_128_GCM_SHA256 and X25519, so that every trial has the same
    #[default]
    Fixed,
    /// TLS 1.2 and 1.3 with the usual cipher suites and key exchanges, for a server that is not wsbench's own
    Usual,
}

impl ClientTls {
    /// As in a trial: trusts the certificates of a file, and negotiates wsbench's own choice.
    pub fn of_trial(certificates: impl Into<PathBuf>) -> ClientTls {
        ClientTls {
            trust: Trust::Certificates(certificates.into()),
            server_name: None,
            negotiation: Negotiation::Fixed,
        }
    }

    /// Whether it goes beyond what a trial needs, which a runner in another language need not know.
    pub(super) fn is_special(&self) -> bool {
        let ClientTls { trust, server_name, negotiation } = self;
        *trust == Trust::Everybody || server_name.is_some() || *negotiation != Negotiation::Fixed
    }

    /// The flags of `drive` that say the same.
    pub(super) fn to_args(&self) -> Vec<OsString> {
        let ClientTls { trust, server_name, negotiation } = self;
        let mut args = match trust {
            Trust::Certificates(path) => file("tls-cert", Some(path)),
            Trust::Everybody => vec!["--tls-insecure".into()],
        };
        if let Some(name) = server_name {
            args.extend(flags(&[("tls-server-name", name.to_str().into_owned())]));
        }
        if *negotiation != Negotiation::default() {
            args.extend(flags(&[("tls-negotiate", flag_value(*negotiation))]));
        }
        args
    }
}

/// Reads the name that a certificate has to bear: of a host, or an IP address.
///
/// # Errors
/// When it is neither.
pub fn server_name(name: &str) -> Result<ServerName<'static>, SpecError> {
    let refused = |_| SpecError::Misfit(format!("`{name}` is neither the name of a host nor an IP address"));
    ServerName::try_from(name.to_owned()).map_err(refused)
}

/// The flags of a [`ClientTls`].
#[derive(Clone, Debug, Default, Args)]
pub struct ClientTlsFlags {
    /// Certificates that are trusted under TLS, and no others: a file in PEM
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Trust any server, whatever its certificate says
    #[arg(long, conflicts_with = "tls_cert")]
    pub tls_insecure: bool,
    /// Name that the server's certificate has to bear; the target's host when not given
    #[arg(long, value_name = "NAME", value_parser = server_name)]
    pub tls_server_name: Option<ServerName<'static>>,
    /// What is negotiated
    #[arg(long, value_enum, value_name = "WHAT", default_value_t)]
    pub tls_negotiate: Negotiation,
}

impl From<ClientTlsFlags> for Option<ClientTls> {
    /// `None` where nobody is said to be trusted.
    fn from(flags: ClientTlsFlags) -> Option<ClientTls> {
        let ClientTlsFlags { tls_cert, tls_insecure, tls_server_name, tls_negotiate } = flags;
        let trust = match tls_insecure {
            true => Trust::Everybody,
            false => Trust::Certificates(tls_cert?),
        };
        Some(ClientTls { trust, server_name: tls_server_name, negotiation: tls_negotiate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_names_are_hosts_or_addresses() {
        for name in ["localhost", "example.com", "127.0.0.1", "::1"] {
            assert_eq!(server_name(name).unwrap().to_str(), name);
        }
        assert!(server_name("a b").unwrap_err().to_string().contains("`a b` is neither"));
    }
}
