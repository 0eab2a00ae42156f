//! All maps. Sizes are placeholders of the object; the agent sets them at load.

use aya_ebpf::{
    btf_maps::{Array, ArrayOfMaps, HashMap, LruHashMap, PerCpuArray, RingBuf, SkStorage},
    macros::btf_map,
};
use hydrophone_common::{
    counter::COUNTERS,
    flow::{BareDevice, FlowKey, FlowState},
    process::{EventCounter, Pace, PaceKey, ProcessEvent},
    record::SocketOwner,
};

/// Most rings that can be asked for.
pub(crate) const MAX_RINGS: usize = 16;

/// One ring per inspection thread; the agent creates them, in number and size as configured.
#[btf_map]
pub(crate) static RINGS: ArrayOfMaps<RingBuf<u64, 4096>, MAX_RINGS> = ArrayOfMaps::new();

/// Flow table. LRU: a flood evicts idle flows, whose budget starts anew; it cannot close the table.
#[btf_map]
pub(crate) static FLOWS: LruHashMap<FlowKey, FlowState, 65_536> = LruHashMap::new();

/// Socket cookie to the process that called `connect` or `sendmsg`.
#[btf_map]
pub(crate) static SOCKETS: LruHashMap<u64, SocketOwner, 16_384> = LruHashMap::new();

/// Packets that a connected socket has received, as far as its hook counted them. Goes with the socket.
#[btf_map]
pub(crate) static RECEIVED: SkStorage<u32> = SkStorage::new();

/// cgroup id to network namespace cookie, where `cgroup_skb` cannot ask for the cookie itself.
#[btf_map]
pub(crate) static NAMESPACES: LruHashMap<u64, u64, 4096> = LruHashMap::new();

/// Links over which a packet can only have come in by passing one of our ingress classifiers.
/// Value: [`COVERED_LINK`] or [`COVERED_BRIDGE`].
#[btf_map]
pub(crate) static COVERED: HashMap<u32, u32, 16_384> = HashMap::new();

/// [`COVERED`]: a hooked link.
pub(crate) const COVERED_LINK: u32 = 1;

/// Devices whose packets the socket hooks inspect, for no hooked link sees them.
#[btf_map]
pub(crate) static BARE: HashMap<BareDevice, u32, 16_384> = HashMap::new();

/// Entries of [`BARE`]: without any, no packet pays for a look.
#[btf_map]
pub(crate) static BARE_COUNT: Array<u32, 1> = Array::new();

/// The account: one `u64` for each hook and counter, see `hydrophone_common::counter`.
#[btf_map]
pub(crate) static COUNTERS_MAP: PerCpuArray<u64, { COUNTERS as usize }> = PerCpuArray::new();

/// Events about processes; one reader. 1,300 of them fit.
#[btf_map]
pub(crate) static PROCESS_EVENTS: RingBuf<ProcessEvent, 262_144> = RingBuf::new();

/// How many calls each process has made of late.
#[btf_map]
pub(crate) static PACES: LruHashMap<PaceKey, Pace, 8192> = LruHashMap::new();

/// What became of events about processes, by `EventCounter`.
#[btf_map]
pub(crate) static PROCESS_COUNTERS: PerCpuArray<u64, { EventCounter::ALL.len() }> =
    PerCpuArray::new();
