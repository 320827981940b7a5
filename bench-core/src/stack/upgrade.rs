//! The client's half of the opening handshake (RFC 6455, section 4.1), without I/O: it writes the request and checks the
//! answer.
//!
//! Every row uses this one, because handshakes are measured. tungstenite's own does not read `Connection` as a list of
//! tokens, refuses a server that chooses none of the subprotocols offered, and does not name one that was not offered.

use std::{
    fmt,
    io::{ErrorKind, Read, Write},
    sync::OnceLock,
};

use async_tungstenite::tungstenite::{
    Error,
    handshake::{
        client::{Response, generate_key},
        derive_accept_key,
        machine::TryParse,
    },
    http::{HeaderMap, StatusCode, Uri},
};

use crate::{SocketError, SocketResult, spec::Header};

/// Longest answer. Headers usually take a few hundred bytes; without a limit, a server that never ends them would use up all
/// memory.
const LONGEST_HEAD: usize = 64 * 1024;

/// How much is read at once, which holds nearly every answer.
const READ_BYTES: usize = 4096;

/// Longest part of a refusal's body that an error quotes.
const LONGEST_QUOTE: usize = 500;

/// A process is one end of one trial, so all its requests are alike.
static ADDITIONS: OnceLock<Additions> = OnceLock::new();

/// What a client adds to the request of its opening handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Additions {
    /// Headers, written as they are. `Host` replaces the one of the URL.
    pub headers: Vec<Header>,
    /// Subprotocols to offer, in order of preference.
    pub subprotocols: Vec<String>,
}

impl Additions {
    /// Makes these the additions of the process. A second call is ignored.
    pub fn install(self) {
        ADDITIONS.get_or_init(|| self);
    }
}

/// One opening handshake of a client.
///
/// Write [`request`](Handshake::request) and flush it. Then read into [`room`](Handshake::room) and pass the number of bytes
/// to [`received`](Handshake::received), until that returns what follows the answer.
#[derive(Debug)]
pub struct Handshake {
    request: Vec<u8>,
    accept_key: String,
    subprotocols: Vec<String>,
    answer: Vec<u8>,
    /// How much of `answer` has been received.
    filled: usize,
}

impl Handshake {
    /// For `url`, with what this process adds to its requests.
    ///
    /// # Errors
    /// When the URL names no host.
    pub fn to(url: &str) -> SocketResult<Handshake> {
        static NOTHING: Additions = Additions { headers: Vec::new(), subprotocols: Vec::new() };
        Handshake::new(url, ADDITIONS.get().unwrap_or(&NOTHING))
    }

    /// For `url`, with these additions.
    ///
    /// # Errors
    /// When the URL names no host.
    pub fn new(url: &str, additions: &Additions) -> SocketResult<Handshake> {
        let uri: Uri = url.parse().map_err(|error| failed(format!("`{url}` is not a URL: {error}")))?;
        let host = uri.authority().ok_or_else(|| failed(format!("`{url}` names no host")))?.as_str();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let key = generate_key();
        Ok(Handshake {
            request: request(path, host, &key, additions).into_bytes(),
            accept_key: derive_accept_key(key.as_bytes()),
            subprotocols: additions.subprotocols.clone(),
            answer: Vec::new(),
            filled: 0,
        })
    }

    /// The bytes to send.
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Where to put what the server sends next.
    pub fn room(&mut self) -> &mut [u8] {
        if self.answer.len() == self.filled {
            self.answer.resize(self.filled + READ_BYTES, 0);
        }
        &mut self.answer[self.filled..]
    }

    /// Takes the `count` bytes that were read into the room; 0 means the end of the stream. Once the answer is complete and
    /// accepts the connection, returns what follows it: the first bytes of the WebSocket protocol.
    ///
    /// # Errors
    /// When the answer does not accept the connection, is not HTTP/1.1, is too long, or is cut off.
    pub fn received(&mut self, count: usize) -> SocketResult<Option<Vec<u8>>> {
        if count == 0 {
            return Err(failed(match self.filled {
                0 => "the server ended the connection without an answer",
                _ => "the server ended the connection in the middle of its answer",
            }));
        }
        self.filled += count;
        let received = &self.answer[..self.filled];
        match self.judge(received)? {
            Some(head) => Ok(Some(received[head..].to_vec())),
            None if self.filled >= LONGEST_HEAD => {
                Err(failed(format!("the server's answer has over {} KiB of headers", LONGEST_HEAD / 1024)))
            }
            None => Ok(None),
        }
    }

