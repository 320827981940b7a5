//! `report`: results as one HTML page that needs nothing else.
//!
//! The page is made of what the records show: sentences come from verdicts, drawings from figures. It loads nothing, and
//! its security policy says so.

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;
use serde_json::{Value, json};

use self::template::{Assets, Figure, Key, Page, Section};
use crate::{
    analysis::{
        curve::{Slo, curves},
        results::Results,
        rounds::Rounds,
        summary::{Group, Summary},
    },
    command::run::{DEFAULT_CONFIDENCE, DEFAULT_SLO, parse_confidence},
    exit::{FAILED, OK, Stop},
    output::{
        charts::{
            draw,
            scenario::{self, Card},
            sweeps,
        },
        files,
        table::{self, matrix::is_matrix},
        terminal::say,
        text::{clean, count},
    },
};

mod answers;
mod conditions;
mod differences;
mod grid;
mod seed;
mod template;

/// Flags of `report`.
#[derive(Args, Clone, Debug)]
pub struct ReportArguments {
    /// Result files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The page; report.html beside the first file when not given
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Confidence of intervals and verdicts
    #[arg(long, value_name = "SHARE", value_parser = parse_confidence, default_value_t = DEFAULT_CONFIDENCE)]
    confidence: f64,
    /// Latency objective of a curve
    #[arg(long, value_name = "OBJECTIVE", value_parser = Slo::parse, default_value = DEFAULT_SLO)]
    slo: Slo,
}

/// Writes the page and names it on stdout.
///
/// # Errors
/// When there is nothing to show, or the page cannot be written.
pub fn report(arguments: &ReportArguments) -> Result<u8, Stop> {
    let results = Results::read(&arguments.files);
    for problem in &results.problems {
        say(&format!("error: {problem}"));
    }
    if results.trials.is_empty() {
        return Err(Stop::failed(format!("no trial in {}", arguments.files[0].display())));
    }
    let path = arguments.out.clone().unwrap_or_else(|| arguments.files[0].with_file_name("report.html"));
    let html = html(&results, arguments.confidence, arguments.slo);
    files::replace(&path, html.as_bytes())?;
    crate::exit_quietly_on_closed_pipe(&format!("{}\n", path.display()));
    Ok(if results.problems.is_empty() { OK } else { FAILED })
}

/// The page of some results.
pub fn html(results: &Results, confidence: f64, slo: Slo) -> String {
    let summary = Summary::new(results, confidence);
    let cards = cards(&summary, results);
    let rows = rows(&summary);
    let mut data = Vec::new();
    let across = template::figures(&sweeps::across(&summary, slo), &rows, &mut data);
    let sections =
        cards.iter().map(|card| section(card, &rows, &summary, &mut data)).collect::<Vec<Section>>();
    let keys: Vec<Key> = rows.iter().map(|row| Key::new(row)).collect();
    let data = json!({
        "rows": keys.iter().map(|key| json!([key.name, key.colour, key.dash])).collect::<Vec<Value>>(),
        "charts": data,
        "grid": grid::data(&cards, &rows),
    });
    let rounds = summary.groups.iter().map(|group| group.rounds).max().unwrap_or(0);
    let page = Page {
        title: title(&summary, results),
        subtitle: format!(
            "{}, {}, up to {}, {}",
            count(rows.len(), "row"),
            count(summary.groups.len(), "scenario"),
            count(rounds, "round"),
            count(results.trials.len(), "trial")
        ),
        assets: Assets::new(&keys),
        rows: keys,
        answers: answers::answers(&cards, &curves(&summary.groups), confidence, slo),
        differences: differences::differences(&cards),
        grid: grid::grid(&cards, &rows),
        across,
        sections,
        seed: seed::seed(&summary),
        conditions: conditions::conditions(results, &summary),
        confidence: format!("{}", confidence * 100.0),
        terms: Page::all_terms(),
        data: template::inert(&data),
    };
    page.html()
}

/// All charts of some results, as the page draws them: name and SVG.
pub(crate) fn drawings(results: &Results, confidence: f64, slo: Slo) -> Vec<(String, String)> {
    let summary = Summary::new(results, confidence);
    let own = cards(&summary, results).into_iter().flat_map(|card| scenario::of_group(&card, confidence));
    let all = sweeps::across(&summary, slo).into_iter().chain(own.collect::<Vec<_>>());
    all.map(|chart| (chart.id.clone(), draw::draw(&chart).svg)).collect()
}

/// The groups with their names in the page.
pub(crate) fn cards<'a>(summary: &'a Summary, results: &Results) -> Vec<Card<'a>> {
    let mut cards: Vec<Card<'a>> = Vec::new();
    for group in &summary.groups {
        let name = id(group);
        let same = cards.iter().filter(|card| card.id == name || card.id.starts_with(&format!("{name}.")));
        let id = match same.count() {
            0 => name,
            before => format!("{name}.{}", before + 1),
        };
        cards.push(Card { id, group, rounds: Rounds::of(group, results) });
    }
    cards
}

/// A group's name in the page.
fn id(group: &Group) -> String {
    id_of(&format!("{}-{}-{}", group.scenario.name, group.placement, group.role))
}

/// A text as a name in links and of files.
pub(crate) fn id_of(text: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '_' { letter } else { '-' };
    text.chars().map(plain).collect()
}

/// All rows: the baselines first, the others by name.
fn rows(summary: &Summary) -> Vec<String> {
    let mut rows: Vec<(bool, &str)> = Vec::new();
    for group in &summary.groups {
        for row in &group.rows {
            let ends =
                if is_matrix(group) { vec![&*row.server, &*row.client] } else { vec![group.compared(row)] };
            rows.extend(ends.into_iter().map(|name| (name != group.baseline, name)));
        }
    }
    rows.sort_unstable();
    let mut names: Vec<String> = Vec::new();
    for (_, name) in rows {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

fn title(summary: &Summary, results: &Results) -> String {
    let profiles: BTreeSet<Option<&str>> =
        results.sessions.iter().map(|session| session.profile.as_deref()).collect();
    if let (Some(Some(profile)), 1) = (profiles.first(), profiles.len()) {
        return clean(profile);
    }
    let mut names: Vec<String> = Vec::new();
    for group in &summary.groups {
        let name = clean(group.scenario.curve.as_ref().unwrap_or(&group.scenario.name));
        if !names.contains(&name) {
            names.push(name);
        }
    }
    match &names[..] {
        [first, second, third, rest @ ..] if !rest.is_empty() => {
            format!("{first}, {second}, {third} and {} more", rest.len())
        }
        names => names.join(", "),
    }
}

fn section(card: &Card<'_>, rows: &[String], summary: &Summary, data: &mut Vec<Value>) -> Section {
    let group = card.group;
    let figures: Vec<Figure> = template::figures(&scenario::of_group(card, summary.confidence), rows, data);
    let notes = table::marks(group)
        .into_iter()
        .chain(table::verdicts(group, summary.confidence))
        .chain(table::floor(group));
    Section {
        id: card.id.clone(),
        title: table::title(group),
        about: clean(&group.scenario.about),
        conditions: table::conditions(group),
        sheet: (!is_matrix(group)).then(|| table::sheet(group)),
        notes: notes.collect(),
        figures,
    }
}
