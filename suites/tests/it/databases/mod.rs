//! Runs in real databases: loaded by `ci/load`, asked by the queries of `reports/sql`.

mod answers;
mod runs;
mod servers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use reports::record::header;
use reports::{Record, RunInfo, Sample};

use crate::common::told;
use servers::{ClickHouse, Database, DuckDb, PostgreSql};

/// The questions, and who answers them here.
const QUERIES: [(&str, answers::Answer); 6] = [
    ("dr-exit-cost", answers::dr_exit_cost),
    ("changed-cells", answers::changed_cells),
    ("verdicts", answers::verdicts),
    ("open-or-failed", answers::open_or_failed),
    ("slowdown", answers::slowdown),
    ("noise", answers::noise),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sql(name: &str) -> String {
    fs::read_to_string(root().join("reports/sql").join(name)).unwrap()
}

/// Rows of a query's answer.
type Rows = Vec<Vec<String>>;

#[test]
fn the_schemas_have_the_columns_of_the_files() {
    for database in ["postgresql", "duckdb", "clickhouse"] {
        let schema = sql(&format!("schema.{database}.sql"));
        for (table, columns) in [("results", header::<Record>()), ("samples", header::<Sample>())] {
            let begin = format!("CREATE TABLE IF NOT EXISTS {table} (\n");
            let (_, text) = schema.split_once(&begin).unwrap();
            let (text, _) = text.split_once("\n)").unwrap();
            let found: Vec<_> =
                text.lines().filter_map(|line| line.split_whitespace().next()).collect();
            assert_eq!(found, columns, "{database}, {table}");
        }
    }
}

#[test]
fn runs_load_as_they_are_and_every_database_gives_the_answers_computed_here() {
    let directory = tempfile::tempdir().unwrap();
    let runs = runs::made(directory.path());
    let records: Vec<Vec<Record>> = runs.iter().map(|run| reports::read(run).unwrap()).collect();
    let duckdb = DuckDb::new(directory.path());
    let clickhouse = ClickHouse::new(directory.path());
    let postgresql = PostgreSql::start(directory.path());
    for database in [&duckdb as &dyn Database, &clickhouse, &postgresql] {
        let name = database.name();
        database.load(&runs);
        // Whoever loads a run again has it once.
        database.load(&runs[1..]);
        whole(database, &runs, &records);
        for (query, answer) in QUERIES {
            let mut expected = answer(&records);
            assert!(!expected.is_empty(), "{query}: a question without an answer tests nothing");
            let mut found = database.query(&sql(&format!("{query}.sql")));
            for rows in [&mut expected, &mut found] {
                rows.iter_mut().flatten().for_each(|field| *field = comparable(field));
                rows.sort();
            }
            let wrong = found.iter().zip(&expected).find(|(found, expected)| found != expected);
            assert_eq!(found.len(), expected.len(), "{name}, {query}: {wrong:?}");
            assert_eq!(wrong, None, "{name}, {query}");
        }
    }
    assert_eq!(postgresql.stop(), Some(0));
}

#[test]
fn a_refused_load_says_what_is_left_of_the_runs() {
    let directory = tempfile::tempdir().unwrap();
    let columns = header::<Record>().join(",");
    fs::write(directory.path().join("results.csv"), format!("{columns}\n1-a,\n")).unwrap();
    let place = directory.path().join("runs.duckdb");
    let said = |database: &str, program: &str, place: Option<&Path>| {
        let mut load = Command::new(root().join("ci/load"));
        load.arg(database).args(place).arg(directory.path()).env(program, "false");
        let (status, said) = told(&load.output().unwrap());
        assert_eq!(status, Some(2), "{said}");
        said
    };
    let still = "what it had before is there still";
    assert!(said("postgresql", "PSQL", None).contains(still));
    assert!(said("duckdb", "DUCKDB", Some(&place)).contains(still));
    let clickhouse = said("clickhouse", "CLICKHOUSE", None);
    assert!(!clickhouse.contains(still) && clickhouse.contains("load these runs again"));
}

/// Every row is there, with every digit of its counts and every character of its texts.
fn whole(database: &dyn Database, runs: &[PathBuf], records: &[Vec<Record>]) {
    let name = database.name();
    let samples: usize =
        runs.iter().map(|run| reports::read::read_samples(run).unwrap().len()).sum();
    let rows: usize = records.iter().map(Vec::len).sum();
    let counts = "SELECT (SELECT count(*) FROM results), (SELECT count(*) FROM samples);";
    assert_eq!(database.query(counts), [[rows.to_string(), samples.to_string()]], "{name}");
    for (run, records) in runs.iter().zip(records) {
        let id = RunInfo::read(run).unwrap().run.run_id;
        let counts: Vec<_> =
            records.iter().filter_map(|row| row.value.and_then(reports::Value::as_count)).collect();
        let empty = records.iter().filter(|row| row.value.is_none()).count();
        let sum: u128 = counts.iter().copied().map(u128::from).sum();
        let exact = format!(
            "SELECT (SELECT sum(value) FROM results WHERE run_id = '{id}' AND value = floor(value)),\
             (SELECT count(*) FROM results WHERE run_id = '{id}' AND value IS NULL);"
        );
        let found = database.query(&exact);
        let sum_found = found[0][0].trim_end_matches('0').trim_end_matches('.');
        let sum_found = if found[0][0].contains('.') { sum_found } else { &found[0][0] };
        assert_eq!(sum_found, sum.to_string(), "{name}, {id}");
        assert_eq!(found[0][1], empty.to_string(), "{name}, {id}");

        let texts = format!(
            "SELECT kernel, kernel_id, variant, cpu_model, metric, reason FROM results WHERE run_id = '{id}';"
        );
        let mut found = database.query(&texts);
        found.iter_mut().flatten().for_each(|text| {
            if text == "\\N" {
                text.clear();
            }
        });
        let mut expected: Rows = records.iter().map(runs::texts).collect();
        found.sort();
        expected.sort();
        assert!(found == expected, "{name}, {id}: texts differ");
    }
}

/// Numbers to nine digits, times to the second, NULL as nothing.
fn comparable(field: &str) -> String {
    let time = field.get(..19).filter(|time| {
        time.as_bytes()[4] == b'-' && time.as_bytes()[10] == b' ' && time.as_bytes()[13] == b':'
    });
    match (field, field.parse::<f64>(), time) {
        ("\\N", ..) => String::new(),
        (_, _, Some(time)) => time.to_owned(),
        (_, Ok(number), _) => format!("{number:.8e}"),
        _ => field.to_owned(),
    }
}
