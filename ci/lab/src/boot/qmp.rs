//! QEMU's machine protocol (docs/interop/qmp-spec.rst), as far as saving and resuming need it: one
//! JSON object a line, over the emulator's standard input and output.

use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest time that an answer may take: they are all immediate, on a machine that is not overloaded.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often the progress of a migration is asked for.
const POLL: Duration = Duration::from_millis(1);

/// What was not done.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The line is broken, or nothing comes on it.
    #[error("the emulator does not answer {command} ({source})")]
    Line {
        /// The command.
        command: String,
        /// What went wrong with the line.
        source: io::Error,
    },
    /// The emulator said no.
    #[error("the emulator refuses {command}: {reason}")]
    Refused {
        /// The command.
        command: String,
        /// Its words.
        reason: String,
    },
}

/// A conversation with a running QEMU.
#[derive(Debug)]
pub(super) struct Qmp {
    line: UnixStream,
    unread: Vec<u8>,
    events: VecDeque<String>,
}

impl Qmp {
    /// Greets.
    pub(super) fn open(line: UnixStream) -> Result<Self, QmpError> {
        let mut qmp = Self { line, unread: Vec::new(), events: VecDeque::new() };
        qmp.command("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Does `command`; what it returns.
    pub(super) fn command(&mut self, command: &str, arguments: &Value) -> Result<Value, QmpError> {
        let broken = |source| QmpError::Line { command: command.to_owned(), source };
        let mut words = json!({ "execute": command, "arguments": arguments }).to_string();
        words.push('\n');
        self.line.write_all(words.as_bytes()).map_err(broken)?;
        let until = Instant::now() + PATIENCE;
        loop {
            let mut message = self.message(until).map_err(broken)?;
            if let Some(reason) = message.pointer("/error/desc") {
                let reason = reason.as_str().unwrap_or("without a reason").to_owned();
                return Err(QmpError::Refused { command: command.to_owned(), reason });
            }
            match message.get_mut("return") {
                Some(value) => return Ok(value.take()),
                None => self.note(&message),
            }
        }
    }

    /// The next event that has come, if any has.
    pub(super) fn event(&mut self) -> Result<Option<String>, QmpError> {
        let broken = |source| QmpError::Line { command: "(no command)".to_owned(), source };
        while self.events.is_empty() {
            match self.message(Instant::now()) {
                Ok(message) => self.note(&message),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => break,
                Err(error) => return Err(broken(error)),
            }
        }
        Ok(self.events.pop_front())
    }

    /// Starts a migration, out or in, that leaves memory to a file both sides map, and waits for it.
    pub(super) fn migrate(&mut self, command: &str, file: &Path) -> Result<(), QmpError> {
        // File names go in JSON.
        let file = file.to_str().ok_or_else(|| QmpError::Refused {
            command: command.to_owned(),
            reason: format!("the name {} is not UTF-8", file.display()),
        })?;
        let capability = json!({ "capability": "x-ignore-shared", "state": true });
        self.command("migrate-set-capabilities", &json!({ "capabilities": [capability] }))?;
        // Machines without a network announce themselves nevertheless: by the host's clock, which then
        // cuts into what the CPUs execute in one go (icount_get_limit), and several take other turns.
        self.command("migrate-set-parameters", &json!({ "announce-rounds": 0 }))?;
        let address = json!({ "transport": "file", "filename": file, "offset": 0 });
        let channel = json!({ "channel-type": "main", "addr": address });
        self.command(command, &json!({ "channels": [channel] }))?;
        let until = Instant::now() + PATIENCE;
        loop {
            let progress = self.command("query-migrate", &json!({}))?;
            let why = match progress["status"].as_str() {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => &progress["error-desc"],
                _ if Instant::now() > until => &Value::Null,
                _ => {
                    std::thread::sleep(POLL);
                    continue;
                }
            };
            let reason = why.as_str().unwrap_or("it failed without a reason").to_owned();
            return Err(QmpError::Refused { command: command.to_owned(), reason });
        }
    }

    fn note(&mut self, message: &Value) {
        // What is no event is the greeting.
        self.events.extend(message["event"].as_str().map(str::to_owned));
    }

    /// The next line; waits for it until then.
    fn message(&mut self, until: Instant) -> io::Result<Value> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return Ok(serde_json::from_slice(&line)?);
            }
            let left = until.saturating_duration_since(Instant::now());
            // A time limit of 0 would mean none.
            self.line.set_read_timeout(Some(left.max(Duration::from_micros(1))))?;
            let mut bytes = [0; 4096];
            match self.line.read(&mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.unread.extend(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Qmp, QmpError};
    use serde_json::json;
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixStream;

    /// A conversation in which each command gets the next answer.
    fn with_answers(answers: &'static [&'static str]) -> Result<Qmp, QmpError> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            let mut commands = BufReader::new(theirs.try_clone().unwrap());
            theirs.write_all(b"{\"QMP\": {}}\n").unwrap();
            for answer in answers {
                let mut command = String::new();
                commands.read_line(&mut command).unwrap();
                theirs.write_all(answer.as_bytes()).unwrap();
            }
        });
        Qmp::open(ours)
    }

    #[test]
    fn answers_are_told_from_events_and_refusals() {
        let mut qmp = with_answers(&[
            "{\"return\": {}}\n",
            "{\"event\": \"STOP\"}\n{\"return\": {\"running\": false}}\n",
            "{\"error\": {\"class\": \"GenericError\", \"desc\": \"not now\"}}\n",
        ])
        .unwrap();
        assert_eq!(qmp.event().unwrap(), None);
        let status = qmp.command("query-status", &json!({})).unwrap();
        assert_eq!(status, json!({ "running": false }));
        assert_eq!(qmp.event().unwrap().as_deref(), Some("STOP"));
        let error = qmp.command("cont", &json!({})).unwrap_err();
        assert_eq!(error.to_string(), "the emulator refuses cont: not now");
        // The other side is gone.
        assert!(matches!(qmp.event(), Err(QmpError::Line { .. })));
    }
}
