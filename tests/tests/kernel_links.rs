//! The probe on real links: two network namespaces on a bridge, made and removed by each test. Root.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at what it did not expect; clippy knows only functions marked as tests"
)]

use std::process::Command;

use hydrophone::{
    census::links::{self, Namespace},
    probe::{AttachMode, LoadOptions, Loaded, Probe, RingReader, Shutdown, sweep_leftovers},
};
use hydrophone_common::{
    counter::{Counter, Hook},
    record::Record,
};

/// Runs a command that must succeed, and returns what it printed.
fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let program = words.next().expect("a command");
    let output = Command::new(program)
        .args(words)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error} (cargo xtask setup installs it)"));
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Two namespaces on a bridge; gone when dropped.
struct Lab {
    tag: String,
    subnet: u8,
}

impl Lab {
    fn new(subnet: u8) -> Self {
        let lab = Self {
            tag: format!("hy{subnet}x{}", std::process::id()),
            subnet,
        };
        let Self { tag, .. } = &lab;
        run(&format!("ip link add {tag}br type bridge"));
        run(&format!("ip addr add 198.18.{subnet}.254/24 dev {tag}br"));
        run(&format!("ip link set {tag}br up"));
        for (index, end) in ["a", "b"].into_iter().enumerate() {
            run(&format!("ip netns add {tag}{end}"));
            run(&format!(
                "ip link add {tag}{end} type veth peer name eth0 netns {tag}{end}"
            ));
            run(&format!("ip link set {tag}{end} master {tag}br up"));
            let address = format!("198.18.{subnet}.{}/24", index + 1);
            run(&format!("ip -n {tag}{end} addr add {address} dev eth0"));
            run(&format!("ip -n {tag}{end} link set eth0 up"));
        }
        lab
    }

    fn link(&self, end: &str) -> String {
        format!("{}{end}", self.tag)
    }

    /// Hooks both links and tells the kernel what is covered.
    fn hook(&self, probe: &mut Probe) {
        let namespace = Namespace::read().expect("links");
        for link in links::container_links(&namespace.links) {
            if link.name.starts_with(&self.tag) {
                probe
                    .attach_link(link.ifindex, &link.name)
                    .unwrap_or_else(|error| panic!("{error}"));
            }
        }
        let covered = links::covered(&namespace.links, |ifindex| probe.is_attached(ifindex));
        assert_eq!(covered.len(), 3, "two links and their bridge");
        probe.set_covered(covered).expect("covered");
    }

    /// Three echo requests, each answered, from a namespace (or the host) to 198.18.x.`to`.
    fn ping(&self, from: Option<&str>, to: u8) {
        let inside = from.map_or(String::new(), |end| {
            format!("ip netns exec {}{end} ", self.tag)
        });
        run(&format!(
            "{inside}busybox ping -c 3 -i 0.05 198.18.{}.{to}",
            self.subnet
        ));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // The link first: a namespace takes its own with it only some time later.
        for end in ["a", "b"] {
            let _ = Command::new("ip")
                .args(["link", "del", &self.link(end)])
                .status();
        }
        for end in ["a", "b"] {
            let _ = Command::new("ip")
                .args(["netns", "del", &self.link(end)])
                .status();
        }
        let _ = Command::new("ip")
            .args(["link", "del", &self.link("br")])
            .status();
    }
}

fn load(attach: AttachMode) -> Loaded {
    let shutdown = Shutdown::new().expect("eventfd");
    let options = LoadOptions {
        attach,
        ..LoadOptions::default()
    };
    Probe::load(&options, &shutdown).unwrap_or_else(|error| panic!("{error}"))
}

/// The hooks that recorded ICMP echo packets, one entry a record.
fn echoes(rings: &mut [RingReader]) -> Vec<Hook> {
    let mut hooks = Vec::new();
    for ring in rings {
        while ring.next(|raw| {
            let record = Record::decode(raw).unwrap_or_else(|error| panic!("{error}"));
            let at = usize::try_from(record.header.l3_offset).expect("small");
            let network = record.bytes.get(at..).unwrap_or_default();
            if matches!(network, [0x45, ..]) && network.get(9) == Some(&1) {
                hooks.push(record.hook);
            }
        }) {}
    }
    hooks
}

#[test]
fn each_packet_is_inspected_once() {
    for (attach, subnet) in [(AttachMode::Tcx, 1), (AttachMode::Clsact, 2)] {
        let lab = Lab::new(subnet);
        let Loaded {
            mut probe,
            mut rings,
            counters,
            ..
        } = load(attach);
        lab.hook(&mut probe);
        lab.ping(Some("a"), 2);
        assert_eq!(
            echoes(&mut rings),
            [Hook::LinkIngress; 6],
            "{attach:?}: between containers"
        );
        lab.ping(None, 1);
        let mut hooks = echoes(&mut rings);
        hooks.sort_by_key(|hook| *hook as u8);
        let ingress = [Hook::LinkIngress; 3];
        let egress = [Hook::LinkEgress; 3];
        assert_eq!(
            hooks,
            [ingress, egress].concat(),
            "{attach:?}: the host asks a container"
        );
        for (hook, counters) in counters.read().expect("counters") {
            assert_eq!(counters.unaccounted(), 0, "{}", hook.name());
        }
        let (_, at_egress) = counters.read().expect("counters")[1];
        assert!(at_egress.get(Counter::OtherHook) >= 6);
    }
}

#[test]
fn other_programs_on_the_link_keep_working() {
    for (attach, subnet) in [(AttachMode::Tcx, 3), (AttachMode::Clsact, 4)] {
        let lab = Lab::new(subnet);
        // A second probe stands for somebody else's classifier: a filter on a clsact qdisc.
        let mut other = load(AttachMode::Clsact);
        lab.hook(&mut other.probe);
        let rises = |when: &str| {
            let seen = || {
                let (_, at_ingress) = other.counters.read().expect("counters")[0];
                at_ingress.get(Counter::Seen)
            };
            let before = seen();
            lab.ping(Some("a"), 2);
            assert!(seen() >= before + 6, "{attach:?}, {when}");
        };
        rises("before");
        let mut ours = load(attach);
        lab.hook(&mut ours.probe);
        rises("while ours is there");
        assert_eq!(
            echoes(&mut ours.rings).len(),
            6,
            "{attach:?}: ours sees them too"
        );
        drop(ours);
        rises("after");
    }
}

#[test]
fn a_clsact_of_ours_goes_and_leftovers_are_swept() {
    let lab = Lab::new(5);
    let link = lab.link("a");
    let mut loaded = load(AttachMode::Clsact);
    lab.hook(&mut loaded.probe);
    assert!(run(&format!("tc filter show dev {link} ingress")).contains("link_ingress"));
    // What a killed agent leaves: filters that nobody owns.
    assert_eq!(sweep_leftovers(&link), 2);
    assert!(!run(&format!("tc filter show dev {link} ingress")).contains("link_ingress"));
    drop(loaded);
    for end in ["a", "b"] {
        let shown = run(&format!("tc qdisc show dev {}", lab.link(end)));
        assert!(!shown.contains("clsact"), "{shown}");
    }
    assert_eq!(sweep_leftovers(&link), 0);
}
