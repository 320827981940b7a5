//! Connections in memory, for tests of workloads and services without a network.
//!
//! [`pair`] makes two ends of one connection. [`Memory`] is a whole [`Network`] of such connections: a client that
//! connects to the address of a listener meets its server there, in the same process.

use std::{
    collections::{HashMap, VecDeque},
    future::poll_fn,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use bytes::Bytes;

use crate::{Kind, Message, Network, Socket, SocketError, SocketResult, service::Service, spec::SocketSpec};

/// A message of a connection in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryMessage {
    /// Text or binary.
    pub kind: Kind,
    /// Its payload.
    pub payload: Bytes,
}

impl Message for MemoryMessage {
    fn new(kind: Kind, payload: Bytes) -> MemoryMessage {
        MemoryMessage { kind, payload }
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn payload(&self) -> &[u8] {
        &self.payload
    }
}

/// One end of a connection in memory. What it sends waits for the other end without limit.
///
/// An end that is dropped without [`close`](Socket::close) breaks the connection: the other one gets an error.
#[derive(Debug)]
pub struct MemorySocket {
    incoming: Arc<Queue<MemoryMessage>>,
    outgoing: Arc<Queue<MemoryMessage>>,
}

/// Two ends of one connection.
pub fn pair() -> (MemorySocket, MemorySocket) {
    let (to_server, to_client) = (Arc::new(Queue::default()), Arc::new(Queue::default()));
    let client = MemorySocket { incoming: to_client.clone(), outgoing: to_server.clone() };
    (client, MemorySocket { incoming: to_server, outgoing: to_client })
}

impl Socket for MemorySocket {
    type Message = MemoryMessage;

    async fn recv(&mut self) -> SocketResult<Option<MemoryMessage>> {
        let message = self.incoming.next().await?;
        if message.is_none() {
            // The answer to a close.
            self.outgoing.end(End::InOrder);
        }
        Ok(message)
    }

    async fn feed(&mut self, message: MemoryMessage) -> SocketResult<()> {
        self.outgoing.push(message)
    }

    async fn flush(&mut self) -> SocketResult<()> {
        Ok(())
    }

    async fn close(&mut self) -> SocketResult<()> {
        self.outgoing.end(End::InOrder);
        while self.recv().await?.is_some() {}
        Ok(())
    }
}

impl Drop for MemorySocket {
    fn drop(&mut self) {
        self.outgoing.end(End::Broken);
        self.incoming.end(End::Broken);
    }
}

/// A network in memory, on which each connection is a [`MemorySocket`].
#[derive(Clone, Debug)]
pub struct Memory;

/// A listener in memory. Its address is that of a real one, so that no other listener has it.
#[derive(Debug)]
pub struct MemoryListener {
    address: SocketAddr,
    connections: Arc<Queue<MemorySocket>>,
    _port: std::net::TcpListener,
}

/// The listeners of this process.
static LISTENERS: Mutex<Option<HashMap<SocketAddr, Arc<Queue<MemorySocket>>>>> = Mutex::new(None);

fn listeners<T>(work: impl FnOnce(&mut HashMap<SocketAddr, Arc<Queue<MemorySocket>>>) -> T) -> T {
    // A panic elsewhere leaves nothing half done: every change is one insertion or removal.
    work(LISTENERS.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
}

impl MemoryListener {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        listeners(|all| all.remove(&self.address));
    }
}

impl Network for Memory {
    type Listener = MemoryListener;
    type Stream = MemorySocket;
    type Socket = MemorySocket;

    fn listen(listener: std::net::TcpListener) -> io::Result<MemoryListener> {
        let (address, connections) = (listener.local_addr()?, Arc::default());
        listeners(|all| all.insert(address, Arc::clone(&connections)));
        Ok(MemoryListener { address, connections, _port: listener })
    }

