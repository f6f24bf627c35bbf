//! What comparing two files of a million rows takes, in units of only reading them.
//!
//! `cargo bench -p reports --bench million_rows [ROWS]` makes two files, then times by turns reading
//! both as `csv::ByteRecord`s and comparing them, and prints the ratio of the medians, and the most
//! memory that the comparing process ever had. Status 1 if either is beyond its limit.
#![allow(clippy::expect_used, clippy::cast_precision_loss)]

use reports::compare::{Keep, Rows};
use reports::{
    Cell, Key, Machine, Metric, Outcome, Policy, Record, Run, RunDir, RunInfo, Source, Subject,
    Target, Vendor, compare,
};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

const ROWS: usize = 1_000_000;
const ROUNDS: usize = 5;
/// In units of reading.
const MOST: f64 = 3.0;
const MOST_BYTES: u64 = 1 << 30;
/// Asks this program to compare two files and to say how much memory that took.
const COMPARE: &str = "--compare-only";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [COMPARE, before, after] = &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        let differences = compared(Path::new(before), Path::new(after))?;
        println!("{} {differences}", peak_bytes()?);
        return Ok(ExitCode::SUCCESS);
    }
    // `cargo bench` adds `--bench`.
    let rows = words.iter().find_map(|word| word.parse().ok()).unwrap_or(ROWS);
    let dir = tempfile::tempdir()?;
    let mut ok = true;
    for (name, changed) in [("one in a hundred differs", 100), ("every row differs", 1)] {
        let [before, after] =
            ["before", "after"].map(|side| dir.path().join(format!("{side}-{changed}")));
        write(&before, rows, usize::MAX)?;
        write(&after, rows, changed)?;
        ok &= line(name, rows, &before.join("results.csv"), &after.join("results.csv"))?;
    }
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Measures two files and prints what came of it; whether it is within the limits.
fn line(name: &str, rows: usize, before: &Path, after: &Path) -> Result<bool, Box<dyn Error>> {
    let (mut reading, mut comparing) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        assert_eq!(count(before)? + count(after)?, 2 * rows, "rows only read");
        reading.push(began.elapsed().as_secs_f64());
        let began = Instant::now();
        compared(before, after)?;
        comparing.push(began.elapsed().as_secs_f64());
    }
    let of = Command::new(std::env::current_exe()?).arg(COMPARE).args([before, after]).output()?;
    let said = String::from_utf8(of.stdout)?;
    let (bytes, differences) = said.trim().split_once(' ').ok_or("the comparing process failed")?;
    let bytes: u64 = bytes.parse()?;
    let [reading, comparing] = [reading, comparing].map(median);
    let ratio = comparing / reading;
    println!(
        "two files of {rows} rows, {name}: reading {reading:.2} s, comparing {comparing:.2} s, ratio \
         {ratio:.2} (at most {MOST}), {} MiB (at most {} MiB), {differences} differences",
        bytes >> 20,
        MOST_BYTES >> 20
    );
    Ok(ratio <= MOST && bytes <= MOST_BYTES)
}

/// How many rows there are, read and not looked at.
fn count(path: &Path) -> Result<usize, csv::Error> {
    let mut reader = csv::Reader::from_path(path)?;
    let (mut row, mut rows) = (csv::ByteRecord::new(), 0);
    while reader.read_byte_record(&mut row)? {
        rows += 1;
    }
    Ok(rows)
}

/// How many differences there are, as `drbench compare` finds them.
fn compared(before: &Path, after: &Path) -> Result<usize, Box<dyn Error>> {
    let (before, after) = Rows::read_both(before, after);
    let comparison = compare(&before?, &after?, Keep::Differences)?;
    Ok(comparison.differences.len())
}

/// The most memory that this process ever had resident (proc(5), `VmHWM`).
fn peak_bytes() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
    Ok(kib.ok_or("the kernel does not tell VmHWM")?.trim().parse::<u64>()? << 10)
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// Writes a run like those of the policy suite, in which one row of so many is another.
fn write(dir: &Path, rows: usize, changed: usize) -> Result<PathBuf, Box<dyn Error>> {
    const METRICS: [(&str, Source); 8] = [
        ("exits", Source::Statistics),
        ("exits", Source::Tracepoint),
        ("dr_exits", Source::Tracepoint),
        ("exits:cpuid", Source::Tracepoint),
        ("exits:dr-read", Source::Tracepoint),
        ("instructions", Source::Tsc),
        ("async_exits", Source::Tracepoint),
        ("interposed_exits", Source::Tracepoint),
    ];
    const BLOCK: usize = 1 << 14;
    let info = RunInfo::begin("benchmark", vec![]);
    let run = info.run.clone();
    let mut out = RunDir::create(dir, info)?;
    let mut block = Vec::with_capacity(BLOCK);
    for number in 0..rows {
        let (cell, (metric, source)) = (number / METRICS.len(), METRICS[number % METRICS.len()]);
        let value = (number * 7919 % 100_000) as u64 + u64::from(number % changed == changed - 1);
        block.push(record(&run, cell, metric.parse()?, source, value)?);
        if block.len() == BLOCK || number + 1 == rows {
            out.append(&block)?;
            block.clear();
        }
    }
    out.finish()?;
    Ok(dir.to_owned())
}

fn record(
    run: &Run,
    number: usize,
    metric: Metric,
    source: Source,
    value: u64,
) -> Result<Record, Box<dyn Error>> {
    let subject = Subject {
        kernel: "6.1.192".to_owned(),
        kernel_id: "6.1.192-2".to_owned(),
        variant: "stock".to_owned(),
    };
    let target = Target {
        vendor: Vendor::KvmAmd,
        machine: Machine::QemuTcg,
        cpu_model: "AMD EPYC-Milan Processor".to_owned(),
    };
    let cell = Cell {
        suite: "policy".parse()?,
        workload: format!("n:{}", number % 13).parse()?,
        policy: if number.is_multiple_of(2) { Policy::Kernel } else { Policy::GuestDebug },
        interposed: "cpuid".parse()?,
        exits_every: 3,
        armed: number.is_multiple_of(3),
        vcpus: 1,
        accesses: (number % 13) as u64,
        work: number as u64,
        switches: 40,
    };
    let key = Key { target: target.into(), cell: cell.into(), metric, source };
    let row = Record::new(run.clone(), subject, key, Outcome::ok(value));
    Ok(Record { predicted: Some(value.into()), deterministic: true, ..row })
}
