//! `cgroup_skb` at the cgroup2 root: exact identity of sockets, traffic on loopback, and that of
//! devices which no hooked link is in front of.

use aya_ebpf::{
    bindings::{__sk_buff, BPF_SK_STORAGE_GET_F_CREATE},
    helpers::generated::{bpf_get_netns_cookie, bpf_sk_storage_get, bpf_skb_cgroup_id},
    programs::SkBuffContext,
};
use hydrophone_common::{
    counter::{Counter, Hook},
    flow::BareDevice,
};

use super::{learn_receiver, learn_sender};
use crate::{
    capture, config,
    flow::{Flow, SYN},
    headers::{Kind, Parsed, TCP, parse_network},
    maps::{BARE, BARE_COUNT, NAMESPACES, RECEIVED},
    outcome::account,
};

/// `LOOPBACK_IFINDEX`: the loopback device is 1 in every network namespace.
const LOOPBACK: u32 = 1;

/// A socket sends.
#[inline(always)]
pub(crate) fn egress(ctx: &SkBuffContext) {
    let skb = ctx.skb.skb;
    account(Hook::SocketEgress, inspect_egress(skb));
}

#[inline(always)]
fn inspect_egress(skb: *mut __sk_buff) -> Counter {
    let Some(place) = Place::of(skb) else {
        // The link's classifier sees the same socket: nothing to add but counting.
        return Counter::IdentityOnly;
    };
    let mut parsed = parse_network(skb);
    let Some(flow) = place.flow(&mut parsed) else {
        return Counter::FlowTableFull;
    };
    flow.renew(&parsed);
    learn_sender(skb, flow, 0, place.is_loopback);
    // SAFETY: a live map value.
    let direction = unsafe { &mut *flow.sending };
    let first = direction.hooks & (1 << Hook::SocketEgress as u8) == 0;
    let begins = first || parsed.tcp_flags & SYN != 0;
    if begins || after(parsed.sequence_end, direction.sequence_end) {
        direction.sequence_end = parsed.sequence_end;
    }
    direction.hooks |= 1 << Hook::SocketEgress as u8;
    capture::record(skb, Hook::SocketEgress, &parsed, flow)
}

/// A socket receives.
#[inline(always)]
pub(crate) fn ingress(ctx: &SkBuffContext) {
    let skb = ctx.skb.skb;
    account(Hook::SocketIngress, inspect_ingress(skb));
}

#[inline(always)]
fn inspect_ingress(skb: *mut __sk_buff) -> Counter {
    let Some(place) = Place::of(skb) else {
        if !is_settled(skb) {
            let parsed = parse_network(skb);
            if parsed.kind == Kind::Keyed
                && let Some(flow) = Flow::find(&parsed)
            {
                learn_receiver(skb, flow);
            }
        }
        return Counter::IdentityOnly;
    };
    let mut parsed = parse_network(skb);
    let Some(flow) = place.flow(&mut parsed) else {
        return Counter::FlowTableFull;
    };
    learn_receiver(skb, flow);
    if shown_at_egress(&parsed, flow) {
        return Counter::OtherHook;
    }
    flow.renew(&parsed);
    // SAFETY: a live map value.
    unsafe { (*flow.sending).hooks |= 1 << Hook::SocketIngress as u8 };
    capture::record(skb, Hook::SocketIngress, &parsed, flow)
}

/// Whether the socket serves one flow whose receiver has been noted: then the packet need not be parsed
/// again for that. Now and then it is all the same, for the flow may have left the table meanwhile.
#[inline(always)]
fn is_settled(skb: *mut __sk_buff) -> bool {
    /// Packets of a connection that are looked at in any case.
    const FIRST: u32 = 8;
    /// After those, one in so many.
    const EVERY: u32 = 64;
    /// `TCP_ESTABLISHED`, which a connected UDP socket is in as well. Others serve many flows.
    const ESTABLISHED: u32 = 1;
    // SAFETY: a field of the context.
    let socket = unsafe { (*skb).__bindgen_anon_2.sk };
    if socket.is_null() {
        return false;
    }
    // SAFETY: a field of a socket that was just checked.
    if unsafe { (*socket).state } != ESTABLISHED {
        return false;
    }
    // SAFETY: the map is one of socket storage, and the value is zeroed when it is made.
    let seen = unsafe {
        bpf_sk_storage_get(
            (&raw const RECEIVED).cast_mut().cast(),
            socket.cast(),
            core::ptr::null_mut(),
            u64::from(BPF_SK_STORAGE_GET_F_CREATE),
        )
    }
    .cast::<u32>();
    if seen.is_null() {
        return false;
    }
    // SAFETY: a live value; packets of one socket are taken in one by one.
    let count = unsafe { *seen };
    // SAFETY: as above.
    unsafe { *seen = count.wrapping_add(1) };
    count >= FIRST && count % EVERY != 0
}

/// Whether the egress hook has shown these bytes. Of TCP, a segment that ends beyond what egress has
/// seen was put on the wire by a packet socket.
#[inline(always)]
fn shown_at_egress(parsed: &Parsed, flow: Flow) -> bool {
    // SAFETY: a live map value.
    let (hooks, end) = unsafe { ((*flow.sending).hooks, (*flow.sending).sequence_end) };
    hooks & (1 << Hook::SocketEgress as u8) != 0
        && (parsed.key.protocol != TCP || !after(parsed.sequence_end, end))
}

/// Whether sequence number `a` lies after `b` (RFC 9293 section 3.4).
#[inline(always)]
fn after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

/// Where the socket hooks inspect.
struct Place {
    /// Tells apart equal tuples of different namespaces; 0 where packets go from one to another.
    scope: u64,
    is_loopback: bool,
}

impl Place {
    /// `None` where a link's classifier inspects, or nobody has to.
    #[inline(always)]
    fn of(skb: *mut __sk_buff) -> Option<Self> {
        // SAFETY: a field of the context.
        let ifindex = unsafe { (*skb).ifindex };
        if ifindex == LOOPBACK {
            return Some(Self {
                scope: namespace(skb),
                is_loopback: true,
            });
        }
        // SAFETY: an integer that only the agent writes.
        if BARE_COUNT.get(0).is_none_or(|count| *count == 0) {
            return None;
        }
        let namespace = namespace(skb);
        let owner = if namespace == config::host_namespace() {
            // SAFETY: the helper takes the context.
            unsafe { bpf_skb_cgroup_id(skb) }
        } else {
            namespace
        };
        let device = BareDevice {
            owner,
            ifindex,
            padding: 0,
        };
        // SAFETY: the values are integers that only the agent writes.
        unsafe { BARE.get(device) }.map(|_| Self {
            scope: 0,
            is_loopback: false,
        })
    }

    #[inline(always)]
    fn flow(&self, parsed: &mut Parsed) -> Option<Flow> {
        parsed.key.scope = self.scope;
        Flow::open(parsed)
    }
}

/// Cookie of the socket's network namespace; 0 when this kernel does not tell.
#[inline(always)]
fn namespace(skb: *mut __sk_buff) -> u64 {
    if config::skb_netns_cookie() {
        // SAFETY: the helper takes the context.
        return unsafe { bpf_get_netns_cookie(skb.cast()) };
    }
    // SAFETY: the helper takes the context.
    let cgroup_id = unsafe { bpf_skb_cgroup_id(skb) };
    // SAFETY: the values are integers.
    unsafe { NAMESPACES.get(cgroup_id) }.copied().unwrap_or(0)
}
