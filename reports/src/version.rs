//! Kernel versions in their order: 5.10 before 6.1 before 6.12.

use std::cmp::Ordering;

/// Compares versions as people do: numbers by value, `~` and `-rc` before the release itself, more
/// parts after fewer. Texts that mean the same are told apart by their bytes: the order is total.
///
/// ```
/// use reports::version::compare_versions;
/// let mut versions = ["6.12.9", "6.1.192-2", "7.1-rc3", "6.12.90-1~bpo12+1", "7.1", "6.12.90-1"];
/// versions.sort_by(|a, b| compare_versions(a, b));
/// assert_eq!(
///     versions,
///     ["6.1.192-2", "6.12.9", "6.12.90-1~bpo12+1", "6.12.90-1", "7.1-rc3", "7.1"]
/// );
/// ```
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    let [one, other] = [a, b].map(|text| text.replace("-rc", "~rc"));
    parts(&one).cmp(&parts(&other)).then_with(|| a.cmp(b))
}

/// The series a version belongs to: `6.12` of `6.12.90-1~bpo12+1`.
pub fn series(version: &str) -> &str {
    let end = |c: char| !c.is_ascii_digit();
    let mut ends = version.match_indices(end).map(|(at, _)| at);
    ends.nth(1).map_or(version, |at| &version[..at])
}

/// A part of a version, in the order of its variants: `6.1~` is before `6.1`, and that before
/// `6.1-` and `6.1.`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    Tilde,
    End,
    Text(&'a str),
    /// Without leading zeros the longer number is the greater one.
    Number(usize, &'a str),
}

fn parts(version: &str) -> Vec<Part<'_>> {
    let kind = |c: char| (c.is_ascii_digit(), c == '~');
    let mut parts = Vec::new();
    let mut rest = version;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| kind(c) != kind(first)).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        rest = after;
        parts.push(match first {
            '~' => Part::Tilde,
            '0'..='9' => {
                let number = part.trim_start_matches('0');
                Part::Number(number.len(), number)
            }
            _ => Part::Text(part),
        });
    }
    parts.push(Part::End);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_compared_by_value_whatever_their_length() {
        let before = |a, b| {
            assert_eq!(compare_versions(a, b), Ordering::Less, "{a} < {b}");
            assert_eq!(compare_versions(b, a), Ordering::Greater, "{b} > {a}");
        };
        before("5.10.262", "6.1.0");
        before("6.9", "6.10");
        before("6.1", "6.1.1");
        before("6.1.180-1~deb11u1", "6.1.180-1");
        before("6.18.0-rc2", "6.18.0-rc10");
        before("6.18.0-rc10", "6.18.0");
        before("1.99999999999999999999", "1.100000000000000000000");
        before("", "0");
        before("6.01", "6.1");
    }

    #[test]
    fn a_series_is_two_numbers() {
        let series = ["6.12.90-1~bpo12+1", "6.1", "7.3-rc1", "next", ""].map(series);
        assert_eq!(series[..3], ["6.12", "6.1", "7.3"]);
    }

    proptest! {
        #[test]
        fn the_order_is_total(mut texts in prop::collection::vec("[0-9a-c.~+-]{0,6}", 3)) {
            for (a, b) in [(0, 1), (1, 2), (0, 2)] {
                let (a, b) = (&texts[a], &texts[b]);
                prop_assert_eq!(compare_versions(a, b), compare_versions(b, a).reverse());
                prop_assert_eq!(compare_versions(a, b).is_eq(), a == b);
            }
            texts.sort_by(|a, b| compare_versions(a, b)); // panics on an order that is none
            prop_assert!(compare_versions(&texts[0], &texts[2]).is_le());
        }
    }
}
