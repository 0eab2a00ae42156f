//! The account of packets. For each hook: seen = inspected + every `counted` + every `lost`.

/// A hook that sees packets. The value is its row in the counter map.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// Classifier on the host side of a container link, ingress.
    LinkIngress = 0,
    /// Classifier on the host side of a container link, egress.
    LinkEgress = 1,
    /// `cgroup_skb` egress.
    SocketEgress = 2,
    /// `cgroup_skb` ingress.
    SocketIngress = 3,
}

impl Hook {
    /// All hooks, in row order.
    pub const ALL: [Self; 4] = [
        Self::LinkIngress,
        Self::LinkEgress,
        Self::SocketEgress,
        Self::SocketIngress,
    ];

    /// The hook of a row.
    #[must_use]
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::LinkIngress),
            1 => Some(Self::LinkEgress),
            2 => Some(Self::SocketEgress),
            3 => Some(Self::SocketIngress),
            _ => None,
        }
    }

    /// Name in events and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LinkIngress => "link_ingress",
            Self::LinkEgress => "link_egress",
            Self::SocketEgress => "socket_egress",
            Self::SocketIngress => "socket_ingress",
        }
    }
}

/// What became of a packet at one hook. Exactly one is counted beside [`Counter::Seen`].
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counter {
    /// The hook ran.
    Seen = 0,
    /// A record of it was handed to an inspection thread.
    Inspected = 1,
    /// Counted only: the capture budget of its flow direction is spent.
    BudgetSpent = 2,
    /// Counted only: another hook inspects it.
    OtherHook = 3,
    /// Counted only: a socket hook on a device that its link's classifier, or nobody, inspects.
    IdentityOnly = 4,
    /// Counted only: neither IP nor ARP.
    NotIp = 5,
    /// Lost: the ring had no room.
    RingFull = 6,
    /// Lost: the flow table took no new entry.
    FlowTableFull = 7,
    /// Lost: the kernel would not hand out the packet's bytes.
    LoadFailed = 8,
}

/// What a counter says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The total.
    Seen,
    /// Went to inspection.
    Inspected,
    /// Not inspected, by design.
    Counted,
    /// Not inspected, though it should have been.
    Lost,
}

impl Counter {
    /// All counters, in column order.
    pub const ALL: [Self; 9] = [
        Self::Seen,
        Self::Inspected,
        Self::BudgetSpent,
        Self::OtherHook,
        Self::IdentityOnly,
        Self::NotIp,
        Self::RingFull,
        Self::FlowTableFull,
        Self::LoadFailed,
    ];
    /// Columns of the counter map.
    pub const COUNT: u32 = 9;

    /// What it says of a packet.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Seen => Outcome::Seen,
            Self::Inspected => Outcome::Inspected,
            Self::BudgetSpent | Self::OtherHook | Self::IdentityOnly | Self::NotIp => {
                Outcome::Counted
            }
            Self::RingFull | Self::FlowTableFull | Self::LoadFailed => Outcome::Lost,
        }
    }

    /// Name in events and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Inspected => "inspected",
            Self::BudgetSpent => "budget_spent",
            Self::OtherHook => "other_hook",
            Self::IdentityOnly => "identity_only",
            Self::NotIp => "not_ip",
            Self::RingFull => "ring_full",
            Self::FlowTableFull => "flow_table_full",
            Self::LoadFailed => "load_failed",
        }
    }
}

/// Entries of the counter map.
pub const COUNTERS: u32 = 4 * Counter::COUNT;

/// Index of `counter` of `hook` in the counter map.
#[must_use]
pub const fn index(hook: Hook, counter: Counter) -> u32 {
    hook as u32 * Counter::COUNT + counter as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_columns_are_dense() {
        let mut next = 0;
        for hook in Hook::ALL {
            assert_eq!(Hook::from_u8(hook as u8), Some(hook));
            for counter in Counter::ALL {
                assert_eq!(index(hook, counter), next);
                next += 1;
            }
        }
        assert_eq!(next, COUNTERS);
        assert_eq!(Hook::from_u8(4), None);
    }
}
