//! Every kind of path between two containers that this machine can make, and those that it cannot.

use std::path::Path;

use anyhow::{Result, bail};

use crate::world::{PORT, SECOND, Way, World, addresses};

/// One kind of path.
pub(crate) struct Row {
    /// As in `docs/paths.md`.
    pub(crate) name: &'static str,
    pub(crate) is_translated: bool,
    pub(crate) make: for<'a> fn(&World<'a>) -> Result<Made<'a>>,
}

pub(crate) enum Made<'a> {
    Way(Box<Way<'a>>),
    /// Why this machine cannot.
    Not(String),
}

impl<'a> Made<'a> {
    fn way(way: Way<'a>) -> Self {
        Self::Way(Box::new(way))
    }
}

const fn plain(name: &'static str, make: for<'a> fn(&World<'a>) -> Result<Made<'a>>) -> Row {
    Row {
        name,
        is_translated: false,
        make,
    }
}

const fn translated(name: &'static str, make: for<'a> fn(&World<'a>) -> Result<Made<'a>>) -> Row {
    Row {
        name,
        is_translated: true,
        make,
    }
}

pub(crate) const ROWS: &[Row] = &[
    plain("bridge", bridge),
    plain("two networks, routed", routed),
    translated("two networks, masqueraded", masqueraded),
    translated("published port", published),
    translated("published port, same network (hairpin)", hairpin),
    translated("own published port (hairpin)", hairpin_to_itself),
    translated("service address by iptables", by_iptables),
    translated("service address by nftables", by_nftables),
    plain("several interfaces", several_interfaces),
    plain("shared namespace, from outside", pod_from_outside),
    plain("shared namespace, loopback", pod_loopback),
    plain("host network, server", host_network_server),
    plain("host network, client", host_network_client),
    plain("macvlan", macvlan),
    plain("ipvlan", ipvlan),
    plain("netkit", netkit),
    plain("VXLAN, inner packet", vxlan),
    translated("service address by IPVS", ipvs),
];

const ICMP_OF_PORT: &str = "a published port has no echo";
const IN_SECOND: &str = "--network=second";

fn bridge<'a>(world: &World<'a>) -> Result<Made<'a>> {
    let client = world.idle("bridge-client", &[])?;
    let server = world.server("bridge-server", &[])?;
    Ok(Made::way(Way::direct(client, server)))
}

fn routed<'a>(world: &World<'a>) -> Result<Made<'a>> {
    let client = world.idle("routed-client", &[])?;
    let server = world.server("routed-server", &[IN_SECOND])?;
    world.rule(&addresses(&server), |to| {
        format!("-t nat -I POSTROUTING -d {to} -j ACCEPT")
    })?;
    Ok(Made::way(Way::direct(client, server)))
}

/// As Docker does by default with all that leaves a network.
fn masqueraded<'a>(world: &World<'a>) -> Result<Made<'a>> {
    let client = world.idle("masqueraded-client", &[])?;
    let server = world.server("masqueraded-server", &[IN_SECOND])?;
    Ok(Made::way(Way::direct(client, server)))
}

fn published<'a>(world: &World<'a>) -> Result<Made<'a>> {
    let client = world.idle("published-client", &[])?;
    let ports = ["--publish=8081:80/tcp", "--publish=8081:80/udp", IN_SECOND];
    let server = world.server("published-server", &ports)?;
    Ok(Made::way(Way {
        without_icmp: Some(ICMP_OF_PORT),
        ..Way::by(client, server, world.gateways()?, 8081)
    }))
}

fn hairpin<'a>(world: &World<'a>) -> Result<Made<'a>> {
    let client = world.idle("hairpin-client", &[])?;
    let ports = ["--publish=8082:80/tcp", "--publish=8082:80/udp"];
    let server = world.server("hairpin-server", &ports)?;
    Ok(Made::way(Way {
        without_icmp: Some(ICMP_OF_PORT),
        ..Way::by(client, server, world.gateways()?, 8082)
    }))
}

fn hairpin_to_itself<'a>(world: &World<'a>) -> Result<Made<'a>> {
    let ports = ["--publish=8083:80/tcp", "--publish=8083:80/udp"];
    let client = world.server("hairpin-itself", &ports)?;
    Ok(Made::way(Way {
        client,
        server: None,
        others: Vec::new(),
        asked: world.gateways()?,
        port: 8083,
        echoes: None,
        without_icmp: Some(ICMP_OF_PORT),
    }))
}

/// As `kube-proxy` does, ports left out: so echoes are translated too.
fn by_iptables<'a>(world: &World<'a>) -> Result<Made<'a>> {
    let client = world.idle("iptables-client", &[])?;
    let server = world.server("iptables-server", &[IN_SECOND])?;
    let services = ["203.0.113.10", "2001:db8::10"].map(str::to_owned);
    let [fourth, sixth] = addresses(&server);
    world.rule(&services, |service| {
        let server = if service.contains(':') {
            &sixth
        } else {
            &fourth
        };
        format!("-t nat -I PREROUTING -d {service} -j DNAT --to-destination {server}")
    })?;
    // The server sees the client's own address.
    world.rule(&addresses(&server), |to| {
        format!("-t nat -I POSTROUTING -d {to} -j ACCEPT")
    })?;
    Ok(Made::way(Way::by(client, server, services, PORT)))
}

