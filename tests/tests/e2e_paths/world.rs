//! A host with two container networks, and what a path is made with.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use hydrophone_tests::{Container, Engine};

/// The second bridge network.
pub(crate) const SECOND: &str = "second";
/// Where every server listens, inside.
pub(crate) const PORT: u16 = 80;

/// The host.
pub(crate) struct World<'a> {
    pub(crate) engine: &'a Engine,
    script: PathBuf,
}

/// A way from one container to another, as far as asking takes it.
pub(crate) struct Way<'a> {
    pub(crate) client: Container<'a>,
    /// `None` when the client talks to itself.
    pub(crate) server: Option<Container<'a>>,
    /// Containers that must be there and are neither end.
    pub(crate) others: Vec<Container<'a>>,
    /// Addresses that the client asks: IPv4, then IPv6.
    pub(crate) asked: [String; 2],
    pub(crate) port: u16,
    /// Who answers an echo, where that is not the server: a kernel answers for all in its namespace.
    pub(crate) echoes: Option<String>,
    /// Whether echoes take this way, or why not.
    pub(crate) without_icmp: Option<&'static str>,
}

impl<'a> World<'a> {
    pub(crate) fn new(engine: &'a Engine) -> Result<Self> {
        let script = engine.folder().join("talk.py");
        fs::write(&script, include_str!("talk.py"))?;
        let world = Self { engine, script };
        world.network(
            SECOND,
            "bridge",
            1,
            &["--opt=com.docker.network.bridge.name=hydro1"],
        )?;
        // Networks may reach each other here, as they may in a cluster.
        for filter in ["iptables", "ip6tables"] {
            let chain = ["-w", "-I", "DOCKER-USER", "-j", "ACCEPT"];
            if world.engine.on_host(filter, &chain).is_err() {
                let chain = ["-w", "-I", "FORWARD", "-j", "ACCEPT"];
                world.engine.on_host(filter, &chain)?;
            }
        }
        Ok(world)
    }

    /// A network of a driver; `number` tells its addresses apart.
    pub(crate) fn network(
        &self,
        name: &str,
        driver: &str,
        number: u8,
        options: &[&str],
    ) -> Result<()> {
        let subnets = [
            format!("--subnet=198.19.{number}.0/24"),
            format!("--subnet=fd48:7964:7270:{number:x}::/64"),
        ];
        let mut arguments = vec!["network", "create", "--ipv6", "--driver", driver];
        arguments.extend(subnets.iter().map(String::as_str));
        arguments.extend(options);
        arguments.push(name);
        self.engine.docker(&arguments).map(drop)
    }

    /// A container that does nothing by itself, and can talk.
    pub(crate) fn idle(&self, name: &str, options: &[&str]) -> Result<Container<'a>> {
        let volume = format!("--volume={}:/talk.py:ro", self.script.display());
        self.engine
            .run_idle(name, &[&[volume.as_str()], options].concat())
    }

    /// A container that answers.
    pub(crate) fn server(&self, name: &str, options: &[&str]) -> Result<Container<'a>> {
        self.server_on(name, PORT, options)
    }

    pub(crate) fn server_on(
        &self,
        name: &str,
        port: u16,
        options: &[&str],
    ) -> Result<Container<'a>> {
        let volume = format!("--volume={}:/talk.py:ro", self.script.display());
        let port_text = port.to_string();
        let command = ["python3", "/talk.py", "serve", &port_text];
        let options = [&[volume.as_str()], options].concat();
        let server = self.engine.run(name, &options, &command)?;
        server.wait_until_listening(port)?;
        Ok(server)
    }

    /// The host's own address in the first network, IPv4 and IPv6.
    pub(crate) fn gateways(&self) -> Result<[String; 2]> {
        let format = "{{range .IPAM.Config}}{{.Gateway}} {{end}}";
        let network = ["network", "inspect", "--format", format, Engine::NETWORK];
        let said = self.engine.docker(&network)?.stdout;
        let fourth = self.engine.gateway();
        let bridge = [
            "-6",
            "-o",
            "address",
            "show",
            "dev",
            self.engine.bridge(),
            "scope",
            "global",
        ];
        let sixth = self.engine.on_host("ip", &bridge)?.stdout;
        let sixth = sixth
            .split_whitespace()
            .skip_while(|word| *word != "inet6")
            .nth(1)
            .and_then(|address| address.split('/').next())
            .with_context(|| format!("the bridge has no IPv6 address: {said}"))?;
        Ok([fourth, sixth.to_owned()])
    }

    /// Adds a rule to the packet filters of both families.
    pub(crate) fn rule(
        &self,
        addresses: &[String; 2],
        rule: impl Fn(&str) -> String,
    ) -> Result<()> {
        for (filter, address) in ["iptables", "ip6tables"].into_iter().zip(addresses) {
            let rule = rule(address);
            let words: Vec<&str> = ["-w"].into_iter().chain(rule.split(' ')).collect();
            self.engine.on_host(filter, &words)?;
        }
        Ok(())
    }
}

/// Addresses of a container.
pub(crate) fn addresses(container: &Container<'_>) -> [String; 2] {
    [container.ipv4().to_owned(), container.ipv6().to_owned()]
}

impl<'a> Way<'a> {
    /// The client asks the server by its own addresses.
    pub(crate) fn direct(client: Container<'a>, server: Container<'a>) -> Self {
        let asked = addresses(&server);
        Self::by(client, server, asked, PORT)
    }

    pub(crate) fn by(
        client: Container<'a>,
        server: Container<'a>,
        asked: [String; 2],
        port: u16,
    ) -> Self {
        Self {
            client,
            server: Some(server),
            others: Vec::new(),
            asked,
            port,
            echoes: None,
            without_icmp: None,
        }
    }
}
