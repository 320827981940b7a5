//! What a client does, and where.

use std::{collections::BTreeSet, ffi::OsString, time::Duration};

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use units::parse_millis;

use super::{
    error::SpecError,
    feature::Feature,
    flags::{flag_value, flags, in_range},
    header::{self, Header},
    limits::{MAX_DURATION_MS, MAX_RATE},
    load::Load,
    load_flags::LoadFlags,
    role::Role,
    socket::SocketSpec,
    target::{Scheme, Target},
    tls::{ClientTls, ClientTlsFlags},
    user::take_user,
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

/// How a client treats a server that is not wsbench's own: one failed connection does not spoil what the others measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnyServer {
    /// Connections that may be opening at once.
    pub connecting: u32,
    /// Most connections that are begun in a second; as many as there can be when not given.
    pub connect_rate: Option<u32>,
    /// How long after the end of the window an answer may still come, in milliseconds.
    pub answer_timeout_ms: u64,
    /// Messages that the server sends on its own once a connection is open: they are read and left out.
    pub skip: u32,
}

impl AnyServer {
    /// How long after the end of a phase an answer may still come.
    pub(crate) fn answer_timeout(self) -> Duration {
        Duration::from_millis(self.answer_timeout_ms)
    }
}

/// Everything that decides what a client does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriveSpec {
    /// Where the server listens: HOST:PORT, or ws://HOST:PORT/PATH (under TLS wss://…) for an echo service at another
    /// path.
    pub target: String,
    /// Worker threads of the runtime.
    pub threads: u32,
    /// What a load with intended instants waits with.
    pub pacing: Pacing,
    /// Headers that it adds to the request of the opening handshake.
    pub headers: Vec<Header>,
    /// Subprotocols that it offers there, the most wanted first.
    pub subprotocols: Vec<String>,
    /// Whom it trusts under TLS, and what it negotiates; needed where the connections are under TLS.
    pub tls: Option<ClientTls>,
    /// Set where the server is not wsbench's own.
    pub any_server: Option<AnyServer>,
    /// What to do there.
    pub load: Load,
    /// Settings of every connection.
    pub socket: SocketSpec,
}

/// The flags of a [`DriveSpec`].
#[derive(Clone, Debug, Args)]
pub struct DriveFlags {
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
    /// Header that is added to the request of the opening handshake
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<Header>,
    /// Subprotocol that is offered there
    #[arg(long = "subprotocol", value_name = "NAME", value_parser = header::subprotocol)]
    pub subprotocols: Vec<String>,
    /// Whom it trusts under TLS.
    #[command(flatten)]
    pub tls: ClientTlsFlags,
    /// Connections that may be opening at once, to a server that is not wsbench's own
    #[arg(long, value_name = "N", requires = "answer_timeout_ms")]
    pub connecting: Option<u32>,
    /// Most connections to such a server that are begun in a second
    #[arg(long, value_name = "N", requires = "connecting")]
    pub connect_rate: Option<u32>,
    /// How long after the end of the window such a server may still answer
    #[arg(long = "answer-timeout", value_name = "TIME", value_parser = parse_millis, requires = "connecting")]
    pub answer_timeout_ms: Option<u64>,
    /// Messages that such a server sends on its own once a connection is open
    #[arg(long, value_name = "N", default_value_t = 0, requires = "connecting")]
    pub skip: u32,
    /// What to do there.
    #[command(flatten)]
    pub load: LoadFlags,
    /// Settings of every connection.
    #[command(flatten)]
    pub socket: SocketSpec,
}

impl TryFrom<DriveFlags> for DriveSpec {
    type Error = SpecError;

    fn try_from(flags: DriveFlags) -> Result<DriveSpec, SpecError> {
        let DriveFlags {
            target,
            threads,
            pacing,
            mut headers,
            subprotocols,
            tls,
            connecting,
            connect_rate,
            answer_timeout_ms,
            skip,
            load,
            socket,
        } = flags;
        let any_server = connecting.zip(answer_timeout_ms).map(|(connecting, answer_timeout_ms)| AnyServer {
            connecting,
            connect_rate,
            answer_timeout_ms,
            skip,
        });
        let (target, user) = take_user(&target)?;
        headers.extend(user);
        let (tls, load) = (tls.into(), load.try_into()?);
        Ok(DriveSpec { target, threads, pacing, headers, subprotocols, tls, any_server, load, socket })
    }
}

