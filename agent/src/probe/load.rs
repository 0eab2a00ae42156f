//! Loading the kernel object and attaching its programs.

use std::{borrow::Cow, fs, fs::File, io::ErrorKind, path::PathBuf, time::Duration};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, ArrayOfMaps, HashMap, Map, MapData, PerCpuArray, RingBuf},
    programs::{
        CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSock, CgroupSockAddr, ProgramError,
        RawTracePoint, SchedClassifier,
    },
    util::KernelVersion,
};
use hydrophone_common::LAYOUT_VERSION;

use super::{
    AttachMode, BareDevices, Budgets, Counters, Extras, ProbeError, ProcessCounters, ProcessEvents,
    RingReader, Shutdown, links::Links, log::KernelLog, names, unix::UnixHook,
};

/// Where the kernel object comes from.
#[derive(Clone, Debug, Default)]
pub enum ObjectSource {
    /// The one in this binary.
    #[default]
    Embedded,
    /// A file.
    File(PathBuf),
}

static EMBEDDED: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/hydrophone.bpf.o"));

impl ObjectSource {
    fn read(&self) -> Result<(Cow<'static, [u8]>, String), ProbeError> {
        match self {
            Self::Embedded if EMBEDDED.is_empty() => Err(ProbeError::NoObject),
            Self::Embedded => Ok((Cow::Borrowed(EMBEDDED), "in this binary".to_owned())),
            Self::File(path) => {
                let origin = path.display().to_string();
                match fs::read(path) {
                    Ok(bytes) => Ok((Cow::Owned(bytes), origin)),
                    Err(source) => Err(ProbeError::ReadObject {
                        path: origin,
                        source,
                    }),
                }
            }
        }
    }
}

/// What is chosen at load.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The object.
    pub object: ObjectSource,
    /// Rings, hence inspection threads: a power of two, at most 16.
    pub rings: u32,
    /// Bytes of each ring: a power of two, at least a page.
    pub ring_bytes: u32,
    /// Entries of the flow table.
    pub flows: u32,
    /// Bytes recorded of each direction of a flow.
    pub capture_budget: u64,
    /// When a direction gets its budget anew: after a silence of this length, and without
    /// connections (anything but TCP) this long after the last time. A TCP SYN does it at once.
    pub budget_renewal: Duration,
    /// How classifiers are attached.
    pub attach: AttachMode,
    /// Ask for the network namespace in `cgroup_skb` programs; `None`: if the kernel can (6.15).
    pub skb_netns_cookie: Option<bool>,
    /// The kernel's cookie of the host's network namespace; 0 when it does not tell.
    pub host_namespace: u64,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            object: ObjectSource::Embedded,
            rings: 1,
            ring_bytes: 8 << 20,
            flows: 65_536,
            capture_budget: 128 << 10,
            budget_renewal: Duration::from_secs(10),
            attach: AttachMode::best(),
            skb_netns_cookie: None,
            host_namespace: 0,
        }
    }
}

/// The loaded object. Dropping it detaches everything.
pub struct Probe {
    ebpf: Ebpf,
    origin: String,
    links: Links,
    attach: AttachMode,
    /// Keeps the outer map, which holds the rings, alive.
    _rings: ArrayOfMaps<MapData, RingBuf<MapData>>,
    covered: HashMap<MapData, u32, u32>,
    /// What is in `covered`: nobody else writes it.
    told: std::collections::HashMap<u32, u32>,
    log: KernelLog,
    unix: Option<UnixHook>,
    executions: bool,
}

/// What a load yields beside the probe.
pub struct Loaded {
    /// The probe.
    pub probe: Probe,
    /// One reader a ring.
    pub rings: Vec<RingReader>,
    /// The account of packets.
    pub counters: Counters,
    /// Budgets of flows.
    pub budgets: Budgets,
    /// Events about processes.
    pub processes: ProcessEvents,
    /// Devices that the socket hooks look after.
    pub bare: BareDevices,
}

