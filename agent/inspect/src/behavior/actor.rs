//! Who is behind a packet, for counting.

use core::net::IpAddr;

use crate::finding::{Context, Endpoint};

/// The strongest mark of the sender that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Actor {
    /// Everything behind one host-side link, whatever address it claims.
    Link(u32),
    /// A cgroup: host processes, and loopback.
    Cgroup(u64),
    /// An address, and the scope in which it means something.
    Address(IpAddr, u64),
}

impl Actor {
    /// The actor at the sending end.
    pub(crate) fn of(context: &Context) -> Self {
        let Endpoint { owner, .. } = &context.source;
        if owner.ifindex != 0 {
            Self::Link(owner.ifindex)
        } else if owner.cgroup_id != 0 {
            Self::Cgroup(owner.cgroup_id)
        } else {
            let [source, _] = context.true_ends();
            Self::Address(source.address, context.scope)
        }
    }
}
