//! Experiments and expectations: which workloads, which policies, what must come of them; and the
//! `drbench` command line.

pub mod assess;
pub mod cli;
pub mod commands;
pub mod config;
pub mod cost;
pub mod environment;
pub mod expect;
pub mod history_args;
pub mod job;
pub mod judge;
pub mod lab;
pub mod matrix;
pub mod measure;
pub mod noise;
pub mod plan;
pub mod protocol;
pub mod recorder;
pub mod rows;
pub mod sections;
pub mod slowdown;
pub mod smp;
pub mod status;
pub mod target;
pub mod terminal;
pub mod trace;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};
use status::{Failure, Status};

/// The program: parses, does, tells, and gives the exit status.
pub fn main() -> ExitCode {
    if drbench_lab::guest::is_init() {
        target::run_as_init();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` come this way too, with their own status.
            let _ = error.print();
            let status = if error.use_stderr() { Status::Environment } else { Status::Done };
            return status.exit_code(std::env::args().any(|word| word.starts_with("--expect")));
        }
    };
    let expecting = matches!(&cli.command, Command::Run(args) if commands::run::is_expecting(args));
    // A panic's own status, 101, would be an answer about the commit to `git bisect run`.
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        std::process::exit(Status::Environment.code(expecting).into());
    }));
    let status = try_main(&cli.command).unwrap_or_else(|failure| {
        eprintln!("drbench: {failure}");
        failure.status
    });
    status.exit_code(expecting)
}

fn try_main(command: &Command) -> Result<Status, Failure> {
    match command {
        Command::Env(args) => commands::env::env(args),
        Command::List(args) => commands::list::list(args),
        Command::Run(args) => commands::run::run(args),
        Command::Payload(args) => commands::payload::payload(args),
        Command::Compare(args) => commands::compare::compare(args),
        Command::History(args) => commands::history::history(args),
        Command::Merge(args) => commands::merge::merge(args),
        Command::Cache(args) => commands::cache::cache(args),
        Command::Summary(args) => commands::summary::summary(args),
        Command::Chart(args) => commands::chart::chart(args),
        Command::Report(args) => commands::report::report(args),
    }
}
