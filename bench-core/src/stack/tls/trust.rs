//! Whom a client trusts.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context, ensure};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};

/// Trusts some certificates, and what they have signed.
///
/// A server may also show one of them itself, whoever has signed it and whatever it may be used for: whoever names a
/// certificate means that one. rustls alone would take it only where it is self-signed and may sign no others.
#[derive(Debug)]
pub(super) struct Trusted {
    certificates: Vec<CertificateDer<'static>>,
    chains: Arc<WebPkiServerVerifier>,
}

impl Trusted {
    /// Those of a file in PEM.
    pub(super) fn read(file: &Path, provider: &Arc<CryptoProvider>) -> anyhow::Result<Trusted> {
        let text = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<_, _>>()
            .with_context(|| format!("{} is not a file in PEM", file.display()))?;
        ensure!(!certificates.is_empty(), "{} holds no certificate in PEM", file.display());
        let mut roots = RootCertStore::empty();
        // A system's collection may hold one that nobody can read any more, which is no reason to trust no other.
        let (added, _) = roots.add_parsable_certificates(certificates.iter().cloned());
        ensure!(added > 0, "{} holds no certificate that can be used", file.display());
        let chains = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone()).build()?;
        Ok(Trusted { certificates, chains })
    }
}

impl ServerCertVerifier for Trusted {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let Err(Error::InvalidCertificate(reason)) = verified else { return verified };
        let reason = match reason {
            // Of somebody with the same name as one who is trusted.
            CertificateError::BadSignature => CertificateError::UnknownIssuer,
            reason => reason,
        };
        // What is found last, after its dates: nobody known has signed it, or it is for another purpose.
        let may_be_named = matches!(reason, CertificateError::UnknownIssuer | CertificateError::Other(_));
        if may_be_named && self.certificates.iter().any(|trusted| trusted == end_entity) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(reason))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// Trusts whoever answers.
#[derive(Debug)]
pub(super) struct Everybody {
    schemes: Vec<SignatureScheme>,
}

impl Everybody {
    pub(super) fn new(provider: &CryptoProvider) -> Everybody {
        Everybody { schemes: provider.signature_verification_algorithms.supported_schemes() }
    }
}

