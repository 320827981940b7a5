//! `drive` reaches servers that are not wsbench's own: what it says when it connects, and what it accepts.

// Outside of a `#[test]`, where clippy would allow it: a test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod many;
mod peer;

use std::{
    ffi::OsString,
    fs,
    path::PathBuf,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use common::{run, wsbench};
use peer::{Manners, Peer};
use rcgen::{CertificateParams, IsCa, KeyPair};
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::{
        CryptoProvider,
        ring::{self, cipher_suite::TLS13_AES_256_GCM_SHA384, kx_group::SECP256R1},
    },
    pki_types::PrivateKeyDer,
    version::{TLS12, TLS13},
};
use tempfile::TempDir;

/// A client of each stack. Two more share one that has unit tests, and need io_uring.
const CLIENTS: [&str; 3] = ["tokio", "tokio-native", "threads"];

/// A short load against a server, with further arguments.
fn drive(url: &str, arguments: &[&str]) -> Command {
    let mut command = wsbench("drive --warm-up 0s --messages 3");
    command.arg(url).args(arguments);
    command
}

/// What a server with these headers in its answer makes of a client.
fn answered(client: &str, headers: &'static [(&'static str, &'static str)], flags: &[&str]) -> (i32, String) {
    let peer = Peer::start(Manners { headers, tls: None });
    let mut command = drive(&format!("ws://{}/", peer.at("127.0.0.1")), flags);
    let (code, stdout, stderr) = run(command.args(["--client-row", client]));
    (code, stdout + &stderr)
}

#[test]
fn connection_is_a_list_of_tokens() {
    for client in CLIENTS {
        let (code, output) = answered(client, &[("Connection", "keep-alive, Upgrade")], &[]);
        assert_eq!(code, 0, "{client}: {output}");
        assert!(output.starts_with("3 verified round trips"), "{client}: {output}");
    }
}

#[test]
fn a_subprotocol_that_was_not_asked_for_is_named() {
    for client in CLIENTS {
        let (code, output) =
            answered(client, &[("Sec-WebSocket-Protocol", "chat")], &["--subprotocol", "v2"]);
        assert_eq!(code, 1, "{client}: {output}");
        let reason = "the server chose the subprotocol `chat`, which was not asked for";
        assert_eq!(output.matches(reason).count(), 1, "{client}: {output}");
    }
}

#[test]
fn a_server_may_choose_a_subprotocol_or_none() {
    let offered = ["--subprotocol", "v2", "--subprotocol", "v1"];
    for headers in [&[("Sec-WebSocket-Protocol", "v1")][..], &[]] {
        let (code, output) = answered("tokio", headers, &offered);
        assert_eq!(code, 0, "{output}");
    }
}

#[test]
fn what_the_client_is_to_say_is_said_and_no_password_is_shown() {
    let flags = ["--header", "X-Token: a b", "--header", "Host: other", "--origin", "https://example.com"];
    let offered = ["--subprotocol", "v2", "--subprotocol", "v1"];
    for client in CLIENTS {
        for layout in ["terminal", "json"] {
            let peer = Peer::start(Manners::default());
            let url = format!("ws://me:s%20cret@{}/chat?room=1", peer.at("127.0.0.1"));
            let further = ["--client-row", client, "--format", layout];
            let (code, stdout, stderr) = run(&mut drive(&url, &[&flags[..], &offered, &further].concat()));
            assert_eq!(code, 0, "{client}: {stdout}{stderr}");
            assert_eq!(peer.asked("x-token"), ["a b"]);
            assert_eq!(peer.asked("host"), ["other"]);
            assert_eq!(peer.asked("origin"), ["https://example.com"]);
            assert_eq!(peer.asked("sec-websocket-protocol"), ["v2, v1"]);
            assert_eq!(peer.asked("authorization"), ["Basic bWU6cyBjcmV0"]);
            assert!(!format!("{stdout}{stderr}").contains("cret"), "{client}: {stdout}{stderr}");
        }
    }
    // Nor where it fails, whether before or after it connects.
    for wrong in
        ["ws://me:secret@127.0.0.1:1/", "wss://me:secret@127.0.0.1:1/x y", "ws://me:secret@198.51.100.7/"]
    {
        let (code, stdout, stderr) = run(drive(wrong, &[]).args(["--duration", "2500ms"]));
        assert!([1, 2].contains(&code), "{stdout}{stderr}");
        assert!(!format!("{stdout}{stderr}").contains("secret"), "{stdout}{stderr}");
        assert!(stderr.lines().last().unwrap().starts_with("error: "), "{stderr}");
    }
}

