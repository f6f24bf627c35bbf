//! Foreign texts and numbers, as pages show them.

use reports::record::{Record, Unit, Value};
use std::fmt::Write;

/// Longest foreign text that is shown whole: a page must stay one that a browser opens.
const LONGEST: usize = 2000;
/// Longest name in a heading, or in a cell of a table that is to be read across.
const LONGEST_NAME: usize = 80;

/// A text from a file: without anything that moves what stands beside it, and not endless.
///
/// Control characters and those that turn the direction of writing are shown by number.
pub(crate) fn shown(text: &str) -> String {
    cut(text, LONGEST)
}

/// The same, shorter: for a name.
pub(crate) fn name(text: &str) -> String {
    cut(text, LONGEST_NAME)
}

fn cut(text: &str, longest: usize) -> String {
    let mut out = String::with_capacity(text.len().min(longest));
    for c in text.chars().take(longest) {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            c if c.is_control() || turns(c) => {
                let _ = write!(out, "[U+{:04X}]", u32::from(c)); // a String takes everything
            }
            c => out.push(c),
        }
    }
    if text.chars().nth(longest).is_some() {
        let _ = write!(out, "… ({} bytes)", text.len());
    }
    out
}

/// Characters without a face of their own that change how others are laid out, or hide.
const fn turns(c: char) -> bool {
    matches!(
        c,
        '\u{00ad}'
            | '\u{061c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// A value as people read it: what is exact in all digits, what is noisy in as many as may mean
/// anything. The row that it links to has all.
pub(crate) fn value(record: &Record, value: Value) -> String {
    if record.deterministic || value.as_count().is_some_and(|count| count < 1000) {
        return exact(value);
    }
    number(value.as_f64())
}

/// A number of some digits.
pub(crate) fn number(number: f64) -> String {
    let text = match number.abs() {
        100.0.. => format!("{number:.0}"),
        10.0.. => format!("{number:.1}"),
        0.01.. => format!("{number:.3}"),
        0.0001.. => format!("{number:.4}"),
        0.0 => "0".to_owned(),
        _ => format!("{number:.2e}"),
    };
    if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// An exact number: whole, or with the decimals that it has, three at most.
fn exact(value: Value) -> String {
    match value.as_count() {
        Some(count) => count.to_string(),
        None => number_exactly(value.as_f64()),
    }
}

/// One of some digits; three decimals where it is large.
pub(crate) fn number_exactly(real: f64) -> String {
    if real.abs() < 1.0 {
        return number(real);
    }
    let text = format!("{real:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A share as percent.
pub(crate) fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0".to_owned(),
        tiny if tiny.abs() < 0.01 => "<0.01".to_owned(),
        small if small.abs() < 1.0 => format!("{small:.2}"),
        percent => format!("{percent:.1}"),
    }
}

/// A unit in short.
pub(crate) const fn short(unit: Unit) -> &'static str {
    match unit {
        Unit::Instructions => "instr.",
        unit => unit.as_str(),
    }
}

/// `1 run`, `2 runs`.
pub(crate) fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// Each once, and of many only the first.
pub(crate) fn list(texts: impl Iterator<Item = String>) -> String {
    const FEW: usize = 3;
    let mut known: Vec<String> = Vec::new();
    for text in texts {
        if !known.contains(&text) {
            known.push(text);
        }
    }
    let more = known.len().saturating_sub(FEW);
    known.truncate(FEW);
    let text = known.join(", ");
    if more > 0 { format!("{text} and {more} more") } else { text }
}

/// A word of a shell's command line.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%^".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A command line that a shell splits into these words.
pub(crate) fn command(words: &[String]) -> String {
    let words: Vec<_> = words.iter().map(|text| word(&shown(text))).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_turns_or_hides_text_is_shown_by_number() {
        assert_eq!(shown("6.1\u{202e}cba\u{0}\u{200b}"), "6.1[U+202E]cba[U+0000][U+200B]");
        assert_eq!(shown("two\nlines"), "two lines");
        assert_eq!(shown("<b>&é"), "<b>&é"); // the templates escape
    }

    #[test]
    fn an_endless_text_ends_and_says_so() {
        let text = name(&"é".repeat(5000));
        assert!(text.ends_with("… (10000 bytes)"), "{text}");
        assert_eq!(text.chars().filter(|c| *c == 'é').count(), LONGEST_NAME);
    }

    #[test]
    fn numbers_have_as_many_digits_as_are_read() {
        let texts = [0.0, 3.25, 12.345, 224.75, 0.004, 1_234_567.8].map(number);
        assert_eq!(texts, ["0", "3.25", "12.3", "225", "0.004", "1234568"]);
        assert_eq!(number_exactly(224.75), "224.75");
        assert_eq!(number_exactly(2053.0), "2053");
    }

    #[test]
    fn a_command_line_comes_back_from_a_shell_as_it_was() {
        let words = ["run", "it's", "EPYC,+svm", "$(id)", ""].map(str::to_owned);
        assert_eq!(command(&words), r"run 'it'\''s' EPYC,+svm '$(id)' ''");
    }
}
