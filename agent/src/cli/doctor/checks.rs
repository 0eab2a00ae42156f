//! What the agent needs from the kernel and the host.

use std::fs;

use super::{Check, capabilities};
use crate::{
    census::cgroup::Cgroups,
    config::Config,
    nat::Tracking,
    probe::{AttachMode, Extras, Instance, LoadOptions, Probe, ProbeError, Shutdown},
};

/// The kernel that Hydrophone needs, and why.
const KERNEL_MIN: (u32, u32) = (5, 15);
/// The first whose `cgroup_skb` programs may ask for the network namespace.
const KERNEL_NETNS_COOKIE: (u32, u32) = (6, 15);

pub(super) fn all(config: &Config) -> Vec<Check> {
    let mut report = vec![
        kernel(&rustix::system::uname().release().to_string_lossy()),
        capabilities(),
        cgroup2(),
    ];
    report.extend(programs(config));
    report.extend([
        attachment(config),
        tracking(Tracking::of_this_host()),
        instance(),
    ]);
    report
}

fn kernel(release: &str) -> Check {
    let Some(version) = version(release) else {
        return Check::warn(
            format!("kernel {release}: its version is not understood"),
            "5.15 or later is needed",
        );
    };
    if version < KERNEL_MIN {
        return Check::fail(
            format!("kernel {release} is too old"),
            "use 5.15 or later (ring buffers, cgroup links and bounded loops are needed)",
        );
    }
    if version < KERNEL_NETNS_COOKIE {
        return Check::ok(format!(
            "kernel {release} (loopback traffic is told apart by cgroup; from 6.15 on by namespace)"
        ));
    }
    Check::ok(format!("kernel {release}"))
}

/// Major and minor of a release such as `6.1.0-28-cloud-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn capabilities() -> Check {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let Some(effective) = capabilities::effective(&status) else {
        return Check::warn(
            "capabilities: /proc/self/status has none",
            "is /proc mounted?",
        );
    };
    let missing = capabilities::missing(effective);
    if missing.is_empty() {
        return Check::ok("all capabilities that are needed");
    }
    let list: Vec<String> = missing
        .iter()
        .map(|capability| format!("CAP_{} ({})", capability.name, capability.reason))
        .collect();
    Check::fail(
        format!("missing {}", list.join(", ")),
        "run as root, or with these capabilities (see the systemd unit and the DaemonSet)",
    )
}

fn cgroup2() -> Check {
    match Cgroups::find() {
        Ok(cgroups) => Check::ok(format!("cgroup2 at {}", cgroups.root().display())),
        Err(error) => Check::fail(
            format!("cgroup2: {error}"),
            "mount it: mount -t cgroup2 none /sys/fs/cgroup/unified",
        ),
    }
}

/// Has the kernel verify every program, and attaches none.
fn programs(config: &Config) -> Vec<Check> {
    let options = LoadOptions {
        rings: 1,
        ring_bytes: 256 << 10,
        ..LoadOptions::from(&config.sensor)
    };
    let loaded = Shutdown::new().and_then(|shutdown| Probe::load(&options, &shutdown));
    let failed = match loaded {
        Ok(loaded) => {
            let accepted = Check::ok("the kernel accepts every program");
            return std::iter::once(accepted)
                .chain(extras(loaded.processes.extras))
                .collect();
        }
        Err(error @ (ProbeError::NoObject | ProbeError::ReadObject { .. })) => Check::fail(
            error.to_string(),
            "the packet sensor is missing: nothing would be seen",
        ),
        Err(error) => Check::fail(
            format!("the kernel programs cannot be loaded: {error}"),
            "look at the capabilities above, at lockdown (/sys/kernel/security/lockdown) and at \
             seccomp: bpf(2) must be allowed",
        ),
    };
    vec![failed]
}

/// What the agent does without, at a price.
fn extras(extras: Extras) -> [Check; 2] {
    [
        match extras.executions {
            Ok(()) => Check::ok("executions are told (sched_process_exec)"),
            Err(error) => Check::warn(
                format!("executions are not told: {error}"),
                "a process that lives for some milliseconds may be known by pid, user and name only",
            ),
        },
        match extras.unix {
            Ok(()) => Check::ok("connections of Unix sockets are told (6.7 and later)"),
            Err(error) => Check::warn(
                format!("connections of Unix sockets are not told: {error}"),
                "they are looked for every few seconds: those that are shorter are not seen",
            ),
        },
    ]
}

fn attachment(config: &Config) -> Check {
    match LoadOptions::from(&config.sensor).attach {
        AttachMode::Tcx => Check::ok("tcx: hooks go first and leave with the process"),
        AttachMode::Clsact if config.sensor.force_clsact => {
            Check::ok("clsact filters, as sensor.force_clsact asks")
        }
        AttachMode::Clsact => Check::warn(
            "no tcx: clsact filters are used, and stay when the agent is killed until it starts again",
            "kernel 6.6 or later has tcx",
        ),
    }
}

/// How translated connections (published ports, service addresses) are known.
fn tracking(tracking: Tracking) -> Check {
    match tracking {
        Tracking::Listening => {
            Check::ok("connection tracking tells of translated connections (nf_conntrack_netlink)")
        }
        Tracking::Silent => Check::warn(
            "connection tracking tells nothing: translated connections are known by how they begin, \
             those that the agent saw begin",
            "sysctl net.netfilter.nf_conntrack_events=2 (1 before 5.19); a kernel without \
             CONFIG_NF_CONNTRACK_EVENTS has no such key",
        ),
        Tracking::Absent => Check::note(
            "no connection tracking (nf_conntrack): nothing is translated by the packet filter",
        ),
    }
}

fn instance() -> Check {
    let Ok(cgroups) = Cgroups::find() else {
        return Check::warn(
            "without cgroup2 it cannot be told whether another Hydrophone is running",
            "see cgroup2 above",
        );
    };
    match Instance::claim(cgroups.root()) {
        Ok(_) => Check::ok("no other Hydrophone is running"),
        Err(error @ ProbeError::AlreadyRunning { .. }) => Check::warn(
            error.to_string(),
            "that one reports; `hydrophone run` would be refused",
        ),
        Err(error) => Check::fail(error.to_string(), "can the cgroup2 root be read?"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Verdict;

    #[test]
    fn kernel_versions() {
        for (release, verdict) in [
            ("5.14.0-rc1", Verdict::Fail),
            ("4.19.0-amd64", Verdict::Fail),
            ("5.15.0", Verdict::Ok),
            ("6.1.0-28-cloud-amd64", Verdict::Ok),
            ("10.0-custom", Verdict::Ok),
            ("strange", Verdict::Warn),
        ] {
            assert_eq!(kernel(release).verdict, verdict, "{release}");
        }
    }
}
