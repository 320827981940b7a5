//! What a server spawns.

use std::sync::Arc;

use crate::{Network, ServerContext, Timer, protocol::Stop, serve_connection};

/// The accept loop of a server, or one of its connections: what a runtime spawns.
pub enum Task<N: Network, T> {
    /// The accept loop.
    Accept(Acceptor<N, T>),
    /// One accepted connection.
    Serve(Accepted<N, T>),
}

/// What an accept loop works with.
pub struct Acceptor<N: Network, T> {
    pub(super) runtime: T,
    pub(super) listener: N::Listener,
    pub(super) context: Arc<ServerContext>,
    pub(super) stop: Stop,
}

/// A connection before its opening handshake.
pub struct Accepted<N: Network, T> {
    pub(super) stream: N::Stream,
    pub(super) timer: T,
    pub(super) context: Arc<ServerContext>,
}

impl<N: Network, T: Timer> Accepted<N, T> {
    /// Serves the connection to its end.
    pub(super) async fn run(self) {
        let Accepted { stream, timer, context } = self;
        let handshake = N::server_handshake(stream, &context.spec().socket);
        serve_connection(handshake, timer, context.clone()).await;
    }
}
