//! Drawing charts as SVG: axes, ticks and labels are plotters'.

use plotters::{
    coord::{Shift, types::RangedCoordf64},
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{
    axis::{Axis, Scale, Show, Start},
    chart::{Band, Body, Chart, Drawn, Heat, Line, Lines, Quantity, Rows, Spot},
    ink::ink,
};
use crate::output::text::clean;

/// Width of a drawing, in pixels: its text stays readable on a telephone.
const WIDTH: u32 = 560;
const TEXT: RGBColor = RGBColor(0x22, 0x22, 0x22);
const FAINT: RGBColor = RGBColor(0xe0, 0xe0, 0xe0);
const FLOOR: RGBColor = RGBColor(0xd0, 0xd4, 0xdc);
/// Of letters, as they are on average: plotters has no font to measure.
const LETTER: u32 = 7;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Plot<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;
type Result<T> = std::result::Result<T, DrawingAreaErrorKind<std::io::Error>>;

/// The chart as SVG, with the places that say something.
pub(crate) fn draw(chart: &Chart) -> Drawn {
    let mut svg = String::new();
    let height = match &chart.body {
        Body::Lines(_) => 330,
        Body::Rows(rows) => 62 + 24 * rows.bands.len() as u32 + if rows.parts.is_empty() { 0 } else { 20 },
        Body::Heat(heat) => 40 + 30 * heat.servers.len() as u32,
    };
    let drawn = {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        let drawn = match &chart.body {
            Body::Lines(chart) => lines(&area, chart).map(|()| Vec::new()),
            Body::Rows(chart) => rows(&area, chart),
            Body::Heat(chart) => heat(&area, chart),
        };
        drawn.and_then(|spots| area.present().map(|()| spots))
    };
    let spots = drawn.expect("a String takes every write, and the areas are larger than their margins");
    Drawn { svg: compact(svg, &rows_of(chart), &chart.title), spots }
}

fn rows_of(chart: &Chart) -> Vec<&str> {
    match &chart.body {
        Body::Lines(chart) => chart.lines.iter().map(|line| line.row.as_str()).collect(),
        Body::Rows(_) | Body::Heat(_) => Vec::new(),
    }
}

/// Leaves out what is SVG's default, adds the dashes that plotters' backend has not, and a name for those who cannot see.
fn compact(svg: String, rows: &[&str], title: &str) -> String {
    let mut svg = svg
        .replace(" opacity=\"1\"", "")
        .replace(" font-family=\"sans-serif\" font-size=\"11\"", "")
        .replace(" stroke=\"none\" stroke-width=\"1\"", "")
        .replace(" stroke=\"none\"", "")
        .replace(" stroke-width=\"1\"", "")
        .replace(">\n", ">")
        .replace("\n</text>", "</text>");
    for row in rows {
        let ink = ink(row);
        if !ink.dash.is_empty() {
            let stroke = format!("<polyline fill=\"none\" stroke=\"{}\"", ink.hex());
            svg = svg.replace(&stroke, &format!("{stroke} stroke-dasharray=\"{}\"", ink.dash));
        }
    }
    // No markup: plotters escapes text in the same way.
    let name: String = clean(title).chars().filter(|letter| !"<>&\"'".contains(*letter)).collect();
    let root =
        format!("<svg role=\"img\" aria-label=\"{name}\" font-family=\"sans-serif\" font-size=\"11\" ");
    svg.replacen("<svg ", &root, 1)
}

fn colour(row: &str) -> RGBColor {
    let (red, green, blue) = ink(row).rgb;
    RGBColor(red, green, blue)
}

fn font(size: u32) -> TextStyle<'static> {
    // The backend divides by this factor.
    ("sans-serif", f64::from(size) * 1.24).into_font().color(&TEXT)
}

fn letters(text: &str) -> u32 {
    text.chars().count() as u32 * LETTER
}

fn axis(quantity: &Quantity, values: impl Iterator<Item = f64>, start: Start) -> Axis {
    Axis::around(values, quantity.scale, quantity.show, start)
}

/// One side of a plot.
struct Side<'a> {
    axis: Axis,
    name: &'a str,
    /// How its values are written.
    text: &'a dyn Fn(&f64) -> String,
    /// Most labels.
    labels: usize,
}

/// What the grid behind a plot shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GridLines {
    Both,
    /// Those of the x axis: a band needs no line through its middle.
    Vertical,
}

/// Axes with their labels and a grid; `left` is the width of the y axis's labels.
fn mesh<'a, 'b>(
    area: &'a Area<'b>,
    left: u32,
    x: Side<'_>,
    y: Side<'_>,
    grid: GridLines,
) -> Result<Plot<'a, 'b>> {
    let mut plot = ChartBuilder::on(area)
        .margin(6)
        .margin_right(14)
        .x_label_area_size(38)
        .y_label_area_size(left)
        .build_cartesian_2d(x.axis, y.axis)?;
    let mut mesh = plot.configure_mesh();
    mesh.x_labels(x.labels)
        .y_labels(y.labels)
        .x_max_light_lines(0)
        .y_max_light_lines(0)
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(FAINT)
        .label_style(font(11))
        .axis_desc_style(font(11))
        .x_label_formatter(x.text)
        .y_label_formatter(y.text)
        .x_desc(x.name)
        .y_desc(y.name);
    if grid == GridLines::Vertical {
        mesh.disable_y_mesh();
    }
    mesh.draw()?;
    drop(mesh);
    Ok(plot)
}

