//! Every server with every client: servers down, clients across.

use comfy_table::{CellAlignment, Table, TableStyle};
use trial::metric::Metric;
use units::human;

use crate::{
    analysis::group::{Group, RowFigures},
    output::text::plain,
};

/// One matrix for the ranking metric, one for the first other metric.
pub(crate) fn matrices(group: &Group, style: TableStyle) -> Vec<String> {
    std::iter::once(group.ranking)
        .chain(group.columns.first().copied())
        .map(|metric| {
            let heading = format!("{} (servers down, clients across)", metric.label);
            format!("{heading}\n\n{}", matrix(group, metric, style).trim_fmt())
        })
        .collect()
}

fn server(row: &RowFigures) -> &str {
    &row.server
}

fn client(row: &RowFigures) -> &str {
    &row.client
}

fn matrix(group: &Group, metric: Metric, style: TableStyle) -> Table {
    let (servers, clients) = (names(group, server), names(group, client));
    let mut table = Table::new();
    let header = std::iter::once("server".to_owned()).chain(clients.iter().map(|name| plain(name)));
    table.load_style(style).set_header(header.collect::<Vec<_>>());
    for server in &servers {
        let cell = |client: &&str| {
            let row = group
                .rows
                .iter()
                .find(|row| (row.server.as_str(), row.client.as_str()) == (*server, *client));
            match row.map(|row| (row.figures.get(metric.name), row.failed)) {
                Some((Some(figure), _)) => human(figure.median, metric.unit),
                Some((None, 1..)) => "failed".to_owned(),
                _ => "–".to_owned(),
            }
        };
        let cells = std::iter::once(plain(server)).chain(clients.iter().map(cell));
        table.add_row(cells.collect::<Vec<_>>());
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Names of one side, each once, in the order of their first row.
fn names(group: &Group, side: fn(&RowFigures) -> &str) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for row in &group.rows {
        if !names.contains(&side(row)) {
            names.push(side(row));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use trial::{Failure, Step};

    use crate::{
        analysis::{
            objective::Slo,
            results::{
                Results,
                tests::{session, trial},
            },
            summary::Summary,
        },
        output::table::{Format, render},
    };

    #[test]
    fn a_matrix_names_a_pair_that_did_not_finish() {
        let with = |server: &str, client: &str, order: u32, cpu_ns: u64| {
            let mut record = trial(server, 0, order, cpu_ns);
            record.client.row = client.to_owned();
            record
        };
        let mut failed = with("smol", "smol", 3, 1);
        failed.error = Some(Failure { step: Step::Measure, message: "hung".to_owned() });
        let trials = vec![
            with("tokio", "tokio", 0, 5_000_000),
            with("tokio", "smol", 1, 5_500_000),
            with("smol", "tokio", 2, 6_500_000),
            failed,
        ];
        let results = Results { sessions: vec![session()], trials, ..Results::default() };
        let summary = Summary::new(&results, 0.95);
        assert!(summary.groups[0].is_matrix());
        let text = render(&summary, &results, Format::Terminal, Slo::default());
        let line = text.lines().find(|line| line.trim_start().starts_with("smol ")).unwrap();
        assert!(line.contains("6.50 µs") && line.contains("failed"), "{text}");
        assert!(text.contains("servers down, clients across"), "{text}");
    }

    #[test]
    fn rows_against_one_client_are_no_matrix() {
        let trials = vec![trial("tokio", 0, 0, 1), trial("smol", 0, 1, 1)];
        let summary =
            Summary::new(&Results { sessions: vec![session()], trials, ..Results::default() }, 0.95);
        assert!(!summary.groups[0].is_matrix());
    }
}
