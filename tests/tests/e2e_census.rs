//! The census against a real Docker Engine: who is who, while containers come, change and go.

use std::{
    collections::VecDeque,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use hydrophone::census::{
    Census, CensusConfig, Container, Evidence, Identity, LinkEvent, LinkMonitor, RuntimeState,
    Snapshot, UnknownReason, cgroup::tree,
};
use hydrophone_inspect::Owner;
use hydrophone_tests::{Engine, run, wait_for};
use tokio::sync::oneshot;

const PATIENCE: Duration = Duration::from_secs(20);
const SLEEP: [&str; 3] = ["busybox", "sleep", "1000000"];

/// A census, and a thread that follows the runtimes for as long as it is watched.
struct Watcher {
    census: Arc<Census>,
    _end: oneshot::Sender<()>,
}

impl Watcher {
    fn start(docker_sockets: Vec<PathBuf>) -> Result<Self> {
        let census = Arc::new(Census::new(&CensusConfig {
            docker_sockets,
            patience: Duration::from_secs(5),
            ..CensusConfig::default()
        })?);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (end, ended) = oneshot::channel::<()>();
        let followed = Arc::clone(&census);
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = followed.run() => {}
                    _ = ended => {}
                }
            });
        });
        Ok(Self { census, _end: end })
    }

    /// The census, once all that is there is known.
    fn informed(&self) -> Result<&Census> {
        let census = &self.census;
        wait_for("the census is informed", PATIENCE, || {
            Ok(census.is_informed().then_some(()))
        })
        .with_context(|| format!("{:?}", census.runtimes()))?;
        Ok(census)
    }

    fn wait_for(&self, what: &str, done: impl FnMut(&Snapshot) -> bool) -> Result<Arc<Snapshot>> {
        let census = &self.census;
        ensure!(
            census.wait_for(PATIENCE, done),
            "waited in vain: {what}\n{:#?}\n{:?}",
            census.snapshot().containers(),
            census.runtimes(),
        );
        Ok(census.snapshot())
    }

    /// Waits until a container is there and all is known of it.
    fn complete(&self, name: &str) -> Result<Arc<Container>> {
        let is_complete = |container: &Arc<Container>| {
            container.name == name
                && container.pid != 0
                && (container.host_network || !container.links.is_empty())
                && (container.host_network
                    || !container.assigned.is_empty()
                    || container.joins.is_some())
        };
        let snapshot = self.wait_for(name, |snapshot| snapshot.living().iter().any(is_complete))?;
        let found = snapshot
            .living()
            .iter()
            .find(|container| is_complete(container));
        found.cloned().context("it has just been there")
    }
}

fn by_cgroup(cgroup_id: u64) -> Owner {
    Owner {
        cgroup_id,
        ..Owner::default()
    }
}

fn by_link(ifindex: u32) -> Owner {
    Owner {
        ifindex,
        ..Owner::default()
    }
}

fn named(identity: &Identity) -> Result<(&str, Vec<&str>, Evidence)> {
    match identity {
        Identity::Container { container, or, by } => {
            let or = or.iter().map(|other| other.name.as_str()).collect();
            Ok((&container.name, or, *by))
        }
        other => anyhow::bail!("not a container: {other:?}"),
    }
}

const NOWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1));
const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[test]
fn containers_that_run_already_are_known_with_all_that_docker_tells() -> Result<()> {
    let engine = Engine::start()?;
    let labels = [
        "--label=com.docker.compose.project=shop",
        "--label=com.docker.compose.service=front",
        "--label=tier=1",
    ];
    let web = engine.run("web", &labels, &SLEEP)?;
    let guest = engine.run("guest", &["--network=container:web"], &SLEEP)?;
    let host = engine.run("hostnet", &["--network=host"], &SLEEP)?;
    let watcher = Watcher::start(vec![engine.socket()])?;
    let census = watcher.informed()?;
    let runtimes = census.runtimes();
    assert!(
        matches!(&runtimes[0].state, RuntimeState::Reachable { version, .. } if !version.is_empty()),
        "{runtimes:?}"
    );

    let known = watcher.complete("web")?;
    assert_eq!((known.id.as_str(), known.pid), (web.id(), web.pid()));
    assert_eq!(known.image, Engine::IMAGE);
    assert!(known.image_digest.starts_with("sha256:"), "{known:?}");
    assert_eq!(known.labels["tier"], "1");
    let compose = known.owner.compose.as_ref().context("compose")?;
    assert_eq!(
        (compose.project.as_str(), compose.service.as_str()),
        ("shop", "front")
    );
    assert_eq!(known.unknown, None);
    let link = web.link()?;
    assert_eq!(
        known.links.iter().map(|(_, name)| name).collect::<Vec<_>>(),
        [&link]
    );
    let addresses: [IpAddr; 2] = [web.ipv4().parse()?, web.ipv6().parse()?];
    for address in addresses {
        assert!(known.addresses.contains(&address), "{known:?}");
        let identity = census.resolve_now(&Owner::default(), address, 0);
        assert_eq!(named(&identity)?, ("web", vec!["guest"], Evidence::Address));
    }
    let (ifindex, _) = known.links[0];
    let identity = census.resolve_now(&by_link(ifindex), NOWHERE, 0);
    assert_eq!(named(&identity)?, ("web", vec!["guest"], Evidence::Link));

    // Who shares a namespace is told apart by the cgroup, on loopback too.
    let sharer = watcher.complete("guest")?;
    assert_eq!(
        (sharer.netns, sharer.joins.as_deref()),
        (known.netns, Some(web.id()))
    );
    assert_eq!(sharer.pid, guest.pid());
    let identity = census.resolve_now(&by_cgroup(sharer.cgroup_id), LOOPBACK, known.netns_cookie);
    assert_eq!(named(&identity)?, ("guest", vec![], Evidence::Cgroup));
    let identity = census.resolve_now(&Owner::default(), LOOPBACK, known.netns_cookie);
    assert_eq!(
        named(&identity)?,
        ("web", vec!["guest"], Evidence::Namespace)
    );

    let on_host = watcher.complete("hostnet")?;
    assert!(
        on_host.host_network && on_host.links.is_empty(),
        "{on_host:?}"
    );
    assert_eq!(on_host.pid, host.pid());
    let identity = census.resolve_now(&by_cgroup(on_host.cgroup_id), NOWHERE, 0);
    assert_eq!(named(&identity)?, ("hostnet", vec![], Evidence::Cgroup));
    let gateway = census.resolve_now(&Owner::default(), engine.gateway().parse()?, 0);
    assert!(matches!(gateway, Identity::Host(_)), "{gateway:?}");
    Ok(())
}

#[test]
fn containers_that_come_change_and_go_are_followed() -> Result<()> {
    let engine = Engine::start()?;
    let watcher = Watcher::start(vec![engine.socket()])?;
    let census = watcher.informed()?;

    let late = engine.run("late", &[], &SLEEP)?;
    let known = watcher.complete("late")?;
    assert_eq!(known.pid, late.pid());

    engine.docker(&["rename", "late", "renamed"])?;
    let renamed = watcher.complete("renamed")?;
    assert_eq!(
        (renamed.id.as_str(), renamed.cgroup_id),
        (late.id(), known.cgroup_id)
    );

    engine.docker(&["network", "disconnect", Engine::NETWORK, "renamed"])?;
    watcher.wait_for("it has no link any more", |snapshot| {
        snapshot
            .living()
            .iter()
            .any(|one| one.name == "renamed" && one.links.is_empty())
    })?;
    engine.docker(&["network", "connect", Engine::NETWORK, "renamed"])?;
    let again = watcher.complete("renamed")?;
    let (ifindex, _) = again.links[0];
    let address = again.assigned[0];

    let id = late.id().to_owned();
    late.remove()?;
    let snapshot = watcher.wait_for("it has gone", |snapshot| {
        snapshot.gone().iter().any(|gone| gone.id == id)
    })?;
    for (owner, address, by) in [
        (by_cgroup(again.cgroup_id), NOWHERE, Evidence::Cgroup),
        (by_link(ifindex), NOWHERE, Evidence::Link),
        (Owner::default(), address, Evidence::Address),
    ] {
        let identity = census.resolve_now(&owner, address, 0);
        assert_eq!(named(&identity)?, ("renamed", vec![], by));
    }
    let gone = snapshot.gone().iter().find(|gone| gone.id == id);
    let gone = gone.context("it has just been there")?;
    assert!(
        gone.gone_since.is_some() && gone.image == Engine::IMAGE,
        "{gone:?}"
    );
    Ok(())
}