fn lines(area: &Area<'_>, chart: &Lines) -> Result<()> {
    let longest = chart.lines.iter().map(|line| letters(&line.row)).max().unwrap_or(0);
    let (left, right) = area.split_horizontally(WIDTH - (longest + 34).min(WIDTH / 3));
    let points = || chart.lines.iter().flat_map(|line| &line.points);
    let y = axis(&chart.y, points().map(|(_, y)| *y), Start::Zero);
    let x = match (chart.x.show, points().map(|(x, _)| *x).reduce(f64::max)) {
        (Show::Percentile, Some(last)) => Axis::exactly(1.0..last, Scale::Log),
        _ => axis(&chart.x, points().map(|(x, _)| *x), Start::Least),
    };
    let x = Side { axis: x, name: &chart.x.label, text: &|value| chart.x.show.short(*value), labels: 6 };
    let y = Side { axis: y, name: &chart.y.label, text: &|value| chart.y.show.short(*value), labels: 6 };
    let mut plot = mesh(&left, 60, x, y, GridLines::Both)?;
    for line in &chart.lines {
        let colour = colour(&line.row);
        plot.draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)))?;
        if chart.points {
            let dots = line.points.iter().map(|point| Circle::new(*point, 3, colour.filled()));
            plot.draw_series(dots)?;
        }
        if let Some(ring) = line.ring {
            plot.draw_series([Circle::new(ring, 7, colour.stroke_width(2))])?;
        }
    }
    legend(&right, &chart.lines)
}

/// Names beside their lines, in the order in which the lines end.
fn legend(area: &Area<'_>, lines: &[Line]) -> Result<()> {
    let mut order: Vec<&Line> = lines.iter().collect();
    let end = |line: &Line| line.points.last().map_or(f64::NEG_INFINITY, |(_, y)| *y);
    order.sort_by(|one, other| end(other).total_cmp(&end(one)));
    for (place, line) in (0..).zip(order) {
        let y = 16 + 18 * place;
        let colour = colour(&line.row);
        area.draw(&PathElement::new(vec![(0, y), (22, y)], colour.stroke_width(2)))?;
        let text = font(11).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(clean(&line.row), (27, y), text))?;
    }
    Ok(())
}

fn rows(area: &Area<'_>, chart: &Rows) -> Result<Vec<Spot>> {
    let count = chart.bands.len();
    let left = chart.bands.iter().map(|band| letters(&band.label)).max().unwrap_or(0).min(WIDTH / 3) + 12;
    let x = axis_of_rows(chart);
    let (low, high) = x.ends();
    let name = |value: &f64| {
        let place = count.saturating_sub(1 + *value as usize);
        chart.bands.get(place).map_or(String::new(), |band| band.label.clone())
    };
    let (area, key) = match chart.parts.is_empty() {
        true => (area.clone(), None),
        false => {
            let (key, area) = area.split_vertically(20);
            (area, Some(key))
        }
    };
    let x = Side { axis: x, name: &chart.x.label, text: &|value| chart.x.show.short(*value), labels: 5 };
    let y = Axis::exactly(0.0..count as f64, Scale::Rows(count));
    let y = Side { axis: y, name: "", text: &name, labels: 99 };
    let mut plot = mesh(&area, left, x, y, GridLines::Vertical)?;
    if let Some((from, to)) = chart.floor {
        let corners = [(from.max(low), 0.0), (to.min(high), count as f64)];
        plot.draw_series([Rectangle::new(corners, FLOOR.mix(0.6).filled())])?;
    }
    if let Some(at) = chart.reference {
        let line = vec![(at, 0.0), (at, count as f64)];
        plot.draw_series([PathElement::new(line, TEXT.mix(0.6))])?;
    }
    let mut spots = Vec::new();
    for (place, one) in chart.bands.iter().enumerate() {
        band(&mut plot, one, (count - place) as f64 - 0.5, &mut spots)?;
    }
    if let Some(key) = key {
        parts(&key, left as i32, &chart.parts)?;
    }
    Ok(spots)
}

