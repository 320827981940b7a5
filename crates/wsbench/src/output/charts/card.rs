//! Groups with what lies behind their medians, each under a name of its own.

use trial::metric::Metric;

use crate::{
    analysis::{
        group::{Group, RowFigures},
        results::Results,
        rounds::Rounds,
        summary::Summary,
    },
    output::text::id_of,
};

/// A group with what lies behind it and its name in the page.
pub(crate) struct Card<'a> {
    /// Unique in the page, and a file's name.
    pub(crate) id: String,
    pub(crate) group: &'a Group,
    pub(crate) rounds: Rounds,
}

impl Card<'_> {
    /// A row's values of a metric, one for each block.
    pub(crate) fn values(&self, row: &RowFigures, metric: Metric) -> Vec<Option<f64>> {
        self.rounds.values((&row.server, &row.client), metric)
    }

    /// The row that the others are compared with.
    pub(crate) fn baseline(&self) -> Option<&RowFigures> {
        self.group.rows.iter().find(|row| self.group.compared(row) == self.group.baseline)
    }
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
