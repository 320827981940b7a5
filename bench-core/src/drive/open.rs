//! How a client opens a connection.

use std::{
    io,
    marker::PhantomData,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    Network, SocketError, Timer,
    spec::{SocketSpec, Target},
    timer::within,
};

/// Opens connections to the server of a trial, under the limits of the specification.
pub struct Opener<N, T> {
    pub(super) timer: T,
    pub(super) target: Arc<Target>,
    pub(super) spec: Arc<SocketSpec>,
    network: PhantomData<fn() -> N>,
}

/// A connection that stands, and how long it took.
pub(super) struct Opened<S> {
    pub(super) socket: S,
    pub(super) tcp_connect: Duration,
    pub(super) upgrade: Duration,
    /// When the opening handshake was done.
    pub(super) at: Instant,
}

impl<N: Network, T: Timer> Opener<N, T> {
    pub(super) fn new(timer: T, target: Arc<Target>, spec: Arc<SocketSpec>) -> Opener<N, T> {
        Opener { timer, target, spec, network: PhantomData }
    }

    /// The URL of a service at the target.
    pub(super) fn url(&self, path: &str) -> String {
        self.target.url(path, self.spec.tls)
    }

    /// Connects and runs the opening handshake for `url`, in the time that a handshake may take.
    pub(super) async fn open(&self, url: &str) -> Result<Opened<N::Socket>, SocketError> {
        let start = Instant::now();
        let opening = async {
            let stream = self.connect().await?;
            N::set_nodelay(&stream)?;
            let connected = Instant::now();
            Ok((N::client_handshake(stream, url, &self.spec).await?, connected))
        };
        let limit = self.spec.handshake_timeout();
        let (socket, connected) = within(&self.timer, limit, "the opening handshake", opening).await?;
        let at = Instant::now();
        Ok(Opened { socket, tcp_connect: connected - start, upgrade: at - connected, at })
    }
}

impl<N: Network, T> Opener<N, T> {
    /// Connects to the first address that takes the connection.
    async fn connect(&self) -> io::Result<N::Stream> {
        let (last, others) = self.target.addrs.split_last().expect("a target has an address");
        for addr in others {
            if let Ok(stream) = N::connect(*addr).await {
                return Ok(stream);
            }
        }
        N::connect(*last).await
    }
}

impl<N, T: Clone> Clone for Opener<N, T> {
    fn clone(&self) -> Opener<N, T> {
        Opener {
            timer: self.timer.clone(),
            target: self.target.clone(),
            spec: self.spec.clone(),
            network: PhantomData,
        }
    }
}
