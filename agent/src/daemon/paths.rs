//! How packets find their way through this host: what connection tracking and the kernel's flow table
//! tell of a flow.

use std::{net::IpAddr, sync::Arc};

use hydrophone_common::{
    counter::Hook,
    flow::{FAMILY_IPV4, FAMILY_IPV6, FlowKey},
};
use hydrophone_inspect::{Paths, Timestamp, Translation, packet::SocketId, views::Seen};

use crate::{intake, nat::Nat, probe::Budgets};

/// Hooks at which a packet is seen as its sender made it.
const AT_SENDER: u8 = 1 << Hook::LinkIngress as u8 | 1 << Hook::SocketEgress as u8;

/// The host's paths.
pub(super) struct HostPaths {
    pub(super) nat: Nat,
    pub(super) flows: Budgets,
}

impl Paths for HostPaths {
    fn translation(
        &mut self,
        protocol: u8,
        ends: [SocketId; 2],
        start: Timestamp,
    ) -> Option<Arc<Translation>> {
        self.nat.translation(protocol, ends, start)
    }

    fn seen(&mut self, protocol: u8, scope: u64, [client, server]: [SocketId; 2]) -> Option<Seen> {
        let (key, direction) = flow_key(client, server, protocol, scope);
        let [low, high] = self.flows.get(&key)?.directions;
        let (sending, receiving) = if direction == 0 {
            (low, high)
        } else {
            (high, low)
        };
        Some(Seen {
            owners: [&sending.sender, &receiving.sender].map(intake::kernel::owner),
            at_client: sending.hooks & AT_SENDER != 0,
        })
    }
}

/// The kernel's key of a flow, and which of its directions goes from `source` to `destination`.
pub(super) fn flow_key(
    source: SocketId,
    destination: SocketId,
    protocol: u8,
    scope: u64,
) -> (FlowKey, u8) {
    let words = |address| match address {
        IpAddr::V4(address) => FlowKey::ipv4(address.octets()),
        IpAddr::V6(address) => FlowKey::ipv6(address.octets()),
    };
    let (mut key, direction) = FlowKey::between(
        words(source.address),
        words(destination.address),
        source.port.to_be(),
        destination.port.to_be(),
    );
    key.protocol = protocol;
    key.scope = scope;
    key.family = if source.address.is_ipv4() {
        FAMILY_IPV4
    } else {
        FAMILY_IPV6
    };
    (key, direction)
}
