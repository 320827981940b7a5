//! Much at once, with every message accounted for: two client processes against one server.

use std::time::Duration;

use bench_core::{
    DriveSpec, ServeSpec,
    spec::{Load, PingPong, SocketSpec, Work},
    tally::{Tally, reconcile},
};
use trial::{ClientConversation, Peer, PeerError, Program, ServerConversation, probe, process::Process};

use crate::attacks::{Outcome, Size};

/// Far more than it takes on a machine that is busy otherwise.
const LIMIT: Duration = Duration::from_secs(600);

/// Client processes: one alone would need more open files than a usual limit allows.
const CLIENTS: u32 = 2;

/// 10,000 connections, each of which is served.
pub fn connections(server: &Program, client: &Program, size: Size) -> Outcome {
    let (connections, messages) = if size.full { (10_000, 10) } else { (200, 10) };
    all_accounted_for(server, client, connections, messages)
}

/// 1,000,000 round trips.
pub fn round_trips(server: &Program, client: &Program, size: Size) -> Outcome {
    let messages = if size.full { 10_000 } else { 100 };
    all_accounted_for(server, client, 100, messages)
}

fn all_accounted_for(server: &Program, client: &Program, connections: u32, messages: u64) -> Outcome {
    let socket = |program: &Program| SocketSpec {
        handshake_timeout_ms: 60_000,
        close_timeout_ms: 60_000,
        flush: program.info.flush_for(SocketSpec::default().flush),
        ..SocketSpec::default()
    };
    let spec = ServeSpec::on_loopback(1, socket(server));
    let serving = Process::launch(server.command("serve", spec.to_args()), &[], LIMIT)?;
    let mut serving = ServerConversation::with(serving);
    let addr = serving.listening()?;
    probe::echo_nonce(addr, None, LIMIT)?;
    let spec = DriveSpec::plain(
        addr.to_string(),
        Load {
            connections: connections / CLIENTS,
            work: Work::PingPong(PingPong { messages: Some(messages), burn_us: 0 }),
            warm_up_ms: 0,
            ..Load::default()
        },
        socket(client),
    );
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let client = Process::launch(client.command("drive", spec.to_args()), &[], LIMIT)?;
        clients.push(ClientConversation::with(client));
    }
    each(&mut clients, ClientConversation::ready)?;
    each(&mut clients, |client| client.go(None))?;
    each(&mut clients, ClientConversation::measured)?;
    let mut sent = Tally::default();
    let mut units = 0;
    for report in each(&mut clients, ClientConversation::finish)? {
        if let Some(error) = report.errors.first() {
            return Err(format!("{} connections failed: {error}", report.failed_connections));
        }
        units += report.units;
        sent.add(&report.tally);
    }
    let served = serving.stop()?;
    let due = u64::from(connections) * messages;
    if units != due || served.upgraded != u64::from(connections) + 1 || served.open_at_end != 0 {
        return Err(format!("{units} round trips of {due}, and the server counted {served:?}"));
    }
    Ok(reconcile(&sent, &served.tally, 0..=0)?)
}

/// Takes a step of the conversation with each client.
fn each<T>(
    clients: &mut [ClientConversation<Process>],
    step: impl Fn(&mut ClientConversation<Process>) -> Result<T, PeerError>,
) -> Result<Vec<T>, String> {
    let step = |client: &mut ClientConversation<Process>| {
        step(client).map_err(|reason| format!("a client {reason}: {}", client.peer_mut().abandon()))
    };
    clients.iter_mut().map(step).collect()
}
