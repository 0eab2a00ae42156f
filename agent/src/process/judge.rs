//! What of that which processes do is worth telling, and as what.

use std::sync::{Arc, LazyLock};

use hydrophone_inspect::Signature;

use crate::{
    census::Identity,
    config::{self, Selector},
};

/// A container asks a runtime by its socket.
pub(super) static RUNTIME_SOCKET: LazyLock<Arc<Signature>> = LazyLock::new(|| {
    signature(
        30,
        "Socket of a container runtime used by a container",
        "attempted-admin",
        1,
        &["T1609", "T1610", "T1611"],
    )
});
/// A container makes IP packets by itself.
static RAW_SOCKET: LazyLock<Arc<Signature>> = LazyLock::new(|| {
    signature(
        31,
        "Raw socket opened by a container",
        "policy-violation",
        3,
        &["T1095"],
    )
});
/// A container sees and makes frames by itself.
static PACKET_SOCKET: LazyLock<Arc<Signature>> = LazyLock::new(|| {
    signature(
        32,
        "Packet socket opened by a container",
        "policy-violation",
        2,
        &["T1040", "T1557"],
    )
});

fn signature(
    sid: u32,
    msg: &str,
    classtype: &str,
    severity: u8,
    attack: &[&str],
) -> Arc<Signature> {
    Arc::new(Signature {
        gid: Signature::BEHAVIOR_GID,
        sid,
        rev: 1,
        msg: msg.to_owned(),
        classtype: classtype.to_owned(),
        severity,
        attack: attack.iter().map(|&id| id.to_owned()).collect(),
        metadata: Vec::new(),
        references: Vec::new(),
    })
}

/// Who may do what.
#[derive(Clone, Debug, Default)]
pub(super) struct Judge {
    runtime_allow: Vec<Selector>,
    raw_allow: Vec<Selector>,
}

impl Judge {
    pub(super) fn new(config: &config::Local) -> Self {
        Self {
            runtime_allow: config.runtime_allow.clone(),
            raw_allow: config.raw_allow.clone(),
        }
    }

    /// The finding that it is that `source` uses a runtime's socket. What is not known is no host.
    pub(super) fn runtime(&self, source: &Identity) -> Option<Arc<Signature>> {
        is_finding(source, &self.runtime_allow).then(|| Arc::clone(&RUNTIME_SOCKET))
    }

    /// The finding that it is that `source` opens a raw IP socket. Those for ICMP and `ICMPv6` are
    /// what `ping` needs, and can neither see nor make anything else.
    pub(super) fn raw(&self, source: &Identity, protocol: u16) -> Option<Arc<Signature>> {
        const ICMP: u16 = 1;
        const ICMPV6: u16 = 58;
        let is_ping = matches!(protocol, ICMP | ICMPV6);
        (!is_ping && is_finding(source, &self.raw_allow)).then(|| Arc::clone(&RAW_SOCKET))
    }

    /// The finding that it is that `source` opens a packet socket.
    pub(super) fn packet(&self, source: &Identity) -> Option<Arc<Signature>> {
        is_finding(source, &self.raw_allow).then(|| Arc::clone(&PACKET_SOCKET))
    }
}

fn is_finding(source: &Identity, allow: &[Selector]) -> bool {
    match source {
        Identity::Container { container, .. } => !allow.iter().any(|it| it.takes(container)),
        Identity::Host(_) => false,
        Identity::Unknown(_) => true,
    }
}

/// Whether both are the same container, or both the host. What is not known is nobody's.
pub(super) fn same(one: &Identity, other: &Identity) -> bool {
    match (one, other) {
        (
            Identity::Container { container, .. },
            Identity::Container {
                container: other, ..
            },
        ) => container.id == other.id,
        (Identity::Host(_), Identity::Host(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::census::{
        Container, UnknownReason,
        identity::{Evidence, Host},
    };

    fn container(name: &str) -> Identity {
        Identity::Container {
            container: Arc::new(Container {
                id: name.to_owned(),
                name: name.to_owned(),
                ..Container::default()
            }),
            or: Vec::new(),
            by: Evidence::Cgroup,
        }
    }

    #[test]
    fn who_is_allowed_and_the_host_are_silent() {
        let judge = Judge {
            runtime_allow: vec!["name:portainer".parse().unwrap()],
            raw_allow: vec!["name:sniffer".parse().unwrap()],
        };
        let host = Identity::Host(Host {
            hostname: "h".into(),
            cgroup_path: None,
        });
        let stranger = Identity::Unknown(UnknownReason::CgroupGone);
        assert!(judge.runtime(&container("web")).is_some());
        assert!(judge.runtime(&container("portainer")).is_none());
        assert!(judge.runtime(&host).is_none());
        assert!(judge.runtime(&stranger).is_some());
        assert!(judge.raw(&container("web"), 255).is_some());
        assert!(judge.raw(&container("web"), 1).is_none(), "ping");
        assert!(judge.raw(&container("web"), 58).is_none());
        assert!(judge.raw(&container("sniffer"), 255).is_none());
        assert!(judge.packet(&container("web")).is_some());
        assert!(judge.packet(&container("sniffer")).is_none());
        assert!(same(&container("a"), &container("a")) && same(&host, &host));
        assert!(!same(&container("a"), &container("b")) && !same(&container("a"), &host));
        assert!(!same(&stranger, &stranger));
    }
}
