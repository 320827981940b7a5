//! Charts: what is in them, and how they are drawn as SVG.

use crate::analysis::{objective::Slo, results::Results, summary::Summary};

pub(crate) mod axis;
pub(crate) mod card;
pub(crate) mod chart;
pub(crate) mod draw;
pub(crate) mod ink;
pub(crate) mod scenario;
pub(crate) mod sweeps;

/// All charts of some results, as the page draws them: name and SVG.
pub(crate) fn drawings(results: &Results, confidence: f64, slo: Slo) -> Vec<(String, String)> {
    let summary = Summary::new(results, confidence);
    let own =
        card::cards(&summary, results).into_iter().flat_map(|card| scenario::of_group(&card, confidence));
    let all = sweeps::across(&summary, slo).into_iter().chain(own.collect::<Vec<_>>());
    all.map(|chart| (chart.id.clone(), draw::draw(&chart).svg)).collect()
}
