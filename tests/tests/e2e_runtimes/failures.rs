//! Runtimes that are killed, hang, come back or answer nonsense.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use hydrophone::census::{Identity, RuntimeState, UnknownReason};
use hydrophone_inspect::Owner;
use hydrophone_tests::{Agent, Engine, Options, wait_for};
use rustix::process::Signal;

use crate::{
    containerd::{Containerd, PodOptions},
    pods::{LOG4SHELL, LOG4SHELL_HEADER, SLEEP, WEB},
    watcher::{PATIENCE, Watcher},
};

/// A cgroup like a container's that no runtime has made.
struct Stray(PathBuf);

impl Stray {
    fn new(root: &Path, id: &str) -> Result<Self> {
        let path = root.join(format!("hydrophone-stray-{}", std::process::id()));
        fs::create_dir(&path)?;
        fs::create_dir(path.join(id))?;
        Ok(Self(path.join(id)))
    }
}

impl Drop for Stray {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
        let _ = self.0.parent().map(fs::remove_dir);
    }
}

fn id_of(digit: char) -> String {
    std::iter::repeat_n(digit, 64).collect()
}

fn state(watcher: &Watcher, place: usize) -> RuntimeState {
    let report = watcher.census.runtimes().into_iter().nth(place);
    report.map(|report| report.state).unwrap_or_default()
}

/// Waits until a runtime's state is so.
fn wait_state(watcher: &Watcher, place: usize, so: fn(&RuntimeState) -> bool) -> Result<()> {
    wait_for("the runtime's state changes", PATIENCE, || {
        Ok(so(&state(watcher, place)).then_some(()))
    })
    .with_context(|| format!("{:?}", watcher.census.runtimes()))
}

fn is_reachable(state: &RuntimeState) -> bool {
    matches!(state, RuntimeState::Reachable { .. })
}

fn is_unreachable(state: &RuntimeState) -> bool {
    matches!(state, RuntimeState::Unreachable(_))
}

fn name_by_cgroup(watcher: &Watcher, cgroup_id: u64) -> Result<String> {
    let owner = Owner {
        cgroup_id,
        ..Owner::default()
    };
    match watcher
        .census
        .resolve_now(&owner, [203, 0, 113, 1].into(), 0)
    {
        Identity::Container { container, .. } => Ok(container.name.clone()),
        other => anyhow::bail!("{other:?}"),
    }
}

#[test]
fn a_killed_containerd_is_outlived_and_found_again() -> Result<()> {
    let engine = Engine::start()?;
    let containerd = Containerd::start(&engine)?;
    let pod = containerd.pod("shop", &PodOptions::default())?;
    let web = pod.run("web", &SLEEP)?;
    let watcher = Watcher::start(Vec::new(), vec![containerd.socket()])?;
    let known = watcher.named(&web)?;

    containerd.kill()?;
    wait_state(&watcher, 0, |state| !is_reachable(state))?;
    assert_eq!(name_by_cgroup(&watcher, known.cgroup_id)?, "web");
    let stray = Stray::new(watcher.census.cgroups().root(), &id_of('a'))?;
    let unknown = watcher.find("a container that nobody can tell of", |one| {
        one.id == id_of('a') && one.unknown != Some(UnknownReason::RuntimePending)
    })?;
    assert_eq!(unknown.unknown, Some(UnknownReason::RuntimeUnreachable));
    drop(stray);

    containerd.launch()?;
    wait_state(&watcher, 0, is_reachable)?;
    assert_eq!(watcher.named(&web)?.name, "web");
    let late = pod.run("late", &SLEEP)?;
    assert_eq!(watcher.named(&late)?.name, "late");
    Ok(())
}

#[test]
fn a_killed_docker_is_outlived_and_found_again() -> Result<()> {
    let mut engine = Engine::start()?;
    let socket = engine.socket();
    let watcher = Watcher::start(vec![socket], Vec::new())?;
    let web = engine.run("web", &[], &SLEEP)?;
    let known = watcher.named(web.id())?;
    // It goes with the engine.
    std::mem::forget(web);

    engine.restart()?;
    assert_eq!(name_by_cgroup(&watcher, known.cgroup_id)?, "web");
    let late = engine.run("late", &[], &SLEEP)?;
    assert_eq!(watcher.named(late.id())?.name, "late");
    assert!(is_reachable(&state(&watcher, 0)));
    Ok(())
}

