//! One container.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{
    engine::Engine,
    process::{Output, run_command, wait_for},
};

/// A running container. Removed when dropped.
#[derive(Debug)]
pub struct Container<'a> {
    engine: &'a Engine,
    name: String,
    id: String,
    pid: u32,
    ipv4: String,
    ipv6: String,
}

impl<'a> Container<'a> {
    pub(crate) fn start(
        engine: &'a Engine,
        name: &str,
        options: &[&str],
        command: &[&str],
    ) -> Result<Self> {
        let network = format!("--network={}", Engine::NETWORK);
        let mut arguments = vec!["run", "--detach", "--name", name, "--stop-signal=KILL"];
        arguments.extend(["--volume=/usr:/usr:ro"]);
        arguments.extend(["--volume=/etc/alternatives:/etc/alternatives:ro"]);
        if !options.iter().any(|option| option.starts_with("--network")) {
            arguments.push(&network);
        }
        arguments.extend(options);
        arguments.push(Engine::IMAGE);
        arguments.extend(command);
        let id = engine.docker(&arguments)?.stdout;
        let mut container = Self {
            engine,
            name: name.to_owned(),
            id,
            pid: 0,
            ipv4: String::new(),
            ipv6: String::new(),
        };
        let format = "{{.State.Pid}} {{range .NetworkSettings.Networks}}\
                      {{.IPAddress}} {{.GlobalIPv6Address}}{{end}}";
        let known = engine
            .docker(&["inspect", "--format", format, name])?
            .stdout;
        let mut fields = known.split(' ').map(str::to_owned);
        container.pid = fields.next().unwrap_or_default().parse()?;
        container.ipv4 = fields.next().unwrap_or_default();
        container.ipv6 = fields.next().unwrap_or_default();
        Ok(container)
    }

    /// Name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Full id, 64 hex digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Main process, in the host's pid namespace.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// IPv4 address; empty when it has none of its own.
    #[must_use]
    pub fn ipv4(&self) -> &str {
        &self.ipv4
    }

    /// IPv6 address; empty when it has none of its own.
    #[must_use]
    pub fn ipv6(&self) -> &str {
        &self.ipv6
    }

    /// Name of the host-side end of its `eth0`.
    ///
    /// # Errors
    /// When it has none.
    pub fn link(&self) -> Result<String> {
        let peer = self.exec(&["cat", "/sys/class/net/eth0/iflink"])?.stdout;
        for entry in fs::read_dir("/sys/class/net")? {
            let entry = entry?;
            let index = fs::read_to_string(entry.path().join("ifindex")).unwrap_or_default();
            if index.trim() == peer {
                return Ok(entry.file_name().to_string_lossy().into_owned());
            }
        }
        anyhow::bail!("{}: no link with index {peer} on the host", self.name)
    }

    /// Runs a command inside to its end.
    ///
    /// # Errors
    /// When it ends with another status than 0.
    pub fn exec(&self, command: &[&str]) -> Result<Output> {
        run_command(self.exec_command()?.args(command))
            .with_context(|| format!("in container {}", self.name))
    }

    /// Asks for `url` by HTTP from inside, with one more header (`Name: value`).
    ///
    /// # Errors
    /// When there is no answer, or one that is no success.
    pub fn ask(&self, url: &str, header: &str) -> Result<Output> {
        let wget = ["busybox", "wget", "-q", "-O", "/dev/null", "--header"];
        self.exec(&[&wget[..], &[header, url]].concat())
    }

    /// Starts a command inside and leaves it running, its output in pipes.
    ///
    /// # Errors
    /// When it does not start.
    pub fn spawn(&self, command: &[&str]) -> Result<Child> {
        self.exec_command()?
            .args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("in container {}", self.name))
    }

    /// Runs a shell line inside to its end.
    ///
    /// # Errors
    /// When it ends with another status than 0.
    pub fn shell(&self, line: &str) -> Result<Output> {
        self.exec(&["busybox", "sh", "-c", line])
    }

    /// Waits until something inside listens on a TCP port.
    ///
    /// # Errors
    /// When nothing does in time.
    pub fn wait_until_listening(&self, port: u16) -> Result<()> {
        let what = format!("{} listens on port {port}", self.name);
        // `/proc/net/tcp`: the local port in hexadecimal ends the second column, 0A is LISTEN.
        let local = format!(":{port:04X}");
        wait_for(&what, Duration::from_secs(20), || {
            for table in ["tcp", "tcp6"] {
                let table = fs::read_to_string(format!("/proc/{}/net/{table}", self.pid))?;
                let listens = |line: &str| {
                    let mut columns = line.split_whitespace().skip(1);
                    columns.next().is_some_and(|end| end.ends_with(&local))
                        && columns.nth(1) == Some("0A")
                };
                if table.lines().any(listens) {
                    return Ok(Some(()));
                }
            }
            Ok(None)
        })
    }

    fn exec_command(&self) -> Result<Command> {
        let mut client = self.engine.client()?;
        client.args(["exec", &self.id]);
        Ok(client)
    }

    /// Kills and removes it now.
    ///
    /// # Errors
    /// When the engine refuses.
    pub fn remove(mut self) -> Result<()> {
        let id = std::mem::take(&mut self.id);
        self.engine.docker(&["rm", "-f", "-v", &id]).map(drop)
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        if self.id.is_empty() {
            return;
        }
        if let Err(error) = self.engine.docker(&["rm", "-f", "-v", &self.id]) {
            eprintln!("container {}: {error:#}", self.name);
        }
    }
}
