//! The probe on real links and sockets: two network namespaces on a bridge of a third. Needs root.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it did not expect; clippy knows only functions marked as tests"
)]

mod lab;
mod sight;

use std::{
    env,
    io::{BufRead as _, BufReader},
    process::{self, Command, Stdio},
    time::Duration,
};

use aya::programs::{SchedClassifier, TcAttachType};
use hydrophone::probe::{AttachMode, LoadOptions, Loaded, sweep_leftovers};
use hydrophone_common::{
    counter::{Counter, Hook, Outcome},
    record::{FLAG_TRUNCATED, SIZE_CLASSES},
};
use hydrophone_tests::wait_for;
use lab::{Lab, NetNs, OwnCgroups, exchange, exchange_with, listen, run};
use sight::{echoes, load, load_with, noise, segments, sights, stream};

/// The ways to attach that this kernel has; the older one always.
fn modes() -> Vec<AttachMode> {
    let mut modes = vec![AttachMode::best(), AttachMode::Clsact];
    modes.dedup();
    modes
}

const LIMIT: Duration = Duration::from_secs(10);

/// Addresses of `b` and of the host, by family.
const FAMILIES: [(&str, &str); 2] = [("198.18.0.2", "198.18.0.254"), ("fd48::2", "fd48::fe")];

fn index(link: &str) -> u32 {
    let shown = run(&format!("ip -o link show dev {link}"));
    let (index, _) = shown.split_once(':').expect("index");
    index.parse().expect("number")
}

fn assert_account(loaded: &Loaded) {
    for (hook, counters) in loaded.counters.read().expect("counters") {
        assert_eq!(counters.unaccounted(), 0, "{}: {counters:?}", hook.name());
        assert_eq!(counters.sum(Outcome::Lost), 0, "{counters:?}");
    }
}

#[test]
fn between_containers_the_senders_link_inspects() {
    let (request, response) = (noise(30_000), noise(100_000));
    for attach in modes() {
        let lab = Lab::new();
        let mut loaded = load(attach);
        lab.hook(&mut loaded.probe);
        for (b, _) in FAMILIES {
            let client = exchange((&lab.a, &lab.b), b, &request, &response);
            let seen = segments(&mut loaded.rings);
            assert!(stream(&seen, client, true) == request, "{attach:?} {b}");
            assert!(stream(&seen, client, false) == response, "{attach:?} {b}");
            assert!(
                seen.iter().all(|sight| sight.hook == Hook::LinkIngress),
                "egress has nothing to add"
            );
            let size = seen.iter().map(|sight| sight.header.captured_length).max();
            assert!(size > Some(16_384), "a GSO packet is one record: {size:?}");
            let last = &seen.last().expect("records").header;
            let ends = [last.source.ifindex, last.destination.ifindex];
            assert!(ends.contains(&index("va")) && ends.contains(&index("vb")));
        }
        let (_, egress) = loaded.counters.read().expect("counters")[1];
        assert!(egress.get(Counter::OtherHook) > 0);
        assert_account(&loaded);
    }
}

#[test]
fn from_the_host_the_receivers_link_inspects() {
    let (request, response) = (noise(3_000), noise(2_000));
    for attach in modes() {
        let lab = Lab::new();
        let mut loaded = load(attach);
        lab.hook(&mut loaded.probe);
        for (b, _) in FAMILIES {
            let client = exchange((&lab.host, &lab.b), b, &request, &response);
            let seen = segments(&mut loaded.rings);
            assert!(stream(&seen, client, true) == request, "{attach:?} {b}");
            assert!(stream(&seen, client, false) == response, "{attach:?} {b}");
            let to_server = |hook| hook == Hook::LinkEgress;
            assert!(
                seen.iter()
                    .all(|sight| to_server(sight.hook) == (sight.ports.0 == client))
            );
        }
        for (_, host) in FAMILIES {
            let client = exchange((&lab.a, &lab.host), host, &request, &response);
            let seen = segments(&mut loaded.rings);
            assert!(stream(&seen, client, true) == request, "{attach:?} {host}");
            assert!(
                stream(&seen, client, false) == response,
                "{attach:?} {host}"
            );
        }
        assert_account(&loaded);
    }
}

#[test]
fn an_uncovered_bridge_hides_nothing() {
    let lab = Lab::new();
    let mut loaded = load(AttachMode::best());
    // Only the receiver's link: what comes from `a` has passed no hook of ours.
    loaded
        .probe
        .attach_link(index("vb"), "vb")
        .expect("attached");
    let request = noise(2_000);
    let client = exchange((&lab.a, &lab.b), "198.18.0.2", &request, b"ok");
    let seen = segments(&mut loaded.rings);
    assert!(stream(&seen, client, true) == request);
    assert_eq!(stream(&seen, client, false), b"ok");
}

