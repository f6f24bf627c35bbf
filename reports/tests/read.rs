//! What is wrong with a file is said with its place.
#![allow(clippy::unwrap_used)]

mod common;

use common::{csv, exits};
use reports::{ReadError, Reader};
use std::path::Path;

fn good() -> String {
    csv(&[exits("windows", 3), exits("scan", 4)])
}

/// The rows read before the error, and the error's text.
fn error(bytes: &[u8]) -> (usize, String) {
    let reader = match Reader::new(bytes, "x/results.csv") {
        Ok(reader) => reader,
        Err(error) => return (0, error.to_string()),
    };
    let (good, bad): (Vec<_>, Vec<_>) = reader.partition(Result::is_ok);
    let [Err(error)] = &bad[..] else {
        panic!("expected one error, got {bad:?}");
    };
    (good.len(), error.to_string())
}

#[track_caller]
fn expect(bytes: &[u8], rows: usize, words: &[&str]) {
    let (good, text) = error(bytes);
    assert_eq!(good, rows, "{text}");
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
}

#[test]
fn a_good_file() {
    let rows: Result<Vec<_>, _> = Reader::new(good().as_bytes(), "x").unwrap().collect();
    assert_eq!(rows.unwrap(), [exits("windows", 3), exits("scan", 4)]);
}

#[test]
fn headers() {
    let place = "x/results.csv";
    expect(b"", 0, &[place, "empty file"]);
    expect(b"a,b\n1,2\n", 0, &[place, "missing in the header", "`run_id`", "`reason`"]);
    let more = good().replacen(",reason\n", ",reason,mood\n", 1);
    expect(more.as_bytes(), 0, &[place, "column 30", "no more columns", "`mood`"]);
    let less = good().replacen(",metric,", ",", 1);
    expect(less.as_bytes(), 0, &[place, "missing in the header: `metric`"]);
    let swapped = good().replacen("work,switches", "switches,work", 1);
    expect(swapped.as_bytes(), 0, &[place, "column 17", "`work`", "`switches`"]);
}

#[test]
fn values() {
    let line3 = |from: &str, to: &str| {
        let text = good();
        let (head, last) = text.trim_end().rsplit_once('\n').unwrap();
        assert!(last.contains(from));
        format!("{head}\n{}\n", last.replacen(from, to, 1))
    };
    let place = "x/results.csv line 3";
    for (from, to, words) in [
        ("kvm_amd", "kvm_arm", ["`vendor`", "kvm_intel, kvm_amd", "`kvm_arm`"]),
        (",200,", ",many,", ["`switches`", "a whole number", "`many`"]),
        (",200,", ",-1,", ["`switches`", "a whole number", "`-1`"]),
        ("false", "no", ["`armed`", "`true` or `false`", "`no`"]),
        ("dr_exits", "exits:", ["`metric`", "exits:REASON", "`exits:`"]),
        ("exits,4,", "exits,4x,", ["`value`", "decimal number", "`4x`"]),
        ("exits,4,", "exits,inf,", ["`value`", "decimal number", "`inf`"]),
        ("exits,4,", "exits,,", ["`value`", "needs its value", "dr_exits"]),
        (",ok,", ",failed,", ["`reason`", "needs a reason", "failed"]),
        ("2026-01-01T12", "2026-13-01T12", ["`started_at`", "a time such as", "`2026-13"]),
        ("scan", "s\u{7}n", ["`workload`", "a name of 1 to 64", "`s\\u{7}n`"]),
    ] {
        let words = [&[place][..], &words].concat();
        expect(line3(from, to).as_bytes(), 1, &words);
    }
    expect(line3(",ok,", ",ok").as_bytes(), 1, &[place, "29 fields", "found 28"]);
}

/// Lines are counted as an editor counts them, also after a text of several lines.
#[test]
fn lines_are_those_of_the_file() {
    let mut first = exits("windows", 3);
    first.reason = "one\ntwo\nthree".into();
    let text = csv(&[first, exits("scan", 4)]).replace("tracepoint,exits,4", "tracepoint,exits,x");
    expect(text.as_bytes(), 1, &["line 5", "`value`"]);
}

#[test]
fn other_bytes() {
    let text = good();
    let at = text.rfind("EPYC").unwrap();
    let mut bytes = text.into_bytes();
    bytes[at] = 0xff;
    expect(&bytes, 1, &["line 3", "`cpu_model`", "UTF-8"]);
}

#[test]
fn a_cut_file() {
    let text = good();
    expect(&text.as_bytes()[..text.len() - 1], 1, &["line 3", "cut off"]);
    expect(&text.as_bytes()[..text.len() - 20], 1, &["line 3", "cut off"]);
    expect(&text.as_bytes()[..20], 0, &["line 1", "cut off"]);
    // Cut after a line's end inside a quoted text.
    let mut last = exits("scan", 4);
    last.reason = "one\ntwo".into();
    let text = csv(&[exits("windows", 3), last]);
    let cut = text.find("two").unwrap();
    expect(&text.as_bytes()[..cut], 1, &["line 3", "cut off"]);
}

#[test]
fn duplicates() {
    let text = good();
    let last = text.lines().last().unwrap();
    let twice = format!("{text}{}\n", last.replace("exits,4", "exits,5"));
    expect(twice.as_bytes(), 2, &["line 4", "as on line 3"]);
    // The same cell of another kernel is none.
    let other = format!("{text}{}\n", last.replace("6.1.176", "6.12.117"));
    assert_eq!(Reader::new(other.as_bytes(), "x").unwrap().flatten().count(), 3);
}

#[test]
fn no_such_file() {
    let error = reports::read(Path::new("/nonexistent/run")).unwrap_err();
    assert!(matches!(error, ReadError::Io { .. }));
    let text = error.to_string();
    assert!(text.contains("/nonexistent/run") && text.contains("name a results.csv"), "{text}");
    let dir = tempfile::tempdir().unwrap();
    let text = reports::read(dir.path()).unwrap_err().to_string();
    assert!(text.contains("results.csv"), "{text}");
}
