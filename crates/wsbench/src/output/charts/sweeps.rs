//! Charts across scenarios: latency against offered load, sweeps of size, connections and window, and memory.

use std::collections::BTreeMap;

use bench_core::spec::{Flush, Load, PingPong, Role, SocketSpec, Window, Work, Workload};
use trial::{
    catalogue::Scenario,
    metric::{self, Metric},
    placement::Placement,
};
use units::Unit;

use super::{
    axis::{Scale, Show},
    chart::{Body, Chart, Line, Lines, Quantity, time},
};
use crate::{
    analysis::{
        curve::{Curve, curves, highest, knee},
        group::Group,
        objective::Slo,
        summary::Summary,
    },
    output::{
        table::curve::shown,
        text::{capital, clean, id_of},
    },
};

/// The charts that several groups give together.
pub(crate) fn across(summary: &Summary, slo: Slo) -> Vec<Chart> {
    let mut charts = loads(&summary.groups, slo);
    charts.extend(sweeps(&summary.groups));
    charts
}

/// Latency against offered load, with the knee.
fn loads(groups: &[Group], slo: Slo) -> Vec<Chart> {
    let chart = |curve: &Curve<'_>| {
        let mut held = Vec::new();
        let lines: Vec<Line> = curve
            .rows
            .iter()
            .map(|(row, points)| {
                let knee = knee(points);
                held.push(format!("{} {}", clean(row), shown(highest(points, slo))));
                let points: Vec<(f64, f64)> = points
                    .iter()
                    .filter_map(|point| Some((point.rate_per_s as f64, point.median(slo.metric)?)))
                    .collect();
                let ring =
                    knee.and_then(|knee| points.iter().find(|(rate, _)| *rate == knee as f64).copied());
                Line { row: (*row).to_owned(), points, ring }
            })
            .collect();
        let x = Quantity {
            label: "messages a second, offered".to_owned(),
            show: Show::Unit(Unit::PerSecond),
            scale: Scale::Linear,
        };
        let label = slo.metric.label;
        Chart {
            id: id_of(&format!("{}-{}-load", curve.name, curve.placement)),
            title: format!("{}: {label} against offered load", clean(&curve.name)),
            caption: format!(
                "Paced, {}, medians over rounds; a ring is the knee. Highest offered rate with {slo}: {}.",
                curve.placement,
                held.join(", ")
            ),
            body: Body::Lines(Lines { x, y: time(label, Scale::Log), lines, points: true }),
        }
    };
    curves(groups).iter().map(chart).filter(has_lines).collect()
}

/// What one parameter of a load does while the others stay.
#[derive(Clone, Copy)]
struct Parameter {
    id: &'static str,
    label: &'static str,
    show: Show,
    of: fn(&Group) -> u64,
    clear: fn(&mut Load),
}

const PARAMETERS: [Parameter; 3] = [
    Parameter {
        id: "size",
        label: "message size",
        show: Show::Unit(Unit::Bytes),
        of: |group| group.scenario.load.payload_bytes,
        clear: |load| load.payload_bytes = 0,
    },
    Parameter {
        id: "connections",
        label: "connections",
        show: Show::Number,
        of: |group| group.scenario.load.connections.into(),
        clear: |load| load.connections = 0,
    },
    Parameter {
        id: "window",
        label: "messages in flight",
        show: Show::Number,
        of: |group| match group.scenario.load.work {
            Work::Window(window) => window.in_flight.into(),
            _ => 1,
        },
        clear: |load| {
            if let Work::Window(window) = &mut load.work {
                window.in_flight = 0;
            }
        },
    },
];

/// Everything that must be equal for two groups to be points of one sweep.
#[derive(PartialEq, Eq)]
struct Rest {
    load: Load,
    socket: SocketSpec,
    beside: Option<Load>,
    server_cores: Option<u32>,
    placement: Placement,
    role: Role,
    /// Runs that are not alike are not joined by a line.
    apart: Vec<String>,
}

