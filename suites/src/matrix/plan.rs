//! The plan: which cells there are, decided before anything is measured.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use drbench_lab::emulator::{Machine, MachineKind};
use drbench_lab::kernel::KernelSpec;
use serde::{Deserialize, Serialize};

use super::Shard;
use crate::cli::RunArgs;
use crate::lab;
use crate::slowdown::Assumed;
use crate::status::Failure;

/// CPUs of a run that names none.
const BOTH_VENDORS: [&str; 2] = ["amd", "intel"];

/// What a run is to measure: kept in `run.json`, so that it can be taken up again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Where the run was begun: relative names on its command line are meant from there.
    pub directory: PathBuf,
    /// Which of the cells are this run's; none: all.
    pub shard: Option<Shard>,
    /// Every cell, those of other shards too.
    pub cells: Vec<MatrixCell>,
    /// How they are measured, as far as the cells do not say it: the same in all shards.
    pub settings: BTreeMap<String, String>,
}

/// One kernel on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatrixCell {
    /// The name of its directory; it begins with the cell's number.
    pub name: String,
    /// Where it is measured.
    pub place: Place,
}

/// Where a cell is measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// On this host's KVM.
    Native,
    /// In the lab.
    Lab {
        /// The kernel, in the user's words.
        kernel: String,
        /// The CPU, in the user's words.
        cpu: String,
        /// The machine's name.
        machine: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.write_str("this host's KVM"),
            Self::Lab { kernel, cpu, machine } => write!(f, "{kernel} on {cpu}, {machine}"),
        }
    }
}

impl Place {
    /// The machine; none on this host.
    ///
    /// # Errors
    /// If there is no such machine any more, or not on this host.
    pub fn machine(&self) -> Result<Option<Machine>, Failure> {
        let Self::Lab { cpu, machine, .. } = self else { return Ok(None) };
        let kind: MachineKind = machine.parse().map_err(Failure::environment)?;
        Machine::choose(cpu, Some(kind)).map(Some).map_err(Failure::environment)
    }

    fn slug(&self) -> String {
        /// A kernel can be a long path; its end says most.
        const LONGEST: usize = 60;
        let Self::Lab { kernel, cpu, machine } = self else { return "host-kvm".to_owned() };
        let plain =
            |c: char| if c.is_ascii_alphanumeric() || "._+~-".contains(c) { c } else { '_' };
        let kernel: Vec<char> = kernel.chars().map(plain).collect();
        let kernel: String = kernel[kernel.len().saturating_sub(LONGEST)..].iter().collect();
        let cpu: String = cpu.chars().map(plain).collect();
        format!("{kernel}-{cpu}-{machine}")
    }
}

impl Plan {
    /// The plan of a command line. `present` says whether a machine's emulator is here; where the
    /// user left the CPUs to us, those without are told and left out, but not in a shard: every
    /// shard must have the same plan.
    ///
    /// # Errors
    /// A kernel or a machine that makes no sense, an emulator that is missing.
    pub fn of(
        args: &RunArgs,
        present: &mut dyn FnMut(&Machine) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let directory = std::env::current_dir().map_err(Failure::environment)?;
        let places =
            if args.kernel.is_empty() { vec![Place::Native] } else { places(args, present)? };
        let digits = places.len().to_string().len();
        let cell = |(index, place): (usize, Place)| MatrixCell {
            name: format!("{:0digits$}-{}", index + 1, place.slug()),
            place,
        };
        let cells = places.into_iter().enumerate().map(cell).collect();
        Ok(Self { directory, shard: args.shard, cells, settings: settings(args) })
    }

    /// The cells of this run.
    pub fn mine(&self) -> impl Iterator<Item = &MatrixCell> {
        let mine = |index: usize| self.shard.is_none_or(|shard| shard.has(index));
        self.cells.iter().enumerate().filter(move |(index, _)| mine(*index)).map(|(_, cell)| cell)
    }
}

fn settings(args: &RunArgs) -> BTreeMap<String, String> {
    let workloads: Vec<_> = args.workload.iter().map(ToString::to_string).collect();
    let assumed = Assumed::of(args);
    let settings = [
        ("suite", args.suite.name().to_owned()),
        ("workloads", workloads.join(" ")),
        ("repeat", args.repeat.to_string()),
        ("no-icount", args.no_icount.to_string()),
        ("cold", args.cold.to_string()),
        ("unprivileged", args.unprivileged.to_string()),
        ("append", args.append.join(" ")),
        ("vcpus", args.vcpus.map_or_else(String::new, |most| most.to_string())),
        ("world-switch-cycles", assumed.world_switch_cycles.to_string()),
        ("clock-mhz", assumed.clock_mhz.to_string()),
    ];
    settings.map(|(name, value)| (name.to_owned(), value)).into()
}

