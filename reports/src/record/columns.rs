//! How a struct becomes columns. A column's name is its field's name and stands nowhere else.
//!
//! Not serde: its errors from a field's own parser do not say which column they are about.

use super::{Machine, Metric, Name, Policy, Source, Status, Unexpected, Unit, Value, Vendor};
use csv::StringRecord;
use jiff::Timestamp;
use std::sync::Arc;

/// One column, or a group of neighbouring columns.
pub trait Part: Sized {
    /// Appends the names of the columns; `field` is the name of the field this part stands in.
    fn columns(field: &'static str, out: &mut Vec<&'static str>);
    /// Appends the texts.
    fn write(&self, out: &mut StringRecord);
    /// Takes as many texts as there are columns.
    fn read(fields: &mut Fields<'_>) -> Result<Self, Misread>;
}

/// The names of all columns of `results.csv` ([`Record`](super::Record)) or `samples.csv`
/// ([`Sample`](super::Sample)), in order.
///
/// ```
/// let header = reports::record::header::<reports::Record>();
/// assert_eq!(header.first(), Some(&"run_id"));
/// assert_eq!(header.last(), Some(&"reason"));
/// ```
pub fn header<P: Part>() -> Vec<&'static str> {
    let mut names = Vec::new();
    P::columns("", &mut names);
    names
}

/// The texts of a row not yet taken.
pub struct Fields<'a> {
    row: &'a StringRecord,
    next: usize,
}

/// A text that its column cannot hold.
pub struct Misread {
    /// Which column, from 0.
    pub index: usize,
    /// What was expected and found.
    pub unexpected: Unexpected,
}

impl<'a> Fields<'a> {
    /// All of a row. It must have as many fields as the header: the reader sees to that.
    pub fn new(row: &'a StringRecord) -> Self {
        Self { row, next: 0 }
    }

    /// Passes so many.
    pub fn skip(&mut self, columns: usize) {
        self.next += columns;
    }

    /// Those not yet taken.
    pub fn left(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let (row, next) = (self.row, self.next);
        (next..row.len()).map_while(move |index| row.get(index))
    }

    /// Whether the next texts are these.
    pub fn next_are(&self, texts: &StringRecord) -> bool {
        let ranges = |row: &StringRecord, index: usize| row.range(index).unwrap_or_default();
        let from = ranges(self.row, self.next).start;
        let text = texts.as_slice().as_bytes();
        // All of them at once; then whether they are cut at the same places.
        self.row.as_slice().as_bytes()[from..].starts_with(text)
            && (self.next..).zip(0..texts.len()).all(|(index, place)| {
                ranges(self.row, index).end - from == ranges(texts, place).end
            })
    }

    /// The next text as it is; empty if there is none.
    pub fn text(&mut self) -> &'a str {
        self.next += 1;
        self.row.get(self.next - 1).unwrap_or_default()
    }

    fn take<T>(&mut self, parse: fn(&str) -> Result<T, Unexpected>) -> Result<T, Misread> {
        let index = self.next;
        self.next += 1;
        parse(self.row.get(index).unwrap_or_default())
            .map_err(|unexpected| Misread { index, unexpected })
    }
}

/// Types that fill one column with their `Display` and `FromStr`; `=> "…"` where the type's own
/// error does not say what is expected.
macro_rules! leaf {
    (@parse $text:ident) => { $text.parse() };
    (@parse $text:ident $expected:literal) => {
        $text.parse().map_err(|_| Unexpected::new($expected, $text))
    };
    ($($type:ty $(=> $expected:literal)?),+ $(,)?) => {$(
        impl Part for $type {
            fn columns(field: &'static str, out: &mut Vec<&'static str>) {
                out.push(field);
            }
            fn write(&self, out: &mut StringRecord) {
                out.push_field(&self.to_string());
            }
            fn read(fields: &mut Fields<'_>) -> Result<Self, Misread> {
                fields.take(|text| leaf!(@parse text $($expected)?))
            }
        }
    )+};
}

leaf! {
    Name, Vendor, Machine, Policy, Metric, Source, Unit, Status, Value,
    String => "a text",
    bool => "`true` or `false`",
    u32 => "a whole number below 2^32",
    u64 => "a whole number below 2^64",
    Timestamp => "a time such as 2026-01-31T12:00:00Z",
}

/// Shared by many rows.
impl<P: Part> Part for Arc<P> {
    fn columns(field: &'static str, out: &mut Vec<&'static str>) {
        P::columns(field, out);
    }
    fn write(&self, out: &mut StringRecord) {
        P::write(self, out);
    }
    fn read(fields: &mut Fields<'_>) -> Result<Self, Misread> {
        P::read(fields).map(Self::new)
    }
}

/// Empty where there is none.
impl Part for Option<Value> {
    fn columns(field: &'static str, out: &mut Vec<&'static str>) {
        out.push(field);
    }
    fn write(&self, out: &mut StringRecord) {
        out.push_field(&self.map(|value| value.to_string()).unwrap_or_default());
    }
    fn read(fields: &mut Fields<'_>) -> Result<Self, Misread> {
        fields.take(|text| match text {
            "" => Ok(None),
            _ => text.parse().map(Some),
        })
    }
}

/// Declares a struct whose fields are columns, or groups of columns, in order.
macro_rules! columns {
    ($(#[$about:meta])* pub struct $name:ident {
        $($(#[$doc:meta])* pub $field:ident: $type:ty,)+
    }) => {
        $(#[$about])*
        pub struct $name { $($(#[$doc])* pub $field: $type,)+ }

        impl $crate::record::columns::Part for $name {
            fn columns(_field: &'static str, out: &mut Vec<&'static str>) {
                $(<$type as $crate::record::columns::Part>::columns(stringify!($field), out);)+
            }
            fn write(&self, out: &mut csv::StringRecord) {
                $($crate::record::columns::Part::write(&self.$field, out);)+
            }
            fn read(
                fields: &mut $crate::record::columns::Fields<'_>,
            ) -> Result<Self, $crate::record::columns::Misread> {
                Ok(Self { $($field: $crate::record::columns::Part::read(fields)?,)+ })
            }
        }
    };
}
pub(crate) use columns;
