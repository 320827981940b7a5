//! TLS by rustls, in a trial with the same settings at both ends of every row: TLS 1.3, one cipher suite, one key exchange,
//! no resumed sessions.
//!
//! What is negotiated would otherwise depend on the processor and on who was connected before, and be a part of what is
//! measured that no table names. A server that is not wsbench's own may want something else, so a client may also offer
//! what is usual.

use std::{
    fs, io,
    io::{Read, Write},
    path::Path,
    sync::{Arc, OnceLock},
};

use anyhow::Context;
use async_tungstenite::tungstenite::http::Uri;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, DEFAULT_VERSIONS, ServerConfig,
    ServerConnection, SupportedProtocolVersion,
    client::{Resumption, danger::ServerCertVerifier},
    crypto::{
        CryptoProvider,
        ring::{self, cipher_suite::TLS13_AES_128_GCM_SHA256, kx_group::X25519},
    },
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::NoServerSessionStorage,
    version::TLS13,
};

use crate::{
    SocketError,
    socket::{Secured, TlsFailure},
    spec::{ClientTls, Negotiation, SocketSpec, Trust},
    stack::write_behind::Held,
};

mod trust;

use trust::{Everybody, Trusted};

/// What the error says where a server's certificate is not trusted.
pub const UNTRUSTED: &str = "the server's certificate is signed by nobody that is trusted";

/// What a trial speaks.
const FIXED_VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13];

/// A process is one end of one trial, so that it has one certificate, for all its connections.
static ACCEPTOR: OnceLock<Acceptor> = OnceLock::new();
static CONNECTOR: OnceLock<Connector> = OnceLock::new();

/// What a server needs for its end.
#[derive(Clone, Debug)]
pub struct Acceptor(Arc<ServerConfig>);

impl Acceptor {
    /// With the certificate and the private key of these PEM files.
    ///
    /// # Errors
    /// When a file cannot be read or holds something else, or the two do not belong together.
    pub fn from_files(certificate: &Path, key: &Path) -> anyhow::Result<Acceptor> {
        let certificate = read_certificate(certificate)?;
        let text = fs::read(key).with_context(|| format!("{} cannot be read", key.display()))?;
        let key = PrivateKeyDer::from_pem_slice(&text)
            .with_context(|| format!("{} holds no private key in PEM", key.display()))?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(FIXED_VERSIONS)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Acceptor(Arc::new(config)))
    }

    /// Makes this the acceptor of the process. A second one is ignored.
    pub fn install(self) {
        ACCEPTOR.get_or_init(|| self);
    }

    /// A session that waits for its peer.
    ///
    /// # Errors
    /// When rustls refuses its own settings.
    pub fn session(&self, spec: &SocketSpec) -> Result<Session, SocketError> {
        let session = ServerConnection::new(self.0.clone()).map_err(refused)?;
        Ok(Session::new(session.into(), spec))
    }
}

/// What a client needs for its end.
#[derive(Clone, Debug)]
pub struct Connector {
    config: Arc<ClientConfig>,
    /// Stands in for the host of a URL.
    server_name: Option<ServerName<'static>>,
}

impl Connector {
    /// One that trusts whom it is told to, and negotiates what it is told to.
    ///
    /// # Errors
    /// When the file of certificates cannot be read or holds none that can be used.
    pub fn new(tls: &ClientTls) -> anyhow::Result<Connector> {
        let (provider, versions) = match tls.negotiation {
            Negotiation::Fixed => (provider(), FIXED_VERSIONS),
            Negotiation::Usual => (Arc::new(ring::default_provider()), DEFAULT_VERSIONS),
        };
        let verifier: Arc<dyn ServerCertVerifier> = match &tls.trust {
            Trust::Certificates(file) => Arc::new(Trusted::read(file, &provider)?),
            Trust::Everybody => Arc::new(Everybody::new(&provider)),
        };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            // rustls calls any verifier but its own dangerous. `Trusted` leaves the work to that one.
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Connector { config: Arc::new(config), server_name: tls.server_name.clone() })
    }

    /// One that trusts the certificates of this PEM file and no others, with the settings of a trial.
    ///
    /// # Errors
    /// When the file cannot be read or holds no certificate.
    pub fn from_file(certificates: &Path) -> anyhow::Result<Connector> {
        Connector::new(&ClientTls::of_trial(certificates))
    }

    /// Makes this the connector of the process. A second one is ignored.
    pub fn install(self) {
        CONNECTOR.get_or_init(|| self);
    }

    /// A session with the host of `url`, which the certificate has to name unless this has a name of its own.
    ///
    /// # Errors
    /// When the URL has no host that a certificate could name.
    pub fn session(&self, url: &str, spec: &SocketSpec) -> Result<Session, SocketError> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => host(url).ok_or_else(|| {
                SocketError::Tls(format!("`{url}` names no host that a certificate could name"))
            })?,
        };
        let session = ClientConnection::new(self.config.clone(), name).map_err(refused)?;
        Ok(Session::new(session.into(), spec))
    }
}

fn host(url: &str) -> Option<ServerName<'static>> {
    let uri: Uri = url.parse().ok()?;
    ServerName::try_from(uri.host()?.trim_matches(['[', ']']).to_owned()).ok()
}

