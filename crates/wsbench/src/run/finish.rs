//! The part of a run that a new and a resumed one share.

use std::collections::BTreeSet;

use trial::record::{FoundPoint, Line, Partial, SCHEMA, Session, unix_ms};

use super::{
    bench::Bench,
    blocks::{is_done, run_blocks},
    progress::ProgressBar,
    rates,
    replacement::{Target, robbed},
    signals::{self, Signal},
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
};

/// How a run continues, and how its results are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FinishOptions {
    pub(crate) format: Format,
    pub(crate) slo: Slo,
    pub(crate) confidence: f64,
    pub(crate) target: Option<Target>,
    pub(crate) quiet: bool,
}

/// A run that has begun.
pub(crate) struct Begun {
    pub(crate) bench: Bench,
    pub(crate) session: Session,
    /// What this run has measured: in memory as in its file, so that a further round does not read that again.
    pub(crate) results: Results,
    pub(crate) records: Records,
}

/// What a run does once all its blocks are done.
#[derive(Debug)]
enum Next {
    /// It measures further rates of its curves.
    Wave(Vec<FoundPoint>),
    /// It adds a round, because an interval is wider than it was asked for.
    Round,
    /// It adds a round of the scenarios that disturbed trials have cost a verdict.
    Replacement(BTreeSet<String>),
    /// It ends.
    End,
}

impl Next {
    fn after(session: &Session, results: &Results, summary: &Summary, options: &FinishOptions) -> Next {
        if Signal::caught().is_some() {
            return Next::End;
        }
        let wave = rates::next_wave(&summary.groups, options.slo);
        if !wave.is_empty() {
            return Next::Wave(wave);
        }
        match options.target {
            Some(target) if target.is_missed(summary, session) => Next::Round,
            Some(_) => Next::End,
            None => match robbed(summary, &results.trials, session) {
                robbed if robbed.is_empty() => Next::End,
                robbed => Next::Replacement(robbed),
            },
        }
    }
}

/// Measures what is not done yet and prints the table.
pub(crate) fn finish(mut run: Begun, mut options: FinishOptions) -> Result<u8, Stop> {
    signals::listen(give_up_trial)?;
    // A resumed run looks for the same objective as before.
    if let Some(slo) = run.session.objective.as_deref().and_then(|text| Slo::parse(text).ok()) {
        options.slo = slo;
    }
    // Said first: whoever interrupts the run has to know where its records are.
    if !options.quiet {
        let resume = "(`wsbench run --resume` goes on with it after an interruption)";
        say(&format!("records: {} {resume}", run.records.path().display()));
    }
    let (results, summary) = loop {
        run.measure(options.quiet)?;
        let summary = Summary::new(&run.results, options.confidence);
        match Next::after(&run.session, &run.results, &summary, &options) {
            Next::End => break (run.results, summary),
            next => run.extend(next, options.quiet)?,
        }
    };
    // Of the whole run: a resumed one may have failed trials from before its interruption.
    let failed = results.trials.iter().any(|trial| trial.error.is_some());
    print(&render(&summary, &results, options.format, options.slo));
    if let Some(problem) = results.problems.first() {
        say(&format!("error: {problem}"));
        return Ok(FAILED);
    }
    if let Some(signal) = Signal::caught() {
        return Ok(signal.exit_code());
    }
    Ok(if failed || results.sessions.iter().any(|session| session.missing) { INCOMPLETE } else { OK })
}

/// Ends the children of the trial that is being measured, which ends that trial; nothing looks for a signal meanwhile, so that it
/// costs a measurement nothing.
fn give_up_trial(signal: Signal) {
    say(&format!(
        "{}: this trial is given up and what is finished is printed; once more ends at once",
        signal.name()
    ));
    trial::interrupt::interrupt();
}

impl Begun {
    /// Measures the blocks that are not done, until all are or a signal comes.
    fn measure(&mut self, quiet: bool) -> Result<(), Stop> {
        let Begun { bench, session, results, records } = self;
        let done = results.progress(&session.session);
        let progress = ProgressBar::start(session, quiet, |block| is_done(block, &done));
        let result = run_blocks(
            session,
            &done,
            |block, pair, position| {
                progress.trial(block, pair);
                let record = bench.trial(block, pair, position);
                // What a trial says that was interrupted is no result.
                Signal::caught().is_none().then(|| progress.done(&record))?;
                Some(record)
            },
            |record| {
                let line = Line::Trial(record);
                records.write(&line)?;
                if let Line::Trial(record) = line {
                    results.add(record);
                }
                Ok(())
            },
        );
        progress.end();
        results.leave_out_orphans();
        result?;
        if let Some(signal) = Signal::caught() {
            let (session, signal) = (session.session.clone(), signal.name().to_owned());
            let partial = Partial { schema: SCHEMA, session, signal, at_unix_ms: unix_ms() };
            records.write(&Line::Partial(partial))?;
        }
        Ok(())
    }

    /// Adds what comes next to the session: the last line of a run counts.
    fn extend(&mut self, next: Next, quiet: bool) -> Result<(), Stop> {
        match next {
            Next::Wave(wave) => {
                for FoundPoint { scenario, rows } in &wave {
                    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
                    say(&format!("next: {} for {}", scenario.name, rows.join(", ")));
                }
                self.session.waves.push(wave);
            }
            Next::Round => self.session.rounds += 1,
            Next::Replacement(scenarios) => {
                if !quiet {
                    let names: Vec<&str> = scenarios.iter().map(String::as_str).collect();
                    say(&format!("next: a round in place of disturbed ones, of {}", names.join(", ")));
                }
                self.session.further.push(scenarios);
            }
            Next::End => {}
        }
        self.results.sessions = vec![self.session.clone()];
        self.records.write(&Line::Session(self.session.clone()))
    }
}
