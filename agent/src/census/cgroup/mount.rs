//! Where the cgroup hierarchies are mounted, by file system type.

use std::{fs, io, path::PathBuf};

/// The cgroup hierarchies of a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupMounts {
    /// The cgroup2 mount: `/sys/fs/cgroup`, or `/sys/fs/cgroup/unified` on a hybrid host.
    pub unified: Option<PathBuf>,
    /// One v1 hierarchy that every container is in, on hybrid and v1 hosts.
    pub legacy: Option<PathBuf>,
}

impl CgroupMounts {
    /// Those that this process sees.
    ///
    /// # Errors
    /// When `/proc/self/mounts` cannot be read.
    pub fn read() -> io::Result<Self> {
        fs::read_to_string("/proc/self/mounts").map(|mounts| parse_mounts(&mounts))
    }
}

/// v1 hierarchies in which every runtime places its containers, best first.
const LEGACY: [&str; 4] = ["name=systemd", "pids", "memory", "cpu"];

/// Reads `/proc/self/mounts` (fstab format, proc(5)): the first cgroup2 mount and the best v1 one.
#[must_use]
pub fn parse_mounts(mounts: &str) -> CgroupMounts {
    let mut found = CgroupMounts::default();
    let mut legacy_rank = LEGACY.len();
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(target), Some(kind), Some(options)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        match kind {
            "cgroup2" if found.unified.is_none() => found.unified = Some(unescape(target)),
            "cgroup" => {
                let rank = LEGACY
                    .iter()
                    .position(|wanted| options.split(',').any(|option| option == *wanted));
                if let Some(rank) = rank.filter(|rank| *rank < legacy_rank) {
                    legacy_rank = rank;
                    found.legacy = Some(unescape(target));
                }
            }
            _ => {}
        }
    }
    found
}

/// Undoes the octal escapes (`\040`) of blanks and backslashes in a mount point.
fn unescape(field: &str) -> PathBuf {
    let mut out = String::with_capacity(field.len());
    let mut rest = field;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let code = after
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (code.filter(u8::is_ascii), after.get(3..)) {
            (Some(code), Some(tail)) => {
                out.push(char::from(code));
                rest = tail;
            }
            _ => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    PathBuf::from(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hybrid_host_has_both() {
        let mounts = parse_mounts(
            "proc /proc proc rw 0 0\n\
             cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0\n\
             cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
             cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0\n\
             cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n",
        );
        assert_eq!(
            mounts.unified,
            Some(PathBuf::from("/sys/fs/cgroup/unified"))
        );
        assert_eq!(mounts.legacy, Some(PathBuf::from("/sys/fs/cgroup/systemd")));
    }

    #[test]
    fn a_unified_host_has_one_and_the_first_mount_counts() {
        let mounts = parse_mounts(
            "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n\
             cgroup2 /mnt/again cgroup2 rw 0 0\n",
        );
        assert_eq!(mounts.unified, Some(PathBuf::from("/sys/fs/cgroup")));
        assert_eq!(mounts.legacy, None);
    }

    #[test]
    fn escapes_and_broken_lines_are_read() {
        let mounts = parse_mounts("\n \ncgroup2\nx y\ncgroup2 /a\\040b\\134c\\9 cgroup2 rw 0 0");
        assert_eq!(mounts.unified, Some(PathBuf::from("/a b\\c\\9")));
        assert_eq!(parse_mounts(""), CgroupMounts::default());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in ".{0,300}") {
            let _ = parse_mounts(&text);
            let _ = unescape(&text);
        }
    }
}
