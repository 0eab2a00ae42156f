//! A cgroup's directory from its id: by file handle, which the kernel resolves in constant time.
#![expect(
    unsafe_code,
    reason = "open_by_handle_at(2) has no safe wrapper that takes a handle made by hand"
)]

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
    path::{Path, PathBuf},
};

/// `FILEID_KERNFS` (include/linux/exportfs.h, kernel 5.9): the handle is the 64-bit node id, which
/// is the cgroup id.
const FILEID_KERNFS: libc::c_int = 0xfe;

/// `struct file_handle` (open_by_handle_at(2)) with room for one kernfs id.
#[repr(C)]
struct KernfsHandle {
    handle_bytes: libc::c_uint,
    handle_type: libc::c_int,
    id: [u8; 8],
}

/// Path of a cgroup below its hierarchy's `root`, without leading slash; empty for the root.
///
/// # Errors
/// `ESTALE` when no such cgroup exists (any more); `EPERM` without `CAP_DAC_READ_SEARCH`.
pub fn path_of(root: &Path, id: u64) -> io::Result<PathBuf> {
    let mount = File::open(root)?;
    let directory = open(mount.as_fd(), id)?;
    let path = std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))?;
    // A cgroup that is being removed reads as "… (deleted)".
    if path.as_os_str().as_encoded_bytes().ends_with(b" (deleted)") {
        return Err(io::Error::from_raw_os_error(libc::ESTALE));
    }
    path.strip_prefix(root).map(Path::to_path_buf).map_err(|_| {
        io::Error::other(format!(
            "{} is not below {}",
            path.display(),
            root.display()
        ))
    })
}

fn open(mount: std::os::fd::BorrowedFd<'_>, id: u64) -> io::Result<OwnedFd> {
    let mut handle = KernfsHandle {
        handle_bytes: 8,
        handle_type: FILEID_KERNFS,
        id: id.to_ne_bytes(),
    };
    let handle: *mut KernfsHandle = &raw mut handle;
    // SAFETY: the handle has the layout of `struct file_handle` with as many bytes behind it as
    // `handle_bytes` says, and outlives the call; the descriptor is open.
    let fd = unsafe {
        libc::open_by_handle_at(
            mount.as_raw_fd(),
            handle.cast(),
            libc::O_PATH | libc::O_CLOEXEC | libc::O_DIRECTORY,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
