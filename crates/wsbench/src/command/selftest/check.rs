//! What one check expects and what it saw.

use comfy_table::Table;
use trial::record::Record;

/// What one check saw.
pub(super) struct Check {
    name: &'static str,
    lines: Vec<Line>,
}

struct Line {
    expected: String,
    seen: String,
    holds: bool,
}

impl Check {
    pub(super) fn new(name: &'static str) -> Check {
        Check { name, lines: Vec::new() }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn holds(&self) -> bool {
        self.lines.iter().all(|line| line.holds)
    }

    pub(super) fn expect(
        mut self,
        expected: impl Into<String>,
        seen: impl Into<String>,
        holds: bool,
    ) -> Check {
        self.lines.push(Line { expected: expected.into(), seen: seen.into(), holds });
        self
    }

    /// A percentile that lies within bounds, in milliseconds.
    pub(super) fn expect_ms(self, what: &str, seen: Option<f64>, least: f64, most: f64) -> Check {
        let shown = seen.map_or("nothing".to_owned(), |ms| format!("{ms:.1} ms"));
        let holds = seen.is_some_and(|ms| (least..=most).contains(&ms));
        self.expect(format!("{what} from {least} to {most} ms"), shown, holds)
    }

    /// A trial that fails with a message that says what was wrong.
    pub(super) fn expect_failure(self, record: &Record, message: &str) -> Check {
        let seen = record.error.as_ref().map_or("the trial counts".to_owned(), ToString::to_string);
        let holds = seen.contains(message);
        // What it says first is enough for a line.
        let first = seen.split(';').next().unwrap_or_default().to_owned();
        self.expect(format!("a failed trial: … {message}"), first, holds)
    }

    /// Without trials there is nothing to look at.
    pub(super) fn without_trials(self, reason: &str) -> Check {
        self.expect("trials that count", reason, false)
    }

    pub(super) fn add_to(&self, table: &mut Table) {
        for (place, line) in self.lines.iter().enumerate() {
            let verdict = if line.holds { "ok" } else { "FAILED" };
            let name = if place == 0 { self.name } else { "" };
            table.add_row([verdict, name, &line.expected, &line.seen]);
        }
    }
}
