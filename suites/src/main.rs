//! `drbench`: on the host the command line, in the lab PID 1.

fn main() -> std::process::ExitCode {
    suites::main()
}
