//! What the client says and accepts when it connects.

use std::{io::Write, path::PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use bench_core::{
    spec::{ClientTls, Header, Negotiation, ServerName, SpecError, Trust, server_name, subprotocol},
    stack::tls::{Connector, UNTRUSTED},
};
use clap::Args;
use tempfile::NamedTempFile;

use crate::{exit::Stop, output::terminal::say};

/// Flags of `drive` about connecting.
#[derive(Args, Clone, Debug)]
pub(super) struct ReachFlags {
    /// Header to add to the request, such as 'Authorization: Bearer TOKEN'. May be given several times
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<Header>,
    /// Subprotocol to offer, in order of preference where it is given several times. The server need not choose one
    #[arg(long = "subprotocol", value_name = "NAME", value_parser = subprotocol)]
    subprotocols: Vec<String>,
    /// Origin to send, as a browser does: servers may refuse one that they do not know
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    origin: Option<Header>,
    /// Certificates to trust under TLS instead of the system's: a file in PEM with one or several, of an authority or of the
    /// server itself. SSL_CERT_FILE and SSL_CERT_DIR replace the system's
    #[arg(long, visible_alias = "tls-cert", value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Name that the server's certificate has to bear, and that the server is told; the URL's host when not given
    #[arg(long, value_name = "NAME", value_parser = server_name)]
    tls_server_name: Option<ServerName<'static>>,
    /// Accept any certificate under TLS. Nobody verifies then that the server is the one you mean
    #[arg(long, conflicts_with = "tls_ca")]
    insecure: bool,
}

fn origin(value: &str) -> Result<Header, SpecError> {
    Header::new("Origin", value)
}

/// What the client says when it connects, and whom it trusts.
pub(super) struct Reach {
    pub(super) headers: Vec<Header>,
    pub(super) subprotocols: Vec<String>,
    pub(super) tls: Option<ClientTls>,
    /// The certificates of the system. The client reads the file when it starts, and it is gone with this value.
    _roots: Option<NamedTempFile>,
}

impl ReachFlags {
    /// What these flags mean for a connection, under TLS or not, with the user of the URL.
    ///
    /// # Errors
    /// When a flag of TLS is given without TLS, or the system has no certificates to trust.
    pub(super) fn read(self, user: Option<Header>, tls: bool) -> Result<Reach, Stop> {
        let headers = self.headers.into_iter().chain(self.origin).chain(user).collect();
        let mut reach = Reach { headers, subprotocols: self.subprotocols, tls: None, _roots: None };
        let given = [
            (self.tls_ca.is_some(), "--tls-ca"),
            (self.tls_server_name.is_some(), "--tls-server-name"),
            (self.insecure, "--insecure"),
        ];
        if !tls {
            return match given.into_iter().find(|(is_given, _)| *is_given) {
                Some((_, flag)) => Err(Stop::usage(format!("{flag} means nothing without TLS: use wss://"))),
                None => Ok(reach),
            };
        }
        let trust = match (self.tls_ca, self.insecure) {
            (_, true) => {
                say(
                    "WARNING: --insecure: the server's certificate is not verified. Anyone on the way to it can read and change \
                     what is sent",
                );
                Trust::Everybody
            }
            (Some(file), false) => Trust::Certificates(file),
            (None, false) => {
                let roots = reach._roots.insert(system_roots()?);
                Trust::Certificates(roots.path().to_owned())
            }
        };
        let (server_name, negotiation) = (self.tls_server_name, Negotiation::Usual);
        let tls = ClientTls { trust, server_name, negotiation };
        // The client would say the same, but later.
        Connector::new(&tls).map_err(|error| Stop::usage(format!("{error:#}")))?;
        reach.tls = Some(tls);
        Ok(reach)
    }
}

/// What to do about a kind of failure, where a flag is the answer.
pub(super) fn hint(kind: &str) -> &'static str {
    if kind.ends_with(UNTRUSTED) {
        ": name its certificate, or that of its authority, with --tls-ca"
    } else if kind.contains("certificate not valid for name") {
        ": if that is the server you mean, give the name in its certificate with --tls-server-name"
    } else {
        ""
    }
}

/// The certificates that this system trusts, in a file that a runner can read: a runner itself knows none.
fn system_roots() -> Result<NamedTempFile, Stop> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map_or(String::new(), |error| format!(" ({error})"));
        return Err(Stop::usage(format!(
            "this system has no certificates to trust{why}: give those of the server with --tls-ca"
        )));
    }
    let write = || {
        let mut file = tempfile::Builder::new().prefix("wsbench-").suffix(".pem").tempfile()?;
        for certificate in &found.certs {
            let text = BASE64_STANDARD.encode(certificate);
            writeln!(file, "-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----")?;
        }
        file.flush()?;
        Ok(file)
    };
    write().map_err(|error: std::io::Error| {
        Stop::failed(format!("the system's certificates cannot be written to a temporary file: {error}"))
    })
}
