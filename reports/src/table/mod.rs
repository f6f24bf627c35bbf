//! Tables for the terminal.

mod cost;
mod history;
mod notes;
mod policy;
mod resolution;
mod section;
mod slowdown;
mod smp;
mod summary;
mod trace;

pub use cost::is_fast_path;
pub use cost::{COST_SUITE, cost_table};
pub use history::{history_table, values_table};
pub use notes::lines;
pub use policy::{POLICY_SUITE, policy_table};
pub use policy::{Row, cost, footnotes, rows};
pub use slowdown::basis;
pub use slowdown::{SLOWDOWN_SUITE, slowdown_table};
pub use smp::{SMP_SUITE, smp_table};
pub use summary::summary_table;
pub use summary::{kernel_name, variant_order};
pub use trace::{TRACE_SUITE, trace_table};

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ContentArrangement, LineStyle, Table, TableStyle,
};
use std::env;
use std::ffi::OsStr;

/// Columns of a terminal that everything must fit.
pub const WIDTH: u16 = 100;

/// What stands where there is nothing to show.
pub const NOTHING: &str = "–";

/// Whether to use colours and bold type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Plain text.
    Plain,
    /// Terminal escapes for colour and bold type.
    Coloured,
}

impl Style {
    /// Colours on a terminal, unless `NO_COLOR` is set (<https://no-color.org>) or `TERM` is
    /// `dumb`.
    pub fn detect(is_terminal: bool) -> Self {
        Self::choose(
            is_terminal,
            env::var_os("NO_COLOR").as_deref(),
            env::var_os("TERM").as_deref(),
        )
    }

    fn choose(is_terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> Self {
        let refused = no_color.is_some_and(|text| !text.is_empty());
        let dumb = term.is_some_and(|term| term == "dumb");
        if is_terminal && !refused && !dumb { Self::Coloured } else { Self::Plain }
    }
}

/// What a text means; the style decides how that looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Normal,
    Strong,
    Good,
    Doubtful,
    Bad,
}

/// How a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// One line under the header, none else. (A junction would widen every column by one.)
const LINES: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─'));

/// A table of texts under construction.
pub(crate) struct Grid {
    table: Table,
}

impl Grid {
    /// A table with these columns; a header may have several lines.
    pub(crate) fn new(style: Style, columns: &[(&str, Align)]) -> Self {
        let mut grid = Self::bare(style);
        let header = columns.iter().map(|(text, _)| cell(text, Tone::Strong));
        grid.table.set_header(header.collect::<Vec<_>>());
        for (column, (_, align)) in grid.table.column_iter_mut().zip(columns) {
            column.set_cell_alignment(match align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            });
        }
        grid
    }

    /// A table without a header.
    fn bare(style: Style) -> Self {
        let mut table = Table::new();
        table
            .load_style(LINES)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(WIDTH)
            .force_no_tty();
        if style == Style::Coloured {
            table.enforce_styling();
        }
        Self { table }
    }

    pub(crate) fn row<'a>(&mut self, cells: impl IntoIterator<Item = (&'a str, Tone)>) {
        let cells: Vec<_> = cells.into_iter().map(|(text, tone)| cell(text, tone)).collect();
        self.table.add_row(cells);
    }

    /// The lines, without trailing spaces, each ended. Columns stand two spaces apart, or one
    /// where that saves breaking words.
    pub(crate) fn render(mut self) -> String {
        const GAPS: [u16; 2] = [2, 1];
        let widths = self.table.column_max_content_widths();
        let fits = |gap: &u16| {
            widths.iter().map(|width| u32::from(width + gap)).sum::<u32>() <= u32::from(WIDTH + gap)
        };
        let gap = GAPS.into_iter().find(fits).unwrap_or(1);
        let last = widths.len().saturating_sub(1);
        for (index, column) in self.table.column_iter_mut().enumerate() {
            column.set_padding((0, if index == last { 0 } else { gap }));
        }
        let mut text = String::new();
        for line in self.table.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Running text, wrapped.
pub(crate) fn paragraph(style: Style, text: &str, tone: Tone) -> String {
    let mut grid = Grid::bare(style);
    grid.row([(text, tone)]);
    grid.render()
}

/// The same of a text with names in it: a line feed of theirs begins no line.
pub(crate) fn sentence(style: Style, text: &str, tone: Tone) -> String {
    paragraph(style, &text.replace('\n', " "), tone)
}

fn cell(text: &str, tone: Tone) -> Cell {
    let cell = Cell::new(printable(text));
    match tone {
        Tone::Normal => cell,
        Tone::Strong => cell.add_attribute(Attribute::Bold),
        Tone::Good => cell.fg(Color::Green),
        Tone::Doubtful => cell.fg(Color::Yellow),
        Tone::Bad => cell.fg(Color::Red).add_attribute(Attribute::Bold),
    }
}

/// Names come from files: no escape sequence of theirs may reach the terminal.
///
/// ```
/// assert_eq!(reports::table::printable("evil\u{1b}[31m"), "evil [31m");
/// ```
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|char| match char {
            '\n' => '\n',
            obeyed if is_obeyed(obeyed) => ' ',
            char => char,
        })
        .collect()
}

/// Whether a terminal or a browser obeys this character instead of showing it: controls, and what turns
/// the direction of text (Unicode Technical Report 36, 2.10).
pub(crate) fn is_obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_only_where_wanted() {
        let choose = |terminal, no_color: Option<&str>, term: Option<&str>| {
            Style::choose(terminal, no_color.map(OsStr::new), term.map(OsStr::new))
        };
        assert_eq!(choose(true, None, Some("xterm")), Style::Coloured);
        assert_eq!(choose(true, Some(""), None), Style::Coloured);
        assert_eq!(choose(true, Some("1"), Some("xterm")), Style::Plain);
        assert_eq!(choose(true, None, Some("dumb")), Style::Plain);
        assert_eq!(choose(false, None, Some("xterm")), Style::Plain);
    }

    #[test]
    fn escapes_in_names_are_disarmed() {
        let text = paragraph(Style::Plain, "evil\u{1b}[31m name", Tone::Bad);
        assert_eq!(text, "evil [31m name\n");
    }

    #[test]
    fn colours_are_escapes() {
        let text = paragraph(Style::Coloured, "bad", Tone::Bad);
        assert!(text.contains("\u{1b}["), "{text:?}");
    }
}