/// The acceptor of this process.
pub(crate) fn acceptor() -> Result<&'static Acceptor, SocketError> {
    ACCEPTOR.get().ok_or_else(|| SocketError::Tls("this server has no certificate".to_owned()))
}

/// The connector of this process.
pub(crate) fn connector() -> Result<&'static Connector, SocketError> {
    CONNECTOR.get().ok_or_else(|| SocketError::Tls("this client trusts no certificate".to_owned()))
}

fn read_certificate(path: &Path) -> anyhow::Result<CertificateDer<'static>> {
    let text = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    CertificateDer::from_pem_slice(&text)
        .with_context(|| format!("{} holds no certificate in PEM", path.display()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![X25519],
        ..ring::default_provider()
    })
}

fn refused(error: rustls::Error) -> SocketError {
    SocketError::Tls(in_words(&error))
}

fn in_words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => UNTRUSTED.to_owned(),
        other => other.to_string(),
    }
}

/// One end of a TLS connection, between plain text and a stream of std's traits; one that does not block says so by
/// [`io::ErrorKind::WouldBlock`].
///
/// One write of plain text becomes one write of records, as long as it is no larger than the write buffer: rustls by
/// itself would write each record of 16 KiB apart where a stream has no vectored writes, and which ones have them
/// differs between runtimes.
#[derive(Debug)]
pub struct Session {
    tls: Connection,
    sealed: Held,
    /// Most plain text that is sealed at once.
    limit: usize,
}

impl Session {
    fn new(mut tls: Connection, spec: &SocketSpec) -> Session {
        // `write` has its own limit.
        tls.set_buffer_limit(None);
        Session { tls, sealed: Held::new(spec), limit: spec.write_buffer_bytes as usize }
    }

    /// What both ends have agreed on; `None` before the handshake is over.
    pub fn secured(&self) -> Option<Secured> {
        Some(Secured {
            protocol: format!("{:?}", self.tls.protocol_version()?),
            cipher_suite: format!("{:?}", self.tls.negotiated_cipher_suite()?.suite()),
            key_exchange: format!("{:?}", self.tls.negotiated_key_exchange_group()?.name()),
        })
    }

    /// Reads plain text, once everything sealed has been written; goes on with the handshake by itself. 0 bytes are the
    /// end, also where the peer did not announce it: the WebSocket protocol has an end of its own.
    ///
    /// # Errors
    /// What the stream fails with; [`io::ErrorKind::InvalidData`] where the peer breaks the protocol.
    pub fn read(&mut self, buffer: &mut [u8], stream: &mut (impl Read + Write)) -> io::Result<usize> {
        loop {
            self.flush(stream)?;
            match self.tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                result => return result,
            }
            self.tls.read_tls(stream)?;
            if let Err(error) = self.tls.process_new_packets() {
                // The alert that tells the peer why; if it does not leave, the connection ends all the same.
                let _ = self.flush(stream);
                let failure = TlsFailure(in_words(&error));
                return Err(io::Error::new(io::ErrorKind::InvalidData, failure));
            }
        }
    }

    /// Seals plain text and writes what the stream takes. The rest leaves with the next call of any kind.
    ///
    /// # Errors
    /// What the stream fails with; [`io::ErrorKind::WouldBlock`] where nothing of `bytes` was taken.
    pub fn write(&mut self, bytes: &[u8], stream: &mut impl Write) -> io::Result<usize> {
        self.flush(stream)?;
        let taken = self.tls.writer().write(&bytes[..bytes.len().min(self.limit)])?;
        match self.flush(stream) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Writes everything that is sealed.
    ///
    /// # Errors
    /// What the stream fails with.
    pub fn flush(&mut self, stream: &mut impl Write) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(self.sealed.buffer())?;
        }
        self.sealed.write_out(|bytes| stream.write(bytes))
    }

    /// Seals the announcement of the end, where this is the end that ends connections: the server. Whether there is
    /// anything to flush now.
    pub fn say_goodbye(&mut self) -> bool {
        let is_server = matches!(self.tls, Connection::Server(_));
        if is_server {
            self.tls.send_close_notify();
        }
        is_server
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{path::PathBuf, sync::Once};

    use tempfile::TempDir;

    use super::*;

    /// A certificate and its private key, in files that are gone with this value.
    pub(crate) struct Identity {
        folder: TempDir,
    }

    impl Identity {
        pub(crate) fn make() -> Identity {
            let made =
                rcgen::generate_simple_self_signed(["127.0.0.1", "localhost"].map(str::to_owned)).unwrap();
            let identity = Identity { folder: tempfile::tempdir().unwrap() };
            fs::write(identity.certificate(), made.cert.pem()).unwrap();
            fs::write(identity.key(), made.signing_key.serialize_pem()).unwrap();
            identity
        }

        pub(crate) fn certificate(&self) -> PathBuf {
            self.folder.path().join("certificate.pem")
        }

        fn key(&self) -> PathBuf {
            self.folder.path().join("key.pem")
        }
    }

    /// Gives this process a certificate that it trusts itself, once for all tests.
    pub(crate) fn install_a_new_identity() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let identity = Identity::make();
            Acceptor::from_files(&identity.certificate(), &identity.key()).unwrap().install();
            Connector::from_file(&identity.certificate()).unwrap().install();
        });
    }
}
