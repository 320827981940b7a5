//! `run --resume`.

use std::{path::Path, time::Duration};

use bench_core::row::BuildInfo;
use trial::{
    Program,
    machine::Machine,
    record::{Line, Orphaned, Pair, Session},
};

use super::{
    bench::Bench,
    finish::{Begun, FinishOptions, finish},
};
use crate::{
    analysis::{
        alike::on,
        origin::{is_same_machine, short_build},
        results::{Attempt, Progress, Results, cut_unfinished_line},
        twin::row_of,
    },
    exit::Stop,
    output::{files::Records, terminal::say},
    run::{
        lock::{Lock, LockArguments},
        plan, resources,
        rows::Finder,
    },
};

/// Completes the last run of a file: unfinished blocks are repeated whole.
pub(crate) fn resume(
    path: &Path,
    lock: &LockArguments,
    finder: &Finder,
    build: &BuildInfo,
    time: Option<Duration>,
    options: FinishOptions,
) -> Result<u8, Stop> {
    let results = Results::read(&[path]);
    let Some(session) = results.sessions.last().cloned() else {
        let reason = results.problems.first().map_or("there is none", String::as_str);
        return Err(Stop::usage(format!("{}: no run to go on with: {reason}", path.display())));
    };
    if let Some(target) = &session.target {
        return Err(Stop::usage(format!(
            "{}: the last record is of `wsbench drive` ({target}), which cannot be resumed: drive the server again with --out",
            path.display()
        )));
    }
    let this = Machine::this(build);
    refuse_other_origin(path, &session, build, &this)?;
    let wanted: Vec<String> = session
        .pairs
        .iter()
        .flat_map(|pair| [&pair.server, &pair.client])
        .map(|name| row_of(name).to_owned())
        .collect();
    let rows = finder.select_again(&session.started_by, &wanted)?;
    if let Some((row, reason)) = rows.unavailable.iter().next() {
        return Err(Stop::failed(format!("{row}: not available any more: {reason}")));
    }
    refuse_changed_programs(path, &session, &results, &rows.programs)?;
    resources::resources(&session.scenarios, this.usable_memory_bytes())?;
    let bench = Bench::new(&session, rows.programs, time)?;
    refuse_other_cores(path, &session, &results, &bench)?;
    let _lock = Lock::take(lock)?;

    if cut_unfinished_line(path).map_err(|error| Stop::failed(format!("{}: {error}", path.display())))? {
        say(&format!("{}: the last line was interrupted and is discarded", path.display()));
    }
    let mut records = Records::append(path)?;
    let done = results.progress(&session.session);
    orphan_unfinished_blocks(&session, &done, &mut records)?;
    let results = Results::read(&[path]).of_session(&session);
    finish(Begun { bench, session, results, records }, options)
}

/// Results of two builds, or of two machines, are not mixed.
fn refuse_other_origin(
    path: &Path,
    session: &Session,
    build: &BuildInfo,
    this: &Machine,
) -> Result<(), Stop> {
    if !session.build.is_same_as(build) {
        return Err(Stop::usage(format!(
            "{}: the run is of another build ({}, and this is {}): results of two builds are not mixed",
            path.display(),
            short_build(&session.build),
            short_build(build)
        )));
    }
    if !is_same_machine(&session.machine, this) {
        return Err(Stop::usage(format!(
            "{}: the run is of another machine or kernel ({}): results of two machines are not mixed",
            path.display(),
            session.machine.summary()
        )));
    }
    Ok(())
}

/// Nor are results of two programs under the name of one row.
fn refuse_changed_programs(
    path: &Path,
    session: &Session,
    results: &Results,
    programs: &[Program],
) -> Result<(), Stop> {
    for program in programs {
        // A file may hold earlier runs, of other builds.
        let own = results.trials.iter().filter(|trial| trial.session == session.session);
        let ends = own.flat_map(|trial| [&trial.server, &trial.client]);
        let mut of_this_row = ends.filter(|end| row_of(&end.row) == program.row);
        if of_this_row.any(|end| end.binary_sha256 != program.sha256) {
            return Err(Stop::usage(format!(
                "{}: {} has changed since the run began: results of two builds are not mixed",
                path.display(),
                program.made_of()
            )));
        }
    }
    Ok(())
}

/// Nor are trials of other cores: a run that was started under another affinity chose others.
fn refuse_other_cores(path: &Path, session: &Session, results: &Results, bench: &Bench) -> Result<(), Stop> {
    for trial in results.trials.iter().filter(|trial| trial.session == session.session) {
        let pair = Pair { server: trial.server.row.clone(), client: trial.client.row.clone() };
        let Some(now) = bench.cores(&trial.scenario, &pair) else { continue };
        if *now != trial.cores {
            return Err(Stop::usage(format!(
                "{}: this run was measured {} and would continue {}: resume it with the affinity that it began with (taskset)",
                path.display(),
                on(&trial.cores),
                on(now)
            )));
        }
    }
    Ok(())
}

/// Records which blocks were begun and not finished.
fn orphan_unfinished_blocks(session: &Session, done: &Progress, records: &mut Records) -> Result<(), Stop> {
    let blocks = plan::blocks(session);
    for (block, Attempt { number, orders }) in done {
        let pairs =
            blocks.iter().find(|planned| planned.number == *block).map_or(0, |block| block.pairs.len());
        if orders.len() < pairs {
            let (session, block, attempt) = (session.session.clone(), *block, *number);
            say(&format!("block {} was not finished and is repeated", block.saturating_add(1)));
            records.write(&Line::Orphaned(Orphaned { session, block, attempt }))?;
        }
    }
    Ok(())
}