#[test]
fn what_cannot_be_said_is_refused_before_anything_runs() {
    for (flags, reason) in [
        (&["--header", "Upgrade: x"][..], "belongs to the WebSocket protocol"),
        (&["--header", "no colon"], "use 'Name: value'"),
        (&["--header", "Host: a", "--header", "host: b"], "Host is given twice"),
        (&["--subprotocol", "a, b"], "give --subprotocol for each"),
        (&["--subprotocol", "a", "--subprotocol", "a"], "`a` is given twice"),
        (&["--tls-ca", "x.pem"], "--tls-ca means nothing without TLS"),
        (&["--insecure"], "--insecure means nothing without TLS"),
        (&["--tls-ca", "x.pem", "--insecure"], "cannot be used with"),
        (&["--connect-rate", "0"], "connect rate: 0"),
        (&["--connect-rate", "5", "--client-row", "threads"], "does not offer the feature `any-server`"),
    ] {
        let (code, stdout, stderr) = run(&mut drive("ws://127.0.0.1:1/", flags));
        assert_eq!((code, stdout.as_str()), (2, ""), "{flags:?}: {stderr}");
        assert!(stderr.contains(reason), "{flags:?}: {stderr}");
    }
    let (code, _, stderr) = run(&mut drive("wss://127.0.0.1:1/", &["--client-row", "tokio-native"]));
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("`tls`") && stderr.contains("--client-row, such as tokio"), "{stderr}");
    let (code, _, stderr) = run(&mut drive("wss://127.0.0.1:1/", &["--tls-ca", "/nothing/there.pem"]));
    assert_eq!((code, stderr.lines().count()), (2, 1), "{stderr}");
    assert!(stderr.contains("/nothing/there.pem cannot be read"), "{stderr}");
}

/// A server under TLS with a certificate for `localhost` that may sign no others, and that certificate in a file.
struct Secured {
    peer: Peer,
    folder: TempDir,
}