/// Most connections that may be opening at once: beyond it the accept queue of most servers is what is tested.
const MAX_CONNECTING: u64 = 4_096;

impl DriveSpec {
    /// A client of one thread, with the runtime's timers and without TLS, of a server of wsbench's own.
    pub fn plain(target: impl Into<String>, load: Load, socket: SocketSpec) -> DriveSpec {
        DriveSpec {
            target: target.into(),
            threads: 1,
            pacing: Pacing::default(),
            headers: Vec::new(),
            subprotocols: Vec::new(),
            tls: None,
            any_server: None,
            load,
            socket,
        }
    }

    /// The flags of `drive` that say the same.
    pub fn to_args(&self) -> Vec<OsString> {
        let mut args = flags(&[("target", self.target.clone()), ("threads", self.threads.to_string())]);
        if self.load.is_paced() {
            args.extend(flags(&[("pacing", flag_value(self.pacing))]));
        }
        let headers = self.headers.iter().map(|header| ("header", header.to_string()));
        let subprotocols = self.subprotocols.iter().map(|name| ("subprotocol", name.clone()));
        args.extend(flags(&headers.chain(subprotocols).collect::<Vec<_>>()));
        args.extend(self.tls.iter().flat_map(ClientTls::to_args));
        if let Some(AnyServer { connecting, connect_rate, answer_timeout_ms, skip }) = self.any_server {
            args.extend(flags(&[
                ("connecting", connecting.to_string()),
                ("answer-timeout", format!("{answer_timeout_ms}ms")),
                ("skip", skip.to_string()),
            ]));
            args.extend(
                connect_rate.into_iter().flat_map(|rate| flags(&[("connect-rate", rate.to_string())])),
            );
        }
        args.extend(LoadFlags::from(self.load.clone()).to_args());
        args.extend(self.socket.to_args());
        args
    }

    /// Features that the client's row has to offer for this.
    pub fn needs(&self) -> BTreeSet<Feature> {
        let is_special = self.tls.as_ref().is_some_and(ClientTls::is_special);
        let says_more = !self.headers.is_empty() || !self.subprotocols.is_empty();
        let mut needed = self.load.needs(Role::Client);
        needed.extend(self.socket.tls.then_some(Feature::Tls));
        needed.extend((is_special || says_more).then_some(Feature::Handshake));
        needed.extend(self.any_server.map(|_| Feature::AnyServer));
        needed
    }

    /// Checks the values.
    ///
    /// # Errors
    /// One line with the value, the range and the reason.
    pub fn validate(&self) -> Result<(), SpecError> {
        in_range("threads", self.threads.into(), 1, 1024, "")?;
        if let Some(AnyServer { connecting, connect_rate, answer_timeout_ms, .. }) = self.any_server {
            in_range("connecting", connecting.into(), 1, MAX_CONNECTING, " at once")?;
            in_range("connect rate", connect_rate.unwrap_or(1).into(), 1, MAX_RATE, " per second")?;
            in_range("answer timeout", answer_timeout_ms, 1, MAX_DURATION_MS, " ms")?;
        }
        self.load.validate(&self.socket)?;
        header::validate(&self.headers, &self.subprotocols)?;
        let target = Target::parse(&self.target).map_err(|error| SpecError::Misfit(format!("{error:#}")))?;
        match (self.socket.tls, &self.tls) {
            (true, None) => {
                SpecError::misfit("a client under TLS needs the certificates that it trusts: --tls-cert")
            }
            (false, _) if target.scheme == Some(Scheme::Wss) => {
                SpecError::misfit(format!("`{}` asks for TLS: give --tls as well", self.target))
            }
            (true, _) if target.scheme == Some(Scheme::Ws) => {
                SpecError::misfit(format!("`{}` is without TLS: leave out --tls, or use wss://", self.target))
            }
            _ => Ok(()),
        }
    }
}