impl ServerCertVerifier for Everybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    // That the server has the key of a certificate says nothing where the certificate says nothing.
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
        thread,
    };

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use rustls::{ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion, crypto::ring};
    use rustls::{
        pki_types::PrivateKeyDer,
        version::{TLS12, TLS13},
    };

    use super::*;
    use crate::{
        SocketResult,
        socket::Secured,
        spec::{ClientTls, Negotiation, SocketSpec, Trust, server_name},
        stack::{
            tls::{Connector, UNTRUSTED},
            transport::Transport,
        },
    };

    /// A certificate with the key of its server, as text in PEM and for rustls.
    struct Made {
        pem: String,
        der: CertificateDer<'static>,
        key: Vec<u8>,
    }

    fn parameters(is_ca: IsCa) -> CertificateParams {
        let mut parameters = CertificateParams::new(["localhost".to_owned()]).unwrap();
        parameters.is_ca = is_ca;
        parameters
    }

    fn self_signed(is_ca: IsCa) -> Made {
        let key = KeyPair::generate().unwrap();
        let certificate = parameters(is_ca).self_signed(&key).unwrap();
        Made { pem: certificate.pem(), der: certificate.der().clone(), key: key.serialize_der() }
    }

    /// A certificate, and the one of the authority that has signed it.
    fn signed() -> (Made, String) {
        let authority = parameters(IsCa::Ca(BasicConstraints::Unconstrained));
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = parameters(IsCa::ExplicitNoCa).signed_by(&key, &authority).unwrap();
        let made = Made { pem: certificate.pem(), der: certificate.der().clone(), key: key.serialize_der() };
        (made, authority.pem())
    }

    /// A server with a certificate, which sends a byte.
    fn server(
        made: &Made,
        provider: CryptoProvider,
        version: &'static SupportedProtocolVersion,
    ) -> UnixStream {
        let key = PrivateKeyDer::Pkcs8(made.key.clone().into());
        let config = ServerConfig::builder_with_provider(provider.into())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.der.clone()], key)
            .unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        thread::spawn(move || {
            let session = ServerConnection::new(config.into()).unwrap();
            let mut stream = StreamOwned::new(session, near);
            // It ends as the client wants it to.
            let _ = stream.write_all(b"x").and_then(|()| stream.flush());
            let _ = stream.read(&mut [0]);
        });
        far
    }

    fn meet(stream: UnixStream, tls: &ClientTls) -> SocketResult<Secured> {
        let connector = Connector::new(tls).unwrap();
        let session = connector.session("wss://localhost:1/", &SocketSpec::default())?;
        let mut stream = Transport::new(stream, Some(session));
        stream.read_exact(&mut [0])?;
        Ok(stream.secured().unwrap())
    }

    /// A client of any server that trusts these certificates.
    fn trusting(folder: &tempfile::TempDir, pem: &str) -> ClientTls {
        let file = folder.path().join("trusted.pem");
        fs::write(&file, pem).unwrap();
        ClientTls { negotiation: Negotiation::Usual, ..ClientTls::of_trial(file) }
    }

    #[test]
    fn a_certificate_is_trusted_by_itself_and_by_whoever_has_signed_it() {
        let folder = tempfile::tempdir().unwrap();
        let (leaf, authority) = signed();
        let explicit = self_signed(IsCa::ExplicitNoCa);
        let signer = self_signed(IsCa::Ca(BasicConstraints::Unconstrained));
        for (case, made, trusted) in [
            ("self-signed, CA:FALSE", &explicit, explicit.pem.clone()),
            ("self-signed, CA:TRUE", &signer, signer.pem.clone()),
            ("signed by another, itself", &leaf, leaf.pem.clone()),
            ("signed by another, by that one", &leaf, authority.clone()),
            ("one of several", &leaf, format!("{}{}", explicit.pem, authority)),
        ] {
            for version in [&TLS12, &TLS13] {
                let secured =
                    meet(server(made, ring::default_provider(), version), &trusting(&folder, &trusted));
                assert_eq!(secured.expect(case).protocol, format!("{:?}", version.version), "{case}");
            }
        }
    }

    #[test]
    fn others_are_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let made = self_signed(IsCa::ExplicitNoCa);
        let ask = |tls: &ClientTls| {
            meet(server(&made, ring::default_provider(), &TLS13), tls).map_err(|error| error.to_string())
        };
        let stranger = trusting(&folder, &self_signed(IsCa::ExplicitNoCa).pem);
        assert_eq!(ask(&stranger), Err(format!("TLS: {UNTRUSTED}")));
        let tls = trusting(&folder, &made.pem);
        let elsewhere = ClientTls { server_name: Some(server_name("example.com").unwrap()), ..tls };
        let error = ask(&elsewhere).unwrap_err();
        assert!(error.contains("example.com") && error.contains("localhost"), "{error}");
        assert!(ask(&ClientTls { trust: Trust::Everybody, ..elsewhere }).is_ok());
    }

    #[test]
    fn what_is_usual_is_negotiated_where_it_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let made = self_signed(IsCa::ExplicitNoCa);
        let usual = trusting(&folder, &made.pem);
        let fixed = ClientTls { negotiation: Negotiation::Fixed, ..usual.clone() };
        let cipher_suites = vec![ring::cipher_suite::TLS13_AES_256_GCM_SHA384];
        let kx_groups = vec![ring::kx_group::SECP256R1];
        let other = CryptoProvider { cipher_suites, kx_groups, ..ring::default_provider() };
        let secured = meet(server(&made, other.clone(), &TLS13), &usual).unwrap();
        assert_eq!(secured.cipher_suite, "TLS13_AES_256_GCM_SHA384");
        assert_eq!(secured.key_exchange, "secp256r1");
        let error = meet(server(&made, other, &TLS13), &fixed).unwrap_err().to_string();
        assert!(error.starts_with("TLS: ") && error.contains("HandshakeFailure"), "{error}");
        assert!(meet(server(&made, ring::default_provider(), &TLS12), &fixed).is_err());
    }

    #[test]
    fn files_without_a_certificate_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = |pem: &str| Connector::new(&trusting(&folder, pem)).unwrap_err().to_string();
        assert!(refusal("").ends_with("trusted.pem holds no certificate in PEM"));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(refusal(broken).ends_with("trusted.pem holds no certificate that can be used"));
        assert!(refusal("-----BEGIN CERTIFICATE-----\nAAAA").contains("is not a file in PEM"));
    }
}
