//! The questions that a reader comes with, answered from the verdicts and from nothing else.

use trial::metric::{self, Metric};
use units::human;

use crate::{
    analysis::{
        curve::{Curve, Highest, highest},
        group::{Group, RowFigures},
        leaders::leaders,
        objective::Slo,
        verdict::Verdict,
    },
    output::{
        charts::card::Card,
        table::{
            cells::VerdictWord,
            curve::{shown, signs},
        },
        text::{clean, count, list, percent},
    },
};

/// How a scenario ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// One row is better than all others.
    Winner,
    /// No row is better than another.
    Tie,
    /// Several rows are better than the rest, and none of them than each other.
    SharedFirst,
    NoVerdict,
}

impl Outcome {
    /// As a reader sees it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Outcome::Winner => "winner",
            Outcome::Tie => "tie",
            Outcome::SharedFirst => "shared first",
            Outcome::NoVerdict => "no verdict",
        }
    }

    /// A class of the page's style.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Outcome::Winner => "winner",
            Outcome::Tie | Outcome::SharedFirst => "tie",
            Outcome::NoVerdict => "undecided",
        }
    }
}

/// A question with what the records say to it.
pub(crate) struct Answer {
    pub(crate) question: &'static str,
    pub(crate) sentences: Vec<Sentence>,
}

/// What one scenario says.
pub(crate) struct Sentence {
    /// Name of the card that it comes from, where there is one.
    pub(crate) card: Option<String>,
    pub(crate) scenario: String,
    pub(crate) outcome: Outcome,
    pub(crate) text: String,
    /// Under which condition, and how sure.
    pub(crate) condition: String,
}

/// As many medians as a sentence holds.
const SHOWN_MEDIANS: usize = 4;

/// The answers to all questions that some group speaks to.
pub(crate) fn answers(cards: &[Card<'_>], curves: &[Curve<'_>], confidence: f64, slo: Slo) -> Vec<Answer> {
    let ranked = |metrics: &[Metric]| -> Vec<Sentence> {
        let of_them = cards.iter().filter(|card| metrics.contains(&card.group.ranking));
        of_them.map(|card| ranked(card, confidence)).collect()
    };
    let shown_only = |metric: Metric| -> Vec<Sentence> {
        let holds = |card: &&Card<'_>| {
            card.group.columns.contains(&metric) && card.group.scenario.load.workload().is_closed_loop()
        };
        cards.iter().filter(holds).filter_map(|card| observed(card, metric)).collect()
    };
    let mut latency = ranked(&[metric::P99]);
    latency.extend(shown_only(metric::P99));
    let mut rate: Vec<Sentence> = curves.iter().map(|curve| held(curve, slo)).collect();
    rate.extend(shown_only(metric::RATE));
    let known = [
        metric::P99,
        metric::SERVER_CPU,
        metric::CLIENT_CPU,
        metric::LAG_P99,
        metric::SERVER_RSS,
        metric::SERVER_RSS_PER_CONNECTION,
    ];
    let others = cards.iter().filter(|card| !known.contains(&card.group.ranking));
    let answers = [
        ("Which has the lowest latency?", latency),
        ("Which carries the highest rate?", rate),
        ("Which takes the least CPU time a message?", ranked(&[metric::SERVER_CPU, metric::CLIENT_CPU])),
        (
            "Which takes the least memory for a connection?",
            ranked(&[metric::SERVER_RSS_PER_CONNECTION, metric::SERVER_RSS]),
        ),
        ("Which pushes most punctually?", ranked(&[metric::LAG_P99])),
        ("And else?", others.map(|card| self::ranked(card, confidence)).collect()),
    ];
    let asked = |(question, mut sentences): (_, Vec<Sentence>)| {
        // What is decided comes first, and stays in the scenarios' order.
        sentences.sort_by_key(|sentence| sentence.outcome == Outcome::NoVerdict);
        (!sentences.is_empty()).then_some(Answer { question, sentences })
    };
    let mut answers: Vec<Answer> = answers.into_iter().filter_map(asked).collect();
    answers.sort_by_key(|answer| answer.sentences[0].outcome == Outcome::NoVerdict);
    answers
}

