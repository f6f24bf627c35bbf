//! `--expect`: which verdict is the right one.

use std::str::FromStr;

use guest_payloads::Policy;

/// Verdicts asked for, for all vendors or by vendor.
///
/// ```
/// use suites::expect::Expectation;
/// let expected: Expectation = "amd=lazy,intel=always".parse()?;
/// assert_eq!(expected.of("kvm_amd").unwrap().name(), "lazy");
/// assert_eq!("lazy".parse::<Expectation>()?.of("kvm_intel").unwrap().name(), "lazy");
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation(Vec<(Option<&'static str>, Policy)>);

/// Vendors by the word on the command line, and by their module.
const VENDORS: [(&str, &str); 3] = [("amd", "kvm_amd"), ("intel", "kvm_intel"), ("pvm", "kvm_pvm")];

impl Expectation {
    /// What is expected of a vendor module; none if nothing was said of it.
    pub fn of(&self, module: &str) -> Option<Policy> {
        let said = self.0.iter().find(|(vendor, _)| vendor.is_none_or(|vendor| vendor == module));
        said.map(|(_, policy)| *policy)
    }
}

impl FromStr for Expectation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.contains('=') {
            return Ok(Self(vec![(None, text.parse()?)]));
        }
        let one = |part: &str| {
            let (vendor, policy) =
                part.split_once('=').ok_or_else(|| format!("`{part}` is not VENDOR=POLICY"))?;
            let known = VENDORS.iter().find(|(word, _)| *word == vendor);
            let (_, module) = known.ok_or_else(|| {
                format!("`{vendor}` is no vendor; known are {}", VENDORS.map(|(v, _)| v).join(", "))
            })?;
            Ok((Some(*module), policy.parse()?))
        };
        text.split(',').map(one).collect::<Result<_, String>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_expected_of_a_vendor_that_was_not_named() {
        let expected: Expectation = "intel=always".parse().unwrap();
        assert_eq!(expected.of("kvm_amd"), None);
        assert_eq!(expected.of("kvm_intel"), Some(Policy::Always));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (bad, named) in [("lazzy", "`lazzy`"), ("arm=lazy", "`arm`"), ("amd=lazy,x", "`x`")] {
            let error = bad.parse::<Expectation>().unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
