//! TCP and WebSocket as a row has them: the trait [`Network`].

use std::{future::Future, io, net::SocketAddr};

use crate::{Socket, SocketResult, service::Service, spec::SocketSpec};

/// How a row listens, accepts and connects, and the WebSocket stack on top of it.
///
/// No future here has a `Send` bound: the runtime spawns tasks whose types are concrete, so the compiler knows which of
/// them are `Send` and a thread-per-core runtime fits as well.
pub trait Network: 'static {
    /// The runtime's listening socket.
    type Listener: 'static;
    /// The runtime's TCP stream.
    type Stream: 'static;
    /// The row's WebSocket connection.
    type Socket: Socket + 'static;

    /// Wraps a listener made by [`net::listen`](crate::net::listen), so that its options are the same in every row. It does
    /// not block; a runtime that needs a blocking socket changes that here.
    ///
    /// # Errors
    /// When the runtime cannot wrap it.
    fn listen(listener: std::net::TcpListener) -> io::Result<Self::Listener>;

    /// Accepts one connection. An error ends nothing: whoever accepts waits a little and tries again.
    fn accept(listener: &Self::Listener) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Opens a TCP connection.
    fn connect(addr: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Sets TCP_NODELAY. Called once for every accepted and every connected stream.
    ///
    /// # Errors
    /// When the system refuses, for instance because the peer has already reset the connection.
    fn set_nodelay(stream: &Self::Stream) -> io::Result<()>;

    /// Runs the server's half of the opening handshake; the request path chooses the service.
    fn server_handshake(
        stream: Self::Stream,
        spec: &SocketSpec,
    ) -> impl Future<Output = SocketResult<(Service, Self::Socket)>>;

    /// Runs the client's half of the opening handshake for `url`.
    fn client_handshake(
        stream: Self::Stream,
        url: &str,
        spec: &SocketSpec,
    ) -> impl Future<Output = SocketResult<Self::Socket>>;
}
