//! What `/proc/PID` tells of a process (`proc(5)`). All of it is chosen by the process, and cut to size.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    param::clock_ticks_per_second,
    time::{ClockId, clock_gettime},
};

/// Bytes of a command line or of the path of an executable that are kept.
pub(super) const TEXT_MAX: usize = 4_096;
/// A process id is not used again within this time: a kernel with the least of ids (32,768) would have to
/// start 100,000 processes a second.
pub(super) const SUCCESSION: Duration = Duration::from_millis(300);
/// Ancestors of a process that are kept.
pub(super) const PARENTS_MAX: usize = 16;

/// A process at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dossier {
    /// Thread group id in the agent's namespace, which is the host's.
    pub pid: u32,
    /// The same in the innermost namespace, as the container itself sees it; 0 when not told (before
    /// 4.1).
    pub container_pid: u32,
    /// When it started, in clock ticks since boot: with the pid never used twice.
    pub start: u64,
    /// Real user id.
    pub uid: u32,
    /// Name, now.
    pub comm: String,
    /// Path of its executable, in its own mount namespace; empty when it has none or may not be read.
    pub executable: String,
    /// Its arguments, each after a space; empty when it has none.
    pub command_line: String,
    /// From its parent up to the container's first process, or to the one that was put into the
    /// container from outside.
    pub parents: Vec<Ancestor>,
    /// cgroup path below the root of the cgroup2 hierarchy.
    pub cgroup: String,
}

/// One of those who started a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// Thread group id in the host's namespace.
    pub pid: u32,
    /// Name.
    pub comm: String,
}

/// Why there is no dossier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The process has gone.
    Exited,
    /// Another process has the pid now: it started after the call.
    Reused,
}

impl Dossier {
    /// Reads what is known of `pid`, which made a call at `called`, in `CLOCK_MONOTONIC` nanoseconds.
    ///
    /// # Errors
    /// When the process has gone, or the pid is another's by now.
    pub fn read(pid: u32, called: u64) -> Result<Self, Missing> {
        /// It may execute another program while it is read, but not again and again.
        const ATTEMPTS: usize = 3;
        let mut dossier = Self::attempt(pid, called)?;
        for _ in 1..ATTEMPTS {
            let place = place_of(pid);
            let name = read(&place.join("comm")).unwrap_or_default();
            let now = executable(&place);
            // What was read of one that ends now is right if there was anything to read.
            let has_ended = now.is_err() && !dossier.command_line.is_empty();
            let same = now.as_ref() == Ok(&dossier.executable)
                && cut(name.trim_ascii_end()) == dossier.comm;
            if same || has_ended {
                break;
            }
            dossier = Self::attempt(pid, called)?;
        }
        Ok(dossier)
    }

    fn attempt(pid: u32, called: u64) -> Result<Self, Missing> {
        let place = place_of(pid);
        let start = start_of(&place).ok_or(Missing::Exited)?;
        if started(start) > called {
            return Err(Missing::Reused);
        }
        let since = Instant::now();
        // First what is gone first: the rest is there until its parent takes notice of its end.
        let executable = executable(&place)?;
        let command_line = command_line(&place);
        let status = Status::read(&place);
        let cgroup = cgroup_of(&place);
        let dossier = Self {
            pid,
            container_pid: status.as_ref().map_or(0, Status::own_pid),
            start,
            uid: status.as_ref().map_or(0, |it| it.uid),
            parents: status
                .as_ref()
                .map(|it| parents(it, &cgroup))
                .unwrap_or_default(),
            comm: status.map(|it| it.comm).unwrap_or_default(),
            command_line,
            executable,
            cgroup,
        };
        // What has been read meanwhile may have been a successor's.
        match start_of(&place) {
            Some(again) if again == start => Ok(dossier),
            Some(_) => Err(Missing::Reused),
            None if since.elapsed() < SUCCESSION && !dossier.command_line.is_empty() => Ok(dossier),
            None => Err(Missing::Exited),
        }
    }

    /// Reads what is known of a process that is there now.
    ///
    /// # Errors
    /// When it has gone.
    pub fn read_now(pid: u32) -> Result<Self, Missing> {
        Self::read(pid, u64::MAX)
    }

    /// When it started, in `CLOCK_MONOTONIC` nanoseconds, to a clock tick (10 ms).
    #[must_use]
    pub fn started(&self) -> u64 {
        started(self.start)
    }

    /// The executable's name as the kernel would make a `comm` of it.
    #[must_use]
    pub fn executable_name(&self) -> &str {
        let path = self.executable.trim_end_matches(" (deleted)");
        let name = path.rsplit('/').next().unwrap_or_default();
        let mut end = name.len().min(15);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        name.get(..end).unwrap_or_default()
    }
}

