//! The workload `connect`: connections that are opened, used once and closed, over and over or at a rate.

use std::{io, time::Instant};

use histogram::Series;

use super::{
    connection::Connection,
    open::{Opened, Opener},
    waits::Waits,
};
use crate::{
    Network, Socket, SocketError, Timer,
    service::Push,
    spec::{Connect, Refusals},
    timer::within,
    workload::{self, Pace, Script, WorkloadError},
};

/// Connect, upgrade, first push or some echoes, each timed apart; closing is not timed.
pub(super) async fn repeatedly<N: Network, T: Timer>(
    opener: &Opener<N, T>,
    waits: &Waits<T>,
    work: Connect,
    pace: Option<&Pace>,
    script: &Script,
    connection: &mut Connection<N::Socket>,
) -> Result<(), WorkloadError> {
    let Some(pace) = pace else {
        let mut done = 0;
        loop {
            let start = Instant::now();
            if script.stop.reached(done, start) {
                return Ok(());
            }
            once(opener, work, script, connection, start).await?;
            done += 1;
        }
    };
    for intended in pace.intended() {
        let now = Instant::now();
        if now > intended && now >= pace.give_up {
            connection.progress.not_sent += 1;
            script.record_at(Series::Handshake, intended, now - intended);
            continue;
        }
        waits.until(intended).await;
        let free = now <= intended;
        let series = if free { Series::GeneratorLag } else { Series::Queued };
        script.record(series, intended.elapsed());
        once(opener, work, script, connection, intended).await?;
    }
    Ok(())
}

/// One connection from its start, which may have been intended earlier, to its end.
async fn once<N: Network, T: Timer>(
    opener: &Opener<N, T>,
    work: Connect,
    script: &Script,
    connection: &mut Connection<N::Socket>,
    intended: Instant,
) -> Result<(), WorkloadError> {
    let progress = &mut connection.progress;
    let push = Push { class: script.class, ..connection.push.clone() };
    let path = if work.exchanges > 0 { "/echo".to_owned() } else { push.path() };
    let url = opener.url(&path);

    let start = Instant::now();
    let opened = match opener.open(&url).await {
        Ok(opened) => opened,
        Err(error) if work.refusals == Refusals::Count => {
            match refusal(&error) {
                Some(Refusal::Refused) => progress.refused += 1,
                Some(Refusal::TimedOut) => progress.timed_out += 1,
                None => return Err(error.into()),
            }
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let Opened { mut socket, tcp_connect, upgrade, at: upgraded } = opened;
    if connection.secured.is_none() {
        connection.secured = socket.secured();
    }
    script.record(Series::TcpConnect, tcp_connect);
    script.record(Series::Upgrade, upgrade);
    script.record_at(Series::Handshake, intended, upgraded - intended);
    if work.exchanges == 0 {
        workload::first_push(&mut socket, &push, progress).await?;
        let pushed = Instant::now();
        script.record(Series::FirstPush, pushed - upgraded);
        script.record(Series::ConnectToFirstPush, pushed - start);
    } else {
        for _ in 0..work.exchanges {
            workload::round_trip(&mut socket, script, progress).await?;
        }
        progress.units += 1;
    }
    let limit = opener.spec.close_timeout();
    Ok(within(&opener.timer, limit, "the closing handshake", socket.close()).await?)
}

enum Refusal {
    Refused,
    TimedOut,
}

/// What a failed opening says of the server's end; `None` where this end could not even try.
fn refusal(error: &SocketError) -> Option<Refusal> {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, TimedOut, UnexpectedEof,
    };
    match error {
        SocketError::TimedOut { .. } => Some(Refusal::TimedOut),
        SocketError::Handshake(_) => Some(Refusal::Refused),
        SocketError::Io(error) => match error.kind() {
            TimedOut => Some(Refusal::TimedOut),
            BrokenPipe | ConnectionAborted | ConnectionRefused | ConnectionReset | UnexpectedEof => {
                Some(Refusal::Refused)
            }
            _ => None,
        },
        SocketError::NotClosed | SocketError::Protocol(_) | SocketError::Tls(_) => None,
    }
}