impl Probe {
    /// Loads the object, makes the rings, and has the kernel verify every program. Nothing is
    /// attached yet.
    ///
    /// # Errors
    /// When the object is damaged or foreign, or the kernel refuses it.
    pub fn load(options: &LoadOptions, shutdown: &Shutdown) -> Result<Loaded, ProbeError> {
        let (object, origin) = options.object.read()?;
        let seed = seed()?;
        let mask = options.rings.max(1) - 1;
        let skb_netns_cookie = options.skb_netns_cookie.unwrap_or_else(|| at_least(6, 15));
        let cookie = u8::from(skb_netns_cookie);
        let renewal = u64::try_from(options.budget_renewal.as_nanos()).unwrap_or(u64::MAX);
        let layout = format!("LAYOUT_{LAYOUT_VERSION}");
        let mut ebpf = EbpfLoader::new()
            .override_global(&layout, &0_u8, true)
            .override_global("HASH_SEED", &seed, true)
            .override_global("RING_MASK", &mask, true)
            .override_global("CAPTURE_BUDGET", &options.capture_budget, true)
            .override_global("BUDGET_RENEWAL_NS", &renewal, true)
            .override_global("SKB_NETNS_COOKIE", &cookie, true)
            .override_global("HOST_NAMESPACE", &options.host_namespace, true)
            .map_max_entries(names::FLOWS, options.flows)
            .load(&object)
            .map_err(|source| ProbeError::Load {
                origin: origin.clone(),
                source: Box::new(source),
            })?;

        let log = KernelLog::open(&mut ebpf)?;
        let mut outer: ArrayOfMaps<MapData, RingBuf<MapData>> =
            take(&mut ebpf, names::RINGS, &origin)?;
        let mut rings = Vec::new();
        for index in 0..options.rings {
            let ring = new_ring(options.ring_bytes)?;
            outer
                .set(index, &ring, 0)
                .map_err(|source| ProbeError::map(names::RINGS, source))?;
            rings.push(RingReader::new(ring, shutdown.clone()));
        }
        let counters: PerCpuArray<MapData, u64> = take(&mut ebpf, names::COUNTERS, &origin)?;
        let flows: HashMap<MapData, _, _> = take(&mut ebpf, names::FLOWS, &origin)?;
        let covered: HashMap<MapData, u32, u32> = take(&mut ebpf, names::COVERED, &origin)?;
        // Before the maps that its program uses are taken.
        let unix = UnixHook::load(&object, &ebpf);
        let (unix, unix_state) = match unix {
            Ok(hook) => (Some(hook), Ok(())),
            Err(error) => (None, Err(error.to_string())),
        };
        let events: RingBuf<MapData> = take(&mut ebpf, names::PROCESS_EVENTS, &origin)?;
        let event_counters: PerCpuArray<MapData, u64> =
            take(&mut ebpf, names::PROCESS_COUNTERS, &origin)?;
        let bare: HashMap<MapData, _, _> = take(&mut ebpf, names::BARE, &origin)?;
        let bare_count: Array<MapData, _> = take(&mut ebpf, names::BARE_COUNT, &origin)?;
        let mut probe = Self {
            ebpf,
            origin,
            links: Links::default(),
            attach: options.attach,
            _rings: outer,
            covered,
            told: std::collections::HashMap::new(),
            log,
            unix,
            executions: false,
        };
        probe.verify()?;
        let executions = probe.verify_executions();
        probe.executions = executions.is_ok();
        Ok(Loaded {
            probe,
            rings,
            counters: Counters::new(counters),
            budgets: Budgets::new(flows),
            processes: ProcessEvents {
                ring: RingReader::at_once(events, shutdown.clone()),
                counters: ProcessCounters::new(event_counters),
                extras: Extras {
                    executions,
                    unix: unix_state,
                },
            },
            bare: BareDevices::new(bare, bare_count),
        })
    }

