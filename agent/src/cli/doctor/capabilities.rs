//! The Linux capabilities that the agent needs, each with its reason. The deployment files are
//! tested against this list.

/// One capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Name without `CAP_`.
    pub name: &'static str,
    /// Bit in the sets of `/proc/PID/status` (`linux/capability.h`).
    pub bit: u8,
    /// What it is needed for.
    pub reason: &'static str,
}

/// All of them.
pub const REQUIRED: [Capability; 6] = [
    Capability {
        name: "BPF",
        bit: 39,
        reason: "load programs, create maps",
    },
    Capability {
        name: "PERFMON",
        bit: 38,
        reason: "programs that read packet memory and kernel clocks",
    },
    Capability {
        name: "NET_ADMIN",
        bit: 12,
        reason: "attach classifiers to links and socket hooks to cgroups",
    },
    Capability {
        name: "SYS_ADMIN",
        bit: 21,
        reason: "enter containers' network namespaces to read their links and addresses (setns)",
    },
    Capability {
        name: "SYS_PTRACE",
        bit: 19,
        reason: "look at /proc/PID (ns/net, exe, fd, root) of other users' processes",
    },
    Capability {
        name: "DAC_READ_SEARCH",
        bit: 2,
        reason: "turn a cgroup id into its path (open_by_handle_at)",
    },
];

/// Those that `effective`, the `CapEff` set of a process, lacks.
pub(super) fn missing(effective: u64) -> Vec<Capability> {
    let lacks = |capability: &Capability| effective >> capability.bit & 1 == 0;
    REQUIRED.into_iter().filter(lacks).collect()
}

/// `CapEff` from the text of `/proc/PID/status`.
pub(super) fn effective(status: &str) -> Option<u64> {
    let hex = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(hex.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read_bit_by_bit() {
        let status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t000000c000281004\n";
        let set = effective(status).unwrap();
        assert_eq!(missing(set), []);
        let names: Vec<_> = missing(set & !(1 << 38))
            .iter()
            .map(|capability| capability.name)
            .collect();
        assert_eq!(names, ["PERFMON"]);
        assert_eq!(missing(0).len(), REQUIRED.len());
        assert_eq!(effective("no such line"), None);
    }

    /// Needs no privilege: the deployment files name no more and no less than the code does.
    mod deployment {
        use serde_json::Value;

        use super::*;

        const DAEMON_SET: &str = include_str!("../../../deploy/kubernetes/daemonset.yaml");
        const UNIT: &str = include_str!("../../../deploy/systemd/hydrophone.service");

        fn required() -> Vec<String> {
            let mut names: Vec<_> = REQUIRED
                .iter()
                .map(|capability| capability.name.to_owned())
                .collect();
            names.sort();
            names
        }

        #[test]
        fn the_daemon_set_has_these_capabilities() {
            let documents: Vec<Value> = serde_saphyr::from_multiple(DAEMON_SET).unwrap();
            let daemon_set = documents
                .iter()
                .find(|document| document["kind"] == "DaemonSet")
                .unwrap();
            let pod = &daemon_set["spec"]["template"]["spec"];
            assert_eq!(pod["hostPID"], true);
            assert_eq!(pod["hostNetwork"], true);
            let security = &pod["containers"][0]["securityContext"];
            assert_eq!(security["privileged"], Value::Null, "capabilities suffice");
            assert_eq!(security["capabilities"]["drop"], serde_json::json!(["ALL"]));
            let mut added: Vec<String> =
                serde_json::from_value(security["capabilities"]["add"].clone()).unwrap();
            added.sort();
            assert_eq!(added, required());
        }

        #[test]
        fn the_unit_has_these_capabilities() {
            for key in ["CapabilityBoundingSet=", "AmbientCapabilities="] {
                let mut names: Vec<String> = UNIT
                    .lines()
                    .filter_map(|line| line.strip_prefix(key))
                    .flat_map(str::split_whitespace)
                    .map(|name| name.strip_prefix("CAP_").unwrap().to_owned())
                    .collect();
                names.sort();
                assert_eq!(names, required(), "{key}");
            }
        }
    }
}
