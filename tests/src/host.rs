//! The host that the tests share.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fs::{self, File},
    path::Path,
    time::Duration,
};

use anyhow::{Result, ensure};
use rustix::fs::{FlockOperation, flock};

use crate::process::{run, wait_for};

/// Held by a test that runs an agent: there can be one on a host.
#[derive(Debug)]
pub struct HostLock {
    _file: File,
}

impl HostLock {
    /// Waits for its turn.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn take() -> Result<Self> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(env::temp_dir().join("hydrophone-tests.lock"))?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(Self { _file: file })
    }
}

/// What an agent must leave as it was: filters, BPF programs, links and pins, routes, sysctls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostState(BTreeMap<String, String>);

impl HostState {
    /// Looks.
    ///
    /// # Errors
    /// When a program that is needed is missing or fails.
    pub fn read() -> Result<Self> {
        let mut state = BTreeMap::new();
        for command in [
            "tc qdisc show",
            "ip rule show",
            "ip -4 route show table all",
            "ip -6 route show table all",
            "ip link show",
            "bpftool net show",
            "bpftool link show",
            "bpftool prog show",
            "bpftool map show",
            "find /sys/fs/bpf",
        ] {
            let mut words = command.split(' ');
            let name = words.next().unwrap_or_default();
            let arguments: Vec<&str> = words.collect();
            state.insert(command.to_owned(), run(name, &arguments)?.stdout);
        }
        for link in links()? {
            for place in ["ingress", "egress"] {
                let filters = run("tc", &["filter", "show", "dev", &link, place])?.stdout;
                state.insert(format!("{place} filters of {link}"), filters);
            }
        }
        read_tree(Path::new("/proc/sys/net"), &mut state)?;
        Ok(Self(state))
    }

    /// Waits until the host is in this state again: the kernel takes a killed process down in its
    /// own time.
    ///
    /// # Errors
    /// When it stays otherwise; says what differs.
    pub fn wait_until_again(&self) -> Result<()> {
        let again = wait_for("the host is as it was", Duration::from_secs(10), || {
            Ok((Self::read()? == *self).then_some(()))
        });
        let difference = self.difference(&Self::read()?);
        ensure!(again.is_ok(), "left behind or changed:\n{difference}");
        Ok(())
    }

    /// What is otherwise in `other`: a line that has gone has a `-`, a new one a `+`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> String {
        let names: BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        let mut difference = String::new();
        for name in names {
            let lines = |state: &Self| -> BTreeSet<String> {
                let text = state.0.get(name).map(String::as_str);
                text.unwrap_or_default()
                    .lines()
                    .map(|line| format!("{name}: {line}\n"))
                    .collect()
            };
            let (before, after) = (lines(self), lines(other));
            difference.extend(before.difference(&after).map(|line| format!("- {line}")));
            difference.extend(after.difference(&before).map(|line| format!("+ {line}")));
        }
        difference
    }
}

fn links() -> Result<Vec<String>> {
    let mut links = Vec::new();
    for entry in fs::read_dir("/sys/class/net")? {
        let entry = entry?;
        // `bonding_masters` is a file.
        if entry.path().is_dir() {
            links.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(links)
}

/// Figures that the kernel itself changes are left out, and what only root of another kind may read.
fn read_tree(folder: &Path, state: &mut BTreeMap<String, String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read_tree(&path, state)?;
        } else if let Ok(value) = fs::read_to_string(&path) {
            let name = path.display().to_string();
            if !name.ends_with("_count") {
                state.insert(name, value);
            }
        }
    }
    Ok(())
}