    async fn accept(listener: &MemoryListener) -> io::Result<MemorySocket> {
        match listener.connections.next().await {
            Ok(Some(socket)) => Ok(socket),
            Ok(None) | Err(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    async fn connect(addr: SocketAddr) -> io::Result<MemorySocket> {
        let (client, server) = pair();
        let found = listeners(|all| all.get(&addr).cloned());
        let connections = found.ok_or(io::ErrorKind::ConnectionRefused)?;
        connections.push(server).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(client)
    }

    fn set_nodelay(_: &MemorySocket) -> io::Result<()> {
        Ok(())
    }

    /// The first message is the path of the service, and the answer to a sound one is the same.
    async fn server_handshake(
        mut stream: MemorySocket,
        _: &SocketSpec,
    ) -> SocketResult<(Service, MemorySocket)> {
        let request = stream.recv().await?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let path = String::from_utf8_lossy(&request.payload).into_owned();
        let service = Service::parse(&path).map_err(|reason| SocketError::Handshake(reason.to_string()))?;
        stream.feed(request).await?;
        Ok((service, stream))
    }

    async fn client_handshake(
        mut stream: MemorySocket,
        url: &str,
        _: &SocketSpec,
    ) -> SocketResult<MemorySocket> {
        // Behind the scheme and the authority.
        let path = url.splitn(4, '/').nth(3).unwrap_or_default();
        let request = MemoryMessage { kind: Kind::Text, payload: Bytes::from(format!("/{path}")) };
        stream.feed(request).await?;
        match stream.recv().await? {
            Some(_) => Ok(stream),
            None => Err(SocketError::Handshake("refused".to_owned())),
        }
    }
}

/// What is on its way to one reader.
#[derive(Debug)]
struct Queue<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    end: Option<End>,
    reader: Option<Waker>,
}

#[derive(Clone, Copy, Debug)]
enum End {
    InOrder,
    Broken,
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue { state: Mutex::new(State { waiting: VecDeque::new(), end: None, reader: None }) }
    }
}

impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Every change under this lock is whole: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, item: T) -> SocketResult<()> {
        let mut state = self.lock();
        if state.end.is_some() {
            return Err(SocketError::Io(io::ErrorKind::BrokenPipe.into()));
        }
        state.waiting.push_back(item);
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
        Ok(())
    }

    fn end(&self, end: End) {
        let mut state = self.lock();
        state.end.get_or_insert(end);
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    async fn next(&self) -> SocketResult<Option<T>> {
        poll_fn(|cx| {
            let mut state = self.lock();
            match (state.waiting.pop_front(), state.end) {
                (Some(item), _) => Poll::Ready(Ok(Some(item))),
                (None, Some(End::InOrder)) => Poll::Ready(Ok(None)),
                (None, Some(End::Broken)) => {
                    Poll::Ready(Err(SocketError::Io(io::ErrorKind::UnexpectedEof.into())))
                }
                (None, None) => {
                    state.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, zip};

    use super::*;
    use crate::{ServeSpec, net};

    #[test]
    fn an_end_in_order_is_told_from_a_broken_one() {
        let (mut client, mut server) = pair();
        let closing = async {
            let closed = client.close().await;
            drop(client);
            closed
        };
        let serving = async {
            assert_eq!(server.recv().await.unwrap(), None);
            server.close().await
        };
        let (closed, served) = block_on(zip(closing, serving));
        assert!(closed.is_ok() && served.is_ok());

        let (mut client, server) = pair();
        drop(server);
        assert!(block_on(client.recv()).is_err());
    }

    #[test]
    fn a_path_chooses_the_service_and_a_wrong_one_is_refused() {
        let spec = SocketSpec::default();
        let listener =
            Memory::listen(net::listen(&ServeSpec::on_loopback(1, spec.clone())).unwrap()).unwrap();
        let open = |path: &'static str| {
            let (spec, listener) = (&spec, &listener);
            async move {
                let stream = Memory::connect(listener.address()).await?;
                Memory::client_handshake(stream, path, spec).await
            }
        };
        let accept = || async { Memory::server_handshake(Memory::accept(&listener).await?, &spec).await };
        let (opened, accepted) = block_on(zip(open("ws://127.0.0.1:1/sink?messages=3"), accept()));
        assert!(opened.is_ok());
        assert_eq!(accepted.unwrap().0, Service::Sink { messages: 3 });
        let (opened, accepted) = block_on(zip(open("ws://127.0.0.1:1/nothing"), accept()));
        assert!(opened.is_err() && accepted.is_err());
    }
}