/// `least server CPU`, `lowest p99`.
fn best(metric: Metric) -> String {
    let word = match metric {
        _ if metric.higher_is_better => "highest",
        metric::P99 | metric::LAG_P99 => "lowest",
        _ => "least",
    };
    format!("{word} {}", metric.label)
}

fn condition(group: &Group, confidence: f64) -> String {
    let summary = match group.ranking {
        metric::SERVER_RSS_PER_CONNECTION => clean(&group.scenario.about),
        _ => group.scenario.summary(),
    };
    let floor = group.floor.map(|floor| {
        let baseline = clean(&group.baseline);
        let (level, floor) = (confidence * 100.0, (floor - 1.0) * 100.0);
        format!(", ratios to {baseline}, at {level} % beyond the A/A floor of ±{floor:.1} %")
    });
    format!("{summary}, {}, {}{}", group.placement, count(group.rounds, "round"), floor.unwrap_or_default())
}

fn sentence(card: &Card<'_>, outcome: Outcome, text: String, condition: String) -> Sentence {
    let scenario = clean(&card.group.scenario.name);
    Sentence { card: Some(card.id.clone()), scenario, outcome, text, condition }
}

fn median(row: &RowFigures, metric: Metric) -> Option<f64> {
    row.figures.get(metric.name).map(|figure| figure.median)
}

/// What the ranking metric of a group says, by its ranks.
fn ranked(card: &Card<'_>, confidence: f64) -> Sentence {
    let group = card.group;
    let metric = group.ranking;
    let condition = condition(group, confidence);
    let rank = |row: &RowFigures| row.judged.and_then(|judged| judged.rank);
    let ranked: Vec<&RowFigures> = group.rows.iter().filter(|row| rank(row).is_some()).collect();
    let first = leaders(group);
    // Pairs may beat each other in a circle, so that nobody is first.
    if ranked.len() < 2 || first.is_empty() {
        let text = format!("{} {}", without(group), lowest(group, metric).unwrap_or_default());
        return sentence(card, Outcome::NoVerdict, text.trim().to_owned(), condition);
    }
    let name = |row: &&RowFigures| {
        let value =
            median(row, metric).map_or(String::new(), |value| format!(" ({})", human(value, metric.unit)));
        format!("{}{value}", clean(group.compared(row)))
    };
    let names: Vec<String> = first.iter().map(name).collect();
    let behind = ranked.iter().filter(|row| !first.iter().any(|first| std::ptr::eq(*first, **row)));
    let behind: Vec<String> = behind.map(|row| against(group, row).unwrap_or_else(|| name(row))).collect();
    let outcome = match (first.len(), behind.is_empty()) {
        (1, _) => Outcome::Winner,
        (_, true) => Outcome::Tie,
        (_, false) => Outcome::SharedFirst,
    };
    let mut text = match &first[..] {
        [one] => {
            let own =
                against(group, one).map_or(String::new(), |against| format!(": {}", after_name(&against)));
            format!("{} has the {}{own}.", names[0], best(metric))
        }
        _ => format!("{} share the {}: no difference between them was shown.", list(&names), best(metric)),
    };
    if !behind.is_empty() {
        text.push_str(&format!(" Behind: {}.", behind.join("; ")));
    }
    let undecided: Vec<String> =
        group.rows.iter().filter(|row| rank(row).is_none()).map(|row| clean(group.compared(row))).collect();
    if !undecided.is_empty() {
        text.push_str(&format!(" No rank for {}: too few of its rounds count.", list(&undecided)));
    }
    sentence(card, outcome, text, condition)
}

/// `smol +18.4 % [+17.8 … +18.9], slower`; nothing for the baseline itself.
fn against(group: &Group, row: &RowFigures) -> Option<String> {
    let judged = row.judged?;
    let (low, high) = judged.interval?;
    let word = VerdictWord::of(group.ranking, judged.verdict)?.text();
    Some(format!(
        "{} {} % [{} … {}], {word}",
        clean(group.compared(row)),
        percent(judged.ratio?),
        percent(low),
        percent(high)
    ))
}

fn after_name(against: &str) -> &str {
    against.split_once(' ').map_or(against, |(_, rest)| rest)
}

