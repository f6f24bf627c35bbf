//! What a kernel's console says about its end.

use std::fmt;
use std::path::Path;

/// How many of the last lines an error shows.
const TAIL_LINES: usize = 12;

/// How a line begins, after its time stamp, that tells a kernel's end.
const PANIC: &str = "Kernel panic - not syncing";

/// PID 1 ended: the init died, which is the kernel's doing only if it says so before.
const INIT_DIED: &str = "Attempted to kill init";

/// How lines begin that tell of a bug in the kernel.
const BUGS: [&str; 4] = ["BUG:", "Oops:", "general protection fault", "kernel BUG at"];

/// The parts of a console's log that an error or a record quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Console {
    /// The first line that tells of a panic.
    pub panic: Option<String>,
    /// The first line that tells of a bug in the kernel.
    pub bug: Option<String>,
    /// The last lines.
    pub tail: Vec<String>,
}

impl Console {
    /// Reads the log. One that cannot be read is like an empty one: it is only quoted.
    pub(super) fn read(path: &Path) -> Self {
        Self::parse(&std::fs::read(path).unwrap_or_default())
    }

    fn parse(log: &[u8]) -> Self {
        let text = String::from_utf8_lossy(log);
        let lines: Vec<String> =
            text.lines().map(printable).filter(|line| !line.trim().is_empty()).collect();
        let first = |wanted: &[&str]| {
            lines.iter().find(|line| wanted.iter().any(|words| line.contains(words))).cloned()
        };
        Self {
            panic: first(&[PANIC]),
            bug: first(&BUGS),
            tail: lines[lines.len().saturating_sub(TAIL_LINES)..].to_vec(),
        }
    }

    /// The kernel panicked because PID 1 ended, and there is no sign that it was the kernel's doing.
    pub(super) fn init_died(&self) -> bool {
        self.bug.is_none() && self.panic.as_ref().is_some_and(|line| line.contains(INIT_DIED))
    }
}

impl fmt::Display for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tail.is_empty() {
            return f.write_str("The console is empty.");
        }
        f.write_str("The console's last lines:")?;
        self.tail.iter().try_for_each(|line| write!(f, "\n  | {line}"))
    }
}

/// Without escape sequences and other control characters, which a firmware's screen is full of.
fn printable(line: &str) -> String {
    let mut text = String::new();
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\x1b' {
            // ESC [ parameters letter, or ESC and one character.
            if characters.next() == Some('[') {
                characters.by_ref().find(char::is_ascii_alphabetic);
            }
        } else if !character.is_control() {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::Console;

    #[test]
    fn a_panic_is_quoted_with_the_last_lines() {
        let console = Console::parse(
            b"\x1bc\x1b[?7l\x1b[2Jearly\r\n\r\n[    1.5] Kernel panic - not syncing: sysrq triggered crash\r\n[    1.6] CPU: 0\r\n",
        );
        let panic = "[    1.5] Kernel panic - not syncing: sysrq triggered crash";
        assert_eq!(console.panic.as_deref(), Some(panic));
        assert_eq!(console.tail, ["early", panic, "[    1.6] CPU: 0"]);
        assert!(!console.init_died());
    }

    #[test]
    fn a_dead_init_is_the_kernels_fault_only_after_a_bug() {
        let panic = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b\n";
        assert!(Console::parse(panic.as_bytes()).init_died());
        let bug = format!("BUG: unable to handle page fault\n{panic}");
        assert!(!Console::parse(bug.as_bytes()).init_died());
    }
}
