//! What a client does, and where.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    error::{SpecError, contradiction, in_range},
    flags::{file, flag_value, flags},
    load::Load,
    socket::SocketSpec,
    target::{Scheme, Target},
};

/// What a paced client waits with for the instants at which it sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pacing {
    /// The runtime's timers, whose lateness is part of the result.
    #[default]
    Timers,
    /// The client's own: it spins until the next instant, within microseconds, and takes its core whole.
    Spin,
    /// The client's own: a thread that sleeps until the next instant, for a core that another process needs as well.
    Sleep,
}

impl Pacing {
    /// The name as on the command line.
    pub fn name(self) -> String {
        flag_value(self)
    }
}

/// Everything that decides what a client does.
#[derive(Clone, Debug, PartialEq, Eq, Args, Serialize, Deserialize, JsonSchema)]
pub struct DriveSpec {
    /// Where the server listens: HOST:PORT, or ws://HOST:PORT/PATH (under TLS wss://…) for an echo service at another
    /// path
    #[arg(long, value_name = "ADDR")]
    pub target: String,
    /// Worker threads of the runtime
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: u32,
    /// What a load with intended instants waits with
    #[arg(long, value_enum, default_value_t)]
    pub pacing: Pacing,
    /// Certificate that is trusted under TLS, and no other: a file in PEM
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// What to do there.
    #[command(flatten)]
    pub load: Load,
    /// Settings of every connection.
    #[command(flatten)]
    pub socket: SocketSpec,
}

impl DriveSpec {
    /// The flags of `drive` that say the same.
    pub fn to_args(&self) -> Vec<String> {
        let mut args = flags(&[("target", self.target.clone()), ("threads", self.threads.to_string())]);
        if self.load.is_paced() {
            args.extend(flags(&[("pacing", flag_value(self.pacing))]));
        }
        args.extend(file("tls-cert", self.tls_cert.as_ref()));
        args.extend(self.load.to_args());
        args.extend(self.socket.to_args());
        args
    }

    /// Checks the values.
    ///
    /// # Errors
    /// One line with the value, the range and the reason.
    pub fn validate(&self) -> Result<(), SpecError> {
        in_range("threads", self.threads.into(), 1, 1024, "")?;
        self.load.validate(&self.socket)?;
        let target = Target::parse(&self.target).map_err(|error| SpecError::Target(format!("{error:#}")))?;
        match (self.socket.tls, &self.tls_cert) {
            (true, None) => {
                contradiction("a client under TLS needs the certificate that it trusts: --tls-cert")
            }
            (false, _) if target.scheme == Some(Scheme::Wss) => {
                contradiction(format!("`{}` asks for TLS: give --tls as well", self.target))
            }
            (true, _) if target.scheme == Some(Scheme::Ws) => {
                contradiction(format!("`{}` is without TLS: leave out --tls, or use wss://", self.target))
            }
            _ => Ok(()),
        }
    }
}
