//! Which charts some results give, and what is in them.

use histogram::Series;
use trial::metric::{self, Metric};
use units::{Unit, human};

use super::{
    axis::{Scale, Show},
    chart::{Band, Body, Chart, Heat, Line, Lines, Quantity, Rows, time},
};
use crate::{
    analysis::{
        group::{JudgedMetric, RowFigures},
        rounds::{Merged, latency},
        statistics::median_interval,
    },
    output::{
        charts::card::Card,
        table::cells::VerdictWord,
        text::{capital, clean, count, percent},
    },
};

/// Points of a distribution's line for each factor of ten of 1 ÷ (1 − q).
const POINTS: i32 = 12;

impl Card<'_> {
    fn chart(&self, kind: &str, title: String, caption: String, body: Body) -> Chart {
        let title = format!("{}: {title}", clean(&self.group.name()));
        Chart { id: format!("{}-{kind}", self.id), title, caption, body }
    }
}

/// The charts of one group.
pub(crate) fn of_group(card: &Card<'_>, confidence: f64) -> Vec<Chart> {
    if card.group.is_matrix() {
        let metrics = std::iter::once(card.group.ranking).chain(card.group.columns.first().copied());
        return metrics.map(|metric| heat(card, metric)).collect();
    }
    let mut charts = Vec::new();
    charts.extend(card.group.judged.iter().filter_map(|judged| ratios(card, judged)));
    charts.extend(rate(card, confidence));
    charts.extend(percentiles(card));
    // A curve has many points, and what they cost is no part of its question.
    if card.group.scenario.curve.is_none() {
        charts.extend(processor(card));
    }
    charts
}

/// Ratios of a metric to the baseline: every block, the interval, and the floor behind them.
fn ratios(card: &Card<'_>, judged: &JudgedMetric) -> Option<Chart> {
    let (group, metric, floor) = (card.group, judged.metric, judged.floor);
    let base = card.values(card.baseline()?, metric);
    let mut bands = Vec::new();
    for row in &group.rows {
        let name = group.compared(row);
        let mut band = Band { row: name.to_owned(), label: clean(name), ..Band::default() };
        if name == group.baseline {
            band.median = Some(1.0);
            band.text = format!("{}: what the others are compared with", clean(name));
        } else {
            let ratio = row.figures.get(metric.name).and_then(|figure| figure.ratio);
            let (Some(ratio), Some(judged)) = (ratio, row.judged_by(metric)) else { continue };
            let own = card.values(row, metric);
            for (place, (own, base)) in own.iter().zip(&base).enumerate() {
                let (Some(own), Some(base)) = (own, base) else { continue };
                if *own > 0.0 && *base > 0.0 {
                    let round = card.rounds.blocks[place].1 + 1;
                    let text = format!("{}, round {round}: {} %", clean(name), percent(own / base));
                    band.dots.push((own / base, text));
                }
            }
            let median = judged.ratio.unwrap_or(ratio.median);
            band.interval = judged.interval.or(ratio.interval);
            band.median = Some(median);
            let bounds = band
                .interval
                .map_or(String::new(), |(low, high)| format!(" [{} … {}]", percent(low), percent(high)));
            let word = VerdictWord::of(metric, judged.verdict).map_or("no verdict", VerdictWord::text);
            band.text = format!("{}: {} %{bounds}: {word}", clean(name), percent(median));
        }
        bands.push(band);
    }
    if bands.len() < 2 {
        return None;
    }
    let all = || bands.iter().flat_map(|band| band.dots.iter().map(|(ratio, _)| *ratio).chain(band.median));
    let (least, most) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
    let scale = if most / least > 4.0 { Scale::Log } else { Scale::Linear };
    let label = format!("{} over {}'s", metric.label, clean(&group.baseline));
    let x = Quantity { label, show: Show::Ratio, scale };
    let floor = floor.map(|floor| (1.0 / floor, floor));
    let band = floor.map_or("", |_| "; the grey band is the A/A floor: what lies in it is a tie");
    let better = if metric.higher_is_better { "right" } else { "left" };
    let caption = format!(
        "Dots are rounds, the line their median, the shaded part its interval{band}. Better is {better}."
    );
    let body = Body::Rows(Rows { x, bands, floor, reference: Some(1.0), parts: Vec::new() });
    let kind = if metric == group.ranking { "ratio".to_owned() } else { format!("ratio-{}", metric.name) };
    Some(card.chart(&kind, format!("{} against {}", metric.label, clean(&group.baseline)), caption, body))
}

/// Rates of all rounds, with the interval of their median.
fn rate(card: &Card<'_>, confidence: f64) -> Option<Chart> {
    let group = card.group;
    if !group.columns.contains(&metric::RATE) {
        return None;
    }
    let band = |row: &RowFigures| {
        let figure = row.figures.get(metric::RATE.name)?;
        let name = clean(group.compared(row));
        let show = |value: f64| human(value, Unit::PerSecond);
        let values = card.values(row, metric::RATE);
        let dots: Vec<(f64, String)> = (0..)
            .zip(&values)
            .filter_map(|(place, value): (usize, _)| {
                let round = card.rounds.blocks[place].1 + 1;
                Some(((*value)?, format!("{name}, round {round}: {}", show((*value)?))))
            })
            .collect();
        let plain: Vec<f64> = values.into_iter().flatten().collect();
        let bounds = median_interval(&plain, confidence);
        let range = bounds.map_or(String::new(), |(low, high)| format!(" [{} … {}]", show(low), show(high)));
        let spoilt = if row.is_spoilt(metric::RATE) { " !" } else { "" };
        Some(Band {
            row: group.compared(row).to_owned(),
            label: format!("{name}{spoilt}"),
            dots,
            interval: bounds,
            median: Some(figure.median),
            text: format!("{name}: {}{range}, {}", show(figure.median), count(figure.rounds, "round")),
            ..Band::default()
        })
    };
    let bands: Vec<Band> = group.rows.iter().filter_map(band).collect();
    if bands.is_empty() {
        return None;
    }
    let x =
        Quantity { label: "a second".to_owned(), show: Show::Unit(Unit::PerSecond), scale: Scale::Linear };
    let verdict = match group.judged_by(metric::RATE) {
        Some(_) => "The verdicts rest on the ratios",
        None => "No verdict rests on rates here",
    };
    let caption = format!(
        "Dots are rounds, the line their median, the shaded part its interval. {verdict}; ! marks a row of which something \
         else decided the rate in most rounds."
    );
    let body = Body::Rows(Rows { x, bands, floor: None, reference: None, parts: Vec::new() });
    Some(card.chart("rate", "rate".to_owned(), caption, body))
}

