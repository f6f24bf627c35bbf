//! Takes a target's messages and writes them down as rows, at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use bench_vmm::KvmModule;
use guest_payloads::CpuVendor;
use reports::{Key, Metric, Name, Outcome, Record, RunDir, Source, Vendor};

use crate::assess::Assessment;
use crate::measure::NOT_SURVIVED;
use crate::noise;
use crate::plan::Cell;
use crate::protocol::{CheckOutcome, Checked, Message, Target};
use crate::rows::{Clock, Context, Rows, no_cell};
use crate::slowdown::Assumed;
use crate::smp::{Came, Crew, CrewMeasured};
use crate::status::Failure;
use crate::terminal::Progress;
use crate::trace::Load;

/// Where the rows of one kernel on one target go.
pub struct Recorder<'a> {
    /// None: rows are only kept in memory.
    dir: Option<&'a mut RunDir>,
    run: reports::Run,
    progress: &'a Progress,
    about: About,
    cells: Vec<Cell>,
    /// What is played after the cells.
    load: Option<Arc<Load>>,
    /// What several vCPUs run after the cells.
    crews: Vec<Crew>,
    state: State,
    /// The target, once it has introduced itself.
    on: Option<reports::Target>,
    /// Everything taken down.
    rows: Rows,
    /// What went wrong in cells, in full, for standard error.
    complaints: Vec<String>,
}

/// What is known before the target has said a word.
#[derive(Clone, Debug)]
pub struct About {
    /// Which kernel.
    pub subject: reports::Subject,
    /// The machine it runs on.
    pub machine: reports::Machine,
    /// The emulated CPU's name; native ones tell their own.
    pub cpu_model: Option<String>,
    /// Whose virtualization extensions.
    pub cpu: CpuVendor,
    /// What the guest's time stamps count.
    pub clock: Clock,
    /// The suite.
    pub suite: Name,
    /// What the slowdown suite is told.
    pub assumed: Assumed,
    /// The kernel's package and its version.
    pub package: Option<String>,
    /// The kernel's configuration; none of a kernel that could not be made ready.
    pub config: Option<reports::store::Seen<reports::store::Config>>,
    /// The emulator, if it is one.
    pub emulator: Option<reports::store::Emulator>,
    /// The kernel's command line.
    pub kernel_words: Vec<String>,
    /// Checksums of the payloads, by workload.
    pub payloads: BTreeMap<String, String>,
}

enum State {
    /// Nothing came yet.
    Silent,
    /// The target has introduced itself.
    Measuring(Box<Assessment>),
    /// All done.
    Done,
}

impl<'a> Recorder<'a> {
    /// For a run whose cells are these; none for suites without cells. Without a directory, rows
    /// are only kept in memory.
    pub fn new(
        dir: Option<&'a mut RunDir>,
        run: reports::Run,
        progress: &'a Progress,
        about: About,
        cells: Vec<Cell>,
    ) -> Self {
        let (rows, complaints) = (Rows::default(), Vec::new());
        let (state, on) = (State::Silent, None);
        let (load, crews) = (None, vec![]);
        Self { dir, run, progress, about, cells, load, crews, state, on, rows, complaints }
    }

    /// The same for a run that plays a record after its cells.
    #[must_use]
    pub fn with_load(self, load: Option<Arc<Load>>) -> Self {
        Self { load, ..self }
    }

    /// The same for a run whose cells are followed by crews of vCPUs.
    #[must_use]
    pub fn with_crews(self, crews: Vec<Crew>) -> Self {
        Self { crews, ..self }
    }

    /// Everything that was taken down.
    pub fn into_rows(self) -> Rows {
        self.rows
    }

