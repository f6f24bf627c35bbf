//! What must hold of any bytes that are taken for a `results.csv`. For the fuzzer and for tests alike.

use reports::compare::{Gate, Keep, Rows, Rule};
use reports::read::Texts;
use reports::{Reader, Record, Style, compare};

/// Both readers say the same of the bytes; what they take is equal to itself, row by row, and is shown
/// without characters that a terminal would obey. Panics where that does not hold.
pub fn hold_for(bytes: &[u8]) {
    let strictly: Result<Vec<Record>, String> = Reader::new(bytes, "fuzz.csv")
        .and_then(Iterator::collect)
        .map_err(|error| error.to_string());
    let compactly = Texts::of::<Record>(bytes, "fuzz.csv").and_then(Rows::of_texts);
    let compactly = compactly.map_err(|error| error.to_string());
    match (&strictly, &compactly) {
        (Ok(records), Ok(rows)) => {
            assert_eq!(records.len(), rows.len());
            shown(records, rows);
        }
        (Err(one), Err(other)) => {
            assert_eq!(one, other);
            assert!(is_harmless(one), "{one:?}");
        }
        (one, other) => panic!("{:?} and {:?}", one.as_ref().err(), other.as_ref().err()),
    }
}

/// A file of these rows held against itself and against nothing.
fn shown(records: &[Record], rows: &Rows) {
    let mut same = compare(rows, rows, Keep::Everything).expect("equal kernels are joined");
    same.judge(&[], &[], Rule::default());
    assert!(same.differences.is_empty(), "{:?}", same.differences);
    same.gate(&Gate::parse("[[limit]]\nmetric = \"*\"\nexact = true\n").expect("a gate"));
    assert!(!same.is_regression());
    let nothing = Rows::default();
    let missing = compare(rows, &nothing, Keep::Differences).expect("nothing is joined with all");
    assert_eq!(missing.differences.len(), records.len());
    for comparison in [same, missing] {
        for text in [comparison.render(None, Style::Plain), comparison.markdown(None)] {
            assert!(is_harmless(&text), "{text:?}");
        }
    }
}

/// Whether a terminal shows this text as it is.
fn is_harmless(text: &str) -> bool {
    let turns =
        |c| ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c);
    !text.chars().any(|c| c != '\n' && (c.is_control() || turns(c)))
}
