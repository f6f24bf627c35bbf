//! Several kernels and runs: in one file, and from file to file.

use super::common::{name, subject};
use super::readers::{Read, ReadCheck, read_back};
use super::{OF_CHECKS, kept, one_of_each, text, try_export};
use reports::export::FORMATS;
use reports::{Record, Subject, Target};
use std::collections::BTreeSet;

fn other_kernel(rows: &[Record]) -> Vec<Record> {
    let other = |row: &Record| {
        let mut row = row.clone();
        row.subject = Subject { kernel: "7.3.4".into(), kernel_id: "7.3.4-1".into(), ..subject() };
        row.run.run_id = name("20270101T120000Z-0a1b2c");
        row
    };
    rows.iter().map(other).collect()
}

#[test]
fn a_history_keeps_its_names_from_kernel_to_kernel() {
    let (before, after) = (one_of_each(), other_kernel(&one_of_each()));
    for format in ["bmf", "github-action-benchmark", "criterion", "gobench"] {
        let read: Vec<Vec<Read>> =
            read_back(format, &[text(format, &before), text(format, &after)]);
        assert_eq!(read[0].len(), 1);
        assert_eq!(read[0][0].name, read[1][0].name, "{format}");
    }
    for format in OF_CHECKS {
        let read: Vec<Vec<ReadCheck>> =
            read_back(format, &[text(format, &before), text(format, &after)]);
        let names = |read: &[ReadCheck]| -> Vec<_> {
            read.iter().map(|it| (it.group.clone(), it.name.clone())).collect()
        };
        assert_eq!(names(&read[0]), names(&read[1]), "{format}");
    }
}

#[test]
fn several_runs_are_one_file_where_it_can_tell_them_apart() {
    let (before, after) = (one_of_each(), other_kernel(&one_of_each()));
    let runs = [kept("one", before.clone()), kept("other", after)];
    for format in ["prometheus", "kcidb", "gobench"] {
        let read: Vec<Vec<Read>> = read_back(format, &[try_export(format, &runs).unwrap().text]);
        assert!(read[0].len() >= 2, "{format}");
    }
    for format in OF_CHECKS {
        let read: Vec<Vec<ReadCheck>> =
            read_back(format, &[try_export(format, &runs).unwrap().text]);
        let groups: BTreeSet<_> = read[0].iter().map(|it| &it.group).collect();
        assert_eq!((read[0].len(), groups.len()), (10, 2), "{format}");
    }
    for format in ["bmf", "github-action-benchmark", "github-action-benchmark-bigger", "criterion"]
    {
        let error = try_export(format, &runs).unwrap_err();
        let kernels = "6.1.176 (6.1.176-1, stock) (in one) and 7.3.4 (7.3.4-1, stock) (in other)";
        assert!(error.starts_with(kernels) && error.contains("RUN/cells/*"), "{format}: {error}");
    }
    // Rows of two versions that are called differently are one file, where the format has no kernel's name.
    let elsewhere = |row: &Record| {
        let mut row = row.clone();
        let cpu_model = "Haswell,+vmx".to_owned();
        row.key.target = Target { cpu_model, ..Target::clone(&row.key.target) }.into();
        row
    };
    let after: Vec<_> = other_kernel(&before).iter().map(elsewhere).collect();
    let apart = [kept("one", before.clone()), kept("other", after)];
    for format in ["bmf", "github-action-benchmark"] {
        let read: Vec<Vec<Read>> = read_back(format, &[try_export(format, &apart).unwrap().text]);
        assert_eq!(read[0].len(), 2, "{format}");
        let error = try_export(format, &runs).unwrap_err();
        assert!(error.contains("holds each row of one kernel only"), "{format}: {error}");
    }
    assert!(try_export("criterion", &apart).is_err());
    for format in FORMATS {
        let twice = [kept("one", before.clone()), kept("other", before.clone())];
        let error = try_export(format.name, &twice).unwrap_err();
        assert!(error.contains("one and other both hold dr_exits by tracepoint"), "{error}");
        let error = try_export(format.name, &[kept("nothing", Vec::new())]).unwrap_err();
        assert!(error.contains("nothing holds no rows"), "{error}");
    }
    // The same kernel again is more samples for benchstat, and a history for others.
    let mut again = before.clone();
    for row in &mut again {
        row.run.run_id = name("20270101T120000Z-0a1b2c");
    }
    let runs = [kept("one", before), kept("again", again)];
    for format in ["gobench", "kcidb", "junit", "ktap"] {
        assert!(try_export(format, &runs).is_ok(), "{format}");
    }
    for format in ["prometheus", "bmf", "github-action-benchmark", "criterion"] {
        assert!(try_export(format, &runs).unwrap_err().contains("name one of the two"), "{format}");
    }
}
