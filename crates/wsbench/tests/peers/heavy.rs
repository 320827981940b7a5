//! Much at once, with every message accounted for: two client processes against one server.

use std::time::Duration;

use bench_core::{
    DriveSpec, ServeSpec,
    protocol::Event,
    spec::{Load, Pacing, PingPong, SocketSpec, Work},
    tally::{Tally, reconcile},
};
use trial::{Peer, Program, probe, process::Process};

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
    let mut serving = Process::launch(server.command("serve", spec.to_args()), &[], LIMIT)?;
    let Event::Listening { addr, .. } = serving.event()? else { return Err("it does not listen".to_owned()) };
    probe::echo_nonce(addr, None, LIMIT)?;
    let spec = DriveSpec {
        tls_cert: None,
        target: addr.to_string(),
        threads: 1,
        pacing: Pacing::default(),
        load: Load {
            connections: connections / CLIENTS,
            work: Work::PingPong(PingPong { messages: Some(messages), burn_us: 0 }),
            warm_up_ms: 0,
            ..Load::default()
        },
        socket: socket(client),
    };
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Process::launch(client.command("drive", spec.to_args()), &[], LIMIT)?);
    }
    let step =
        |clients: &mut Vec<Process>, line: &str| clients.iter_mut().try_for_each(|client| client.tell(line));
    events(&mut clients)?;
    step(&mut clients, "go")?;
    events(&mut clients)?;
    step(&mut clients, "finish")?;
    let mut sent = Tally::default();
    let mut units = 0;
    for event in events(&mut clients)? {
        let Event::Drove(drove) = event else { return Err(format!("a client reported {event:?}")) };
        if let Some(error) = drove.errors.first() {
            return Err(format!("{} connections failed: {error}", drove.failed_connections));
        }
        units += drove.units;
        sent.add(&drove.tally);
    }
    serving.end_input();
    let Event::Served(served) = serving.event()? else { return Err("no counts at the end".to_owned()) };
    let due = u64::from(connections) * messages;
    if units != due || served.upgraded != u64::from(connections) + 1 || served.open_at_end != 0 {
        return Err(format!("{units} round trips of {due}, and the server counted {served:?}"));
    }
    Ok(reconcile(&sent, &served.tally, 0..=0)?)
}

fn events(clients: &mut [Process]) -> Result<Vec<Event>, String> {
    let event = |client: &mut Process| {
        client.event().map_err(|reason| format!("a client {reason}: {}", client.abandon()))
    };
    clients.iter_mut().map(event).collect()
}
