//! What pages are made of: the views say what stands on a page, the templates how that looks.
//!
//! Texts are plain: the templates escape them. Foreign ones have come through
//! [`shown`](crate::text::shown) before.

/// What a text means, beside what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Faint,
    Strong,
    Good,
    Doubtful,
    Bad,
    /// A policy: none is good or bad.
    Policy(&'static str),
}

impl Tone {
    /// The style sheet's class.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Faint => "faint",
            Self::Strong => "strong",
            Self::Good => "good",
            Self::Doubtful => "doubtful",
            Self::Bad => "bad",
            Self::Policy(class) => class,
        }
    }

    /// The same for those who do not see colours.
    pub(crate) const fn mark(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Doubtful => "≈",
            Self::Bad => "✗",
            Self::Plain | Self::Faint | Self::Strong | Self::Policy(_) => "",
        }
    }
}

/// A piece of running text, or of a table's cell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bit {
    pub text: String,
    /// Where it leads; nowhere if empty.
    pub href: String,
    /// What it is called where its text alone would not tell.
    pub label: String,
    pub tone: Tone,
    pub look: Look,
}

/// How a piece stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Text,
    /// With a frame and a mark.
    Badge,
    /// Letters of one width.
    Code,
    /// A line of its own.
    Line,
}

// The program is also loaded into emulated machines: what is used everywhere is compiled once, and not
// into every place of use.
impl Bit {
    #[inline(never)]
    fn new(text: &str, href: &str, tone: Tone, look: Look) -> Self {
        let (text, href) = (text.to_owned(), href.to_owned());
        Self { text, href, label: String::new(), tone, look }
    }

    pub(crate) fn text(text: impl AsRef<str>) -> Self {
        Self::new(text.as_ref(), "", Tone::Plain, Look::Text)
    }

    pub(crate) fn link(text: impl AsRef<str>, href: impl AsRef<str>) -> Self {
        Self::new(text.as_ref(), href.as_ref(), Tone::Plain, Look::Text)
    }

    pub(crate) fn badge(text: impl AsRef<str>, tone: Tone) -> Self {
        Self::new(text.as_ref(), "", tone, Look::Badge)
    }

    pub(crate) fn code(text: impl AsRef<str>) -> Self {
        Self::new(text.as_ref(), "", Tone::Plain, Look::Code)
    }

    pub(crate) fn faint(text: impl AsRef<str>) -> Self {
        Self::new(text.as_ref(), "", Tone::Faint, Look::Text)
    }

    pub(crate) fn on_a_line(mut self) -> Self {
        self.look = Look::Line;
        self
    }

    pub(crate) fn toned(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    pub(crate) fn to(mut self, href: impl AsRef<str>) -> Self {
        href.as_ref().clone_into(&mut self.href);
        self
    }

    /// The style sheet's classes.
    pub(crate) fn classes(&self) -> String {
        let badge = if self.look == Look::Badge { "badge " } else { "" };
        format!("{badge}{}", self.tone.class()).trim_end().to_owned()
    }

    /// What stands before a badge for those who do not see colours.
    pub(crate) fn mark(&self) -> &'static str {
        if self.look == Look::Badge { self.tone.mark() } else { "" }
    }

    pub(crate) fn labelled(mut self, label: impl AsRef<str>) -> Self {
        label.as_ref().clone_into(&mut self.label);
        self
    }
}

/// From so many letters on a word is broken wherever the line ends.
const LONG_WORD: usize = 36;
/// Up to so many bytes a cell is not broken at all.
const SHORT: usize = 28;

/// A cell of a table.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Cell {
    pub bits: Vec<Bit>,
    /// By what its column is sorted, if not by its text.
    pub sort: Option<f64>,
    /// The style sheet's class; empty if there is none.
    pub class: &'static str,
}

impl Cell {
    #[inline(never)]
    pub(crate) fn of(bits: Vec<Bit>) -> Self {
        Self { bits, sort: None, class: "" }
    }

    pub(crate) fn text(text: impl AsRef<str>) -> Self {
        Self::plain(text.as_ref())
    }

    #[inline(never)]
    fn plain(text: &str) -> Self {
        Self::of(vec![Bit::text(text)])
    }

    /// What has no value has a reason: shown as a dash that says it.
    #[inline(never)]
    pub(crate) fn nothing(why: &str) -> Self {
        Self::of(vec![Bit::faint(reports::table::NOTHING).labelled(why)])
    }

    /// The style sheet's classes, `n` for a number.
    pub(crate) fn classes(&self, is_number: bool) -> String {
        let is_long = |word: &str| word.chars().count() > LONG_WORD;
        let long = self.bits.iter().any(|bit| bit.text.split(' ').any(is_long));
        let letters: usize = self.bits.iter().map(|bit| bit.text.len()).sum();
        let wrap = match letters {
            _ if long => "long",
            // A name of some parts is one.
            ..=SHORT => "short",
            _ => "",
        };
        let classes = [if is_number { "n" } else { "" }, self.class, wrap];
        classes.into_iter().filter(|class| !class.is_empty()).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn sorted_by(mut self, sort: f64) -> Self {
        self.sort = Some(sort);
        self
    }

    pub(crate) fn with_class(mut self, class: &'static str) -> Self {
        self.class = class;
        self
    }
}

impl From<Bit> for Cell {
    #[inline(never)]
    fn from(bit: Bit) -> Self {
        Self::of(vec![bit])
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub name: String,
    /// Numbers stand at the right.
    pub is_number: bool,
}

impl Column {
    pub(crate) fn words(name: impl AsRef<str>) -> Self {
        Self { name: name.as_ref().to_owned(), is_number: false }
    }