    fn verify(&mut self) -> Result<(), ProbeError> {
        for name in [names::LINK_INGRESS, names::LINK_EGRESS] {
            let program: &mut SchedClassifier = self.program(name)?;
            patiently(name, || program.load())?;
        }
        for name in [names::SOCKET_EGRESS, names::SOCKET_INGRESS] {
            let program: &mut CgroupSkb = self.program(name)?;
            patiently(name, || program.load())?;
        }
        for name in names::SOCK_ADDR {
            let program: &mut CgroupSockAddr = self.program(name)?;
            patiently(name, || program.load())?;
        }
        for name in names::BOUND.into_iter().chain([names::SOCK_NEW]) {
            let program: &mut CgroupSock = self.program(name)?;
            patiently(name, || program.load())?;
        }
        Ok(())
    }

    /// Raw tracepoints are an extra: a kernel may be built without, or refuse them.
    fn verify_executions(&mut self) -> Result<(), String> {
        let program: &mut RawTracePoint = self
            .program(names::EXECUTED)
            .map_err(|error| error.to_string())?;
        patiently(names::EXECUTED, || program.load()).map_err(|error| error.to_string())
    }

    /// Attaches the socket hooks at a cgroup2 directory, as a rule the root.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn attach_cgroup(&mut self, path: &str) -> Result<(), ProbeError> {
        let cgroup = File::open(path).map_err(|source| ProbeError::io(path, source))?;
        let failed = |name, source| ProbeError::Attach {
            name,
            place: path.to_owned(),
            source: Box::new(source),
        };
        // Links are multi by nature; any other flag is refused since 5.7.
        let mode = CgroupAttachMode::Single;
        for name in names::BOUND.into_iter().chain([names::SOCK_NEW]) {
            let program: &mut CgroupSock = self.program(name)?;
            program
                .attach(&cgroup, mode)
                .map_err(|source| failed(name, source))?;
        }
        // Receivers first: a sender seen before its receiver would be inspected twice.
        for (name, place) in [
            (names::SOCKET_INGRESS, CgroupSkbAttachType::Ingress),
            (names::SOCKET_EGRESS, CgroupSkbAttachType::Egress),
        ] {
            let program: &mut CgroupSkb = self.program(name)?;
            program
                .attach(&cgroup, place, mode)
                .map_err(|source| failed(name, source))?;
        }
        for name in names::SOCK_ADDR {
            let program: &mut CgroupSockAddr = self.program(name)?;
            program
                .attach(&cgroup, mode)
                .map_err(|source| failed(name, source))?;
        }
        self.attach_extras(&cgroup);
        Ok(())
    }

    fn attach_extras(&mut self, cgroup: &File) {
        if let Some(hook) = &mut self.unix
            && let Err(error) = hook.attach(cgroup)
        {
            tracing::warn!(%error, "connections of Unix sockets are not told by the kernel");
            self.unix = None;
        }
        if self.executions {
            let attached = self
                .program::<RawTracePoint>(names::EXECUTED)
                .and_then(|program| {
                    program
                        .attach(names::EXECUTIONS)
                        .map_err(|source| refused(names::EXECUTED, source))
                });
            if let Err(error) = attached {
                tracing::warn!(%error, "executions are not told by the kernel");
            }
        }
    }

    /// Lets go of `connect` of Unix sockets: what its hook tells cannot be used.
    pub fn detach_unix(&mut self) {
        if let Some(hook) = &mut self.unix {
            hook.detach();
        }
    }

    /// Attaches the classifiers to a link of the host. Nothing happens if it is hooked already.
    ///
    /// # Errors
    /// When the link has gone or the kernel refuses.
    pub fn attach_link(&mut self, ifindex: u32, name: &str) -> Result<(), ProbeError> {
        self.links
            .attach(&mut self.ebpf, ifindex, name, self.attach)
    }

    /// Lets go of a link; false when it was not hooked.
    pub fn detach_link(&mut self, ifindex: u32) -> bool {
        self.links.detach(&mut self.ebpf, ifindex)
    }

    /// Whether a link is hooked.
    #[must_use]
    pub fn is_attached(&self, ifindex: u32) -> bool {
        self.links.contains(ifindex)
    }

    /// Links that are hooked.
    pub fn attached(&self) -> impl Iterator<Item = u32> + '_ {
        self.links.indices()
    }

    /// Tells the kernel over which devices a packet can only have come past one of our ingress
    /// classifiers: hooked links, and the bridges (`true`) that have only such ports.
    ///
    /// # Errors
    /// When the kernel refuses an update.
    pub fn set_covered(
        &mut self,
        devices: impl IntoIterator<Item = (u32, bool)>,
    ) -> Result<(), ProbeError> {
        let failed = |source| ProbeError::map(names::COVERED, source);
        let wanted: std::collections::HashMap<u32, u32> = devices
            .into_iter()
            .map(|(ifindex, bridge)| (ifindex, 1 + u32::from(bridge)))
            .collect();
        // A host with a thousand links gets one more: one update, not a thousand.
        let mut stale: Vec<u32> = self.told.keys().copied().collect();
        stale.retain(|ifindex| !wanted.contains_key(ifindex));
        for ifindex in stale {
            self.covered.remove(&ifindex).map_err(failed)?;
            self.told.remove(&ifindex);
        }
        for (ifindex, kind) in wanted {
            if self.told.get(&ifindex) != Some(&kind) {
                self.covered.insert(ifindex, kind, 0).map_err(failed)?;
                self.told.insert(ifindex, kind);
            }
        }
        Ok(())
    }

    /// Puts what the kernel programs have reported into the agent's log.
    pub fn drain_log(&mut self) {
        self.log.drain();
    }

    /// Detaches everything.
    pub fn detach_all(&mut self) {
        self.links.detach_all(&mut self.ebpf);
    }

    /// One of the object's programs, to run it on a packet of one's own (`BPF_PROG_TEST_RUN`).
    ///
    /// # Errors
    /// When the object has no such program of that type.
    pub fn program<'a, T>(&'a mut self, name: &'static str) -> Result<&'a mut T, ProbeError>
    where
        &'a mut T: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
    {
        let origin = &self.origin;
        self.ebpf
            .program_mut(name)
            .ok_or_else(|| ProbeError::Missing {
                origin: origin.clone(),
                what: "program",
                name,
            })?
            .try_into()
            .map_err(|source| refused(name, source))
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.detach_all();
    }
}

