//! The agent under test, as its user runs it.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    engine::Engine,
    event::Event,
    process::{program, wait_for},
};

/// What the agent prints on standard error when it watches.
const READY: &str = "hydrophone: watching";
/// How long anything may take that is expected to happen.
const LIMIT: Duration = Duration::from_secs(30);

/// Time between two `stats` events.
const STATS_INTERVAL: Duration = Duration::from_millis(250);

/// How to start an agent.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration, written to a file that `--config` names.
    pub config: Value,
    /// Further arguments after `hydrophone run`.
    pub arguments: Vec<String>,
    /// The program; the one that was built beside the tests when it is not given.
    pub binary: Option<PathBuf>,
    /// Print each line of standard output as it comes.
    pub echo: bool,
    /// How long it may take until it watches.
    pub patience: Duration,
    /// What the program is started with ([`Engine::entering`]).
    pub entering: Vec<OsString>,
}

impl Options {
    /// EVE on standard output, `stats` events every quarter of a second, names from `engine`.
    #[must_use]
    pub fn new(engine: &Engine) -> Self {
        let stats_interval = format!("{}ms", STATS_INTERVAL.as_millis());
        Self {
            config: json!({
                "census": { "docker_sockets": [engine.socket()] },
                "ledger": { "directory": engine.folder().join("ledger") },
                "alert": { "format": "eve", "stats_interval": stats_interval },
                // Scanners open them: only the tests about that want to be told.
                "local": { "raw_allow": ["name:*"] },
            }),
            arguments: Vec::new(),
            binary: None,
            echo: false,
            patience: LIMIT,
            // Whether `nsenter` is there shows when the agent starts.
            entering: engine.entering().unwrap_or_default(),
        }
    }

    /// Sets a key, e.g. `set("sensor", "ring_size", "256KiB")`.
    #[must_use]
    pub fn set(mut self, section: &str, key: &str, value: impl Into<Value>) -> Self {
        if let Some(config) = self.config.as_object_mut() {
            let section = config.entry(section).or_insert_with(|| json!({}));
            if let Some(section) = section.as_object_mut() {
                section.insert(key.to_owned(), value.into());
            }
        }
        self
    }
}

/// A running agent. Killed when dropped.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    stdout: Arc<Lines>,
    stderr: Arc<Lines>,
    _folder: TempDir,
}

#[derive(Debug, Default)]
struct Lines {
    lines: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

impl Agent {
    /// The agent that was built beside this test or task.
    ///
    /// # Errors
    /// When it has not been built.
    pub fn binary() -> Result<PathBuf> {
        let this = env::current_exe()?;
        let built = this
            .ancestors()
            .map(|folder| folder.join("hydrophone"))
            .find(|path| path.is_file());
        built.context("the agent has not been built: `cargo build --package hydrophone` does it")
    }

    /// Starts an agent and waits until it watches.
    ///
    /// # Errors
    /// When it ends or does not get there; with what it wrote.
    pub fn start(options: &Options) -> Result<Self> {
        let mut agent = Self::spawn(options)?;
        let stderr = Arc::clone(&agent.stderr);
        let ready = wait_for("the agent watches", options.patience, || {
            if let Some(status) = agent.child.try_wait()? {
                bail!("the agent ended early, {status}");
            }
            Ok(stderr.find(|line| line.starts_with(READY)).map(drop))
        });
        ready.with_context(|| agent.account())?;
        Ok(agent)
    }

    /// Starts an agent and does not wait.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(options: &Options) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("hydrophone.yaml");
        fs::write(&config, options.config.to_string())?;
        let binary = match &options.binary {
            Some(binary) => binary.clone(),
            None => Self::binary()?,
        };
        // The agent ends with us, however we end.
        let mut child = Command::new(program("setpriv")?)
            .args(["--pdeathsig", "KILL", "--"])
            .args(&options.entering)
            .arg(binary)
            .args(["run", "--config"])
            .arg(&config)
            .args(&options.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start the agent")?;
        let stdout = Lines::collect(child.stdout.take(), options.echo);
        let stderr = Lines::collect(child.stderr.take(), false);
        Ok(Self {
            child,
            stdout,
            stderr,
            _folder: folder,
        })
    }

    /// The first event, also of those that came before, that `wanted` takes.
    ///
    /// # Errors
    /// When none comes in time; `what` says what was waited for. With all alerts that came.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&Event) -> bool) -> Result<Event> {
        let found = self.stdout.wait(|line| Event::parse(line).filter(&wanted));
        found.with_context(|| format!("no such event: {what}\n{}", self.account()))
    }

    /// The first line of standard output that `wanted` takes.
    ///
    /// # Errors
    /// As [`Self::wait_for`].
    pub fn wait_for_line(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let found = self
            .stdout
            .wait(|line| wanted(line).then(|| line.to_owned()));
        found.with_context(|| format!("no such line: {what}\n{}", self.account()))
    }

    /// The first line of standard error that `wanted` takes.
    ///
    /// # Errors
    /// As [`Self::wait_for`].
    pub fn wait_for_log(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let found = self
            .stderr
            .wait(|line| wanted(line).then(|| line.to_owned()));
        found.with_context(|| format!("not in the log: {what}\n{}", self.account()))
    }

