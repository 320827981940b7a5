//! How the command ends.

use std::fmt;

/// Exit code: all well.
pub const OK: u8 = 0;
/// Exit code: it could not run.
pub const FAILED: u8 = 1;
/// Exit code: the command line asks for something that does not exist or makes no sense.
pub const USAGE: u8 = 2;
/// Exit code: a row failed verification.
pub const VERIFICATION: u8 = 3;
/// Exit code: a comparison found a regression, or a condition on the figures of a drive holds.
pub const REGRESSION: u8 = 4;
/// Exit code: finished with failed or missing trials, or failed connections.
pub const INCOMPLETE: u8 = 5;
/// Exit code: something could not be judged.
pub const NOT_JUDGED: u8 = 6;

/// Why the command ends early: one line for stderr, and the exit code.
#[derive(Debug)]
pub struct Stop {
    /// The exit code.
    pub code: u8,
    /// What was wrong, where, and what to do.
    pub message: String,
}

impl Stop {
    /// The command line asks for something impossible.
    pub fn usage(message: impl fmt::Display) -> Stop {
        Stop { code: USAGE, message: message.to_string() }
    }

    /// It could not run.
    pub fn failed(message: impl fmt::Display) -> Stop {
        Stop { code: FAILED, message: message.to_string() }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// "there is no X `name`; did you mean `nearest`? There are: …"
pub fn unknown(what: &str, name: &str, known: &[&str]) -> Stop {
    let near = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        // Below this, what is nearest is merely the least unlike.
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|left, right| left.0.total_cmp(&right.0));
    let guess = near.map_or(String::new(), |(_, nearest)| format!(" Did you mean `{nearest}`?"));
    Stop::usage(format!("there is no {what} `{name}`.{guess} There are: {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered() {
        let stop = unknown("row", "tokyo", &["async-std", "smol", "tokio"]);
        assert_eq!(stop.code, USAGE);
        assert_eq!(
            stop.message,
            "there is no row `tokyo`. Did you mean `tokio`? There are: async-std, smol, tokio"
        );
        assert!(!unknown("row", "xyz", &["tokio"]).message.contains("mean"));
    }
}
