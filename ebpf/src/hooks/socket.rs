//! `cgroup_skb` at the cgroup2 root: exact identity of sockets, and traffic on loopback.

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::generated::{bpf_get_netns_cookie, bpf_skb_cgroup_id},
    programs::SkBuffContext,
};
use hydrophone_common::{
    counter::{Counter, Hook},
    flow::Direction,
};

use super::{learn_cgroup, learn_sender};
use crate::{
    capture, config, flow,
    headers::{Kind, Parsed, parse_network},
    maps::NAMESPACES,
    outcome::account,
};

/// `LOOPBACK_IFINDEX`: the loopback device is 1 in every network namespace.
const LOOPBACK: u32 = 1;
const TCP: u8 = 6;

/// A socket sends.
#[inline(always)]
pub(crate) fn egress(ctx: &SkBuffContext) {
    let skb = ctx.skb.skb;
    account(Hook::SocketEgress, inspect_egress(skb));
}

#[inline(always)]
fn inspect_egress(skb: *mut __sk_buff) -> Counter {
    let mut parsed = parse_network(skb);
    if !on_loopback(skb) {
        // The link's classifier sees the same socket: nothing to add but counting.
        return Counter::IdentityOnly;
    }
    let Some((sending, receiving)) = loopback_flow(skb, &mut parsed) else {
        return Counter::FlowTableFull;
    };
    learn_sender(skb, sending);
    // SAFETY: a live map value.
    unsafe {
        let direction = &mut *sending;
        let first = direction.hooks & (1 << Hook::SocketEgress as u8) == 0;
        if first || after(parsed.sequence_end, direction.sequence_end) {
            direction.sequence_end = parsed.sequence_end;
        }
        direction.hooks |= 1 << Hook::SocketEgress as u8;
    }
    capture::record(skb, Hook::SocketEgress, &parsed, sending, receiving)
}

/// A socket receives.
#[inline(always)]
pub(crate) fn ingress(ctx: &SkBuffContext) {
    let skb = ctx.skb.skb;
    account(Hook::SocketIngress, inspect_ingress(skb));
}

#[inline(always)]
fn inspect_ingress(skb: *mut __sk_buff) -> Counter {
    let mut parsed = parse_network(skb);
    if !on_loopback(skb) {
        learn_receiver(skb, &parsed);
        return Counter::IdentityOnly;
    }
    let Some((sending, receiving)) = loopback_flow(skb, &mut parsed) else {
        return Counter::FlowTableFull;
    };
    // SAFETY: a live map value.
    learn_cgroup(skb, unsafe { &raw mut (*receiving).sender });
    if shown_at_egress(&parsed, sending) {
        return Counter::OtherHook;
    }
    // SAFETY: a live map value.
    unsafe { (*sending).hooks |= 1 << Hook::SocketIngress as u8 };
    capture::record(skb, Hook::SocketIngress, &parsed, sending, receiving)
}

/// Whether the egress hook has shown these bytes. Of TCP, a segment that ends beyond what egress has
/// seen was put on the wire by a packet socket.
#[inline(always)]
fn shown_at_egress(parsed: &Parsed, sending: *mut Direction) -> bool {
    // SAFETY: a live map value.
    let (hooks, end) = unsafe { ((*sending).hooks, (*sending).sequence_end) };
    hooks & (1 << Hook::SocketEgress as u8) != 0
        && (parsed.key.protocol != TCP || !after(parsed.sequence_end, end))
}

/// Whether sequence number `a` lies after `b` (RFC 9293 section 3.4).
#[inline(always)]
fn after(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) > 0
}

/// Notes the receiving socket's cgroup on a flow that a link inspects.
#[inline(always)]
fn learn_receiver(skb: *mut __sk_buff, parsed: &Parsed) {
    if parsed.kind != Kind::Keyed {
        return;
    }
    if let Some(state) = flow::find(&parsed.key) {
        let (_, receiving) = flow::split(state, parsed.direction);
        // SAFETY: a live map value.
        learn_cgroup(skb, unsafe { &raw mut (*receiving).sender });
    }
}

#[inline(always)]
fn on_loopback(skb: *mut __sk_buff) -> bool {
    // SAFETY: a field of the context.
    unsafe { (*skb).ifindex == LOOPBACK }
}

#[inline(always)]
fn loopback_flow(
    skb: *mut __sk_buff,
    parsed: &mut Parsed,
) -> Option<(*mut Direction, *mut Direction)> {
    parsed.key.scope = namespace(skb);
    flow::entry(&parsed.key).map(|state| flow::split(state, parsed.direction))
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
