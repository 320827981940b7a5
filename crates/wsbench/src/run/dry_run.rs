//! What a run would measure.

use std::fmt::Write;

use indicatif::HumanDuration;
use trial::record::Session;

use crate::{analysis::twin, output::terminal::safe, run::plan};

/// Every block with its trials in their order, and how long all of it takes.
pub(crate) fn dry_run(session: &Session) -> String {
    let blocks = plan::blocks(session);
    let mut text = String::new();
    for block in &blocks {
        let trials: Vec<String> = block
            .pairs
            .iter()
            .map(|pair| {
                if pair.server == pair.client {
                    pair.server.clone()
                } else {
                    format!("{}/{}", pair.server, pair.client)
                }
            })
            .collect();
        let _ = writeln!(
            text,
            "round {:>2}  {:<22} {:<6}  {}",
            block.round + 1,
            safe(&block.scenario.name),
            block.scenario.placement,
            safe(&trials.join("  "))
        );
    }
    let trials: usize = blocks.iter().map(|block| block.pairs.len()).sum();
    let _ = writeln!(
        text,
        "{trials} trials, about {}, seed {} (server/client; {} is the baseline again)",
        HumanDuration(plan::duration(&blocks)),
        session.seed,
        twin::name_of(&session.baseline),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::results::tests::session;

    #[test]
    fn a_dry_run_lists_every_block() {
        let text = dry_run(&session());
        assert_eq!(text.lines().count(), 4);
        assert!(text.contains("9 trials") && text.contains("seed 7") && text.contains("smol/tokio"));
    }
}
