//! What others read in an export. `ci/readers/*` fetch the programs it takes.

use reports::Value;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A value as its reader has it.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Read {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: Option<String>,
}

/// A check as its reader has it.
#[derive(Debug, Clone, serde::Deserialize)]
#[allow(dead_code)] // each test file uses its part
pub struct ReadCheck {
    pub group: String,
    pub name: String,
    pub outcome: String,
    pub message: String,
    pub lines: Vec<String>,
    pub properties: BTreeMap<String, String>,
}

/// Whether a reader's number is this value: to the digit where the format has integers, else as the
/// nearest `f64`; critcmp parses that to its last digit but one.
pub fn is_value(format: &str, text: &str, value: Value) -> bool {
    let float = || text.parse::<f64>().unwrap();
    match format {
        "prometheus" | "gobench" => float().to_bits() == value.as_f64().to_bits(),
        "criterion" => (float() - value.as_f64()).abs() <= value.as_f64().abs() * f64::EPSILON,
        _ => text.parse::<Value>().unwrap() == value,
    }
}

/// The rule of ci/lib.sh.
fn readers() -> PathBuf {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("DRBENCH_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("drbench")))
        .or_else(|| Some(set("HOME")?.join(".cache/drbench")));
    cache.expect("one of DRBENCH_CACHE, XDG_CACHE_HOME, HOME is set").join("readers")
}

/// What is in the exports, by their readers; in the order of `texts`.
pub fn read_back<T: serde::de::DeserializeOwned>(format: &str, texts: &[String]) -> Vec<Vec<T>> {
    let readers = readers();
    let needed = [
        ("formats", "bin/python"),
        ("kunit", "kunit_parser.py"),
        ("critcmp", "bin/critcmp"),
        ("promtool", "promtool"),
    ];
    for (name, file) in needed {
        let file = readers.join(name).join(file);
        assert!(file.exists(), "{} is missing: run ci/readers/{name}", file.display());
    }
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(readers.join("formats/bin/python"));
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/tests/readers/read_back.py");
    command.arg(script).arg(format).arg(&readers);
    for (number, text) in texts.iter().enumerate() {
        let file = directory.path().join(format!("{number:04}"));
        fs::write(&file, text).unwrap();
        command.arg(file);
    }
    let output = command.output().expect("python starts");
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        // The file it is about, before it goes.
        let kept = directory.keep();
        panic!("{format}: {told}\nthe files are in {}", kept.display());
    }
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}
