//! A comparison for a mail or a pull request.

use super::text::{difference_text, side_text};
use super::{Comparison, Difference, Surroundings};
use crate::table::is_obeyed;
use std::fmt::Write;

impl Comparison {
    /// The comparison as Markdown: the verdict first, then what was compared on what, and the rows that
    /// differ, the worst first.
    pub fn markdown(&self, surroundings: Option<&Surroundings>) -> String {
        let mut text = String::new();
        let verdict = match (self.is_regression(), self.is_whole()) {
            (true, _) => "**Worse.**",
            (false, true) => "**Not worse.**",
            (false, false) => "**Not worse, as far as it could be compared.**",
        };
        // A String takes everything.
        let _ = writeln!(text, "{verdict} {}\n", escaped(&self.summary()));
        for line in surroundings.map_or(&[][..], |it| &it.apart) {
            let _ = writeln!(text, "- {}", escaped(line));
        }
        for (side, subjects) in [("before", &self.before), ("after", &self.after)] {
            let _ = writeln!(text, "- {side}: {}", escaped(&super::text::list(subjects)));
        }
        if let Some(Surroundings { on, differ, .. }) = surroundings {
            for on in on {
                let _ = writeln!(text, "- on: {}", escaped(on));
            }
            for (name, before, after) in differ {
                let [name, before, after] = [name, before, after].map(|text| escaped(text));
                let _ = writeln!(text, "- differs: {name}: {before} → {after}");
            }
        }
        let (rows, left) = self.shown();
        if rows.is_empty() {
            return text;
        }
        text.push_str("\n| | cell | metric | before | after | difference |\n");
        text.push_str("| --- | --- | --- | ---: | ---: | ---: |\n");
        for difference in rows {
            difference.line(&mut text);
        }
        if left > 0 {
            let _ = writeln!(text, "\nand {left} more: `drbench compare --all` prints every row.");
        }
        text
    }
}

impl Difference {
    fn line(&self, text: &mut String) {
        let (word, _) = self.named();
        let (before, after) = self.change.sides();
        let (key, metric) = (&self.key, &self.key.metric);
        let fields = [
            word.to_owned(),
            format!("{}, {}: {}", key.target.vendor, key.cell.suite, key.cell.within_suite()),
            format!("{metric} ({})", key.source),
            side_text(metric, before),
            side_text(metric, after),
            difference_text(before, after),
        ];
        let _ = writeln!(text, "| {} |", fields.map(|field| escaped(&field)).join(" | "));
    }
}

/// Text that Markdown and HTML leave as it is, on one line.
///
/// ```
/// assert_eq!(reports::compare::escaped("<b>6.1|x"), "&lt;b&gt;6.1\\|x");
/// ```
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '~' | '@' => {
                out.push('\\');
                out.push(c);
            }
            '\n' | '\r' => out.push(' '),
            c if is_obeyed(c) => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_kernel_of_any_name_is_text_and_nothing_else() {
        assert_eq!(escaped("<b>6.1|x</b>\n@all"), "&lt;b&gt;6.1\\|x&lt;/b&gt; \\@all");
        assert_eq!(escaped("a\u{1b}[31mb"), "a\u{fffd}\\[31mb");
        assert_eq!(escaped("[a](http://b) `c`"), "\\[a\\](http://b) \\`c\\`");
    }
}
