//! The hook on `connect` of Unix sockets (`BPF_CGROUP_UNIX_CONNECT`, 6.7), which aya has no name for.
#![expect(
    unsafe_code,
    reason = "bpf(2) has no safe wrapper for this attach type"
)]

use std::{
    collections::HashSet,
    ffi::{c_long, c_uint},
    fs::File,
    io,
    os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
};

use aya::{Ebpf, maps::Map};
use aya_obj::{
    Object,
    generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_insn, bpf_prog_type},
};

use super::names;

/// The program, relocated to the maps of the object that was loaded.
pub(super) struct UnixHook {
    program: OwnedFd,
    link: Option<OwnedFd>,
}

impl UnixHook {
    /// Has the kernel verify the program of `object` whose maps `ebpf` holds.
    pub(super) fn load(object: &[u8], ebpf: &Ebpf) -> io::Result<Self> {
        let code = relocated(object, ebpf)?;
        // SAFETY: a union of integers, of which all zeroes is a value.
        let mut attributes: bpf_attr = unsafe { std::mem::zeroed() };
        // SAFETY: this is the variant of BPF_PROG_LOAD.
        let load = unsafe { &mut attributes.__bindgen_anon_3 };
        load.prog_type = bpf_prog_type::BPF_PROG_TYPE_CGROUP_SOCK_ADDR as u32;
        load.expected_attach_type = bpf_attach_type::BPF_CGROUP_UNIX_CONNECT as u32;
        load.insns = code.as_ptr() as u64;
        load.insn_cnt = u32::try_from(code.len()).unwrap_or(u32::MAX);
        load.license = c"Dual MIT/GPL".as_ptr() as u64;
        for (to, from) in load.prog_name.iter_mut().zip(names::UNIX.bytes().take(15)) {
            *to = from.cast_signed();
        }
        Ok(Self {
            program: call(bpf_cmd::BPF_PROG_LOAD, &mut attributes)?,
            link: None,
        })
    }

    /// Attaches it to a cgroup2 directory.
    pub(super) fn attach(&mut self, cgroup: &File) -> io::Result<()> {
        // SAFETY: as above.
        let mut attributes: bpf_attr = unsafe { std::mem::zeroed() };
        // SAFETY: this is the variant of BPF_LINK_CREATE.
        let create = unsafe { &mut attributes.link_create };
        create.__bindgen_anon_1.prog_fd = number(self.program.as_raw_fd());
        create.__bindgen_anon_2.target_fd = number(cgroup.as_raw_fd());
        create.attach_type = bpf_attach_type::BPF_CGROUP_UNIX_CONNECT as u32;
        self.link = Some(call(bpf_cmd::BPF_LINK_CREATE, &mut attributes)?);
        Ok(())
    }

    /// Lets go of the cgroup.
    pub(super) fn detach(&mut self) {
        self.link = None;
    }
}

fn number(fd: RawFd) -> u32 {
    u32::try_from(fd).unwrap_or(u32::MAX)
}

/// Calls bpf(2) for something that is answered by a descriptor.
fn call(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<OwnedFd> {
    /// The verifier gives up with `EAGAIN` when a signal arrives.
    const ATTEMPTS: usize = 5;
    let mut result = -1;
    for _ in 0..ATTEMPTS {
        // SAFETY: the attributes live, have the size that is given, and hold pointers to what lives as
        // long as the caller's frame.
        result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                command as c_uint,
                std::ptr::from_mut(attributes),
                size_of::<bpf_attr>(),
            )
        };
        if result >= 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EAGAIN) {
            break;
        }
    }
    match result {
        -1 => Err(io::Error::last_os_error()),
        fd => {
            let fd = RawFd::try_from(fd as c_long).map_err(io::Error::other)?;
            // SAFETY: the kernel has just made it for us.
            Ok(unsafe { OwnedFd::from_raw_fd(fd) })
        }
    }
}

/// What the compiler calls to clear and to copy memory.
const CALLED: [&str; 3] = ["memset", "memcpy", "memmove"];

/// The program's instructions, with the descriptors of its maps.
fn relocated(object: &[u8], ebpf: &Ebpf) -> io::Result<Vec<bpf_insn>> {
    let mut object = Object::parse(object).map_err(io::Error::other)?;
    object.programs.retain(|name, _| name == names::UNIX);
    object
        .functions
        .retain(|_, it| it.name == names::UNIX || CALLED.contains(&it.name.as_str()));
    let fds = ebpf
        .maps()
        .filter_map(|(name, map)| Some((name, map_fd(map)?)));
    let fds: Vec<(&str, RawFd)> = fds.collect();
    let definitions = object.maps.clone();
    let maps = fds
        .iter()
        .filter_map(|(name, fd)| definitions.get(*name).map(|map| (*name, *fd, map)));
    let sections: HashSet<usize> = object
        .functions
        .keys()
        .map(|(section, _)| *section)
        .collect();
    object
        .relocate_maps(maps, &sections)
        .map_err(|error| io::Error::other(format!("{error:?}")))?;
    object
        .relocate_calls(&sections)
        .map_err(|error| io::Error::other(format!("{error:?}")))?;
    let mut functions = object.functions.values();
    let code = functions.find(|it| it.name == names::UNIX);
    code.map(|it| it.instructions.clone())
        .ok_or_else(|| io::Error::other("the kernel object has no such program"))
}

/// The descriptor of a map of a kind that the program uses.
fn map_fd(map: &Map) -> Option<RawFd> {
    match map {
        Map::RingBuf(data) | Map::LruHashMap(data) | Map::PerCpuArray(data) => {
            Some(data.fd().as_fd().as_raw_fd())
        }
        _ => None,
    }
}
