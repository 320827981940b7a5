//! An echo server for thousands of connections, each of which takes a while to open: one thread for all of them.

use std::{net::Ipv4Addr, net::SocketAddr, thread, time::Duration};

use smol::{
    Timer,
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tungstenite::handshake::derive_accept_key;

const CLOSE: u8 = 8;

/// Starts a server whose opening handshakes take so long; it ends with the test.
pub fn serve(handshake: Duration) -> SocketAddr {
    let listener = smol::block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        smol::block_on(async {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                smol::spawn(connection(stream, handshake)).detach();
            }
        })
    });
    addr
}

/// One connection, until its end or an error.
async fn connection(mut stream: TcpStream, handshake: Duration) -> Option<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut part = [0; 1024];
        let count = stream.read(&mut part).await.ok().filter(|count| *count > 0)?;
        request.extend_from_slice(&part[..count]);
    }
    let request = String::from_utf8(request).ok()?;
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))?;
    Timer::after(handshake).await;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.as_bytes())
    );
    stream.write_all(answer.as_bytes()).await.ok()?;
    loop {
        // Everything that `drive` sends here is short: two bytes of header, four of a mask, and the payload.
        let mut head = [0; 6];
        stream.read_exact(&mut head).await.ok()?;
        let mut payload = vec![0; usize::from(head[1] & 127)];
        stream.read_exact(&mut payload).await.ok()?;
        payload.iter_mut().zip(head[2..].iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        let frame = [&[head[0], payload.len() as u8], payload.as_slice()].concat();
        stream.write_all(&frame).await.ok()?;
        if head[0] & 15 == CLOSE {
            return None;
        }
    }
}
