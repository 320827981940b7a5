//! What wsbench says to a runner and what it expects to hear, in order: `ready → go → measured → finish → drove` with a
//! client, `listening → end of input → served` with a server. docs/PROTOCOL.md is the reference.

use std::net::SocketAddr;

use bench_core::protocol::{ClientReport, Event, Measured, ServerReport};

use crate::stage::{Due, Peer, PeerError};

/// A conversation with a process that serves.
#[derive(Debug)]
pub struct ServerConversation<P>(P);

impl<P: Peer> ServerConversation<P> {
    /// With a server that has just been started.
    pub fn with(peer: P) -> ServerConversation<P> {
        ServerConversation(peer)
    }

    /// Waits until the server accepts connections, and returns its address.
    ///
    /// # Errors
    /// When it ends, takes too long or prints anything else.
    pub fn listening(&mut self) -> Result<SocketAddr, PeerError> {
        match next(&mut self.0, "listening")? {
            Event::Listening { addr, .. } => Ok(addr),
            other => Err(out_of_turn(&other, "listening")),
        }
    }

    /// Ends the server's input, which tells it to stop, and waits for its report. It has not exited yet: see
    /// [`ServerConversation::exit`].
    ///
    /// # Errors
    /// When it ends, takes too long or prints anything else.
    pub fn stop(&mut self) -> Result<ServerReport, PeerError> {
        self.0.end_input();
        match next(&mut self.0, "served")? {
            Event::Served(report) => Ok(report),
            other => Err(out_of_turn(&other, "served")),
        }
    }

    /// Waits until the process has exited.
    ///
    /// # Errors
    /// When it takes too long or exits with another code than 0.
    pub fn exit(&mut self) -> Result<(), PeerError> {
        self.0.wait().map_err(|error| error.instead_of(Due::Exit))
    }
}

/// A conversation with a process that drives a load.
#[derive(Debug)]
pub struct ClientConversation<P>(P);

impl<P: Peer> ClientConversation<P> {
    /// With a client that has just been started.
    pub fn with(peer: P) -> ClientConversation<P> {
        ClientConversation(peer)
    }

    /// Waits until the client is connected and warmed up.
    ///
    /// # Errors
    /// When it ends, takes too long or prints anything else.
    pub fn ready(&mut self) -> Result<(), PeerError> {
        match next(&mut self.0, "ready")? {
            Event::Ready => Ok(()),
            other => Err(out_of_turn(&other, "ready")),
        }
    }

    /// Tells the client to measure: `count` messages (connects, batches) on each connection, or as much as its load
    /// says. Does not wait, so that several clients can start together.
    ///
    /// # Errors
    /// When it does not read what it is told.
    pub fn go(&mut self, count: Option<u64>) -> Result<(), PeerError> {
        match count {
            None => self.0.tell("go"),
            Some(count) => self.0.tell(&format!("go {count}")),
        }
    }

    /// Waits for the end of the measured window. The connections stay open.
    ///
    /// # Errors
    /// When the client ends, takes too long or prints anything else.
    pub fn measured(&mut self) -> Result<Measured, PeerError> {
        match next(&mut self.0, "measured")? {
            Event::Measured(measured) => Ok(measured),
            other => Err(out_of_turn(&other, "measured")),
        }
    }

    /// Tells the client to close its connections, and waits for its report. It has not exited yet: see
    /// [`ClientConversation::exit`].
    ///
    /// # Errors
    /// When it ends, takes too long or prints anything else.
    pub fn finish(&mut self) -> Result<ClientReport, PeerError> {
        self.0.tell("finish")?;
        match next(&mut self.0, "drove")? {
            Event::Drove(report) => Ok(report),
            other => Err(out_of_turn(&other, "drove")),
        }
    }

    /// Waits until the process has exited. A client that saw an error reports it first and exits with another code than
    /// 0: look at the report before.
    ///
    /// # Errors
    /// When it takes too long or exits with another code than 0.
    pub fn exit(&mut self) -> Result<(), PeerError> {
        self.0.wait().map_err(|error| error.instead_of(Due::Exit))
    }
}

macro_rules! reach_the_peer {
    ($($conversation:ident),*) => {$(
        impl<P> $conversation<P> {
            /// The process.
            pub fn peer(&self) -> &P {
                &self.0
            }

            /// The process, to sample it or to end it at once.
            pub fn peer_mut(&mut self) -> &mut P {
                &mut self.0
            }
        }
    )*};
}

reach_the_peer!(ServerConversation, ClientConversation);

/// The next event, where one of the name `due` is expected.
fn next(peer: &mut impl Peer, due: &'static str) -> Result<Event, PeerError> {
    peer.event().map_err(|error| error.instead_of(Due::Event(due)))
}

fn out_of_turn(came: &Event, due: &'static str) -> PeerError {
    PeerError::OutOfTurn { came: came.name(), due }
}