#[test]
fn a_container_that_lives_for_a_moment_is_named() -> Result<()> {
    let engine = Engine::start()?;
    let watcher = Watcher::start(vec![engine.socket()])?;
    let census = watcher.informed()?;
    // It tells its own cgroup and ends; `--rm` removes it at once.
    let shared = [
        "--rm",
        "--volume=/usr:/usr:ro",
        "--network",
        Engine::NETWORK,
    ];
    for number in 0..5 {
        let name = format!("brief{number}");
        let start = ["run", "--name", &name];
        let command = [Engine::IMAGE, "busybox", "true"];
        let arguments = [&start[..], &shared, &command];
        engine.docker(&arguments.concat())?;
        let snapshot = watcher.wait_for(&name, |snapshot| {
            snapshot
                .gone()
                .iter()
                .any(|gone| gone.name == name && gone.cgroup_id != 0)
        })?;
        let gone = snapshot.gone().iter().find(|gone| gone.name == name);
        let cgroup_id = gone.context("it has just been there")?.cgroup_id;
        let identity = census.resolve(&by_cgroup(cgroup_id), NOWHERE, 0);
        assert_eq!(named(&identity)?, (name.as_str(), vec![], Evidence::Cgroup));
    }
    Ok(())
}

#[test]
fn without_a_runtime_containers_have_ids_links_and_addresses() -> Result<()> {
    let engine = Engine::start()?;
    let web = engine.run("web", &[], &SLEEP)?;
    let absent = engine.folder().join("absent.sock");
    let watcher = Watcher::start(vec![absent])?;
    let census = watcher.informed()?;
    let is_web = |container: &Arc<Container>| container.id == web.id();
    let snapshot = watcher.wait_for("the container", |snapshot| {
        snapshot
            .living()
            .iter()
            .any(|one| is_web(one) && !one.links.is_empty())
    })?;
    let known = snapshot
        .living()
        .iter()
        .find(|one| is_web(one))
        .context("web")?;
    assert_eq!(known.unknown, Some(UnknownReason::NoRuntimeApi));
    assert_eq!((known.name.as_str(), known.pid), ("", web.pid()));
    assert!(known.addresses.contains(&web.ipv4().parse()?), "{known:?}");
    assert_eq!(census.runtimes()[0].state, RuntimeState::Absent);
    // Nobody is waited for who will not come.
    let identity = census.resolve(&by_cgroup(known.cgroup_id), NOWHERE, 0);
    assert!(
        matches!(identity, Identity::Container { .. }),
        "{identity:?}"
    );
    Ok(())
}

#[test]
fn a_runtime_that_comes_later_completes_what_was_known() -> Result<()> {
    let engine = Engine::start()?;
    let web = engine.run("web", &[], &SLEEP)?;
    let socket = engine.folder().join("later.sock");
    let watcher = Watcher::start(vec![socket.clone()])?;
    watcher.informed()?;
    std::os::unix::fs::symlink(engine.socket(), &socket)?;
    let known = watcher.complete("web")?;
    assert_eq!((known.id.as_str(), known.unknown), (web.id(), None));
    Ok(())
}

#[test]
fn a_runtime_that_hangs_holds_nobody_up() -> Result<()> {
    let engine = Engine::start()?;
    let web = engine.run("web", &[], &SLEEP)?;
    let socket = engine.folder().join("hangs.sock");
    // Connections wait in its backlog and are never answered.
    let _silent = std::os::unix::net::UnixListener::bind(&socket)?;
    let watcher = Watcher::start(vec![socket, engine.socket()])?;
    let known = watcher.complete("web")?;
    assert_eq!(known.id, web.id());
    Ok(())
}

/// Network namespaces without any runtime, removed when dropped.
struct Namespace(String);

impl Namespace {
    fn new(name: &str) -> Result<Self> {
        let name = format!("{name}{}", std::process::id());
        run("ip", &["netns", "add", &name])?;
        Ok(Self(name))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = run("ip", &["netns", "del", &self.0]) {
            eprintln!("namespace {}: {error:#}", self.0);
        }
    }
}

