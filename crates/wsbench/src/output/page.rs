//! The report's page: results as one HTML page that needs nothing else.
//!
//! The page is made of what the records show: sentences come from verdicts, drawings from figures. It loads nothing, and
//! its security policy says so.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use self::template::{Assets, Figure, Key, Page, Section};
use super::{
    charts::{
        card::{Card, cards},
        scenario, sweeps,
    },
    table::{cells::sheet, notes},
    text::{clean, count},
};
use crate::analysis::{curve::curves, objective::Slo, results::Results, summary::Summary};

mod answers;
mod conditions;
mod differences;
mod grid;
mod seed;
mod template;

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
        data: template::script_safe(&data),
    };
    page.html()
}

/// All rows: the baselines first, the others by name.
fn rows(summary: &Summary) -> Vec<String> {
    let mut rows: Vec<(bool, &str)> = Vec::new();
    for group in &summary.groups {
        for row in &group.rows {
            let ends =
                if group.is_matrix() { vec![&*row.server, &*row.client] } else { vec![group.compared(row)] };
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
        let name = clean(&group.curve_name().unwrap_or_else(|| group.name()));
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
    let notes = notes::marks(group)
        .into_iter()
        .chain(notes::verdicts(group, summary.confidence))
        .chain(notes::floor(group));
    Section {
        id: card.id.clone(),
        title: notes::title(group),
        about: clean(&group.scenario.about),
        conditions: notes::conditions(group),
        sheet: (!group.is_matrix()).then(|| sheet(group)),
        notes: notes.collect(),
        figures,
    }
}