    /// Takes a message.
    pub fn take(&mut self, message: Message) -> Result<(), Failure> {
        match message {
            Message::Target(target) => {
                for missing in
                    [&target.statistics, &target.trace].into_iter().filter_map(|a| a.missing())
                {
                    self.progress.warn(&format!("not available here: {missing}"));
                }
                self.introduce(*target)
            }
            Message::Measured(measured) => {
                self.progress.step();
                // What was not tried has its rows; the probe that broke told why.
                if let Some(error) = measured.error.as_ref().filter(|&e| e != NOT_SURVIVED) {
                    let cell = self.cell(measured.cell as usize);
                    self.complain(&format!("{cell}{error}"));
                }
                let State::Measuring(assessment) = &mut self.state else { return Ok(()) };
                // In the file a row's reason is one line; standard error had the whole report.
                let error = measured.error.as_deref().map(first_line);
                let rows = assessment.push(crate::protocol::Measured { error, ..measured });
                self.write(rows)
            }
            Message::Crew(measured) => self.take_crew(measured),
            Message::Checked(checked) => self.check(&checked),
            Message::Noise(noise) => {
                for warning in noise::warnings(&noise) {
                    self.progress.warn(&warning);
                }
                let Some(dir) = &mut self.dir else { return Ok(()) };
                dir.add_noise(*noise).map_err(Failure::environment)
            }
            Message::Done => self.end("the target said it was done before it measured this cell"),
        }
    }

    fn take_crew(&mut self, measured: CrewMeasured) -> Result<(), Failure> {
        self.progress.step();
        let CrewMeasured { crew, pass, came } = measured;
        let came = match came {
            Came::Broken(report) => {
                let name = self.crews.get(crew as usize).map_or_else(String::new, Crew::to_string);
                self.complain(&format!("{name}: {report}"));
                Came::Broken(first_line(&report))
            }
            Came::Measured(_) | Came::Impossible(_) => came,
        };
        let State::Measuring(assessment) = &mut self.state else { return Ok(()) };
        let rows = assessment.push_crew(CrewMeasured { crew, pass, came });
        self.write(rows)
    }

    /// Ends the run because of an error: what was not measured becomes failed rows.
    pub fn end(&mut self, reason: &str) -> Result<(), Failure> {
        let reason = first_line(reason);
        if matches!(self.state, State::Silent) {
            self.introduce(Target { vendor: self.expected_module(), ..Target::default() })?;
        }
        let State::Measuring(assessment) = &mut self.state else { return Ok(()) };
        let rows = assessment.finish(&reason);
        self.state = State::Done;
        if self.cells.is_empty() { self.end_checks(&reason) } else { self.write(rows) }
    }

    /// Checks that were not made are failed rows.
    fn end_checks(&mut self, reason: &str) -> Result<(), Failure> {
        let is_made = |name: &str| {
            let metric = Metric::Check(slug(name));
            self.rows.records.iter().any(|row| row.key.metric == metric)
        };
        let names = bench_vmm::selfcheck::CHECKS.iter().map(|check| check.name);
        let missing: Vec<&str> = names.filter(|name| !is_made(name)).collect();
        for name in missing {
            self.check_row(name, Outcome::failed(None, reason))?;
        }
        Ok(())
    }

    fn expected_module(&self) -> String {
        match self.about.cpu {
            CpuVendor::Amd => KvmModule::Amd.name().to_owned(),
            CpuVendor::Intel => KvmModule::Intel.name().to_owned(),
        }
    }

    fn introduce(&mut self, target: Target) -> Result<(), Failure> {
        let vendor = target.vendor.parse::<Vendor>().map_err(|error| {
            Failure::usage(format!("the KVM module on this target is not known: {error}"))
        })?;
        let about = &self.about;
        let cpu_model = about.cpu_model.clone().unwrap_or_else(|| target.cpu_model.clone());
        let on = reports::Target { vendor, machine: about.machine, cpu_model };
        let environment = reports::Environment {
            package: about.package.clone(),
            config: about.config.clone(),
            emulator: about.emulator.clone(),
            kernel_words: about.kernel_words.clone(),
            hashes: about.payloads.clone(),
            ..environment_of(&about.subject, &on, &target)
        };
        if let Some(dir) = &mut self.dir {
            dir.add_environment(environment).map_err(Failure::environment)?;
        }
        self.on = Some(on.clone());
        let context = Context {
            run: self.run.clone(),
            subject: about.subject.clone(),
            on,
            target,
            clock: about.clock,
            suite: about.suite.clone(),
            assumed: about.assumed,
        };
        let assessment = Assessment::new(context, self.cells.clone(), about.cpu)
            .with_load(self.load.clone())
            .with_crews(self.crews.clone());
        self.state = State::Measuring(Box::new(assessment));
        Ok(())
    }

