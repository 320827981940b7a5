//! What a server does.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf};

use clap::Args;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    error::SpecError,
    flags::{file, flags, in_range},
    limits::SERVED_CONNECTIONS,
    socket::SocketSpec,
};

/// Everything that decides what a server does.
#[derive(Clone, Debug, PartialEq, Eq, Args, Serialize, Deserialize, JsonSchema)]
pub struct ServeSpec {
    /// Address to listen on; port 0 lets the system choose
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Worker threads of the runtime
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: u32,
    /// Connections at the same time; one more is accepted and ended at once
    #[arg(long, value_name = "N", default_value_t = SERVED_CONNECTIONS)]
    pub max_connections: u64,
    /// Certificate of a server under TLS, a file in PEM
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Private key that belongs to it, a file in PEM
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Settings of every connection.
    #[command(flatten)]
    pub socket: SocketSpec,
}

impl ServeSpec {
    /// A server on a port of the system's choice that only this machine reaches.
    pub fn on_loopback(threads: u32, socket: SocketSpec) -> ServeSpec {
        ServeSpec {
            listen: ([127, 0, 0, 1], 0).into(),
            threads,
            max_connections: SERVED_CONNECTIONS,
            tls_cert: None,
            tls_key: None,
            socket,
        }
    }

    /// The flags of `serve` that say the same.
    pub fn to_args(&self) -> Vec<OsString> {
        let mut args = flags(&[
            ("listen", self.listen.to_string()),
            ("threads", self.threads.to_string()),
            ("max-connections", self.max_connections.to_string()),
        ]);
        args.extend(file("tls-cert", self.tls_cert.as_ref()));
        args.extend(file("tls-key", self.tls_key.as_ref()));
        args.extend(self.socket.to_args());
        args
    }

    /// Checks the values.
    ///
    /// # Errors
    /// One line with the value, the range and the reason.
    pub fn validate(&self) -> Result<(), SpecError> {
        in_range("threads", self.threads.into(), 1, 1024, "")?;
        in_range("connections", self.max_connections, 1, u32::MAX.into(), "")?;
        if self.socket.tls && (self.tls_cert.is_none() || self.tls_key.is_none()) {
            return SpecError::misfit(
                "a server under TLS needs a certificate and its key: --tls-cert and --tls-key",
            );
        }
        self.socket.validate()
    }
}