fn place_of(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

/// What of `status` is of use.
struct Status {
    comm: String,
    parent: u32,
    uid: u32,
    /// The pid in each namespace, from the host's to the innermost.
    pids: Vec<u32>,
}

impl Status {
    fn read(place: &Path) -> Option<Self> {
        Some(Self::parse(&read(&place.join("status")).ok()?))
    }

    fn parse(text: &[u8]) -> Self {
        let field = |name: &str| {
            text.split(|byte| *byte == b'\n')
                .find_map(|line| line.strip_prefix(name.as_bytes()))
                .unwrap_or_default()
                .trim_ascii()
        };
        let numbers = |name: &str| {
            let words = field(name).split(u8::is_ascii_whitespace);
            let numbers = words.filter_map(|word| str::from_utf8(word).ok()?.parse().ok());
            numbers.collect::<Vec<u32>>()
        };
        Self {
            comm: cut(field("Name:")),
            parent: numbers("PPid:").first().copied().unwrap_or(0),
            uid: numbers("Uid:").first().copied().unwrap_or(0),
            pids: numbers("NSpid:"),
        }
    }

    fn own_pid(&self) -> u32 {
        self.pids.last().copied().unwrap_or(0)
    }
}

/// Who started a process, within its pid namespace; where that is the host's, within its cgroup.
fn parents(status: &Status, cgroup: &str) -> Vec<Ancestor> {
    let depth = status.pids.len();
    let mut parents = Vec::new();
    let (mut own, mut parent) = (status.own_pid(), status.parent);
    while parents.len() < PARENTS_MAX && parent != 0 && (depth < 2 || own != 1) {
        let place = place_of(parent);
        let Some(next) = Status::read(&place) else {
            break;
        };
        let is_outside = if depth < 2 {
            cgroup_of(&place) != cgroup
        } else {
            next.pids.len() < depth
        };
        if is_outside {
            break;
        }
        own = next.own_pid();
        parents.push(Ancestor {
            pid: parent,
            comm: next.comm,
        });
        parent = next.parent;
    }
    parents
}

/// The path in the cgroup2 hierarchy, which has number 0 (`cgroups(7)`), without the leading slash.
fn cgroup_of(place: &Path) -> String {
    let text = read(&place.join("cgroup")).unwrap_or_default();
    let path = text
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(b"0::/"));
    cut(path.unwrap_or_default())
}

/// Empty when it may not be read. A process that has ended, and waits for its parent to take notice, has
/// none any more, while other files still tell of it.
fn executable(place: &Path) -> Result<String, Missing> {
    match std::fs::read_link(place.join("exe")) {
        Ok(target) => Ok(cut(target.as_os_str().as_bytes())),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(String::new()),
        Err(_) => Err(Missing::Exited),
    }
}

fn command_line(place: &Path) -> String {
    let mut text = read(&place.join("cmdline")).unwrap_or_default();
    while text.last() == Some(&0) {
        text.pop();
    }
    for byte in &mut text {
        if *byte == 0 {
            *byte = b' ';
        }
    }
    cut(&text)
}

/// Field 22 of `stat`. The second one may hold anything, spaces and parentheses too.
fn start_of(place: &Path) -> Option<u64> {
    let text = read(&place.join("stat")).ok()?;
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = str::from_utf8(text.get(end + 1..)?).ok()?;
    // The third field is the first of the rest.
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// When a process that started at `ticks` after boot did so, in `CLOCK_MONOTONIC` nanoseconds.
fn started(ticks: u64) -> u64 {
    let nanoseconds = |clock| {
        let time = clock_gettime(clock);
        u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
            + u64::try_from(time.tv_nsec).unwrap_or(0)
    };
    let asleep = nanoseconds(ClockId::Boottime).saturating_sub(nanoseconds(ClockId::Monotonic));
    let since_boot =
        u128::from(ticks) * 1_000_000_000 / u128::from(clock_ticks_per_second().max(1));
    // The two clocks are not read at once.
    const SLACK: u64 = 1_000_000;
    u64::try_from(since_boot)
        .unwrap_or(u64::MAX)
        .saturating_sub(asleep)
        .saturating_sub(SLACK)
}

/// A file of procfs, as far as it is kept.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let most = u64::try_from(TEXT_MAX).unwrap_or(u64::MAX);
    File::open(path)?.take(most).read_to_end(&mut text)?;
    Ok(text)
}

fn cut(text: &[u8]) -> String {
    String::from_utf8_lossy(text.get(..TEXT_MAX).unwrap_or(text)).into_owned()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").args(["60", "a b"]).spawn().unwrap()
    }

    fn now() -> u64 {
        let time = clock_gettime(ClockId::Monotonic);
        u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
    }

    #[test]
    fn a_process_is_known_by_what_it_executes() {
        let mut child = Command::new("/usr/bin/env")
            .args(["sleep", "60"])
            .spawn()
            .unwrap();
        let pid = child.id();
        let deadline = Instant::now() + Duration::from_secs(10);
        let dossier = loop {
            let dossier = Dossier::read(pid, now()).unwrap();
            if dossier.command_line == "sleep 60" || Instant::now() > deadline {
                break dossier;
            }
        };
        assert_eq!(dossier.command_line, "sleep 60");
        assert_eq!(dossier.executable_name(), "sleep");
        assert_eq!(dossier.comm, "sleep");
        assert_eq!(dossier.uid, rustix::process::getuid().as_raw());
        assert_eq!(dossier.parents[0].pid, std::process::id());
        child.kill().unwrap();
        // It has ended, and we have not taken notice.
        let deadline = Instant::now() + Duration::from_secs(10);
        while Dossier::read_now(pid).is_ok() && Instant::now() < deadline {}
        assert_eq!(Dossier::read_now(pid), Err(Missing::Exited));
        child.wait().unwrap();
        assert_eq!(Dossier::read_now(pid), Err(Missing::Exited));
    }

    #[test]
    fn one_that_started_after_the_call_is_another() {
        let before = now() - 1_000_000_000;
        let mut child = sleeper();
        assert_eq!(Dossier::read(child.id(), before), Err(Missing::Reused));
        assert!(Dossier::read(child.id(), now()).is_ok());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_hostile_status_is_read_line_by_line() {
        let status = Status::parse(
            b"Name:\tx\\nPPid:\t9\nUmask:\t0022\nPPid:\t7\nUid:\t33\t33\t33\t33\nNSpid:\t4300\t12\nX",
        );
        assert_eq!(status.comm, "x\\nPPid:\t9");
        assert_eq!((status.parent, status.uid, status.own_pid()), (7, 33, 12));
        let nothing = Status::parse(b"\xff\xff");
        assert_eq!((nothing.parent, nothing.own_pid()), (0, 0));
    }
}
