//! A host of two containers, made of network namespaces that nothing but this process holds: however
//! a test ends, nothing of it stays.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{IpAddr, Shutdown, TcpListener, TcpStream},
    os::fd::{AsFd as _, AsRawFd as _},
    path::PathBuf,
    process,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use hydrophone::{
    census::{LinkMonitor, cgroup::Cgroups, links::covered},
    probe::Probe,
};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Runs a command that must succeed in this thread's namespace, and returns what it printed.
pub(crate) fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let program = words.next().expect("a command");
    let arguments: Vec<&str> = words.collect();
    hydrophone_tests::run(program, &arguments)
        .unwrap_or_else(|error| panic!("{error:#}"))
        .stdout
}

/// A network namespace. It goes with this process, or earlier.
pub(crate) struct NetNs(File);

impl NetNs {
    /// Makes one and moves this thread into it.
    pub(crate) fn enter_new() -> Self {
        #[expect(
            unsafe_code,
            reason = "unshare is unsafe for flags that are not used here"
        )]
        // SAFETY: only the network namespace changes, and only this thread's.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.expect("a network namespace (root)");
        run("ip link set lo up");
        Self(File::open("/proc/thread-self/ns/net").expect("namespace"))
    }

    fn new() -> Self {
        thread::spawn(Self::enter_new).join().expect("namespace")
    }

    /// Runs `action` on a thread inside.
    pub(crate) fn inside<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        let action = || {
            move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("setns");
            action()
        };
        thread::scope(|scope| scope.spawn(action).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// A path by which other processes can name it.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.0.as_raw_fd())
    }
}

/// Containers `a` (198.18.0.1, fd48::1) and `b` (.2) on a bridge of a host (.254), which this thread
/// is on. The host's links are `va` and `vb`.
///
/// One at a time in a process: cgroup hooks see what all of its threads do.
pub(crate) struct Lab {
    _turn: MutexGuard<'static, ()>,
    pub(crate) a: NetNs,
    pub(crate) b: NetNs,
    pub(crate) host: NetNs,
}

impl Lab {
    pub(crate) fn new() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let lab = Self {
            _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner),
            host: NetNs::enter_new(),
            a: NetNs::new(),
            b: NetNs::new(),
        };
        run("ip link add br0 type bridge");
        run("ip addr add 198.18.0.254/24 dev br0");
        run("ip addr add fd48::fe/64 dev br0 nodad");
        run("ip link set br0 up");
        for (number, link, end) in [(1, "va", &lab.a), (2, "vb", &lab.b)] {
            let path = end.path();
            run(&format!(
                "ip link add {link} type veth peer name eth0 netns {path}"
            ));
            run(&format!("ip link set {link} master br0 up"));
            end.inside(|| {
                run(&format!("ip addr add 198.18.0.{number}/24 dev eth0"));
                run(&format!("ip addr add fd48::{number}/64 dev eth0 nodad"));
                run("ip link set eth0 up");
            });
        }
        lab
    }

    /// Hooks both links and tells the kernel what is covered.
    pub(crate) fn hook(&self, probe: &mut Probe) {
        let monitor = LinkMonitor::new().expect("links");
        let links = monitor.links();
        for link in links.values().filter(|link| link.is_container_side()) {
            probe
                .attach_link(link.ifindex, &link.name)
                .unwrap_or_else(|error| panic!("{error}"));
        }
        let covered = covered(links, |ifindex| probe.is_attached(ifindex));
        assert_eq!(covered.len(), 3, "two links and their bridge");
        probe.set_covered(covered).expect("covered");
    }
}

/// `client` connects to `server` at `address`, sends `request` and gets `response`. Returns the
/// client's port.
pub(crate) fn exchange(
    (client, server): (&NetNs, &NetNs),
    address: &str,
    request: &[u8],
    response: &[u8],
) -> u16 {
    exchange_with(client, &listen(server, address), request, response)
}

/// A socket that [`exchange_with`] connects to.
pub(crate) fn listen(server: &NetNs, address: &str) -> TcpListener {
    let address: IpAddr = address.parse().expect("address");
    server.inside(|| TcpListener::bind((address, 0)).expect("bind"))
}

/// As [`exchange`], with a server that listens already.
pub(crate) fn exchange_with(
    client: &NetNs,
    listener: &TcpListener,
    request: &[u8],
    response: &[u8],
) -> u16 {
    let place = listener.local_addr().expect("address");
    let serve = || {
        let (mut stream, _) = listener.accept().expect("accept");
        stream.set_read_timeout(Some(LIMIT)).expect("timeout");
        let mut received = Vec::new();
        stream.read_to_end(&mut received).expect("request");
        assert!(received == request, "the request arrives as it was sent");
        stream.write_all(response).expect("answer");
    };
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&place, LIMIT).expect("connect");
        stream.set_read_timeout(Some(LIMIT)).expect("timeout");
        stream.write_all(request).expect("ask");
        stream.shutdown(Shutdown::Write).expect("end of request");
        let mut received = Vec::new();
        stream.read_to_end(&mut received).expect("response");
        assert!(received == response, "the response arrives as it was sent");
        stream.local_addr().expect("address").port()
    };
    thread::scope(|scope| {
        let serving = scope.spawn(serve);
        let port = client.inside(ask);
        serving.join().expect("server");
        port
    })
}

/// A cgroup with two below it, between which this process moves; removed when dropped.
pub(crate) struct OwnCgroups {
    root: PathBuf,
    pub(crate) path: PathBuf,
}

impl OwnCgroups {
    pub(crate) const CLIENT: &str = "client";
    pub(crate) const SERVER: &str = "server";

    pub(crate) fn new() -> Self {
        let root = Cgroups::find().expect("cgroup2").root().to_owned();
        let path = root.join(format!("hydrophone-test-{}", process::id()));
        for folder in [&path, &path.join(Self::CLIENT), &path.join(Self::SERVER)] {
            fs::create_dir(folder).expect("a cgroup (root)");
        }
        Self { root, path }
    }

    /// Moves this process; sockets that it has stay where they were made.
    pub(crate) fn enter(&self, name: &str) {
        fs::write(self.path.join(name).join("cgroup.procs"), "0").expect("move this process");
    }

    pub(crate) fn id(&self, name: &str) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(self.path.join(name)).expect("cgroup").ino()
    }
}

impl Drop for OwnCgroups {
    fn drop(&mut self) {
        let _ = fs::write(self.root.join("cgroup.procs"), "0");
        for name in [Self::CLIENT, Self::SERVER] {
            let _ = fs::remove_dir(self.path.join(name));
        }
        let _ = fs::remove_dir(&self.path);
    }
}