    pub(crate) fn numbers(name: impl AsRef<str>) -> Self {
        Self { name: name.as_ref().to_owned(), is_number: true }
    }

    /// Columns by name; those of numbers have a `#` before it.
    #[inline(never)]
    pub(crate) fn all(names: &[&str]) -> Vec<Self> {
        let column = |name: &&str| match name.strip_prefix('#') {
            Some(name) => Self::numbers(name),
            None => Self::words(name),
        };
        names.iter().map(column).collect()
    }
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// The fragment that leads to it; none if empty.
    pub id: String,
    pub cells: Vec<Cell>,
}

impl From<Vec<Cell>> for Row {
    fn from(cells: Vec<Cell>) -> Self {
        Self { id: String::new(), cells }
    }
}

/// A table. The first `heads` cells of a row name it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table {
    pub caption: String,
    /// Of what it is, where others on the page have the same caption: for those who hear it, as those
    /// who see it have the heading.
    pub of: String,
    /// Names over several columns and over how many each; none if empty.
    pub groups: Vec<(String, usize)>,
    pub columns: Vec<Column>,
    pub heads: usize,
    pub rows: Vec<Row>,
    /// Whether a reader with scripts may sort and filter it.
    pub is_tool: bool,
}

impl Table {
    pub(crate) fn new(caption: impl AsRef<str>, columns: Vec<Column>) -> Self {
        Self::plain(caption.as_ref(), columns)
    }

    #[inline(never)]
    fn plain(caption: &str, columns: Vec<Column>) -> Self {
        let (caption, of) = (caption.to_owned(), String::new());
        let (groups, rows) = (Vec::new(), Vec::new());
        Self { caption, of, groups, columns, heads: 1, rows, is_tool: false }
    }

    /// The same with names over so many columns each; the rest has none.
    #[inline(never)]
    pub(crate) fn grouped(mut self, groups: &[(&str, usize)]) -> Self {
        let known: usize = groups.iter().map(|(_, width)| width).sum();
        self.groups = groups.iter().map(|(name, width)| ((*name).to_owned(), *width)).collect();
        if known < self.columns.len() {
            self.groups.push((String::new(), self.columns.len() - known));
        }
        self
    }

    /// The same with so many cells that name a row.
    pub(crate) fn headed(mut self, heads: usize) -> Self {
        self.heads = heads;
        self
    }

    /// The same, of this kernel and machine.
    pub(crate) fn of(mut self, what: &str) -> Self {
        what.clone_into(&mut self.of);
        self
    }

    /// The same, to be sorted and filtered.
    pub(crate) fn tool(mut self) -> Self {
        self.is_tool = true;
        self
    }

    #[inline(never)]
    pub(crate) fn push(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells.into());
    }

    /// Whether the cell at this place names its row.
    pub(crate) const fn is_head(&self, at: usize) -> bool {
        at < self.heads
    }

    pub(crate) fn is_number(&self, at: usize) -> bool {
        self.columns.get(at).is_some_and(|column| column.is_number)
    }
}

/// A picture, with the same figures as a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Picture {
    pub caption: String,
    /// Of what it is, as of a table.
    pub of: String,
    /// Markup that drbench drew; its texts are escaped.
    pub svg: String,
    pub table: Option<Table>,
}

/// A part of a page.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Block {
    /// A heading of level 2 or 3, with the fragment that leads to it.
    Heading {
        level: u8,
        id: String,
        bits: Vec<Bit>,
    },
    Paragraph(Vec<Bit>),
    /// A paragraph that stands out.
    Note(Tone, Vec<Bit>),
    List(Vec<Vec<Bit>>),
    /// Names and what they are.
    Facts(Vec<(String, Vec<Bit>)>),
    /// What can be copied into a terminal.
    Command(String),
    Table(Table),
    Picture(Picture),
    /// Side by side where there is room.
    Beside(Vec<Block>),
    /// Closed until somebody opens it.
    Fold {
        id: String,
        /// 2 or 3 if its summary is a heading, else 0.
        level: u8,
        summary: Vec<Bit>,
        is_open: bool,
        blocks: Vec<Block>,
    },
}

impl Block {
    #[inline(never)]
    pub(crate) fn heading(level: u8, id: &str, text: &str) -> Self {
        Self::Heading { level, id: id.to_owned(), bits: vec![Bit::text(text)] }
    }

    pub(crate) fn paragraph(text: impl AsRef<str>) -> Self {
        Self::Paragraph(vec![Bit::text(text)])
    }

    pub(crate) fn faint(text: impl AsRef<str>) -> Self {
        Self::Paragraph(vec![Bit::faint(text)])
    }

    /// A paragraph that stands out.
    pub(crate) fn note(tone: Tone, text: impl AsRef<str>) -> Self {
        Self::Note(tone, vec![Bit::text(text)])
    }

    #[inline(never)]
    pub(crate) fn fold(summary: &str, blocks: Vec<Self>) -> Self {
        let summary = vec![Bit::text(summary)];
        Self::Fold { id: String::new(), level: 0, summary, is_open: false, blocks }
    }
}

/// A page.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Page {
    /// Its file, relative to the directory of all.
    pub file: String,
    pub title: String,
    /// What stands above the title, and leads back.
    pub above: Vec<Bit>,
    /// Beside the title.
    pub badges: Vec<Bit>,
    pub blocks: Vec<Block>,
}

impl Page {
    #[inline(never)]
    pub(crate) fn new(file: &str, title: &str) -> Self {
        Self {
            file: file.to_owned(),
            title: title.to_owned(),
            above: Vec::new(),
            badges: Vec::new(),
            blocks: Vec::new(),
        }
    }

    /// The way from this page to the directory of all.
    pub(crate) fn root(&self) -> String {
        "../".repeat(self.file.matches('/').count())
    }
}
