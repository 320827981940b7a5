//! The part of a run that a new and a resumed one share.

use bench_core::record::{FoundPoint, Line, Partial, SCHEMA, Session, unix_ms};

use super::{
    bench::Bench,
    blocks::{Done, is_done, run_blocks},
    replacement::{Target, robbed},
};
use crate::{
    analysis::{objective::Slo, results::Results, summary::Summary},
    exit::{FAILED, INCOMPLETE, OK, Stop},
    output::{
        files::Records,
        print::print,
        table::{Format, render},
        terminal::say,
    },
    run::{
        progress::Progress,
        rates,
        signals::{self, Signal},
    },
};

/// How the results are looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) format: Format,
    pub(crate) slo: Slo,
    pub(crate) confidence: f64,
    pub(crate) target: Option<Target>,
    pub(crate) quiet: bool,
}

/// Measures what is not done yet and prints the table.
pub(crate) fn finish(
    mut bench: Bench,
    mut session: Session,
    mut done: Done,
    mut records: Records,
    look: Look,
) -> Result<u8, Stop> {
    signals::listen()?;
    let path = records.path().to_owned();
    // A resumed run goes on looking for what it looked for.
    let slo = session.objective.as_deref().and_then(|text| Slo::parse(text).ok()).unwrap_or(look.slo);
    // Said first: whoever interrupts the run has to know where its records are.
    if !look.quiet {
        let resume = "(`wsbench run --resume` goes on with it after an interruption)";
        say(&format!("records: {} {resume}", path.display()));
    }
    let (own, summary) = loop {
        let progress = Progress::start(&session, look.quiet, |block| is_done(block, &done));
        let result = run_blocks(
            &session,
            &done,
            |block, pair, position| {
                progress.trial(block, pair);
                let record = bench.trial(block, pair, position);
                // What a trial says that was interrupted is no result.
                Signal::caught().is_none().then(|| progress.done(&record))?;
                Some(record)
            },
            |line| records.write(line),
        );
        progress.end();
        result?;

        if let Some(signal) = Signal::caught() {
            let (session, signal) = (session.session.clone(), signal.name().to_owned());
            records.write(&Line::Partial(Partial {
                schema: SCHEMA,
                session,
                signal,
                at_unix_ms: unix_ms(),
            }))?;
        }
        let results = Results::read(&[&path]);
        done = results.progress(&session.session);
        let own = Results {
            trials: results.trials.into_iter().filter(|trial| trial.session == session.session).collect(),
            sessions: vec![session.clone()],
            ..results
        };
        let summary = Summary::new(&own, look.confidence);
        let wave = rates::next_wave(&summary.groups, slo);
        if Signal::caught().is_none() && !wave.is_empty() {
            for FoundPoint { scenario, rows } in &wave {
                let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
                say(&format!("next: {} for {}", scenario.name, rows.join(", ")));
            }
            session.waves.push(wave);
            records.write(&Line::Session(session.clone()))?;
            continue;
        }
        if Signal::caught().is_some() {
            break (own, summary);
        }
        let robbed = robbed(&summary, &own.trials, &session);
        match look.target {
            Some(target) if target.is_missed(&summary, &session) => session.rounds += 1,
            None if !robbed.is_empty() => {
                if !look.quiet {
                    let names: Vec<&str> = robbed.iter().map(String::as_str).collect();
                    say(&format!("next: a round in place of disturbed ones, of {}", names.join(", ")));
                }
                session.further.push(robbed);
            }
            _ => break (own, summary),
        }
        // The same run with a round more: the last of its lines counts.
        records.write(&Line::Session(session.clone()))?;
    };
    // Of the whole run: a resumed one may have failed trials from before its interruption.
    let failed = own.trials.iter().any(|trial| trial.error.is_some());
    print(&render(&summary, &own, look.format, slo));
    if let Some(problem) = own.problems.first() {
        say(&format!("error: {problem}"));
        return Ok(FAILED);
    }
    if let Some(signal) = Signal::caught() {
        return Ok(signal.exit_code());
    }
    Ok(if failed || session.missing { INCOMPLETE } else { OK })
}
