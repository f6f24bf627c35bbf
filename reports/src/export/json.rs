//! JSON of the formats that are JSON.
//!
//! Without the `json!` macro, whose every use is unrolled into the program: it is loaded into an emulated
//! machine.

use super::rows::columns;
use super::text::visible;
use crate::record::Value;
use crate::record::columns::Part;
use serde_json::{Map, Number, Value as Json};

/// An object being made.
#[derive(Default)]
pub struct Object(Map<String, Json>);

impl Object {
    /// With one more field.
    pub fn with(mut self, name: &str, value: Json) -> Self {
        self.set(name, value);
        self
    }

    /// With one more text.
    pub fn with_text(self, name: &str, text: &str) -> Self {
        self.with(name, Json::String(text.to_owned()))
    }

    /// With a field for each column of a part of a row.
    pub fn with_columns<P: Part>(mut self, part: &P) -> Self {
        for (name, text) in columns(part) {
            self.set(name, Json::String(visible(&text)));
        }
        self
    }

    /// One more field.
    pub fn set(&mut self, name: &str, value: Json) {
        self.0.insert(name.to_owned(), value);
    }

    /// The object.
    pub fn done(self) -> Json {
        Json::Object(self.0)
    }
}

/// A value: a count has all its digits.
pub fn number(value: Value) -> Json {
    match value.as_count() {
        Some(count) => Json::Number(count.into()),
        // A `Value` is finite, so that there is always a number.
        None => Number::from_f64(value.as_f64()).map_or(Json::Null, Json::Number),
    }
}

/// The file.
pub fn file(json: &Json) -> String {
    format!("{json:#}\n")
}