/// The verifier gives up with `EAGAIN` when a signal arrives (`bpf_check`); like libbpf, try again.
fn patiently(
    name: &'static str,
    mut load: impl FnMut() -> Result<(), ProgramError>,
) -> Result<(), ProbeError> {
    const ATTEMPTS: usize = 5;
    for _ in 1..ATTEMPTS {
        match load() {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.kind() == ErrorKind::WouldBlock => {}
            other => return other.map_err(|source| refused(name, source)),
        }
    }
    load().map_err(|source| refused(name, source))
}

fn refused(name: &'static str, source: ProgramError) -> ProbeError {
    ProbeError::Program {
        name,
        source: Box::new(source),
    }
}

fn take<T>(ebpf: &mut Ebpf, name: &'static str, origin: &str) -> Result<T, ProbeError>
where
    T: TryFrom<Map, Error = aya::maps::MapError>,
{
    let map = ebpf.take_map(name).ok_or_else(|| ProbeError::Missing {
        origin: origin.to_owned(),
        what: "map",
        name,
    })?;
    T::try_from(map).map_err(|source| ProbeError::map(name, source))
}

/// A ring of `bytes`; the outer map of the object only knows their type.
fn new_ring(bytes: u32) -> Result<RingBuf<MapData>, ProbeError> {
    use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_RINGBUF;

    let failed = |source| ProbeError::map(names::RINGS, source);
    let definition = aya_obj::Map::new_from_params(BPF_MAP_TYPE_RINGBUF as u32, 0, 0, bytes, 0);
    let data = MapData::create(definition, "ring", None).map_err(failed)?;
    RingBuf::try_from(Map::RingBuf(data)).map_err(failed)
}

/// Random, so that ring and flow placement cannot be foreseen.
fn seed() -> Result<u64, ProbeError> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|source| ProbeError::io("getrandom", source))?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Whether the running kernel is at least `major.minor`.
pub(super) fn at_least(major: u8, minor: u8) -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(major, minor, 0))
}
