//! An echo server with a thread for each connection, which says what it was asked and answers as it is told to.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tungstenite::{
    Message,
    handshake::server::{Request, Response},
    http::HeaderValue,
};

/// What a server answers with beyond what it has to, and under what.
#[derive(Clone, Default)]
pub struct Manners {
    /// Headers of its answer, in place of others of the same name.
    pub headers: &'static [(&'static str, &'static str)],
    /// Set where it is under TLS.
    pub tls: Option<Arc<ServerConfig>>,
}

/// A server; it ends with the test.
pub struct Peer {
    addr: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    accepted: Vec<Instant>,
    requests: Vec<Request>,
}

impl Peer {
    pub fn start(manners: Manners) -> Peer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let peer = Peer { addr: listener.local_addr().unwrap(), seen: Arc::default() };
        let seen = peer.seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                seen.lock().unwrap().accepted.push(Instant::now());
                let (manners, seen) = (manners.clone(), seen.clone());
                thread::spawn(move || match manners.tls.clone() {
                    None => serve(stream, &manners, &seen),
                    Some(config) => {
                        let session = ServerConnection::new(config).unwrap();
                        serve(StreamOwned::new(session, stream), &manners, &seen)
                    }
                });
            }
        });
        peer
    }

    /// Where it is, with a host that leads there.
    pub fn at(&self, host: &str) -> String {
        format!("{host}:{}", self.addr.port())
    }

    /// When each connection was accepted.
    pub fn accepted(&self) -> Vec<Instant> {
        self.seen.lock().unwrap().accepted.clone()
    }

    /// The values of a header of the first request, of which there has to be one.
    pub fn asked(&self, header: &str) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let values = seen.requests[0].headers().get_all(header).into_iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    }
}

/// One connection, until its end or an error.
fn serve(stream: impl Read + Write, manners: &Manners, seen: &Mutex<Seen>) {
    // The size of the error is tungstenite's choice: it is the HTTP response itself.
    #[allow(clippy::result_large_err)]
    let answer = |request: &Request, mut response: Response| {
        seen.lock().unwrap().requests.push(request.clone());
        for (name, value) in manners.headers {
            response.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        Ok(response)
    };
    let Ok(mut socket) = tungstenite::accept_hdr(stream, answer) else { return };
    while let Ok(message) = socket.read() {
        if let Message::Text(_) | Message::Binary(_) = message
            && socket.send(message).is_err()
        {
            return;
        }
    }
}
