//! Foreign texts where they can do no harm: kernels, CPU models and reasons hold whatever somebody wrote.

use std::fmt::Write;

/// What ends a line, moves a cursor, turns the direction of writing around, or is no character at all.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}')
}

/// A text on one line that differs from every other: what is unsafe is `%XX`, as in a URL.
pub fn visible(text: &str) -> String {
    encoded(text, |c| c == '%' || is_unsafe(c))
}

/// The same as a part of a name: letters and digits of any script, spaces, and what has no meaning in
/// any of the formats.
pub fn tame(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || " -_.:+,()=@~".contains(c);
    let tame = encoded(text, |c| !plain(c));
    // Readers strip names.
    let end = tame.trim_end();
    let ends = tame.len() - end.len();
    format!("{end}{}", "%20".repeat(ends))
}

/// Prose on one line: what is unsafe is gone.
pub fn prose(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => line.push(' '),
            c if is_unsafe(c) => line.push('\u{fffd}'),
            c => line.push(c),
        }
    }
    line
}

fn encoded(text: &str, must: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if must(c) {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                // A String takes everything: writing to it cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// A name of at most so many bytes. A longer one ends with a checksum of all of it, so that it stays
/// itself.
pub fn at_most(longest: usize, name: String) -> String {
    if name.len() <= longest {
        return name;
    }
    let sum = format!("~{:016x}", fnv(&name));
    let mut end = longest - sum.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{sum}", &name[..end])
}

/// FNV-1a: the same in every version of every program, as names in a history must be.
fn fnv(text: &str) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    text.bytes().fold(OFFSET, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_has_a_meaning_somewhere_is_encoded() {
        assert_eq!(tame("AMD EPYC <b>|`#1"), "AMD EPYC %3Cb%3E%7C%60%231");
        assert_eq!(tame("x "), "x%20");
        assert_eq!(visible("a\u{1b}[31m%\n\u{202e}"), "a%1B[31m%25%0A%E2%80%AE");
        assert_eq!(prose("2 %\nmore\u{7f}"), "2 % more\u{fffd}");
    }

    #[test]
    fn a_long_name_keeps_its_beginning_and_stays_itself() {
        let long = |last: &str| at_most(64, format!("{}{last}", "é".repeat(50)));
        assert!(long("a").len() <= 64 && long("a").starts_with("éé"));
        assert_ne!(long("a"), long("b"));
        assert_eq!(fnv("a"), 0xaf63_dc4c_8601_ec8c);
    }

    proptest! {
        #[test]
        fn texts_that_differ_do_so_when_they_are_encoded(one: String, other: String) {
            for encode in [visible, tame] {
                prop_assert_eq!(encode(&one) == encode(&other), one == other);
            }
            prop_assert!(!visible(&one).contains(is_unsafe));
        }
    }
}
