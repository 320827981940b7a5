//! The workload `connect`: one connection after the other, or at a rate.

use std::{io, time::Instant};

use histogram::Series;

use super::{Job, Runtime};
use crate::{
    Socket, SocketError,
    service::Push,
    timer::within,
    workload::{self, WorkloadError},
};

/// Connect, upgrade, first push or some echoes, each timed apart; closing is not timed.
pub(super) async fn repeatedly<R: Runtime>(job: &mut Job<R>) -> Result<(), WorkloadError> {
    match job.pace.as_ref().map(|(pace, _)| pace.clone()) {
        None => {
            let mut done = 0;
            loop {
                let start = Instant::now();
                if job.script.stop.reached(done, start) {
                    return Ok(());
                }
                once(job, start).await?;
                done += 1;
            }
        }
        Some(pace) => {
            for intended in pace.intended() {
                let now = Instant::now();
                if now > intended && now >= pace.give_up {
                    job.lane.progress.not_sent += 1;
                    job.script.record_at(Series::Handshake, intended, now - intended);
                    continue;
                }
                job.wait(intended).await;
                let free = now <= intended;
                let series = if free { Series::GeneratorLag } else { Series::Queued };
                job.script.record(series, intended.elapsed());
                once(job, intended).await?;
            }
            Ok(())
        }
    }
}

/// One connection from its start, which may have been intended earlier, to its end.
async fn once<R: Runtime>(job: &mut Job<R>, intended: Instant) -> Result<(), WorkloadError> {
    let (script, progress) = (&job.script, &mut job.lane.progress);
    let push = Push { class: script.class, ..job.lane.push.clone() };
    let path = if script.load.exchanges > 0 { "/echo".to_owned() } else { push.path() };
    let url = job.target.url(&path, job.spec.tls);
    let limit = job.spec.handshake_timeout();
    let timer = job.runtime.timer();

    let start = Instant::now();
    let opening = async {
        let stream = job.runtime.connect(job.target.addr).await?;
        let connected = Instant::now();
        Ok((job.runtime.upgrade(stream, &url, &job.spec).await?, connected))
    };
    let (mut socket, connected) = match within(&timer, limit, "the opening handshake", opening).await {
        Ok(opened) => opened,
        Err(error) if script.load.count_refusals => {
            match refusal(&error) {
                Some(Refusal::Refused) => progress.refused += 1,
                Some(Refusal::TimedOut) => progress.timed_out += 1,
                None => return Err(error.into()),
            }
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let upgraded = Instant::now();
    if job.lane.secured.is_none() {
        job.lane.secured = socket.secured();
    }
    script.record(Series::TcpConnect, connected - start);
    script.record(Series::Upgrade, upgraded - connected);
    script.record_at(Series::Handshake, intended, upgraded - intended);
    if script.load.exchanges == 0 {
        workload::first_push(&mut socket, &push, progress).await?;
        let pushed = Instant::now();
        script.record(Series::FirstPush, pushed - upgraded);
        script.record(Series::ConnectToFirstPush, pushed - start);
    } else {
        for _ in 0..script.load.exchanges {
            workload::round_trip(&mut socket, script, progress).await?;
        }
        progress.units += 1;
    }
    let limit = job.spec.close_timeout();
    Ok(within(&timer, limit, "the closing handshake", socket.close()).await?)
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
        SocketError::Protocol(_) => None,
    }
}