    fn check(&mut self, checked: &Checked) -> Result<(), Failure> {
        self.progress.step();
        let outcome = match &checked.outcome {
            CheckOutcome::Passed(_) => Outcome::passed(),
            CheckOutcome::Skipped(reason) => Outcome::skipped(first_line(reason)),
            CheckOutcome::Failed(failure) => {
                self.complain(&format!("{}: {failure}", checked.name));
                Outcome::failed(None, first_line(failure))
            }
        };
        self.check_row(&checked.name, outcome)
    }

    fn check_row(&mut self, name: &str, outcome: Outcome) -> Result<(), Failure> {
        let Some(target) = self.on.clone() else {
            return Err(Failure::usage("the target sent a check before it said what it is"));
        };
        let row = check(self.run.clone(), &self.about, target, slug(name), outcome);
        self.write(Rows { records: vec![row], samples: vec![] })
    }

    /// A cell's name, for the beginning of a sentence.
    fn cell(&self, index: usize) -> String {
        let pieces = self.load.as_ref().map_or(&[][..], |load| &load.pieces);
        match (self.cells.get(index), index.checked_sub(self.cells.len())) {
            (Some(cell), _) => format!("{cell}: "),
            (None, Some(piece)) if piece < pieces.len() => format!("{}: ", pieces[piece]),
            (None, _) => String::new(),
        }
    }

    /// An error's whole report, once: both passes over a broken cell say the same.
    fn complain(&mut self, text: &str) {
        let headline = first_line(text);
        if !self.complaints.contains(&headline) {
            self.progress.warn(text);
            self.complaints.push(headline);
        }
    }

    fn write(&mut self, rows: Rows) -> Result<(), Failure> {
        if let Some(dir) = &mut self.dir {
            dir.append(&rows.records).map_err(Failure::environment)?;
            dir.append_samples(&rows.samples).map_err(Failure::environment)?;
        }
        self.rows.extend(rows);
        Ok(())
    }
}

/// The row of a check.
pub fn check(
    run: reports::Run,
    about: &About,
    target: reports::Target,
    name: Name,
    outcome: Outcome,
) -> Record {
    let metric = Metric::Check(name);
    let cell = no_cell(&about.suite).into();
    let key = Key { target: target.into(), cell, metric, source: Source::None };
    Record { deterministic: true, ..Record::new(run, about.subject.clone(), key, outcome) }
}

/// A check's sentence as one word: `a-triple-fault-is-reported`.
fn slug(sentence: &str) -> Name {
    let words =
        sentence.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let joined = words.collect::<Vec<_>>().join("-");
    let end = joined.len().min(64);
    joined[..end].parse().expect("letters, digits and dashes")
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// What `run.json` tells of the target.
fn environment_of(
    subject: &reports::Subject,
    on: &reports::Target,
    target: &Target,
) -> reports::Environment {
    let mut environment = reports::Environment::new(subject.clone(), on.clone());
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    environment.uname =
        [pair("release", &target.release), pair("version", &target.build)].into_iter().collect();
    for parameter in &target.module_parameters {
        if let Some((module, (name, value))) =
            parameter.split_once('.').and_then(|(m, rest)| Some((m, rest.split_once('=')?)))
        {
            let of_module = environment.module_parameters.entry(module.to_owned()).or_default();
            of_module.insert(name.to_owned(), value.to_owned());
        }
    }
    environment.cpu = [pair("model name", &target.cpu_model)].into_iter().collect();
    environment.microcode.clone_from(&target.microcode);
    environment.mitigations = target
        .mitigations
        .iter()
        .filter_map(|text| text.split_once(": ").map(|(name, state)| pair(name, state)))
        .collect();
    environment
}