    /// Waits until everything that the hooks have seen has been inspected and told, and behaviour
    /// has had its time to come to light. Returns the last `stats` event.
    ///
    /// # Errors
    /// When it does not come to rest.
    pub fn settle(&self) -> Result<Event> {
        // Without an answer for one second a probe has failed; then an inspection thread's tick.
        let patience = Duration::from_secs(2).as_millis() / STATS_INTERVAL.as_millis();
        let (mut quiet, mut last) = (0, None::<Event>);
        let end = Instant::now() + LIMIT;
        while quiet < patience {
            ensure!(
                Instant::now() < end,
                "it does not come to rest\n{}",
                self.account()
            );
            let next = self.next_stats()?;
            let done = next.handed_over() == next.number("/stats/inspect/packets");
            let same = last.as_ref().is_some_and(|last| {
                last.handed_over() == next.handed_over()
                    && last.at("/stats/alert") == next.at("/stats/alert")
            });
            quiet = if done && same { quiet + 1 } else { 0 };
            last = Some(next);
        }
        last.context("no stats")
    }

    /// The next `stats` event.
    fn next_stats(&self) -> Result<Event> {
        let seen = self.stdout.lock().0.len();
        let parse = |line: &str| Event::parse(line).filter(Event::is_stats);
        let found = self.stdout.wait_from(seen, parse);
        found.with_context(|| format!("no stats\n{}", self.account()))
    }

    /// All lines of standard output so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.stdout.lock().0.clone()
    }

    /// All events so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        let lines = self.stdout.lock();
        lines
            .0
            .iter()
            .filter_map(|line| Event::parse(line))
            .collect()
    }

    /// All alerts so far at whose source or destination is a container of `names`.
    #[must_use]
    pub fn alerts_of(&self, names: &[&str]) -> Vec<Event> {
        let mut events = self.events();
        events.retain(|event| {
            event.is_alert()
                && (names.contains(&event.source()) || names.contains(&event.destination()))
        });
        events
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.stderr.lock().0.join("\n")
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A figure of `/proc/PID/status` in KiB, e.g. `VmRSS`.
    ///
    /// # Errors
    /// When the process has gone or has no such figure.
    pub fn memory(&self, figure: &str) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(Path::new(&path)).context(path)?;
        let line = status.lines().find_map(|line| line.strip_prefix(figure));
        let value = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(value.context("no such figure")?.parse()?)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid())?).context("pid 0")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When it does not.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let ended = wait_for("the agent ends", LIMIT, || Ok(self.child.try_wait()?));
        let status = ended.with_context(|| self.account())?;
        self.stdout.wait_for_end()?;
        self.stderr.wait_for_end()?;
        Ok(status)
    }

    /// Ends it as an init system does.
    ///
    /// # Errors
    /// When it does not end, or ends with another status than 0.
    pub fn stop(mut self) -> Result<Vec<Event>> {
        self.signal(Signal::TERM)?;
        let status = self.wait()?;
        ensure!(status.success(), "{status} at SIGTERM\n{}", self.account());
        Ok(self.events())
    }

    /// What is worth reading when something went wrong.
    fn account(&self) -> String {
        let events = self.events();
        let alerts: Vec<String> = events
            .iter()
            .filter(|event| event.is_alert())
            .take(50)
            .map(ToString::to_string)
            .collect();
        let stats = events.iter().rev().find(|event| event.is_stats());
        let stats = stats.map(ToString::to_string).unwrap_or_default();
        let (alerts, log) = (alerts.join("\n"), self.log());
        format!("--- alerts\n{alerts}\n--- last stats\n{stats}\n--- standard error\n{log}")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It has ended already when this fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Lines {
    fn collect(pipe: Option<impl Read + Send + 'static>, echo: bool) -> Arc<Self> {
        let lines = Arc::new(Self::default());
        let collected = Arc::clone(&lines);
        thread::spawn(move || {
            for line in pipe
                .into_iter()
                .flat_map(|pipe| BufReader::new(pipe).lines())
            {
                let Ok(line) = line else { break };
                if echo {
                    println!("{line}");
                }
                collected.lock().0.push(line);
                collected.more.notify_all();
            }
            collected.lock().1 = true;
            collected.more.notify_all();
        });
        lines
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Vec<String>, bool)> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        self.lock().0.iter().find(|line| wanted(line)).cloned()
    }

    fn wait<T>(&self, wanted: impl Fn(&str) -> Option<T>) -> Result<T> {
        self.wait_from(0, wanted)
    }

    /// Looks at lines from number `checked` on.
    fn wait_from<T>(&self, mut checked: usize, wanted: impl Fn(&str) -> Option<T>) -> Result<T> {
        let end = Instant::now() + LIMIT;
        let mut lines = self.lock();
        loop {
            if let Some(found) = lines.0.iter().skip(checked).find_map(|line| wanted(line)) {
                return Ok(found);
            }
            checked = lines.0.len();
            let left = end.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "waited {LIMIT:?} in vain");
            ensure!(!lines.1, "the agent has closed its output");
            lines = self
                .more
                .wait_timeout(lines, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn wait_for_end(&self) -> Result<()> {
        wait_for("end of output", LIMIT, || Ok(self.lock().1.then_some(())))
    }
}