impl Secured {
    fn start(provider: CryptoProvider, version: &'static SupportedProtocolVersion) -> Secured {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(["localhost".to_owned()]).unwrap();
        parameters.is_ca = IsCa::ExplicitNoCa;
        let certificate = parameters.self_signed(&key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        let peer = Peer::start(Manners { tls: Some(Arc::new(config)), ..Manners::default() });
        let secured = Secured { peer, folder: tempfile::tempdir().unwrap() };
        fs::write(secured.certificate(), certificate.pem()).unwrap();
        secured
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// A short load, by a name of the server's host.
    fn drive(&self, host: &str, arguments: &[&str]) -> Command {
        drive(&format!("wss://{}/", self.peer.at(host)), arguments)
    }
}

fn usual() -> Secured {
    Secured::start(ring::default_provider(), &TLS13)
}

#[test]
fn servers_may_speak_tls_1_2_or_choose_another_suite_and_group() {
    let other = CryptoProvider {
        cipher_suites: vec![TLS13_AES_256_GCM_SHA384],
        kx_groups: vec![SECP256R1],
        ..ring::default_provider()
    };
    for (provider, version, negotiated) in [
        (ring::default_provider(), &TLS12, "TLSv1_2 with TLS_ECDHE_ECDSA_WITH_"),
        (other, &TLS13, "TLSv1_3 with TLS13_AES_256_GCM_SHA384, key exchange by secp256r1"),
    ] {
        let secured = Secured::start(provider, version);
        for client in ["tokio", "threads"] {
            let mut command = secured.drive("localhost", &["--client-row", client, "--tls-ca"]);
            let (code, stdout, stderr) = run(command.arg(secured.certificate()));
            assert_eq!(code, 0, "{client}: {stdout}{stderr}");
            assert!(stdout.contains(negotiated), "{client}: {stdout}");
        }
    }
}

#[test]
fn a_certificate_for_another_name_is_accepted_where_that_name_is_given() {
    let secured = usual();
    let (code, _, stderr) = run(secured.drive("127.0.0.1", &["--tls-cert"]).arg(secured.certificate()));
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("127.0.0.1") && stderr.contains("localhost"), "{stderr}");
    assert!(stderr.contains("with --tls-server-name"), "{stderr}");
    let mut command = secured.drive("127.0.0.1", &["--tls-server-name", "localhost", "--tls-ca"]);
    let (code, stdout, stderr) = run(command.arg(secured.certificate()));
    assert_eq!(code, 0, "{stdout}{stderr}");
}

#[test]
fn a_certificate_of_nobody_known_is_refused_in_one_line_or_accepted_with_a_warning() {
    let (secured, other) = (usual(), usual());
    for (flags, certificate) in [(&["--tls-ca"][..], Some(other.certificate())), (&[], None)] {
        let mut command = secured.drive("localhost", flags);
        // What stands in for the certificates of this system, which may have none.
        command.env("SSL_CERT_FILE", other.certificate()).env_remove("SSL_CERT_DIR");
        let (code, stdout, stderr) = run(command.args(certificate));
        assert_eq!((code, stdout.as_str(), stderr.lines().count()), (1, "", 1), "{stderr}");
        let reason = "the server's certificate is signed by nobody that is trusted";
        assert_eq!(stderr.matches(reason).count(), 1, "{stderr}");
        assert!(stderr.contains("--tls-ca"), "{stderr}");
    }
    let (code, stdout, stderr) = run(&mut secured.drive("localhost", &["--insecure"]));
    assert_eq!((code, stderr.lines().count()), (0, 1), "{stdout}{stderr}");
    assert!(stderr.starts_with("WARNING: --insecure"), "{stderr}");
}

#[test]
fn an_error_is_said_once() {
    let secured = usual();
    for client in CLIENTS {
        let (code, _, stderr) = run(&mut drive("ws://127.0.0.1:1/", &["--client-row", client]));
        assert_eq!((code, stderr.matches("Connection refused").count()), (1, 1), "{client}: {stderr}");
    }
    for client in ["tokio", "threads"] {
        let mut command = secured.drive("127.0.0.1", &["--client-row", client, "--tls-ca"]);
        let (code, _, stderr) = run(command.arg(secured.certificate()));
        assert_eq!((code, stderr.matches("TLS: ").count()), (1, 1), "{client}: {stderr}");
    }
}

#[test]
fn the_certificates_of_the_system_are_trusted_by_themselves() {
    let secured = usual();
    let mut command = secured.drive("localhost", &[]);
    command.env("SSL_CERT_FILE", secured.certificate()).env_remove("SSL_CERT_DIR");
    let (code, stdout, stderr) = run(&mut command);
    assert_eq!(code, 0, "{stdout}{stderr}");
    let empty = secured.folder.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    let mut command = secured.drive("localhost", &[]);
    command.env("SSL_CERT_FILE", empty).env_remove("SSL_CERT_DIR");
    let (code, _, stderr) = run(&mut command);
    assert_eq!((code, stderr.lines().count()), (2, 1), "{stderr}");
    assert!(stderr.contains("no certificates to trust") && stderr.contains("--tls-ca"), "{stderr}");
}

#[cfg(target_os = "linux")]
#[test]
fn paths_need_not_be_utf_8() {
    use std::os::unix::ffi::OsStringExt;

    let secured = usual();
    let folder = secured.folder.path().join(OsString::from_vec(b"t\xff".to_vec()));
    fs::create_dir(&folder).unwrap();
    let certificate = folder.join("c.pem");
    fs::copy(secured.certificate(), &certificate).unwrap();
    let (code, stdout, stderr) = run(secured.drive("localhost", &["--tls-cert"]).arg(&certificate));
    assert_eq!(code, 0, "{stdout}{stderr}");
    let mut command = wsbench("run --scenarios tls-rtt-24 --rows tokio --rounds 1 --quiet");
    command.env("TMPDIR", &folder).arg("--out");
    let (code, stdout, stderr) = run(command.arg(secured.folder.path().join("tls.ndjson")));
    assert_eq!(code, 0, "{stdout}{stderr}");
}

#[test]
fn connections_are_begun_at_a_rate() {
    let peer = Peer::start(Manners::default());
    let start = Instant::now();
    let flags = ["--connections", "21", "--connect-rate", "40"];
    let (code, stdout, stderr) = run(&mut drive(&format!("ws://{}/", peer.at("127.0.0.1")), &flags));
    assert_eq!(code, 0, "{stdout}{stderr}");
    let accepted = peer.accepted();
    assert_eq!(accepted.len(), 21);
    // However slow the machine is, none comes before its turn.
    for (number, at) in accepted.iter().enumerate() {
        let turn = Duration::from_secs(number as u64) / 40;
        assert!(at.duration_since(start) >= turn, "connection {number} after {:?}", at.duration_since(start));
    }
}

#[test]
fn thousands_of_slow_handshakes_go_on_side_by_side() {
    let (connections, handshake) = (5_000, Duration::from_millis(50));
    raise_open_files(2 * connections);
    let addr = many::serve(handshake);
    let start = Instant::now();
    let mut command = wsbench(&format!("drive ws://{addr}/ --workload idle --connections {connections}"));
    let (code, stdout, stderr) = run(command.args(["--duration", "100ms"]));
    let took = start.elapsed();
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.starts_with("5000 of 5000 connections held"), "{stdout}");
    let serial = handshake * connections as u32;
    println!(
        "{connections} connections opened, held and closed in {took:.1?}; one after the other: {serial:?}"
    );
    assert!(took < serial / 4, "{took:?}");
}

/// Lets this process have as many files open as this, or as many as it may.
fn raise_open_files(files: u64) {
    #[cfg(unix)]
    {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};

        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, soft.max(files).min(hard), hard).unwrap();
    }
}