    /// The length of the answer at the start of `received`, if it is complete.
    fn judge(&self, received: &[u8]) -> SocketResult<Option<usize>> {
        let parsed = Response::try_parse(received).map_err(not_http)?;
        let Some((head, response)) = parsed else { return Ok(None) };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(failed(refusal(response.status(), &received[head..])));
        }
        let headers = response.headers();
        if !tokens(headers, "upgrade").any(|token| token.eq_ignore_ascii_case("websocket")) {
            return Err(failed("the answer lacks the header `Upgrade: websocket`"));
        }
        if !tokens(headers, "connection").any(|token| token.eq_ignore_ascii_case("upgrade")) {
            return Err(failed("the answer lacks the header `Connection: Upgrade`"));
        }
        let accept = headers.get("sec-websocket-accept").map(|value| value.as_bytes().trim_ascii());
        if accept != Some(self.accept_key.as_bytes()) {
            return Err(failed("the header Sec-WebSocket-Accept does not answer the request's key"));
        }
        if let Some(name) = tokens(headers, "sec-websocket-extensions").next() {
            return Err(failed(format!("the server chose the extension `{name}`, which was not asked for")));
        }
        // A server may choose none. As in browsers, the connection then has no subprotocol.
        let is_stranger = |name: &String| !self.subprotocols.contains(name);
        if let Some(name) = tokens(headers, "sec-websocket-protocol").find(is_stranger) {
            return Err(failed(format!(
                "the server chose the subprotocol `{name}`, which was not asked for"
            )));
        }
        Ok(Some(head))
    }
}

/// Carries out a handshake over a stream that blocks; returns what follows the answer.
///
/// # Errors
/// When the stream fails, or the server does not agree to the connection.
pub fn shake_hands(stream: &mut (impl Read + Write), mut handshake: Handshake) -> SocketResult<Vec<u8>> {
    stream.write_all(handshake.request())?;
    stream.flush()?;
    loop {
        let count = match stream.read(handshake.room()) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        };
        if let Some(tail) = handshake.received(count)? {
            return Ok(tail);
        }
    }
}

/// The request. Its first lines have the order and spelling of tungstenite.
fn request(path: &str, host: &str, key: &str, additions: &Additions) -> String {
    let Additions { headers, subprotocols } = additions;
    let host = headers.iter().find(|header| header.is("host")).map_or(host, Header::value);
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    );
    if !subprotocols.is_empty() {
        request += &format!("Sec-WebSocket-Protocol: {}\r\n", subprotocols.join(", "));
    }
    for header in headers.iter().filter(|header| !header.is("host")) {
        request += &format!("{header}\r\n");
    }
    request + "\r\n"
}

/// The elements of a header that is a list, which may be spread over several lines.
fn tokens<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = String> + use<'a> {
    let values = headers.get_all(name).into_iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let tokens =
        values.flat_map(|value| value.split(',').map(|token| token.trim().to_owned()).collect::<Vec<_>>());
    tokens.filter(|token| !token.is_empty())
}

/// Describes an answer that does not switch protocols, with as much of its body as came with it.
fn refusal(status: StatusCode, body: &[u8]) -> String {
    let body = String::from_utf8_lossy(&body[..body.len().min(LONGEST_QUOTE)]);
    format!("answered by {status} {}", body.trim()).trim_end().to_owned()
}

fn not_http(error: Error) -> SocketError {
    failed(format!("the answer is not HTTP/1.1: {error}"))
}

