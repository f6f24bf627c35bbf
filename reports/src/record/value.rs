//! A number that comes back from the file as it went in.

use super::Unexpected;
use std::fmt;
use std::str::FromStr;

/// A finite number: exact when it is a count, otherwise the nearest `f64`.
///
/// Printed in the fewest digits that read back as the same number, so two files agree in every
/// digit exactly when the values are equal. Whole numbers from 0 below 2^64 are always held as
/// counts, however they were made.
///
/// ```
/// use reports::Value;
/// assert_eq!(Value::count(u64::MAX).to_string(), "18446744073709551615");
/// assert_eq!(Value::ratio(6_272_875, 2000).unwrap().to_string(), "3136.4375");
/// assert_eq!(Value::real(12.0), Some(Value::count(12)));
/// assert_eq!(Value::real(f64::NAN), None);
/// ```
#[derive(Clone, Copy, PartialEq)]
pub struct Value(Number);

#[derive(Clone, Copy, PartialEq)]
enum Number {
    Count(u64),
    /// Finite, and no whole number that `Count` could hold.
    Real(f64),
}

// No NaN can be inside.
impl Eq for Value {}

impl Value {
    /// A count, exact.
    pub const fn count(count: u64) -> Self {
        Self(Number::Count(count))
    }

    /// A real number; none if it is not finite.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    pub fn real(number: f64) -> Option<Self> {
        const END: f64 = u64::MAX as f64; // rounds up to 2^64
        if !number.is_finite() {
            None
        } else if number.fract() == 0.0 && (0.0..END).contains(&number) {
            Some(Self::count(number as u64))
        } else {
            Some(Self(Number::Real(number)))
        }
    }

    /// `total / parts`: a cost per switch. None if there are no parts.
    #[allow(clippy::cast_precision_loss)]
    pub fn ratio(total: u64, parts: u64) -> Option<Self> {
        match total.checked_rem(parts)? {
            0 => Some(Self::count(total / parts)),
            _ => Self::real(total as f64 / parts as f64),
        }
    }

    /// The exact count; none if it is no whole number, or negative, or beyond 64 bits.
    pub const fn as_count(self) -> Option<u64> {
        match self.0 {
            Number::Count(count) => Some(count),
            Number::Real(_) => None,
        }
    }

    /// The nearest `f64`.
    #[allow(clippy::cast_precision_loss)]
    pub const fn as_f64(self) -> f64 {
        match self.0 {
            Number::Count(count) => count as f64,
            Number::Real(number) => number,
        }
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::count(count)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Number::Count(count) => fmt::Display::fmt(&count, f),
            Number::Real(number) => fmt::Display::fmt(&number, f),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Value {
    type Err = Unexpected;

    fn from_str(text: &str) -> Result<Self, Unexpected> {
        if let Ok(count) = text.parse() {
            return Ok(Self::count(count));
        }
        text.parse()
            .ok()
            .and_then(Self::real)
            .ok_or_else(|| Unexpected::new("a finite decimal number", text))
    }
}
