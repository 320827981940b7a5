//! Messages for a terminal, whatever names of other people are in them: see `text` for those in tables.

use std::fmt::Write;

use crate::output::text;

/// A message for a terminal: what acts is shown as its number. Lines stay lines, as in the errors of a TOML file.
pub fn safe(message: &str) -> String {
    message.chars().fold(String::with_capacity(message.len()), |mut safe, character| {
        if text::acts(character) && character != '\n' {
            let _ = write!(safe, "{}", character.escape_unicode());
        } else {
            safe.push(character);
        }
        safe
    })
}

/// Says something on stderr, whatever names are in it. That nobody can hear it is no reason to end a run.
pub fn say(text: &str) {
    use std::io::Write;

    let _ = writeln!(std::io::stderr(), "{}", safe(text));
}

/// The same text for a terminal that says it knows ASCII only.
pub(crate) fn ascii(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut ascii, character| {
        match character {
            character if character.is_ascii() => ascii.push(character),
            '·' | '–' | '−' | '─' => ascii.push('-'),
            'µ' => ascii.push('u'),
            '×' => ascii.push('x'),
            '…' => ascii.push_str("..."),
            '±' => ascii.push_str("+-"),
            '≥' => ascii.push_str(">="),
            '÷' => ascii.push('/'),
            '│' => ascii.push('|'),
            '▌' | '▐' => ascii.push('#'),
            // From low to high, as the blocks of a sparkline.
            '▁'..='█' => ascii.push(char::from(b".:-=+*%#"[character as usize - '▁' as usize])),
            _ => ascii.push('?'),
        }
        ascii
    })
}

/// Whether the locale names a character set that is not UTF-8, as `C` and `POSIX` do. One that says nothing is no reason
/// to write worse.
pub(crate) fn is_ascii_locale() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    let Some(locale) = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")) else {
        return false;
    };
    let set = locale.split_once('.').map(|(_, set)| set.to_ascii_lowercase().replace('-', ""));
    set.map_or(locale == "C" || locale == "POSIX", |set| !set.starts_with("utf8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tables_use_has_a_form_in_ascii() {
        assert_eq!(ascii("5.21 µs · ±1.2 % [−1 … +3] ≥ 2–3 ×2"), "5.21 us - +-1.2 % [-1 ... +3] >= 2-3 x2");
    }

    #[test]
    fn names_are_shown_in_messages() {
        assert_eq!(safe("\u{1b}[2J\u{202e}x\ny"), "\\u{1b}[2J\\u{202e}x\ny");
    }
}
