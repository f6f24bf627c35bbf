//! How to repeat a run: its command line, and everything that surrounded it.

use crate::block::{Bit, Block, Tone};
use crate::shelf::{Volume, kernel, target};
use crate::text;
use reports::store::{Environment, Noise, RunInfo, Seen};
use serde_json::Value as Json;

/// Parts of an environment that are shown elsewhere.
const ELSEWHERE: [&str; 8] =
    ["kernel", "kernel_id", "variant", "vendor", "machine", "cpu_model", "emulator", "noise"];

/// The section of a run's page.
pub(crate) fn section(run: &Volume<'_>) -> Vec<Block> {
    let mut blocks = vec![Block::heading(2, "repeat", "How to repeat it")];
    let Some(info) = &run.run.info else {
        blocks.push(Block::note(
            Tone::Doubtful,
            "No run.json lies beside the rows: how they were measured is not known. Name the run's \
             directory instead of a copy of its CSV.",
        ));
        return blocks;
    };
    blocks.push(Block::Command(text::command(&again(info))));
    let mut facts = vec![
        ("drbench".to_owned(), vec![Bit::text(text::shown(&info.drbench))]),
        ("as it was typed".to_owned(), vec![Bit::code(text::command(&info.argv))]),
        ("schema of the files".to_owned(), vec![Bit::text(info.schema.to_string())]),
    ];
    for (name, hash) in info.hashes.iter().filter(|(name, _)| !name.starts_with("payload:")) {
        facts
            .push((format!("SHA-256 of {}", text::name(name)), vec![Bit::code(text::shown(hash))]));
    }
    blocks.push(Block::Facts(facts));
    let payloads: Vec<_> = info
        .hashes
        .iter()
        .filter_map(|(name, hash)| {
            Some((text::name(name.strip_prefix("payload:")?), vec![Bit::code(text::shown(hash))]))
        })
        .collect();
    if !payloads.is_empty() {
        let title = format!("SHA-256 of {}", text::count(payloads.len(), "payload"));
        blocks.push(Block::fold(&title, vec![Block::Facts(payloads)]));
    }
    if let Some(plan) = &info.plan {
        let mut parts = Vec::new();
        flatten("", plan, &mut parts);
        blocks.push(Block::fold("What was to be measured", vec![Block::Facts(parts)]));
    }
    blocks.extend(info.environments.iter().map(environment));
    blocks
}

/// The command line, without the directory that exists by now, with the order of its cells.
fn again(info: &RunInfo) -> Vec<String> {
    let mut words = vec!["drbench".to_owned()];
    let mut typed = info.argv.iter().skip(1);
    while let Some(word) = typed.next() {
        if word == "--out" {
            typed.next();
        } else if !word.starts_with("--out=") {
            words.push(word.clone());
        }
    }
    let seed = info.environments.iter().find_map(|it| it.noise.as_ref()).map(|noise| noise.seed);
    let has_seed = words.iter().any(|word| word == "--seed" || word.starts_with("--seed="));
    if let (Some(seed), false) = (seed, has_seed) {
        words.extend(["--seed".to_owned(), seed.to_string()]);
    }
    words
}

fn environment(environment: &Environment) -> Block {
    let subject = &environment.subject;
    let title = format!(
        "{} {} · {}: kernel, processor, emulator",
        kernel(subject),
        text::name(&subject.variant),
        target(&environment.target)
    );
    let mut blocks = Vec::new();
    if let Some(emulator) = &environment.emulator {
        blocks.push(Block::paragraph(text::shown(&emulator.version)));
        blocks.push(Block::Command(text::command(&emulator.argv)));
    }
    let mut facts = Vec::new();
    if let Ok(Json::Object(parts)) = serde_json::to_value(environment) {
        for (name, part) in parts.iter().filter(|(name, _)| !ELSEWHERE.contains(&name.as_str())) {
            flatten(&name.replace('_', " "), part, &mut facts);
        }
    }
    blocks.push(Block::Facts(facts));
    if let Some(noise) = &environment.noise {
        blocks.push(Block::heading(3, "", "What disturbed it"));
        blocks.push(Block::Facts(disturbances(noise)));
    }
    Block::fold(&title, blocks)
}

/// Everything in a part, as names and words; objects of words in one line.
fn flatten(name: &str, part: &Json, facts: &mut Vec<(String, Vec<Bit>)>) {
    let word = |part: &Json| match part {
        Json::String(text) => text::shown(text),
        other => text::shown(&other.to_string()),
    };
    let is_flat = |part: &Json| !part.is_object() && !part.is_array();
    match part {
        Json::Null => {}
        Json::Object(parts) if parts.values().all(is_flat) => {
            let words = parts.iter().filter(|(_, part)| !part.is_null());
            let words = words.map(|(name, part)| format!("{} = {}", text::name(name), word(part)));
            let lines: Vec<_> = words.map(|words| Bit::text(words).on_a_line()).collect();
            if !lines.is_empty() {
                facts.push((text::name(name), lines));
            }
        }
        Json::Object(parts) => {
            for (inner, part) in parts {
                let name = if name.is_empty() { inner.clone() } else { format!("{name}: {inner}") };
                flatten(&name, part, facts);
            }
        }
        Json::Array(parts) if parts.iter().all(is_flat) => {
            let words: Vec<_> = parts.iter().map(word).collect();
            if !words.is_empty() {
                facts.push((text::name(name), vec![Bit::text(words.join(" "))]));
            }
        }
        Json::Array(parts) => {
            let lines = parts.iter().map(|part| Bit::text(word(part)).on_a_line());
            facts.push((text::name(name), lines.collect()));
        }
        other => facts.push((text::name(name), vec![Bit::text(word(other))])),
    }
}

/// What was watched. What cannot be seen there is unknown, with the reason.
fn disturbances(noise: &Noise) -> Vec<(String, Vec<Bit>)> {
    fn seen<T>(seen: &Seen<T>, show: impl Fn(&T) -> String) -> Vec<Bit> {
        match seen {
            Seen::Value(value) => vec![Bit::text(show(value))],
            Seen::Unknown(why) => vec![Bit::faint(format!("unknown: {}", text::shown(why)))],
        }
    }
    let fact = |name: &str, bits: Vec<Bit>| (name.to_owned(), bits);
    vec![
        fact("order from seed", vec![Bit::text(noise.seed.to_string())]),
        fact("on CPU", seen(&noise.cpu, u32::to_string)),
        fact("took", vec![Bit::text(format!("{} ms", noise.took_ms))]),
        fact("time given to others", seen(&noise.steal_ms, |ms| format!("{ms} ms"))),
        fact("preemptions", seen(&noise.preemptions, u64::to_string)),
        fact("batches thrown away for it", vec![Bit::text(noise.preempted_batches.to_string())]),
        fact(
            "frequency",
            seen(&noise.frequency_khz, |span| format!("{} to {} kHz", span.low, span.high)),
        ),
        fact("breakpoints of the host", seen(&noise.host_breakpoints, u32::to_string)),
    ]
}