fn failed(reason: impl fmt::Display) -> SocketError {
    SocketError::Handshake(reason.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn additions(headers: &[&str], subprotocols: &[&str]) -> Additions {
        Additions {
            headers: headers.iter().map(|header| header.parse().unwrap()).collect(),
            subprotocols: subprotocols.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn handshake(subprotocols: &[&str]) -> Handshake {
        Handshake::new("ws://host:1/", &additions(&[], subprotocols)).unwrap()
    }

    /// What a handshake says to an answer that comes in one piece.
    fn outcome(mut handshake: Handshake, answer: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let mut left = answer;
        loop {
            let room = handshake.room();
            let count = left.len().min(room.len());
            room[..count].copy_from_slice(&left[..count]);
            left = &left[count..];
            match handshake.received(count).map_err(|error| error.to_string())? {
                Some(tail) => return Ok(Some([&tail, left].concat())),
                None if left.is_empty() => return Ok(None),
                None => {}
            }
        }
    }

    /// A sound answer with these lines added, and bytes after it.
    fn agreed(handshake: &Handshake, lines: &str, tail: &str) -> Vec<u8> {
        let key = &handshake.accept_key;
        let head =
            format!("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {key}\r\n{lines}\r\n\r\n");
        (head + tail).into_bytes()
    }

    const UPGRADE: &str = "Upgrade: WebSocket\r\nConnection: upgrade";

    fn answered(subprotocols: &[&str], lines: &str) -> Result<Option<Vec<u8>>, String> {
        let handshake = handshake(subprotocols);
        let answer = agreed(&handshake, lines, "tail");
        outcome(handshake, &answer)
    }

    #[test]
    fn a_request_without_additions_is_the_one_of_tungstenite() {
        use async_tungstenite::tungstenite::{
            client::IntoClientRequest, handshake::client::generate_request,
        };

        for url in ["ws://host:1/echo?burn_us=1", "wss://[::1]:9/", "ws://host"] {
            let (theirs, _) = generate_request(url.into_client_request().unwrap()).unwrap();
            let without_key = |request: &[u8]| {
                let request = String::from_utf8(request.to_vec()).unwrap();
                let (head, key) = request.split_once("Sec-WebSocket-Key: ").unwrap();
                (head.to_owned(), key.len())
            };
            let ours = Handshake::new(url, &Additions::default()).unwrap();
            assert_eq!(without_key(ours.request()), without_key(&theirs));
        }
        assert!(Handshake::new("/echo", &Additions::default()).is_err());
    }

    #[test]
    fn additions_are_in_the_request() {
        let additions = additions(&["X-Token: a: b", "host: other", "X-Token: c"], &["v2", "v1"]);
        let handshake = Handshake::new("ws://host:1/", &additions).unwrap();
        let request = String::from_utf8(handshake.request().to_vec()).unwrap();
        let expected = "\r\nSec-WebSocket-Protocol: v2, v1\r\nX-Token: a: b\r\nX-Token: c\r\n\r\n";
        assert!(request.ends_with(expected), "{request}");
        assert!(request.starts_with("GET / HTTP/1.1\r\nHost: other\r\nConnection: Upgrade\r\n"), "{request}");
        assert!(!request.contains("host:1"), "{request}");
    }

    #[test]
    fn what_follows_the_answer_is_kept_however_it_comes() {
        assert_eq!(answered(&[], UPGRADE), Ok(Some(b"tail".to_vec())));
        let mut handshake = handshake(&[]);
        let answer = agreed(&handshake, UPGRADE, "");
        for (place, byte) in answer.iter().enumerate() {
            handshake.room()[0] = *byte;
            let tail = handshake.received(1).unwrap();
            assert_eq!(tail, (place + 1 == answer.len()).then(Vec::new));
        }
    }

    #[test]
    fn connection_is_a_list_of_tokens() {
        for connection in
            ["keep-alive, Upgrade", "UPGRADE", "keep-alive\r\nConnection: upgrade", " Upgrade ,"]
        {
            let lines = format!("Upgrade: websocket\r\nConnection: {connection}");
            assert_eq!(answered(&[], &lines), Ok(Some(b"tail".to_vec())), "{connection}");
        }
        let error = answered(&[], "Upgrade: websocket\r\nConnection: keep-alive").unwrap_err();
        assert!(error.ends_with("lacks the header `Connection: Upgrade`"), "{error}");
        let error = answered(&[], "Connection: Upgrade").unwrap_err();
        assert!(error.ends_with("lacks the header `Upgrade: websocket`"), "{error}");
    }

    #[test]
    fn a_server_chooses_of_what_it_was_offered() {
        let with = |line: &str| format!("{UPGRADE}\r\n{line}");
        assert!(answered(&["a", "b"], &with("Sec-WebSocket-Protocol: b")).is_ok());
        assert!(answered(&["a", "b"], UPGRADE).is_ok());
        for offered in [&[][..], &["a"]] {
            let error = answered(offered, &with("Sec-WebSocket-Protocol: chat")).unwrap_err();
            assert!(
                error.ends_with("the server chose the subprotocol `chat`, which was not asked for"),
                "{error}"
            );
        }
        let error = answered(&[], &with("Sec-WebSocket-Extensions: permessage-deflate")).unwrap_err();
        assert!(error.contains("the extension `permessage-deflate`, which was not asked for"), "{error}");
    }

    #[test]
    fn answers_that_do_not_agree_are_named() {
        let error = |answer: &str| outcome(handshake(&[]), answer.as_bytes()).unwrap_err();
        let not_found = error("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nno!\r\n");
        assert!(not_found.ends_with("answered by 404 Not Found no!"), "{not_found}");
        assert!(error("HTTP/1.1 302 Found\r\n\r\n").ends_with("answered by 302 Found"));
        let key = format!("HTTP/1.1 101 x\r\n{UPGRADE}\r\nSec-WebSocket-Accept: AAAA\r\n\r\n");
        assert!(error(&key).contains("Sec-WebSocket-Accept"));
        assert!(error("SSH-2.0-OpenSSH_9.2\r\n").contains("is not HTTP/1.1"));
        assert!(error("").contains("without an answer"));
        let mut cut = handshake(&[]);
        cut.room()[0] = b'H';
        assert!(cut.received(1).unwrap().is_none());
        assert!(cut.received(0).unwrap_err().to_string().contains("in the middle of its answer"));
    }

    #[test]
    fn a_damaged_answer_is_refused_or_awaited_but_does_no_harm() {
        let length = agreed(&handshake(&[]), UPGRADE, "").len();
        for place in 0..length {
            for byte in [0, b'\r', b'\n', b' ', b':', 0x80, 0xff] {
                let handshake = handshake(&["a"]);
                let mut answer = agreed(&handshake, UPGRADE, "");
                answer[place] = byte;
                // What comes of it depends on the byte; that it returns is what counts.
                let _ = outcome(handshake, &answer);
            }
        }
    }

    #[test]
    fn an_answer_without_an_end_is_given_up() {
        let endless = format!("HTTP/1.1 101 x\r\nX-Filler: {}", "x".repeat(LONGEST_HEAD));
        let error = outcome(handshake(&[]), endless.as_bytes()).unwrap_err();
        assert!(error.ends_with("over 64 KiB of headers"), "{error}");
    }
}
