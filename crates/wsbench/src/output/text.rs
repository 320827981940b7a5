//! Names and messages that come from records: whoever wrote them, they stay text.

/// The text without what could act on a terminal or turn the direction of the text around it: control characters, marks of
/// direction, and characters that cannot be seen.
pub(crate) fn clean(text: &str) -> String {
    text.chars().filter(|character| !acts(*character)).collect()
}

/// Whether a character is not seen but acts.
pub(crate) fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A name as a cell of CSV: a spreadsheet takes what begins with one of these signs for a formula.
pub(crate) fn cell(text: &str) -> String {
    let text = clean(text);
    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text }
}

/// Words as an enumeration: `a`, `a and b`, `a, b and c`.
pub(crate) fn list(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// A number with its noun: `1 round`, `3 rounds`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A name without what could act on a terminal or break a Markdown table.
pub(crate) fn plain(text: &str) -> String {
    clean(text).replace('|', "\\|")
}

/// A text as a name in links and of files.
pub(crate) fn id_of(text: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || letter == '_' { letter } else { '-' };
    text.chars().map(plain).collect()
}

/// A ratio as the percentage over or under 1: `+25.0`.
pub(crate) fn percent(ratio: f64) -> String {
    let text = format!("{:+.1}", (ratio - 1.0) * 100.0);
    text.replace('-', "−")
}

/// The text with its first letter in upper case.
pub(crate) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_left_out() {
        assert_eq!(clean("a\u{1b}[31mb\n\u{202e}c\u{200f}d é"), "a[31mbcd é");
        assert_eq!(cell("=1+1"), "'=1+1");
    }

    #[test]
    fn enumerations() {
        let words = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(list(&words), "a, b and c");
        assert_eq!(list(&words[..2]), "a and b");
        assert_eq!((count(1, "round"), count(2, "round")), ("1 round".to_owned(), "2 rounds".to_owned()));
    }

    #[test]
    fn hostile_names_are_inert() {
        assert_eq!(plain("a\u{1b}[31mb|c\n"), "a[31mb\\|c");
    }
}