#[test]
fn links_are_told_as_they_come_and_go() -> Result<()> {
    let mut monitor = LinkMonitor::new()?;
    assert!(monitor.links().values().any(|link| link.name == "lo"));
    let mut told = VecDeque::new();
    let mut next = |wanted: &dyn Fn(&LinkEvent) -> bool| {
        wait_for("the link event", PATIENCE, || {
            told.extend(monitor.drain());
            Ok(std::iter::from_fn(|| told.pop_front()).find(|event| wanted(event)))
        })
    };
    let watcher = Watcher::start(Vec::new())?;
    let namespace = Namespace::new("hydro-census-")?;
    let name = format!("hc{}", std::process::id());
    let peer = format!("hp{}", std::process::id());
    run(
        "ip",
        &[
            "link",
            "add",
            &name,
            "type",
            "veth",
            "peer",
            "name",
            &peer,
            "netns",
            &namespace.0,
        ],
    )?;
    let appeared = next(&|event| matches!(event, LinkEvent::Appeared(link) if link.name == name))?;
    let LinkEvent::Appeared(link) = appeared else {
        anyhow::bail!("{appeared:?}");
    };
    assert!(
        link.is_container_side() && link.peer_nsid.is_some(),
        "{link:?}"
    );
    // Nobody is known behind it; a moment later that is settled.
    let census = &watcher.census;
    let identity = census.resolve(&by_link(link.ifindex), NOWHERE, 0);
    assert_eq!(identity, Identity::Unknown(UnknownReason::LinkUnattributed));

    run("ip", &["link", "set", &name, "up"])?;
    next(
        &|event| matches!(event, LinkEvent::Changed(now) if now.ifindex == link.ifindex && now.up),
    )?;
    run("ip", &["link", "del", &name])?;
    next(
        &|event| matches!(event, LinkEvent::Gone { ifindex, name: gone } if *ifindex == link.ifindex && *gone == name),
    )?;
    Ok(())
}

/// Docker makes both ends on the host, then moves one: the move is announced for the moved end only.
#[test]
fn a_link_leads_to_a_container_as_soon_as_its_other_end_is_moved() -> Result<()> {
    let mut monitor = LinkMonitor::new()?;
    let namespace = Namespace::new("hydro-move-")?;
    let name = format!("hm{}", std::process::id());
    let peer = format!("hn{}", std::process::id());
    run(
        "ip",
        &["link", "add", &name, "type", "veth", "peer", "name", &peer],
    )?;
    monitor.drain();
    let link = |monitor: &LinkMonitor| {
        monitor
            .links()
            .values()
            .find(|link| link.name == name)
            .cloned()
    };
    let before = link(&monitor).context("the link is there")?;
    assert!(!before.is_container_side(), "{before:?}");
    run("ip", &["link", "set", &peer, "netns", &namespace.0])?;
    let events = monitor.drain();
    let after = link(&monitor).context("the link is still there")?;
    assert!(after.is_container_side(), "{after:?}, {events:?}");
    assert!(events.contains(&LinkEvent::Changed(after)), "{events:?}");
    run("ip", &["link", "del", &name])?;
    Ok(())
}

#[test]
fn a_container_cannot_take_anothers_link_or_address() -> Result<()> {
    let engine = Engine::start()?;
    let victim = engine.run("victim", &[], &SLEEP)?;
    let thief = engine.run("thief", &["--cap-add=NET_ADMIN"], &SLEEP)?;
    thief.exec(&[
        "ip",
        "address",
        "add",
        &format!("{}/32", victim.ipv4()),
        "dev",
        "lo",
    ])?;
    let watcher = Watcher::start(vec![engine.socket()])?;
    let census = &watcher.census;
    let (known, other) = (watcher.complete("victim")?, watcher.complete("thief")?);
    let address: IpAddr = victim.ipv4().parse()?;
    assert!(other.addresses.contains(&address), "{other:?}");
    let identity = census.resolve_now(&Owner::default(), address, 0);
    assert_eq!(named(&identity)?, ("victim", vec![], Evidence::Address));
    let identity = census.resolve_now(&by_link(other.links[0].0), address, 0);
    assert_eq!(named(&identity)?, ("thief", vec![], Evidence::Link));
    assert_ne!(known.links, other.links);
    Ok(())
}

#[test]
fn a_host_process_is_the_hosts() -> Result<()> {
    let watcher = Watcher::start(Vec::new())?;
    let census = watcher.informed()?;
    let group = census
        .cgroups()
        .root()
        .join(format!("hydrophone-host-{}", std::process::id()));
    std::fs::create_dir(&group)?;
    let id = tree::id_of(&group)?;
    let identity = census.resolve_now(&by_cgroup(id), NOWHERE, 0);
    std::fs::remove_dir(&group)?;
    let Identity::Host(host) = identity else {
        anyhow::bail!("{identity:?}");
    };
    assert_eq!(
        host.cgroup_path.as_deref().map(Path::new),
        group.file_name().map(Path::new)
    );
    let hostname = Command::new("uname").arg("-n").output()?;
    assert_eq!(*host.hostname, *String::from_utf8(hostname.stdout)?.trim());
    Ok(())
}
