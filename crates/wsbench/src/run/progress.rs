//! What a person sees during a run.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{HumanDuration, ProgressStyle};
use trial::record::{Pair, Record, Session};

use crate::{
    analysis::planned::all_rounds,
    output::terminal::{safe, say},
    run::plan::{self, Block},
};

/// A bar of so many steps on a terminal, and a hidden one elsewhere or where nobody wants to see it.
pub(crate) fn bar(steps: u64, template: &str, quiet: bool) -> indicatif::ProgressBar {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    if quiet || is_dumb || !std::io::stderr().is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    let bar = indicatif::ProgressBar::new(steps);
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// What is being measured and what is left: a bar on a terminal, a line a round elsewhere.
pub(crate) struct ProgressBar {
    bar: indicatif::ProgressBar,
    start: Instant,
    rounds: u32,
    round: std::cell::Cell<Option<u32>>,
    total: Duration,
    quiet: bool,
}

impl ProgressBar {
    /// Begins with the blocks of a session that are left to do.
    pub(crate) fn start(session: &Session, quiet: bool, is_done: impl Fn(&Block) -> bool) -> ProgressBar {
        let mut blocks = plan::blocks(session);
        let all = blocks.len();
        blocks.retain(|block| !is_done(block));
        let trials: usize = blocks.iter().map(|block| block.pairs.len()).sum();
        let total = plan::duration(&blocks);
        let left = if blocks.len() < all { " left" } else { "" };
        if !quiet {
            say(&format!(
                "{trials} trials{left} in {} rounds, about {}, seed {}",
                all_rounds(session),
                HumanDuration(total),
                session.seed
            ));
        }
        ProgressBar {
            bar: bar(trials as u64, "{bar:24} {pos}/{len}  {prefix}  {wide_msg}", quiet),
            start: Instant::now(),
            rounds: all_rounds(session),
            round: None.into(),
            total,
            quiet,
        }
    }

    pub(crate) fn trial(&self, block: &Block, pair: &Pair) {
        let left = self.total.saturating_sub(self.start.elapsed());
        if self.quiet {
            return;
        }
        if self.bar.is_hidden() {
            if self.round.replace(Some(block.round)) != Some(block.round) {
                let (round, rounds) = (block.round + 1, self.rounds);
                say(&format!("round {round} of {rounds}, about {} left", HumanDuration(left)));
            }
            return;
        }
        self.bar.set_prefix(format!("{} left", HumanDuration(left)));
        self.bar.set_message(safe(&format!("{} · {}", block.scenario.name, pair.server)));
    }

    pub(crate) fn done(&self, record: &Record) {
        if let Some(error) = &record.error {
            let (name, server, client) = (&record.scenario.name, &record.server.row, &record.client.row);
            let line = safe(&format!("failed: {name}, server {server}, client {client}: {error}"));
            if self.bar.is_hidden() { say(&line) } else { self.bar.println(line) }
        }
        self.bar.inc(1);
    }

    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
