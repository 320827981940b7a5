//! The questions that a reader comes with, answered from the verdicts and from nothing else.

use trial::metric::{self, Metric, MetricKind};
use units::human;

use crate::{
    analysis::{
        curve::{Curve, Highest, highest},
        group::{Group, RowFigures},
        leaders::{Behind, Standing},
        objective::Slo,
        verdict::{Pair, Verdict},
    },
    output::{
        charts::card::Card,
        table::curve::{shown, signs},
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
    let by = |metrics: &[Metric]| -> Vec<Sentence> {
        let of_card = |card| metrics.iter().filter_map(move |metric| answer(card, *metric, confidence));
        cards.iter().flat_map(of_card).collect()
    };
    // What no scenario is judged by is still better shown than left out.
    let or_observed = |judged: Vec<Sentence>, metric: Metric| -> Vec<Sentence> {
        if !judged.is_empty() {
            return judged;
        }
        let holds = |card: &&Card<'_>| {
            card.group.columns.contains(&metric) && card.group.scenario.load.workload().is_closed_loop()
        };
        cards.iter().filter(holds).filter_map(|card| observed(card, metric)).collect()
    };
    let held = curves.iter().map(|curve| held(curve, slo));
    let known = [LATENCY, RATE, CPU, MEMORY, LAG].concat();
    let others: Vec<Metric> = metric::ALL.iter().filter(|metric| !known.contains(metric)).copied().collect();
    let answers = [
        ("Which has the lowest latency?", or_observed(by(LATENCY), metric::P99)),
        ("Which carries the highest rate?", or_observed(held.chain(by(RATE)).collect(), metric::RATE)),
        ("Which takes the least CPU time per message?", by(CPU)),
        ("Which takes the least memory for a connection?", by(MEMORY)),
        ("Which pushes most punctually?", by(LAG)),
        ("What else?", by(&others)),
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

/// Metrics that answer a question, in the order in which a scenario's answers stand.
const LATENCY: &[Metric] = &[metric::P50, metric::P99, metric::CONNECT_TO_FIRST_PUSH_P50];
const RATE: &[Metric] = &[metric::RATE];
const CPU: &[Metric] =
    &[metric::SERVER_CPU, metric::SERVER_CPU_RELATIVE, metric::CLIENT_CPU, metric::CLIENT_CPU_RELATIVE];
const MEMORY: &[Metric] = &[metric::SERVER_RSS_PER_CONNECTION, metric::SERVER_RSS];
const LAG: &[Metric] = &[metric::LAG_P99];

/// `least server CPU`, `lowest p99`.
fn best(metric: Metric) -> String {
    let word = match metric {
        _ if metric.higher_is_better => "highest",
        _ if metric.kind == MetricKind::Latency => "lowest",
        _ => "least",
    };
    format!("{word} {}", metric.label)
}

fn condition(group: &Group, metric: Metric, confidence: f64) -> String {
    let summary = match metric {
        metric::SERVER_RSS_PER_CONNECTION => clean(&group.scenario.about),
        _ => group.scenario.summary(),
    };
    let floor = group.judged_by(metric).and_then(|judged| judged.floor).map(|floor| {
        let (level, floor) = (confidence * 100.0, (floor - 1.0) * 100.0);
        format!(", at {level} % beyond the A/A floor of ±{floor:.1} %")
    });
    format!("{summary}, {}, {}{}", group.placement, count(group.rounds, "round"), floor.unwrap_or_default())
}

fn sentence(card: &Card<'_>, outcome: Outcome, text: String, condition: String) -> Sentence {
    let scenario = clean(&card.group.name());
    Sentence { card: Some(card.id.clone()), scenario, outcome, text, condition }
}

fn median(row: &RowFigures, metric: Metric) -> Option<f64> {
    row.figures.get(metric.name).map(|figure| figure.median)
}

/// What a group says by a metric that it is judged by, or that it is about.
fn answer(card: &Card<'_>, metric: Metric, confidence: f64) -> Option<Sentence> {
    let group = card.group;
    let condition = condition(group, metric, confidence);
    let Some(judged) = group.judged_by(metric) else {
        return (group.judged.is_empty() && group.ranking == metric)
            .then(|| undecided(card, metric, condition));
    };
    let standing = Standing::new(group, judged);
    // Pairs may beat each other in a circle, so that nobody is first.
    if standing.leaders.is_empty() || standing.leaders.len() + standing.behind.len() < 2 {
        return Some(undecided(card, metric, condition));
    }
    let outcome = match (standing.has_first, standing.behind.is_empty()) {
        (true, _) => Outcome::Winner,
        (false, true) => Outcome::Tie,
        (false, false) => Outcome::SharedFirst,
    };
    let mut text = leading(group, metric, &standing);
    if !standing.behind.is_empty() {
        text.push_str(&format!(" Behind: {}.", behind(group, &standing)));
    }
    let has_no_rank = |row: &&RowFigures| row.judged_by(metric).is_none_or(|judged| judged.rank.is_none());
    let without: Vec<String> =
        group.rows.iter().filter(has_no_rank).map(|row| clean(group.compared(row))).collect();
    if !without.is_empty() {
        text.push_str(&format!(" No rank for {}: too few of its rounds count.", list(&without)));
    }
    Some(sentence(card, outcome, text, condition))
}

fn undecided(card: &Card<'_>, metric: Metric, condition: String) -> Sentence {
    let text = format!("{} {}", without(card.group, metric), lowest(card.group, metric).unwrap_or_default());
    sentence(card, Outcome::NoVerdict, text.trim().to_owned(), condition)
}

/// Which rows lead, with what was shown of each pair of them.
fn leading(group: &Group, metric: Metric, standing: &Standing) -> String {
    let value = |row: &RowFigures| {
        median(row, metric).map_or(String::new(), |value| format!(" ({})", human(value, metric.unit)))
    };
    let name = |place: &usize| {
        let row = &group.rows[*place];
        format!("{}{}", clean(group.compared(row)), value(row))
    };
    let names: Vec<String> = standing.leaders.iter().map(name).collect();
    let best = best(metric);
    match &names[..] {
        [one] if standing.has_first => {
            format!("{one} has the {best}, and the interval of each pair shows it.")
        }
        [one] => format!("{one} leads by the {best}, but not each pair with another row shows it."),
        _ => format!(
            "{} share the {best}: no difference between any two of them was shown{}.",
            list(&names),
            widest(group, metric, &standing.leaders)
        ),
    }
}

/// `; how far two of them may be apart …`: the interval of the leaders' pairs that reaches farthest from 1.
fn widest(group: &Group, metric: Metric, leaders: &[usize]) -> String {
    let Some(judged) = group.judged_by(metric) else { return String::new() };
    let pairs = leaders
        .iter()
        .enumerate()
        .flat_map(|(place, one)| leaders[place + 1..].iter().filter_map(|other| judged.pair(*one, *other)));
    let reach = |pair: &Pair| (1.0 / pair.interval.0).max(pair.interval.1);
    let farthest = pairs.map(|pair| reach(&pair)).fold(1.0, f64::max);
    if farthest > 1.0 {
        format!(" (they may be up to {:.1} % apart)", (farthest - 1.0) * 100.0)
    } else {
        String::new()
    }
}

/// `tokio +4.1 % [+3.2 … +5.0] and smol +9.8 % [+9.0 … +10.5] against mio`: each row behind with the pair that shows it.
fn behind(group: &Group, standing: &Standing) -> String {
    let name = |place: usize| clean(group.compared(&group.rows[place]));
    let mut by_better: Vec<(usize, Vec<String>)> = Vec::new();
    for Behind { row, pair } in &standing.behind {
        let (low, high) = pair.interval;
        let text = format!("{} {} % [{} … {}]", name(*row), percent(pair.ratio), percent(low), percent(high));
        let better = pair.rows.1;
        match by_better.iter_mut().find(|(known, _)| *known == better) {
            Some((_, texts)) => texts.push(text),
            None => by_better.push((better, vec![text])),
        }
    }
    let part = |(better, texts): (usize, Vec<String>)| format!("{} against {}", list(&texts), name(better));
    let parts: Vec<String> = by_better.into_iter().map(part).collect();
    parts.join("; ")
}

/// Why a group gives no verdict.
fn without(group: &Group, metric: Metric) -> String {
    let few = group.rows.iter().filter_map(|row| match row.judged_by(metric)?.verdict {
        Verdict::TooFew { blocks, needed } => Some((blocks, needed)),
        _ => None,
    });
    match few.min() {
        Some((blocks, needed)) => {
            format!("{} are needed that no mark spoils, and the least is {blocks}.", count(needed, "round"))
        }
        None if group.rows.len() < 2 => "There is only one row.".to_owned(),
        None if metric == metric::SERVER_RSS_PER_CONNECTION => {
            "None is formed on a slope: the scenarios that it is drawn through have theirs.".to_owned()
        }
        None => format!("None is formed on {} here.", metric.label),
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
    let text = format!("{medians} This scenario is judged by {}.{spoilt}", group.ranking.label);
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
        scenario: clean(&curve.name),
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
