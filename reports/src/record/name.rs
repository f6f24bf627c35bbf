//! Short machine-made words.

use super::Unexpected;
use std::fmt;
use std::str::FromStr;

/// A short word for an open vocabulary: a workload, a suite, an exit reason, a run id.
///
/// 1 to 64 ASCII letters, digits and `-_.:+`: it needs no quoting in CSV, a shell or a URL.
///
/// ```
/// use reports::Name;
/// assert!("linux-hwbp-4".parse::<Name>().is_ok());
/// assert!("two words".parse::<Name>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Box<str>);

impl Name {
    const LONGEST: usize = 64;

    /// The same as `text.parse()`, for a text given as it is.
    ///
    /// # Errors
    /// Names the rule when `text` breaks it.
    pub fn new(text: &str) -> Result<Self, Unexpected> {
        let fits = (1..=Self::LONGEST).contains(&text.len());
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+".contains(&byte);
        if fits && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(Unexpected::new("a name of 1 to 64 letters, digits and any of -_.:+", text))
        }
    }

    /// The word itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Unexpected;

    fn from_str(text: &str) -> Result<Self, Unexpected> {
        Self::new(text)
    }
}

impl TryFrom<String> for Name {
    type Error = Unexpected;

    fn try_from(text: String) -> Result<Self, Unexpected> {
        Self::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.into_string()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
