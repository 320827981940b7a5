//! `run --resume`.

use std::{path::Path, time::Duration};

use bench_core::{
    record::{Line, Machine, Orphaned},
    runner::BuildInfo,
};

use super::{
    bench::Bench,
    finish::{Look, finish},
};
use crate::{
    analysis::{
        origin::{is_same_machine, short_build},
        results::{Results, cut_unfinished_line},
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
    look: Look,
) -> Result<u8, Stop> {
    let results = Results::read(&[path]);
    let Some(session) = results.sessions.last().cloned() else {
        let reason = results.problems.first().map_or("there is none", String::as_str);
        return Err(Stop::usage(format!("{}: no run to go on with: {reason}", path.display())));
    };
    if session.build != *build {
        return Err(Stop::usage(format!(
            "{}: the run is of another build ({}, and this is {}): results of two builds are not mixed",
            path.display(),
            short_build(&session.build),
            short_build(build)
        )));
    }
    let this = Machine::this(build);
    if !is_same_machine(&session.machine, &this) {
        return Err(Stop::usage(format!(
            "{}: the run is of another machine or kernel ({}): results of two machines are not mixed",
            path.display(),
            session.machine.summary()
        )));
    }
    let wanted: Vec<String> = session
        .pairs
        .iter()
        .flat_map(|pair| [&pair.server, &pair.client])
        .map(|name| row_of(name).to_owned())
        .collect();
    let rows = finder.select(&wanted)?;
    if let Some((row, reason)) = rows.unavailable.iter().next() {
        return Err(Stop::failed(format!("{row}: not available any more: {reason}")));
    }
    for program in &rows.programs {
        // A file may hold earlier runs, of other builds.
        let own = results.trials.iter().filter(|trial| trial.session == session.session);
        let ends = own.flat_map(|trial| [&trial.server, &trial.client]);
        let mut of_this_row = ends.filter(|end| row_of(&end.row) == program.row);
        if of_this_row.any(|end| end.binary_sha256 != program.sha256) {
            return Err(Stop::usage(format!(
                "{}: {} has changed since the run began: results of two builds are not mixed",
                path.display(),
                program.path.display()
            )));
        }
    }
    resources::resources(&session.scenarios, this.memory_bytes)?;
    let bench = Bench::new(&session, rows.programs, time)?;
    let _lock = Lock::take(lock)?;

    if cut_unfinished_line(path).map_err(|error| Stop::failed(format!("{}: {error}", path.display())))? {
        say(&format!("{}: the last line was interrupted and is discarded", path.display()));
    }
    let mut records = Records::append(path)?;
    let progress = results.progress(&session.session);
    let blocks = plan::blocks(&session);
    for (block, (attempt, orders)) in &progress {
        let pairs =
            blocks.iter().find(|planned| planned.number == *block).map_or(0, |block| block.pairs.len());
        if orders.len() < pairs {
            let (session, block, attempt) = (session.session.clone(), *block, *attempt);
            say(&format!("block {} was not finished and is repeated", block.saturating_add(1)));
            records.write(&Line::Orphaned(Orphaned { session, block, attempt }))?;
        }
    }
    finish(bench, session, progress, records, look)
}