#[test]
fn runtimes_that_hang_hold_nobody_up_and_are_found_again() -> Result<()> {
    let engine = Engine::start()?;
    let containerd = Containerd::start(&engine)?;
    let pod = containerd.pod("shop", &PodOptions::default())?;
    let web = pod.run("web", &SLEEP)?;
    let db = engine.run("db", &[], &SLEEP)?;
    let watcher = Watcher::start(vec![engine.socket()], vec![containerd.socket()])?;
    let (web, db) = (watcher.named(&web)?, watcher.named(db.id())?);

    engine.signal(Signal::STOP)?;
    containerd.signal(Signal::STOP)?;
    let root = watcher.census.cgroups().root().to_owned();
    let stray = Stray::new(&root, &id_of('b'))?;
    // At first it waits for an answer; then it says why there is none.
    let unknown = watcher.find("a container that nobody can tell of", |one| {
        one.id == id_of('b') && one.unknown == Some(UnknownReason::RuntimeUnreachable)
    });
    let hung = [state(&watcher, 0), state(&watcher, 1)];
    let names = [
        name_by_cgroup(&watcher, web.cgroup_id),
        name_by_cgroup(&watcher, db.cgroup_id),
    ];
    engine.signal(Signal::CONT)?;
    containerd.signal(Signal::CONT)?;
    unknown?;
    assert!(hung.iter().all(is_unreachable), "{hung:?}");
    let [web, db] = names;
    assert_eq!((web?.as_str(), db?.as_str()), ("web", "db"));

    watcher.find("both say that they do not know it", |one| {
        one.id == id_of('b') && one.unknown == Some(UnknownReason::NotInRuntime)
    })?;
    drop(stray);
    let late = pod.run("late", &SLEEP)?;
    assert_eq!(watcher.named(&late)?.name, "late");
    let last = engine.run("last", &[], &SLEEP)?;
    assert_eq!(watcher.named(last.id())?.name, "last");
    Ok(())
}

/// A socket that accepts and answers whatever is asked with the same bytes.
fn answer(socket: &Path, bytes: &'static [u8]) -> Result<()> {
    let listener = UnixListener::bind(socket)?;
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 1_024];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(bytes);
        }
    });
    Ok(())
}

#[test]
fn sockets_that_answer_nonsense_or_nothing_are_named_and_spoil_nothing() -> Result<()> {
    let engine = Engine::start()?;
    let containerd = Containerd::start(&engine)?;
    let pod = containerd.pod("shop", &PodOptions::default())?;
    let web = pod.run("web", &SLEEP)?;
    let db = engine.run("db", &[], &SLEEP)?;
    let at = |name: &str| engine.folder().join(name);
    let garbage: [(&str, &'static [u8]); 3] = [
        ("noise.sock", b"\x00\xff\x17nonsense\r\n\r\n"),
        ("closes.sock", b""),
        (
            "json.sock",
            b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n[[[[{}\"",
        ),
    ];
    for (name, bytes) in garbage {
        answer(&at(name), bytes)?;
        answer(&at(&format!("cri-{name}")), bytes)?;
    }
    let _silent = UnixListener::bind(at("silent.sock"))?;
    let _cri_silent = UnixListener::bind(at("cri-silent.sock"))?;
    let names = ["noise.sock", "closes.sock", "json.sock", "silent.sock"];
    let mut docker_sockets: Vec<_> = names.iter().map(|name| at(name)).collect();
    docker_sockets.push(engine.socket());
    let mut cri_sockets: Vec<_> = names
        .iter()
        .map(|name| at(&format!("cri-{name}")))
        .collect();
    cri_sockets.push(containerd.socket());
    let watcher = Watcher::start(docker_sockets, cri_sockets)?;

    assert_eq!(watcher.named(&web)?.name, "web");
    assert_eq!(watcher.named(db.id())?.name, "db");
    for place in [0, 1, 2, 3, 5, 6, 7, 8] {
        wait_state(&watcher, place, is_unreachable)?;
    }
    for place in [4, 9] {
        assert!(is_reachable(&state(&watcher, place)));
    }
    // The runtime comes back at the place where the nonsense was.
    fs::remove_file(at("noise.sock"))?;
    symlink(engine.socket(), at("noise.sock"))?;
    fs::remove_file(at("cri-silent.sock"))?;
    symlink(containerd.socket(), at("cri-silent.sock"))?;
    wait_state(&watcher, 0, is_reachable)?;
    wait_state(&watcher, 8, is_reachable)
}

#[test]
fn an_attack_is_told_with_both_names_while_the_runtime_hangs() -> Result<()> {
    let engine = Engine::start()?;
    let containerd = Containerd::start(&engine)?;
    let server = containerd.pod("server", &PodOptions::default())?;
    let web = server.run("web", &WEB)?;
    let address = server.ipv4(&web)?;
    let client = containerd.pod("client", &PodOptions::default())?;
    let attack = format!(
        "until [ -e /tmp/go ]; do busybox sleep 0.1; done; \
         busybox wget -q -O /dev/null --header '{LOG4SHELL_HEADER}' http://{address}/hostname; \
         exec busybox sleep 1000000"
    );
    let attacker = client.run("attacker", &["busybox", "sh", "-c", &attack])?;
    let pid = client.pid(&attacker)?;
    let sockets = vec![containerd.socket().display().to_string()];
    let agent = Agent::start(&Options::new(&engine).set("census", "cri_sockets", sockets))?;

    containerd.signal(Signal::STOP)?;
    fs::write(format!("/proc/{pid}/root/tmp/go"), "")?;
    let alert = agent.wait_for("the attack", |event| event.sid() == LOG4SHELL);
    containerd.signal(Signal::CONT)?;
    let alert = alert?;
    assert!(alert.is_between("attacker", "web"), "{alert}");
    assert_eq!(alert.text("/src_container/pod/name"), "client", "{alert}");
    agent.stop()?;
    Ok(())
}