/// Why a group gives no verdict.
fn without(group: &Group) -> String {
    let few = group.rows.iter().filter_map(|row| match row.judged?.verdict {
        Verdict::TooFew { blocks, needed } => Some((blocks, needed)),
        _ => None,
    });
    match few.min() {
        Some((blocks, needed)) => {
            format!("{} are needed that no mark spoils, and the least is {blocks}.", count(needed, "round"))
        }
        None if group.rows.len() < 2 => "There is only one row.".to_owned(),
        None if group.ranking == metric::SERVER_RSS_PER_CONNECTION => {
            "None is formed on a slope: the scenarios that it is drawn through have theirs.".to_owned()
        }
        None => format!("None is formed on {} here.", group.ranking.label),
    }
}

/// The medians, as an observation: of all rows, or of the best.
fn lowest(group: &Group, metric: Metric) -> Option<String> {
    let with = |row: &RowFigures| Some((median(row, metric)?, clean(group.compared(row))));
    let mut values: Vec<(f64, String)> = group.rows.iter().filter_map(with).collect();
    values.sort_by(|one, other| one.0.total_cmp(&other.0));
    if metric.higher_is_better {
        values.reverse();
    }
    let shown = |(value, name): &(f64, String)| format!("{name} {}", human(*value, metric.unit));
    let best: Vec<String> = values.iter().take(SHOWN_MEDIANS).map(shown).collect();
    match values.len() {
        0 => None,
        1 => Some(format!("Median: {}.", best[0])),
        all if all > SHOWN_MEDIANS => {
            Some(format!("Medians, best first: {} and {} more.", best.join(", "), all - SHOWN_MEDIANS))
        }
        _ => Some(format!("Medians, best first: {}.", best.join(", "))),
    }
}

/// What a metric that ranks nothing shows.
fn observed(card: &Card<'_>, metric: Metric) -> Option<Sentence> {
    let group = card.group;
    let medians = lowest(group, metric)?;
    let spoilt = group.rows.iter().filter(|row| row.is_spoilt(metric)).count();
    let spoilt = match spoilt {
        0 => String::new(),
        some => format!(" Something else decided it for {} ({}).", count(some, "row"), marks(group, metric)),
    };
    let text = format!("{medians} The verdict of this scenario is on {}.{spoilt}", group.ranking.label);
    let condition =
        format!("{}, {}, {}", group.scenario.summary(), group.placement, count(group.rounds, "round"));
    Some(sentence(card, Outcome::NoVerdict, format!("{}: {}", metric.label, lower(&text)), condition))
}

fn lower(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
}

fn marks(group: &Group, metric: Metric) -> String {
    let marks = group.rows.iter().filter(|row| row.is_spoilt(metric)).flat_map(|row| row.marks.keys());
    let names: std::collections::BTreeSet<&str> =
        marks.filter(|mark| mark.spoils(metric)).map(|mark| mark.name()).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// How far the rows of a curve go.
fn held(curve: &Curve<'_>, slo: Slo) -> Sentence {
    let mut rows: Vec<(&str, Highest)> =
        curve.rows.iter().map(|(row, points)| (*row, highest(points, slo))).collect();
    let rate = |highest: Highest| match highest {
        Highest::Rate { holds, .. } => Some(holds),
        Highest::None => None,
    };
    rows.sort_by(|one, other| (rate(other.1), one.0).cmp(&(rate(one.1), other.0)));
    let rates: Vec<Highest> = rows.iter().map(|(_, highest)| *highest).collect();
    let rows: Vec<String> =
        rows.into_iter().map(|(row, highest)| format!("{} {}", clean(row), shown(highest))).collect();
    let rounds = curve.groups.iter().map(|group| group.rounds).min().unwrap_or(0);
    Sentence {
        card: None,
        scenario: clean(curve.name),
        outcome: Outcome::NoVerdict,
        text: format!(
            "Highest offered rate that holds {slo}: {}. Rates are steps of the curve.{}",
            list(&rows),
            signs(&rates)
        ),
        condition: format!(
            "{}, {}, {}",
            curve.groups.first().map_or(String::new(), |group| {
                let load = &group.scenario.load;
                format!("{} connections, {} B, paced", load.connections, load.payload_bytes)
            }),
            curve.placement,
            count(rounds, "round")
        ),
    }
}
