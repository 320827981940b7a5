//! How each row differs from the baseline, over all scenarios.

use std::collections::BTreeMap;

use bench_core::spec::Role;
use trial::metric::{self, Metric};
use units::human;

use crate::{
    analysis::group::RowFigures,
    output::{
        charts::card::Card,
        table::cells::VerdictWord,
        text::{clean, list, percent},
    },
};

/// One row beside the baseline.
pub(crate) struct Difference {
    pub(crate) row: String,
    pub(crate) baseline: String,
    /// A sentence for each kind of verdict.
    pub(crate) verdicts: Vec<String>,
    /// Where the CPU time goes, in scenarios with a verdict on it.
    pub(crate) costs: Vec<String>,
}

/// Every row that has a verdict somewhere.
pub(crate) fn differences(cards: &[Card<'_>]) -> Vec<Difference> {
    let mut names: Vec<(&str, &str)> = Vec::new();
    for card in cards {
        for row in &card.group.rows {
            let pair = (card.group.compared(row), card.group.baseline.as_str());
            if !row.judged.is_empty() && pair.0 != pair.1 && !names.contains(&pair) {
                names.push(pair);
            }
        }
    }
    let difference = |(row, baseline)| {
        let verdicts = verdicts(cards, row, baseline);
        let costs = costs(cards, row, baseline);
        Difference { row: clean(row), baseline: clean(baseline), verdicts, costs }
    };
    names.into_iter().map(difference).filter(|difference| !difference.verdicts.is_empty()).collect()
}

fn of<'a>(card: &'a Card<'_>, row: &str, baseline: &str) -> Option<&'a RowFigures> {
    let group = card.group;
    group.rows.iter().find(|one| group.compared(one) == row && group.baseline == baseline)
}

fn verdicts(cards: &[Card<'_>], row: &str, baseline: &str) -> Vec<String> {
    let mut by_word: BTreeMap<VerdictWord, Vec<String>> = BTreeMap::new();
    for card in cards {
        let Some(figures) = of(card, row, baseline) else { continue };
        for metric in card.group.judged.iter().map(|judged| judged.metric) {
            let Some(judged) = figures.judged_by(metric) else { continue };
            let Some(word) = VerdictWord::of(metric, judged.verdict) else { continue };
            let ratio = judged.ratio.map_or(String::new(), |ratio| format!(" {} %", percent(ratio)));
            let name = clean(&card.group.name());
            by_word.entry(word).or_default().push(format!("{name}{ratio} {}", metric.label));
        }
    }
    let line = |(word, scenarios): (VerdictWord, Vec<String>)| {
        format!("{} in {}: {}", word.text(), scenarios.len(), scenarios.join(", "))
    };
    by_word.into_iter().map(line).collect()
}

/// `closed-100: 1.17 µs a message more, 0.3 µs in user mode and 0.8 µs in the kernel`.
fn costs(cards: &[Card<'_>], row: &str, baseline: &str) -> Vec<String> {
    let cost = |card: &Card<'_>| {
        let (row, base) = (of(card, row, baseline)?, card.baseline()?);
        let (all, user, system, waits, calls) = match card.group.role {
            Role::Server => (
                metric::SERVER_CPU,
                metric::SERVER_USER_CPU,
                metric::SERVER_SYSTEM_CPU,
                metric::SERVER_SWITCHES,
                metric::SERVER_SYSTEM_CALLS,
            ),
            Role::Client => (
                metric::CLIENT_CPU,
                metric::CLIENT_USER_CPU,
                metric::CLIENT_SYSTEM_CPU,
                metric::CLIENT_SWITCHES,
                metric::CLIENT_SYSTEM_CALLS,
            ),
        };
        if VerdictWord::of(all, row.judged_by(all)?.verdict)? == VerdictWord::Tie {
            return None;
        }
        let change = |metric: Metric| {
            let value = |row: &RowFigures| row.figures.get(metric.name).map(|figure| figure.median);
            Some(value(row)? - value(base)?)
        };
        let signed = |value: f64, metric: Metric| {
            let sign = if value < 0.0 { '−' } else { '+' };
            format!("{sign}{}", human(value.abs(), metric.unit))
        };
        let mut parts = vec![format!("{} a message", signed(change(all)?, all))];
        if let (Some(in_user), Some(in_kernel)) = (change(user), change(system)) {
            let of_ticks = format!(
                "by the kernel's ticks {} in user mode and {} in the kernel",
                signed(in_user, user),
                signed(in_kernel, system)
            );
            parts.push(of_ticks);
        }
        if let Some(change) = change(calls) {
            parts.push(format!("{} system calls", signed(change, calls)));
        }
        if let Some(change) = change(waits) {
            parts.push(format!("{} context switches", signed(change, waits)));
        }
        Some(format!("{}: {}", clean(&card.group.name()), list(&parts)))
    };
    cards.iter().filter_map(cost).collect()
}