impl Rest {
    fn of(group: &Group, parameter: Parameter) -> Rest {
        let Scenario { mut load, mut socket, beside, server_cores, .. } = group.scenario.clone();
        if !load.workload().needs_flush_policy() {
            socket.flush = Flush::default();
        }
        // A window of one is a round trip: the first point of a sweep over windows.
        if let Work::PingPong(PingPong { messages, burn_us }) = load.work {
            load.work = Work::Window(Window { in_flight: 1, messages, burn_us });
        }
        (parameter.clear)(&mut load);
        // How long it is looked at, and what large messages are allowed, change no figure.
        (load.duration_ms, load.warm_up_ms) = (0, 0);
        (socket.max_message_bytes, socket.max_frame_bytes) = (0, 0);
        let apart = group.apart.clone();
        Rest { load, socket, beside, server_cores, placement: group.placement, role: group.role, apart }
    }
}

fn sweeps(groups: &[Group]) -> Vec<Chart> {
    let mut charts = Vec::new();
    for parameter in PARAMETERS {
        let mut by_rest: Vec<(Rest, Vec<&Group>)> = Vec::new();
        for group in groups.iter().filter(|group| is_swept(group)) {
            let rest = Rest::of(group, parameter);
            match by_rest.iter_mut().find(|(known, _)| *known == rest) {
                Some((_, points)) => points.push(group),
                None => by_rest.push((rest, vec![group])),
            }
        }
        let sweeps = by_rest.into_iter().map(|(_, points)| points);
        for (number, points) in sweeps.filter(|points| distinct(points, parameter) >= 3).enumerate() {
            let metrics: &[Metric] = match points[0].scenario.load.workload() {
                Workload::Idle => &[metric::SERVER_RSS],
                _ => &[points[0].ranking, metric::RATE],
            };
            charts.extend(metrics.iter().map(|metric| sweep(&points, parameter, *metric, number)));
        }
    }
    charts.into_iter().filter(has_lines).collect()
}

/// Scenarios that may be points of a sweep; those of curves have a chart of their own.
fn is_swept(group: &Group) -> bool {
    let workload = group.scenario.load.workload();
    let is_slope = group.ranking == metric::SERVER_RSS_PER_CONNECTION;
    !is_slope && matches!(workload, Workload::PingPong | Workload::Window | Workload::Idle)
}

fn distinct(groups: &[&Group], parameter: Parameter) -> usize {
    groups.iter().map(|group| (parameter.of)(group)).collect::<std::collections::BTreeSet<_>>().len()
}

fn sweep(groups: &[&Group], parameter: Parameter, metric: Metric, number: usize) -> Chart {
    let mut rows: BTreeMap<&str, BTreeMap<u64, f64>> = BTreeMap::new();
    for group in groups {
        for row in &group.rows {
            if let Some(figure) = row.figures.get(metric.name) {
                let at = (parameter.of)(group);
                rows.entry(group.compared(row)).or_default().insert(at, figure.median);
            }
        }
    }
    let lines: Vec<Line> = rows
        .into_iter()
        .map(|(row, points)| Line {
            row: row.to_owned(),
            points: points.into_iter().map(|(x, y)| (x as f64, y)).collect(),
            ring: None,
        })
        .collect();
    let y = || lines.iter().flat_map(|line| line.points.iter().map(|(_, y)| *y));
    let spread = y().fold(0.0, f64::max) / y().fold(f64::INFINITY, f64::min);
    let x = || lines.iter().flat_map(|line| line.points.iter().map(|(x, _)| *x));
    let scale = if x().fold(f64::INFINITY, f64::min) > 0.0 { Scale::Log } else { Scale::Linear };
    let is_memory = groups[0].scenario.load.workload() == Workload::Idle;
    // Memory is looked at for its slope, which only a linear axis shows.
    let y_scale = if spread > 20.0 && !is_memory { Scale::Log } else { Scale::Linear };
    let names: Vec<String> = groups.iter().map(|group| clean(&group.name())).collect();
    let kind = if is_memory { "memory" } else { parameter.id };
    Chart {
        id: format!("sweep-{kind}-{}-{number}", metric.name),
        title: format!("{} by {}", capital(metric.label), parameter.label),
        caption: format!(
            "{}, medians over rounds of {}. Lines join measurements; between them nothing was measured.",
            groups[0].placement,
            names.join(", ")
        ),
        body: Body::Lines(Lines {
            x: Quantity { label: parameter.label.to_owned(), show: parameter.show, scale },
            y: Quantity { label: metric.label.to_owned(), show: Show::Unit(metric.unit), scale: y_scale },
            lines,
            points: true,
        }),
    }
}

fn has_lines(chart: &Chart) -> bool {
    matches!(&chart.body, Body::Lines(lines) if lines.all_x().len() > 1)
}
