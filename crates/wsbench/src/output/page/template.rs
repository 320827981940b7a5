//! The page: everything that its template shows, and its security policy.

use askama::Template;
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    answers::Answer,
    conditions::Conditions,
    differences::Difference,
    grid::{Grid, number},
    seed::Seed,
};
use crate::output::{
    charts::{
        axis::Scale,
        chart::{Body, Chart, Drawn, Lines},
        draw::draw,
        ink::ink,
    },
    table::cells::Sheet,
    terms::{TERMS, Term},
    text::clean,
};

const STYLE: &str = include_str!("../../../assets/report.css");
const SCRIPT: &str = include_str!("../../../assets/report.js");
const UPLOT: &str = include_str!("../../../assets/uplot/uPlot.iife.min.js");
const UPLOT_STYLE: &str = include_str!("../../../assets/uplot/uPlot.min.css");
const UPLOT_LICENSE: &str = include_str!("../../../assets/uplot/LICENSE");

/// The page.
#[derive(Template)]
#[template(path = "report.html")]
pub(crate) struct Page {
    pub(crate) title: String,
    pub(crate) subtitle: String,
    pub(crate) rows: Vec<Key>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) differences: Vec<Difference>,
    pub(crate) grid: Grid,
    pub(crate) across: Vec<Figure>,
    pub(crate) sections: Vec<Section>,
    pub(crate) seed: Option<Seed>,
    pub(crate) conditions: Conditions,
    pub(crate) confidence: String,
    pub(crate) terms: &'static [Term],
    pub(crate) assets: Assets,
    /// For the script: JSON that is inert inside a script element.
    pub(crate) data: String,
}

/// A row in the legend.
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) colour: String,
    pub(crate) dash: &'static str,
}

/// A chart as the page shows it.
pub(crate) struct Figure {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) caption: String,
    pub(crate) svg: String,
    /// The numbers of a line chart; dots and bars stand in the section's table.
    pub(crate) numbers: Option<Numbers>,
    /// Whether the script draws it again.
    pub(crate) is_live: bool,
}

/// A chart as a table.
pub(crate) struct Numbers {
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// One scenario.
pub(crate) struct Section {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) about: String,
    pub(crate) conditions: String,
    pub(crate) sheet: Option<Sheet>,
    pub(crate) notes: Vec<String>,
    pub(crate) figures: Vec<Figure>,
}

/// What stands in the page once, with the hashes that the policy allows.
pub(crate) struct Assets {
    pub(crate) style: String,
    pub(crate) script: &'static str,
    pub(crate) uplot: &'static str,
    pub(crate) uplot_license: &'static str,
    pub(crate) policy: String,
}

impl Assets {
    pub(crate) fn new(rows: &[Key]) -> Assets {
        // Inline styles are forbidden by the policy, so each row's colour is a class.
        let keys: String = rows
            .iter()
            .enumerate()
            .map(|(key, row)| format!(".ink-{key}{{--ink:{}}}\n", row.colour))
            .collect();
        let style = format!("{UPLOT_STYLE}\n{STYLE}\n{keys}");
        let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
        let policy = format!(
            "default-src 'none'; style-src {}; script-src {} {}; img-src data:; base-uri 'none'; form-action 'none'",
            hash(&style),
            hash(UPLOT),
            hash(SCRIPT)
        );
        Assets { style, script: SCRIPT, uplot: UPLOT, uplot_license: UPLOT_LICENSE, policy }
    }
}

impl Page {
    pub(crate) fn html(&self) -> String {
        self.render().expect("a String takes every write, and no filter of the template fails")
    }

    pub(crate) fn all_terms() -> &'static [Term] {
        TERMS
    }
}

impl Key {
    pub(crate) fn new(name: &str) -> Key {
        let ink = ink(name);
        Key { name: clean(name), colour: ink.hex(), dash: ink.dash }
    }
}

/// Draws charts for the page; adds to `data` what the script needs of each.
pub(crate) fn figures(charts: &[Chart], rows: &[String], data: &mut Vec<Value>) -> Vec<Figure> {
    let figure = |chart: &Chart| {
        let Drawn { svg, spots } = draw(chart);
        let key = |row: &String| rows.iter().position(|name| name == row).unwrap_or(0);
        let (numbers, is_live) = match &chart.body {
            Body::Lines(lines) => {
                data.push(live(chart, lines, &key));
                (Some(numbers(lines)), true)
            }
            _ => {
                let spots: Vec<Value> =
                    spots.iter().map(|spot| json!([spot.x, spot.y, key(&spot.row), spot.text])).collect();
                data.push(json!({ "id": chart.id, "spots": spots }));
                (None, false)
            }
        };
        let (id, title, caption) = (chart.id.clone(), chart.title.clone(), chart.caption.clone());
        Figure { id, title, caption, svg, numbers, is_live }
    };
    charts.iter().map(figure).collect()
}

/// A line chart as uPlot takes it: all x, and for each row a value or null.
fn live(chart: &Chart, lines: &Lines, key: &impl Fn(&String) -> usize) -> Value {
    let x = lines.all_x();
    let series: Vec<Value> = lines
        .lines
        .iter()
        .map(|line| {
            let at = |x: &f64| line.points.iter().find(|(own, _)| own == x).map(|(_, y)| number(*y));
            let y: Vec<Value> = x.iter().map(|x| at(x).unwrap_or(Value::Null)).collect();
            json!({ "row": key(&line.row), "y": y })
        })
        .collect();
    json!({
        "id": chart.id,
        "x": x.iter().map(|x| number(*x)).collect::<Vec<_>>(),
        "series": series,
        "points": lines.points,
        "xShow": lines.x.show.name(), "xLabel": lines.x.label, "xLog": lines.x.scale == Scale::Log,
        "yShow": lines.y.show.name(), "yLabel": lines.y.label, "yLog": lines.y.scale == Scale::Log,
    })
}

/// The percentiles that a table of a distribution has, as 1 ÷ (1 − q).
const SHOWN: [f64; 6] = [2.0, 10.0, 20.0, 100.0, 1_000.0, 10_000.0];

fn numbers(lines: &Lines) -> Numbers {
    let all = lines.all_x();
    let x: Vec<f64> = if lines.points {
        all
    } else {
        all.into_iter().filter(|x| SHOWN.iter().any(|shown| (x / shown - 1.0).abs() < 1e-6)).collect()
    };
    let header = std::iter::once("row".to_owned()).chain(x.iter().map(|x| lines.x.show.text(*x))).collect();
    let row = |line: &crate::output::charts::chart::Line| {
        let at = |x: &f64| line.points.iter().find(|(own, _)| own == x).map(|(_, y)| lines.y.show.text(*y));
        let cells = x.iter().map(|x| at(x).unwrap_or_else(|| "–".to_owned()));
        std::iter::once(clean(&line.row)).chain(cells).collect()
    };
    Numbers { header, rows: lines.lines.iter().map(row).collect() }
}

/// JSON that cannot end the script element that it stands in.
pub(crate) fn script_safe(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}