/// An axis that shows everything that is drawn in the bands.
fn axis_of_rows(chart: &Rows) -> Axis {
    let values = chart.bands.iter().flat_map(|band| {
        let dots = band.dots.iter().map(|(x, _)| *x);
        let ends = band.interval.into_iter().flat_map(|(low, high)| [low, high]);
        let bar = (!band.bar.is_empty()).then(|| band.bar.iter().sum::<f64>());
        dots.chain(ends).chain(band.median).chain(bar).collect::<Vec<_>>()
    });
    let floor = chart.floor.into_iter().flat_map(|(low, high)| [low, high]);
    let has_bars = chart.bands.iter().any(|band| !band.bar.is_empty());
    let start = if has_bars { Start::Zero } else { Start::Least };
    axis(&chart.x, values.chain(floor).chain(chart.reference), start)
}

/// The band of one row around `middle`, and its places that say something.
fn band(plot: &mut Plot<'_, '_>, band: &Band, middle: f64, spots: &mut Vec<Spot>) -> Result<()> {
    let colour = colour(&band.row);
    let mut spot = |x: f64, text: &str| {
        let (x, y) = plot.backend_coord(&(x, middle));
        spots.push(Spot { x, y, row: band.row.clone(), text: text.to_owned() });
    };
    let mut from = 0.0;
    let mut bars = Vec::new();
    for (part, length) in band.bar.iter().enumerate() {
        let style = if part == 0 { colour.filled() } else { colour.mix(0.45).filled() };
        bars.push(Rectangle::new([(from, middle - 0.33), (from + length, middle + 0.33)], style));
        spot(from + length / 2.0, &band.text);
        from += length;
    }
    band.dots.iter().for_each(|(x, text)| spot(*x, text));
    band.median.iter().for_each(|x| spot(*x, &band.text));
    plot.draw_series(bars)?;
    if let Some((low, high)) = band.interval {
        let corners = [(low, middle - 0.16), (high, middle + 0.16)];
        plot.draw_series([Rectangle::new(corners, colour.mix(0.35).filled())])?;
    }
    plot.draw_series(band.dots.iter().map(|(x, _)| Circle::new((*x, middle), 2, colour.filled())))?;
    if let Some(at) = band.median {
        let line = vec![(at, middle - 0.32), (at, middle + 0.32)];
        plot.draw_series([PathElement::new(line, colour.stroke_width(3))])?;
    }
    Ok(())
}

/// What the parts of bars are, in a line above the plot.
fn parts(area: &Area<'_>, left: i32, names: &[String]) -> Result<()> {
    for (part, (x, name)) in (left..).step_by(150).zip(names).enumerate() {
        let grey = RGBColor(0x6b, 0x6b, 0x6b);
        let style = if part == 0 { grey.filled() } else { grey.mix(0.45).filled() };
        area.draw(&Rectangle::new([(x, 6), (x + 12, 16)], style))?;
        let text = font(11).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(name.clone(), (x + 18, 11), text))?;
    }
    Ok(())
}

fn heat(area: &Area<'_>, chart: &Heat) -> Result<Vec<Spot>> {
    let left = chart.servers.iter().map(|name| letters(name)).max().unwrap_or(0).min(WIDTH / 4) as i32 + 12;
    let wide = (WIDTH as i32 - left - 6) / chart.clients.len().max(1) as i32;
    let values = || chart.cells.iter().flatten().flatten().copied();
    let least = values().fold(f64::INFINITY, f64::min);
    let most = values().fold(f64::NEG_INFINITY, f64::max);
    // Placed by plotters' own linear coordinate, from pale to strong.
    let shade = |value: f64| {
        use plotters::coord::ranged1d::Ranged;
        let along: RangedCoordf64 = (least..most.max(least + f64::MIN_POSITIVE)).into();
        let percent = along.map(&value, (0, 100));
        let worse = if chart.higher_is_better { 100 - percent } else { percent };
        RGBColor(0x00, 0x72, 0xb2).mix(0.08 + 0.62 * f64::from(worse) / 100.0)
    };
    let centre = Pos::new(HPos::Center, VPos::Center);
    let mut spots = Vec::new();
    for (place, client) in (0..).zip(&chart.clients) {
        let at = (left + wide * place + wide / 2, 16);
        area.draw(&Text::new(clean(client), at, font(11).pos(centre)))?;
    }
    for (down, (server, cells)) in (0..).zip(chart.servers.iter().zip(&chart.cells)) {
        let y = 30 + 30 * down;
        let right = Pos::new(HPos::Right, VPos::Center);
        area.draw(&Text::new(clean(server), (left - 8, y + 15), font(11).pos(right)))?;
        for (across, (client, cell)) in (0..).zip(chart.clients.iter().zip(cells)) {
            let x = left + wide * across;
            let text = cell.map_or("–".to_owned(), |value| chart.show.text(value));
            if let Some(value) = cell {
                area.draw(&Rectangle::new([(x + 1, y + 1), (x + wide - 1, y + 29)], shade(*value).filled()))?;
                let text = format!("server {}, client {}: {text}", clean(server), clean(client));
                spots.push(Spot { x: x + wide / 2, y: y + 15, row: server.clone(), text });
            }
            area.draw(&Text::new(text, (x + wide / 2, y + 15), font(11).pos(centre)))?;
        }
    }
    Ok(spots)
}