fn places(
    args: &RunArgs,
    present: &mut dyn FnMut(&Machine) -> Result<(), Failure>,
) -> Result<Vec<Place>, Failure> {
    let mut kernels: Vec<&String> = Vec::new();
    for kernel in &args.kernel {
        kernel.parse::<KernelSpec>().map_err(Failure::environment)?;
        if !kernels.contains(&kernel) {
            kernels.push(kernel);
        }
    }
    let machines = machines(args, present)?;
    let place = |kernel: &str, (cpu, machine): &(String, Machine)| Place::Lab {
        kernel: kernel.to_owned(),
        cpu: cpu.clone(),
        machine: machine.kind.to_string(),
    };
    Ok(kernels
        .iter()
        .flat_map(|kernel| machines.iter().map(move |one| place(kernel, one)))
        .collect())
}

/// The machines of `--cpu` and `--machine`, each with the CPU in the user's words.
fn machines(
    args: &RunArgs,
    present: &mut dyn FnMut(&Machine) -> Result<(), Failure>,
) -> Result<Vec<(String, Machine)>, Failure> {
    let ours = args.cpu.is_empty();
    let asked: Vec<String> =
        if ours { BOTH_VENDORS.map(str::to_owned).to_vec() } else { args.cpu.clone() };
    let (mut found, mut missing): (Vec<(String, Machine)>, Vec<_>) = (Vec::new(), Vec::new());
    for cpu in asked {
        let machine = Machine::choose(&cpu, args.machine).map_err(Failure::environment);
        match machine.and_then(|machine| present(&machine).map(|()| machine)) {
            Ok(machine) if found.iter().any(|(_, known)| *known == machine) => {}
            Ok(machine) => found.push((cpu, machine)),
            Err(failure) if !ours || args.shard.is_some() => return Err(failure),
            Err(failure) => missing.push((cpu, failure)),
        }
    }
    if found.is_empty() {
        return Err(missing.swap_remove(0).1);
    }
    for (cpu, failure) in missing {
        eprintln!("drbench: not measured on {cpu}: {failure}");
    }
    if let Some(expectation) = &args.expect
        && !found.iter().any(|(_, m)| expectation.of(lab::module(m.vendor)).is_some())
    {
        return Err(Failure::usage("--expect names no vendor that --cpu runs on"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn plan(words: &str) -> Result<Plan, Failure> {
        let words = ["drbench", "run"].into_iter().chain(words.split_whitespace());
        let Command::Run(args) = Cli::try_parse_from(words).unwrap().command else { panic!() };
        Plan::of(&args, &mut |_| Ok(()))
    }

    #[test]
    fn every_kernel_meets_every_machine_once() {
        let plan = plan("--kernel debian:6.1 --kernel debian:6.12 --kernel debian:6.1").unwrap();
        let names: Vec<_> = plan.cells.iter().map(|cell| cell.name.as_str()).collect();
        let expected = [
            "1-debian_6.1-amd-qemu-tcg",
            "2-debian_6.1-intel-bochs",
            "3-debian_6.12-amd-qemu-tcg",
            "4-debian_6.12-intel-bochs",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn shards_share_one_plan_and_every_cell_is_in_one_of_them() {
        let whole = plan("--kernel debian:6.1 --kernel debian:6.12").unwrap();
        let mut names = Vec::new();
        for shard in ["1/3", "2/3", "3/3"] {
            let plan = plan(&format!("--kernel debian:6.1 --kernel debian:6.12 --shard {shard}"));
            let plan = plan.unwrap();
            assert_eq!(plan.cells, whole.cells);
            names.extend(plan.mine().map(|cell| cell.name.clone()));
        }
        names.sort();
        assert_eq!(names, whole.cells.iter().map(|cell| cell.name.clone()).collect::<Vec<_>>());
    }

    #[test]
    fn a_plan_is_read_back_as_it_was_written() {
        for words in ["", "--kernel a/b:c --cpu ryzen --machine bochs --shard 1/2"] {
            let plan = plan(words).unwrap();
            let text = serde_json::to_string(&plan).unwrap();
            assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan, "{text}");
        }
    }

    #[test]
    fn a_missing_emulator_is_left_out_only_where_nobody_asked_for_it() {
        let of = |words: &str| {
            let words = ["drbench", "run", "--kernel", "debian:6.1"]
                .into_iter()
                .chain(words.split_whitespace());
            let Command::Run(args) = Cli::try_parse_from(words).unwrap().command else { panic!() };
            let no_bochs = |machine: &Machine| match machine.kind {
                MachineKind::Bochs => Err(Failure::usage("no bochs")),
                MachineKind::QemuTcg | MachineKind::QemuKvm => Ok(()),
            };
            Plan::of(&args, &mut |machine| no_bochs(machine)).map(|plan| plan.cells.len())
        };
        assert_eq!(of("").unwrap(), 1);
        assert!(of("--cpu amd --cpu intel").is_err());
        assert!(of("--shard 1/2").is_err());
    }
}
