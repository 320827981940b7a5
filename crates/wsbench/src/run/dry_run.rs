//! What a run would measure.

use std::fmt::Write;

use indicatif::HumanDuration;
use trial::{catalogue::Scenario, record::Session};

use crate::{
    analysis::{
        planned::{Family, rounds_of},
        twin,
    },
    output::{
        terminal::safe,
        text::{count, list},
    },
    run::{plan, rounds},
};

/// Every block with its trials in their order, what their rounds are enough for, and how long all of it takes.
pub(crate) fn dry_run(session: &Session, confidence: f64) -> String {
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
    for scenario in &session.scenarios {
        let _ = writeln!(text, "{}", safe(&judged(session, scenario, confidence)));
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

/// `rtt-24: 14 rounds; a verdict on 14 rows by server CPU, p50 and p99 needs 12 that no mark spoils`.
fn judged(session: &Session, scenario: &Scenario, confidence: f64) -> String {
    let name = &scenario.name;
    let rounds = count(rounds_of(session, name) as usize, "round");
    let Some((family, needed)) =
        Family::new(session, scenario).zip(rounds::least(session, scenario, confidence))
    else {
        return format!("{name}: {rounds}; nothing is judged");
    };
    let metrics: Vec<String> = family.metrics.iter().map(|metric| metric.label.to_owned()).collect();
    let enough = if needed > rounds_of(session, name) { ", so that there will be none" } else { "" };
    format!(
        "{name}: {rounds}; a verdict on {} by {} needs {needed} that no mark spoils{enough}",
        count(family.rows, "row"),
        list(&metrics)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::results::tests::session;

    #[test]
    fn a_dry_run_lists_every_block() {
        let text = dry_run(&session(), 0.95);
        assert_eq!(text.lines().count(), 5);
        assert!(text.contains("rtt-24: 3 rounds; a verdict on 1 row by server CPU, p50, p99 and"), "{text}");
        assert!(text.contains("needs 8 that no mark spoils, so that there will be none"), "{text}");
        assert!(text.contains("9 trials") && text.contains("seed 7") && text.contains("smol/tokio"));
    }
}
