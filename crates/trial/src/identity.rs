//! The certificate of a trial under TLS.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use tempfile::TempDir;

/// Hosts that it is good for: wherever a trial's server listens.
const HOSTS: [&str; 3] = ["127.0.0.1", "::1", "localhost"];

/// A certificate that was made a moment ago and the private key that belongs to it, in files that are gone with this
/// value.
#[derive(Debug)]
pub struct Identity {
    folder: TempDir,
}

impl Identity {
    /// Makes a new one: a self-signed certificate with an ECDSA key on P-256.
    ///
    /// # Errors
    /// When the folder for temporary files cannot be written.
    pub fn make() -> anyhow::Result<Identity> {
        let made = rcgen::generate_simple_self_signed(HOSTS.map(str::to_owned))
            .context("a certificate cannot be made")?;
        // Readable by its owner only.
        let folder = tempfile::Builder::new().prefix("wsbench-").tempdir().context("no temporary folder")?;
        let identity = Identity { folder };
        fs::write(identity.certificate(), made.cert.pem()).context("the certificate cannot be written")?;
        fs::write(identity.key(), made.signing_key.serialize_pem()).context("the key cannot be written")?;
        Ok(identity)
    }

    /// The file of the certificate, in PEM.
    pub fn certificate(&self) -> PathBuf {
        self.file("certificate.pem")
    }

    /// The file of the private key, in PEM.
    pub fn key(&self) -> PathBuf {
        self.file("key.pem")
    }

    fn file(&self, name: &str) -> PathBuf {
        let folder: &Path = self.folder.path();
        folder.join(name)
    }
}