#[test]
fn packets_beyond_64_kib_are_cut_not_lost() {
    let lab = Lab::new();
    for link in ["va", "vb", "br0"] {
        run(&format!("ip link set {link} gso_max_size 200000"));
    }
    for end in [&lab.a, &lab.b] {
        end.inside(|| run("ip link set eth0 gso_max_size 200000"));
    }
    let mut loaded = load_with(&LoadOptions {
        capture_budget: 1 << 30,
        ring_bytes: 64 << 20,
        ..LoadOptions::default()
    });
    lab.hook(&mut loaded.probe);
    let request = noise(4 << 20);
    // How much TCP puts into one packet depends on how fast the two ends are scheduled. Such a packet
    // has a jumbo payload option, hence is not among the plain segments.
    let large = wait_for("a packet beyond 64 KiB (BIG TCP)", LIMIT, || {
        exchange((&lab.a, &lab.b), "fd48::2", &request, b"ok");
        Ok(sights(&mut loaded.rings)
            .into_iter()
            .map(|sight| sight.header)
            .find(|header| header.wire_length as usize > SIZE_CLASSES[3]))
    })
    .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(large.captured_length as usize, SIZE_CLASSES[3]);
    assert_ne!(large.flags & FLAG_TRUNCATED, 0);
    assert_account(&loaded);
}

#[test]
fn loopback_and_identity_by_socket_hooks() {
    let lab = Lab::new();
    let own = OwnCgroups::new();
    let (request, response) = (noise(3_000), noise(90_000));
    // What this kernel has, and what older ones have.
    for skb_netns_cookie in [None, Some(false)] {
        let mut loaded = load_with(&LoadOptions {
            skb_netns_cookie,
            ..LoadOptions::default()
        });
        let place = own.path.to_string_lossy();
        loaded.probe.attach_cgroup(&place).expect("attached");
        lab.hook(&mut loaded.probe);
        let mut talk = |client: &NetNs, server: &NetNs, address: &str| {
            own.enter(OwnCgroups::SERVER);
            let listener = listen(server, address);
            own.enter(OwnCgroups::CLIENT);
            let port = exchange_with(client, &listener, &request, &response);
            let seen = segments(&mut loaded.rings);
            assert!(stream(&seen, port, true) == request, "{address}");
            assert!(stream(&seen, port, false) == response, "{address}");
            let sent = seen
                .iter()
                .find(|sight| sight.ports.0 == port && !sight.payload.is_empty())
                .expect("request")
                .header;
            let (source, destination) = (sent.source, sent.destination);
            assert_eq!(source.cgroup_id, own.id(OwnCgroups::CLIENT), "{address}");
            assert_eq!(source.pid, process::id());
            assert_eq!(destination.cgroup_id, own.id(OwnCgroups::SERVER));
            (seen, sent)
        };

        let mut scopes = Vec::new();
        for (end, address) in [
            (&lab.a, "127.0.0.1"),
            (&lab.a, "::1"),
            (&lab.b, "127.0.0.1"),
        ] {
            let (seen, sent) = talk(end, end, address);
            // Before 6.7 the kernel shows a SYN-ACK to the receiver's hook only.
            assert!(
                seen.iter()
                    .all(|sight| sight.hook == Hook::SocketEgress || sight.payload.is_empty())
            );
            assert!(seen.iter().all(|sight| sight.header.scope == sent.scope));
            scopes.push(sent.scope);
        }
        assert_ne!(scopes[0], 0);
        assert_eq!(scopes[0], scopes[1]);
        assert_ne!(scopes[0], scopes[2], "namespaces are told apart");

        let (_, sent) = talk(&lab.a, &lab.b, "198.18.0.2");
        assert_eq!(sent.source.ifindex, index("va"));
        assert_eq!(sent.destination.ifindex, index("vb"));
        let (_, received) = loaded.counters.read().expect("counters")[3];
        assert!(received.get(Counter::IdentityOnly) > 0);
        assert_account(&loaded);
    }
}

/// A filter like those that a network plugin brings: mirrors to the link `copy` what passes `va`.
fn add_filter(place: &str) {
    run(&format!(
        "tc filter add dev va {place} prio 10 protocol all \
         u32 match u32 0 0 action mirred egress mirror dev copy"
    ));
}

/// Packets that the filter has mirrored.
fn mirrored(place: &str) -> u64 {
    let shown = run(&format!("tc -s filter show dev va {place}"));
    let (_, sent) = shown.split_once("Sent ").expect("statistics");
    let packets = sent.split_whitespace().nth(2).expect("packets");
    packets.parse().expect("number")
}