/// The distribution of what the workload waits for, by percentile.
fn percentiles(card: &Card<'_>) -> Option<Chart> {
    let group = card.group;
    let (series, what, _) = latency(group, &card.rounds)?;
    let line = |row: &RowFigures| {
        let merged = card.merged(row, series)?;
        let steps = (0..=4 * POINTS).map(|step| 10_f64.powf(f64::from(step) / f64::from(POINTS)));
        // The median and p95, which are asked for by name, lie between two steps.
        let mut steps: Vec<f64> = steps.chain([2.0, 20.0]).collect();
        steps.sort_by(f64::total_cmp);
        let points: Vec<(f64, f64)> = steps
            .into_iter()
            .filter_map(|x| Some((x, merged.quantile_ns(1.0 - 1.0 / x)?.max(1) as f64)))
            .collect();
        let row = group.compared(row).to_owned();
        (!points.is_empty()).then_some(Line { row, points, ring: None })
    };
    let lines: Vec<Line> = group.rows.iter().filter_map(line).collect();
    if lines.is_empty() {
        return None;
    }
    let x = Quantity { label: "percentile".to_owned(), show: Show::Percentile, scale: Scale::Log };
    let caption = format!(
        "{}, the samples of all rounds together; the tables have medians over rounds. A line ends where fewer than ten \
         samples lie beyond it.{}",
        capital(what),
        if group.scenario.load.workload().is_closed_loop() {
            " Closed loop: the next message waits for the echo."
        } else {
            ""
        }
    );
    let body = Body::Lines(Lines { x, y: time(what, Scale::Log), lines, points: false });
    Some(card.chart("percentiles", format!("{what} by percentile"), caption, body))
}

impl Card<'_> {
    fn merged(&self, row: &RowFigures, series: Series) -> Option<&Merged> {
        self.rounds.merged((&row.server, &row.client), series)
    }
}

/// CPU time a message in user mode and in the kernel.
fn processor(card: &Card<'_>) -> Option<Chart> {
    let group = card.group;
    let (user, system) = group.role.own(
        (metric::SERVER_USER_CPU, metric::SERVER_SYSTEM_CPU),
        (metric::CLIENT_USER_CPU, metric::CLIENT_SYSTEM_CPU),
    );
    let band = |row: &RowFigures| {
        let [user, system] =
            [user, system].map(|metric| row.figures.get(metric.name).map(|figure| figure.median));
        let (user, system) = (user?, system?);
        let name = clean(group.compared(row));
        let [in_user, in_system] = [user, system].map(|ns| human(ns, Unit::Nanoseconds));
        Some(Band {
            row: group.compared(row).to_owned(),
            label: name.clone(),
            bar: vec![user, system],
            text: format!("{name}: {in_user} in user mode, {in_system} in the kernel"),
            ..Band::default()
        })
    };
    let bands: Vec<Band> = group.rows.iter().filter_map(band).collect();
    if bands.iter().all(|band| band.bar.iter().sum::<f64>() <= 0.0) {
        return None;
    }
    let role = group.role;
    let label = format!("{role} CPU time a message");
    let x = Quantity { label: label.clone(), show: Show::Unit(Unit::Nanoseconds), scale: Scale::Linear };
    let caption = "Medians over rounds, by the kernel's ticks of 10 ms, which in short windows are coarse. The ranking \
                   rests on the process's CPU clock instead.";
    let parts = vec!["user mode".to_owned(), "kernel".to_owned()];
    let body = Body::Rows(Rows { x, bands, floor: None, reference: None, parts });
    Some(card.chart("cpu", format!("{label}, user mode and kernel"), caption.to_owned(), body))
}

/// Every server with every client.
fn heat(card: &Card<'_>, metric: Metric) -> Chart {
    let group = card.group;
    let names = |side: fn(&RowFigures) -> &String| {
        let mut names: Vec<String> = Vec::new();
        for row in &group.rows {
            if !names.contains(side(row)) {
                names.push(side(row).clone());
            }
        }
        names
    };
    let (servers, clients) = (names(|row| &row.server), names(|row| &row.client));
    let figure = |server: &String, client: &String| {
        let row = group.rows.iter().find(|row| (&row.server, &row.client) == (server, client))?;
        row.figures.get(metric.name).map(|figure| figure.median)
    };
    let cells = servers.iter().map(|server| clients.iter().map(|client| figure(server, client)).collect());
    let show = Show::Unit(metric.unit);
    let heat =
        Heat { cells: cells.collect(), servers, clients, show, higher_is_better: metric.higher_is_better };
    let caption =
        "Servers down, clients across; medians over rounds, darker is worse. No verdict rests on a matrix.";
    let title = format!("{}, every server with every client", metric.label);
    card.chart(&format!("matrix-{}", metric.name), title, caption.to_owned(), Body::Heat(heat))
}