fn by_nftables<'a>(world: &World<'a>) -> Result<Made<'a>> {
    let client = world.idle("nftables-client", &[])?;
    let server = world.server("nftables-server", &[IN_SECOND])?;
    let [fourth, sixth] = addresses(&server);
    let rules = format!(
        "table inet service {{
            chain to {{
                type nat hook prerouting priority -110
                ip daddr 203.0.113.20 dnat ip to {fourth}
                ip6 daddr 2001:db8::20 dnat ip6 to {sixth}
            }}
        }}"
    );
    world.engine.on_host("nft", &[rules.as_str()])?;
    let services = ["203.0.113.20", "2001:db8::20"].map(str::to_owned);
    Ok(Made::way(Way::by(client, server, services, PORT)))
}

fn several_interfaces<'a>(world: &World<'a>) -> Result<Made<'a>> {
    let client = world.idle("several-client", &[])?;
    let connect = ["network", "connect", SECOND, client.name()];
    world.engine.docker(&connect)?;
    let server = world.server("several-server", &[IN_SECOND])?;
    Ok(Made::way(Way::direct(client, server)))
}

fn pod_from_outside<'a>(world: &World<'a>) -> Result<Made<'a>> {
    let client = world.idle("pod-asker", &[])?;
    let owner = world.idle("pod-owner", &[])?;
    let server = world.server("pod-server", &["--network=container:pod-owner"])?;
    let asked = addresses(&owner);
    Ok(Made::way(Way {
        echoes: Some("pod-owner".to_owned()),
        others: vec![owner],
        ..Way::by(client, server, asked, PORT)
    }))
}

fn pod_loopback<'a>(world: &World<'a>) -> Result<Made<'a>> {
    let client = world.idle("loopback-client", &[])?;
    let server = world.server("loopback-server", &["--network=container:loopback-client"])?;
    let asked = ["127.0.0.1", "::1"].map(str::to_owned);
    Ok(Made::way(Way {
        echoes: Some("loopback-client".to_owned()),
        ..Way::by(client, server, asked, PORT)
    }))
}

fn host_network_server<'a>(world: &World<'a>) -> Result<Made<'a>> {
    let client = world.idle("hostnet-asker", &[])?;
    let server = world.server_on("hostnet-server", 18_080, &["--network=host"])?;
    Ok(Made::way(Way {
        without_icmp: Some("the host's kernel answers, not the container"),
        ..Way::by(client, server, world.gateways()?, 18_080)
    }))
}

fn host_network_client<'a>(world: &World<'a>) -> Result<Made<'a>> {
    let client = world.idle("hostnet-client", &["--network=host"])?;
    let server = world.server("hostnet-asked", &[])?;
    Ok(Made::way(Way::direct(client, server)))
}

fn macvlan<'a>(world: &World<'a>) -> Result<Made<'a>> {
    without_host_side(world, "macvlan", 3)
}

fn ipvlan<'a>(world: &World<'a>) -> Result<Made<'a>> {
    without_host_side(world, "ipvlan", 4)
}

/// Links that have no end on the host that a classifier could be attached to.
fn without_host_side<'a>(world: &World<'a>, driver: &str, number: u8) -> Result<Made<'a>> {
    let parent = format!("parent{number}");
    let host = |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        world.engine.on_host("ip", &words)
    };
    // A wire of which both ends are on the host.
    host(&format!(
        "link add {parent} type veth peer name wire{number}"
    ))?;
    host(&format!("link set {parent} up"))?;
    host(&format!("link set wire{number} up"))?;
    // Without the driver the kernel says so here; Docker would only fail with its first container.
    if let Err(error) = host(&format!("link add try{number} link {parent} type {driver}")) {
        return Ok(Made::Not(last_line(&error)));
    }
    host(&format!("link del try{number}"))?;
    world.network(driver, driver, number, &[&format!("--opt=parent={parent}")])?;
    let network = format!("--network={driver}");
    let client = world.idle(&format!("{driver}-client"), &[&network])?;
    let server = world.server(&format!("{driver}-server"), &[&network])?;
    Ok(Made::way(Way::direct(client, server)))
}

fn netkit<'a>(world: &World<'a>) -> Result<Made<'a>> {
    match world
        .engine
        .on_host("ip", &["link", "add", "nk0", "type", "netkit"])
    {
        Err(error) => Ok(Made::Not(last_line(&error))),
        Ok(_) => bail!("this kernel has netkit: write the row"),
    }
}

fn ipvs<'a>(_: &World<'a>) -> Result<Made<'a>> {
    if Path::new("/proc/net/ip_vs").exists() {
        bail!("this kernel has IPVS: write the row");
    }
    Ok(Made::Not("the kernel is built without IPVS".to_owned()))
}

/// The tunnel is made inside the containers: its outer packets pass their links.
fn vxlan<'a>(world: &World<'a>) -> Result<Made<'a>> {
    let options = [
        "--cap-add=NET_ADMIN",
        "--sysctl=net.ipv6.conf.default.disable_ipv6=0",
    ];
    let client = world.idle("vxlan-client", &options)?;
    let server = world.server("vxlan-server", &options)?;
    for (number, one, other) in [(1, &client, &server), (2, &server, &client)] {
        let line = format!(
            "/usr/sbin/ip link add vx0 type vxlan id 7 dstport 4789 dev eth0 remote {other} \
             && /usr/sbin/ip address add 192.0.2.{number}/24 dev vx0 \
             && /usr/sbin/ip address add 2001:db8:7::{number}/64 dev vx0 nodad \
             && /usr/sbin/ip link set vx0 up",
            other = other.ipv4(),
        );
        one.shell(&line)?;
    }
    let asked = ["192.0.2.2", "2001:db8:7::2"].map(str::to_owned);
    Ok(Made::way(Way::by(client, server, asked, PORT)))
}

fn last_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let line = text.lines().rfind(|line| !line.trim().is_empty());
    line.unwrap_or_default().trim().to_owned()
}