#[test]
fn other_filters_on_the_link_keep_working() {
    for attach in modes() {
        let lab = Lab::new();
        run("tc qdisc add dev va clsact");
        run("ip link add copy type veth peer name sink");
        run("ip link set copy up");
        add_filter("ingress");
        add_filter("egress");
        let works = |when: &str| {
            let before = ["ingress", "egress"].map(mirrored);
            ping(&lab);
            let after = ["ingress", "egress"].map(mirrored);
            assert!(
                after[0] >= before[0] + 3 && after[1] >= before[1] + 3,
                "{attach:?}: {when}"
            );
        };
        works("before");
        let mut loaded = load(attach);
        lab.hook(&mut loaded.probe);
        works("while ours are there");
        assert_eq!(echoes(&mut loaded.rings), [Hook::LinkIngress; 6]);
        loaded.probe.detach_all();
        works("after");
        assert!(
            echoes(&mut loaded.rings).is_empty(),
            "{attach:?} {}",
            attached()
        );
    }
}

/// Three echo requests from `a` to `b`, each answered.
fn ping(lab: &Lab) {
    lab.a.inside(|| run("busybox ping -c 3 -i 0.05 198.18.0.2"));
}

#[test]
fn two_probes_see_the_same() {
    let lab = Lab::new();
    let mut first = load(AttachMode::Clsact);
    let mut second = load(AttachMode::best());
    lab.hook(&mut first.probe);
    lab.hook(&mut second.probe);
    ping(&lab);
    assert_eq!(echoes(&mut first.rings), [Hook::LinkIngress; 6]);
    assert_eq!(echoes(&mut second.rings), [Hook::LinkIngress; 6]);
}

/// What is attached to the lab's links: names of tcx programs, qdiscs and filters.
fn attached() -> String {
    let mut shown = String::new();
    for link in ["va", "vb"] {
        shown += &run(&format!("tc qdisc show dev {link} clsact"));
        for (place, hook) in [
            ("ingress", TcAttachType::Ingress),
            ("egress", TcAttachType::Egress),
        ] {
            shown += &run(&format!("tc filter show dev {link} {place}"));
            if AttachMode::best() == AttachMode::Clsact {
                continue;
            }
            let (_, programs) = SchedClassifier::query_tcx(link, hook).expect("tcx");
            for program in programs {
                shown += program.name_as_str().expect("name");
            }
        }
    }
    shown
}

#[test]
fn nothing_stays_behind() {
    for attach in modes() {
        let lab = Lab::new();
        let before = attached();
        let mut loaded = load(attach);
        lab.hook(&mut loaded.probe);
        assert!(attached().contains("hydro_link_in"));
        assert!(loaded.probe.detach_link(index("va")));
        assert!(!loaded.probe.detach_link(index("va")));
        assert!(attached().contains("hydro_link_in"));
        // A link that has gone takes its hooks along.
        let gone = index("vb");
        run("ip link del vb");
        assert!(loaded.probe.detach_link(gone));
        drop(loaded);
        run("ip link add vb type veth peer name vc");
        assert_eq!(attached(), before, "{attach:?}");
    }
}

#[test]
fn a_killed_agent_leaves_nothing_that_is_not_swept() {
    for attach in modes() {
        let _lab = Lab::new();
        let before = attached();
        let mut child = Command::new(env::current_exe().expect("this test"))
            .args(["--ignored", "--exact", "attach_until_killed", "--nocapture"])
            .env(ATTACH, format!("{attach:?}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("child");
        let output = BufReader::new(child.stdout.take().expect("output"));
        let ready = output
            .lines()
            .map_while(Result::ok)
            .any(|line| line.contains(ATTACHED));
        assert!(ready, "the child attaches");
        assert!(attached().contains("hydro_link_in"));
        child.kill().expect("SIGKILL");
        child.wait().expect("end");
        if attach == AttachMode::Clsact {
            assert!(attached().contains("hydro_link_in"), "filters stay");
            for link in ["va", "vb"] {
                assert_eq!(sweep_leftovers(index(link), link), 2);
                assert_eq!(sweep_leftovers(index(link), link), 0);
            }
        }
        wait_for("the kernel has taken the links down", LIMIT, || {
            Ok((attached() == before).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{attach:?}: {error}\n{}", attached()));
    }
}

const ATTACH: &str = "HYDROPHONE_TEST_ATTACH";
const ATTACHED: &str = "both links are hooked";

#[test]
#[ignore = "a part of a_killed_agent_leaves_nothing_that_is_not_swept, which starts and kills it"]
fn attach_until_killed() {
    let wanted = env::var(ATTACH).expect("set by the other test");
    let attach = modes()
        .into_iter()
        .find(|mode| format!("{mode:?}") == wanted)
        .expect("mode");
    let mut loaded = load(attach);
    for link in ["va", "vb"] {
        loaded
            .probe
            .attach_link(index(link), link)
            .expect("attached");
    }
    println!("{ATTACHED}");
    // Ends when the other test does, should that fail to kill.
    let _ = std::io::stdin().lines().next();
}
