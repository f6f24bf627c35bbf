//! What pages are made of: the views say what stands on a page, the templates how that looks.
//!
//! Texts are plain: the templates escape them. Foreign ones have come through
//! [`shown`](super::text::shown) before.

/// What a text means, beside what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
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
    pub(super) const fn class(self) -> &'static str {
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
    pub(super) const fn mark(self) -> &'static str {
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
pub(super) struct Bit {
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
pub(super) enum Look {
    Text,
    /// With a frame and a mark.
    Badge,
    /// Letters of one width.
    Code,
    /// A line of its own.
    Line,
}

impl Bit {
    pub(super) fn text(text: impl Into<String>) -> Self {
        let (href, label) = (String::new(), String::new());
        Self { text: text.into(), href, label, tone: Tone::Plain, look: Look::Text }
    }

    pub(super) fn link(text: impl Into<String>, href: impl Into<String>) -> Self {
        Self { href: href.into(), ..Self::text(text) }
    }

    pub(super) fn badge(text: impl Into<String>, tone: Tone) -> Self {
        Self { tone, look: Look::Badge, ..Self::text(text) }
    }

    pub(super) fn code(text: impl Into<String>) -> Self {
        Self { look: Look::Code, ..Self::text(text) }
    }

    pub(super) fn faint(text: impl Into<String>) -> Self {
        Self { tone: Tone::Faint, ..Self::text(text) }
    }

    pub(super) fn on_a_line(self) -> Self {
        Self { look: Look::Line, ..self }
    }

    pub(super) fn toned(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }

    pub(super) fn to(self, href: impl Into<String>) -> Self {
        Self { href: href.into(), ..self }
    }

    /// The style sheet's classes.
    pub(super) fn classes(&self) -> String {
        let badge = if self.look == Look::Badge { "badge " } else { "" };
        format!("{badge}{}", self.tone.class()).trim_end().to_owned()
    }

    /// What stands before a badge for those who do not see colours.
    pub(super) fn mark(&self) -> &'static str {
        if self.look == Look::Badge { self.tone.mark() } else { "" }
    }

    pub(super) fn labelled(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }
}

/// A cell of a table.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Cell {
    pub bits: Vec<Bit>,
    /// By what its column is sorted, if not by its text.
    pub sort: Option<f64>,
    /// The style sheet's class; empty if there is none.
    pub class: &'static str,
}

impl Cell {
    pub(super) fn of(bits: impl IntoIterator<Item = Bit>) -> Self {
        Self { bits: bits.into_iter().collect(), sort: None, class: "" }
    }

    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::of([Bit::text(text)])
    }

    /// What has no value has a reason: shown as a dash that says it.
    pub(super) fn nothing(why: impl Into<String>) -> Self {
        let why = why.into();
        let dash = Bit::faint(crate::table::NOTHING);
        Self::of([if why.is_empty() { dash } else { dash.labelled(why) }])
    }

    /// The style sheet's classes, `n` for a number.
    pub(super) fn classes(&self, is_number: bool) -> String {
        let is_long = |word: &str| word.chars().count() > super::text::LONG_WORD;
        let long = self.bits.iter().any(|bit| bit.text.split(' ').any(is_long));
        let classes = [
            if is_number { "n" } else { "" },
            self.class,
            if long { "long" } else { "" },
        ];
        classes.into_iter().filter(|class| !class.is_empty()).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn sorted_by(self, sort: f64) -> Self {
        Self { sort: Some(sort), ..self }
    }

    pub(super) fn with_class(self, class: &'static str) -> Self {
        Self { class, ..self }
    }
}

impl From<Bit> for Cell {
    fn from(bit: Bit) -> Self {
        Self::of([bit])
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub name: String,
    /// Numbers stand at the right.
    pub is_number: bool,
}

impl Column {
    pub(super) fn words(name: impl Into<String>) -> Self {
        Self { name: name.into(), is_number: false }
    }

    pub(super) fn numbers(name: impl Into<String>) -> Self {
        Self { name: name.into(), is_number: true }
    }
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
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
pub(super) struct Table {
    pub caption: String,
    /// Names over several columns and over how many each; none if empty.
    pub groups: Vec<(String, usize)>,
    pub columns: Vec<Column>,
    pub heads: usize,
    pub rows: Vec<Row>,
    /// Whether a reader with scripts may sort and filter it.
    pub is_tool: bool,
}

impl Table {
    pub(super) fn new(caption: impl Into<String>, columns: Vec<Column>) -> Self {
        let (groups, rows) = (Vec::new(), Vec::new());
        Self { caption: caption.into(), groups, columns, heads: 1, rows, is_tool: false }
    }

    pub(super) fn push(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells.into());
    }

    /// Whether the cell at this place names its row.
    pub(super) const fn is_head(&self, at: usize) -> bool {
        at < self.heads
    }

    pub(super) fn is_number(&self, at: usize) -> bool {
        self.columns.get(at).is_some_and(|column| column.is_number)
    }
}

/// A picture, with the same figures as a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Picture {
    pub caption: String,
    /// Markup that drbench drew; its texts are escaped.
    pub svg: String,
    pub table: Option<Table>,
}

/// A part of a page.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Block {
    /// A heading of level 2 or 3, with the fragment that leads to it.
    Heading { level: u8, id: String, bits: Vec<Bit> },
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
    Fold { id: String, summary: Vec<Bit>, is_open: bool, blocks: Vec<Block> },
}

impl Block {
    pub(super) fn heading(level: u8, id: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Heading { level, id: id.into(), bits: vec![Bit::text(text)] }
    }

    pub(super) fn paragraph(text: impl Into<String>) -> Self {
        Self::Paragraph(vec![Bit::text(text)])
    }

    pub(super) fn faint(text: impl Into<String>) -> Self {
        Self::Paragraph(vec![Bit::faint(text)])
    }

    pub(super) fn fold(summary: impl Into<String>, blocks: Vec<Self>) -> Self {
        let summary = vec![Bit::text(summary)];
        Self::Fold { id: String::new(), summary, is_open: false, blocks }
    }
}

/// A page.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Page {
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
    pub(super) fn new(file: impl Into<String>, title: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            title: title.into(),
            above: Vec::new(),
            badges: Vec::new(),
            blocks: Vec::new(),
        }
    }

    /// The way from this page to the directory of all.
    pub(super) fn root(&self) -> String {
        "../".repeat(self.file.matches('/').count())
    }
}
