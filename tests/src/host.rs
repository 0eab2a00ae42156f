//! The host that the tests share.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{FlockOperation, flock};

use crate::{
    engine::Engine,
    process::{run, wait_for},
};

/// Held by whoever runs an agent: there can be one on a host.
#[derive(Debug)]
pub(crate) struct HostLock {
    _file: File,
}

impl HostLock {
    /// Waits for its turn.
    pub(crate) fn take() -> Result<Self> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open("/run/hydrophone-tests.lock")?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            eprintln!("waiting: another test, demo or benchmark has the host");
            flock(&file, FlockOperation::LockExclusive)?;
        }
        Ok(Self { _file: file })
    }
}

/// What an agent must leave as it was: on the links of an engine qdiscs, filters, addresses and
/// routes; on the host the default route, rules, pins and network sysctls. Links of others are not
/// looked at: they come and go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostState(BTreeMap<String, String>);

impl HostState {
    /// Looks, once no address is tentative any more: its routes come later.
    ///
    /// # Errors
    /// When a program that is needed is missing or fails.
    pub fn read(engine: &Engine) -> Result<Self> {
        let mut links: Vec<String> = names_in(&format!("/sys/class/net/{}/brif", engine.bridge()))?;
        links.extend(["lo", engine.bridge()].map(str::to_owned));
        for link in &links {
            wait_for("no address is tentative", Duration::from_secs(10), || {
                let addresses = run("ip", &["-6", "address", "show", "dev", link])?.stdout;
                Ok((!addresses.contains(" tentative")).then_some(()))
            })?;
        }
        let mut state = BTreeMap::new();
        let mut add = |command: String| -> Result<()> {
            let mut words = command.split(' ');
            let name = words.next().unwrap_or_default();
            let text = run(name, &words.collect::<Vec<_>>())?.stdout;
            state.insert(command, text);
            Ok(())
        };
        for link in &links {
            for command in [
                "tc qdisc show dev",
                "bpftool net show dev",
                "ip -brief link show dev",
                "ip -brief -4 address show dev",
                "ip -brief -6 address show dev",
                "ip -4 route show table all dev",
                "ip -6 route show table all dev",
            ] {
                add(format!("{command} {link}"))?;
            }
            add(format!("tc filter show dev {link} ingress"))?;
            add(format!("tc filter show dev {link} egress"))?;
        }
        for command in ["ip rule show", "ip route show default", "find /sys/fs/bpf"] {
            add(command.to_owned())?;
        }
        read_sysctls(Path::new("/proc/sys/net"), &links, &mut state)?;
        Ok(Self(state))
    }

    /// Waits until the host is in this state again: the kernel takes a killed process down in its
    /// own time.
    ///
    /// # Errors
    /// When it stays otherwise; says what differs.
    pub fn wait_until_again(&self, engine: &Engine) -> Result<()> {
        let again = wait_for("the host is as it was", Duration::from_secs(10), || {
            Ok((Self::read(engine)? == *self).then_some(()))
        });
        let difference = self.difference(&Self::read(engine)?);
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

/// A BPF object by kind (`prog`, `map`, `link`) and id.
pub type BpfObject = (&'static str, u32);

/// The BPF objects that a process holds.
///
/// # Errors
/// When the process has gone.
pub fn bpf_objects(pid: u32) -> Result<BTreeSet<BpfObject>> {
    let mut objects = BTreeSet::new();
    for fd in names_in(&format!("/proc/{pid}/fdinfo"))? {
        // A descriptor that was closed meanwhile is none.
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
        for line in info.lines() {
            let Some((key, id)) = line.split_once(':') else {
                continue;
            };
            let kinds = [("prog_id", "prog"), ("map_id", "map"), ("link_id", "link")];
            for (_, kind) in kinds.iter().filter(|(name, _)| *name == key) {
                objects.insert((*kind, id.trim().parse()?));
            }
        }
    }
    Ok(objects)
}

/// Waits until none of `objects` exists any more.
///
/// # Errors
/// When one stays.
pub fn wait_until_gone(objects: &BTreeSet<BpfObject>) -> Result<()> {
    wait_for(
        "the kernel has freed the objects",
        Duration::from_secs(10),
        || {
            let exists = |(kind, id): &BpfObject| {
                run("bpftool", &[kind, "show", "id", &id.to_string()]).is_ok()
            };
            Ok((!objects.iter().any(exists)).then_some(()))
        },
    )
}

fn names_in(folder: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.to_owned())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

/// Leaves out what the kernel itself changes, what cannot be read, and links other than `links`.
fn read_sysctls(
    folder: &Path,
    links: &[String],
    state: &mut BTreeMap<String, String>,
) -> Result<()> {
    let of_links = ["conf", "neigh"].iter().any(|name| folder.ends_with(name));
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if of_links && !links.iter().any(|link| *link == name) && name != "all" && name != "default"
        {
            continue;
        }
        if path.is_dir() {
            read_sysctls(&path, links, state)?;
        } else if !name.ends_with("_count")
            && let Ok(value) = fs::read_to_string(&path)
        {
            state.insert(path.display().to_string(), value);
        }
    }
    Ok(())
}
