//! Who connects to which Unix socket across the border of a container.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use hydrophone_tests::{Agent, Container, Engine, Event, Options, wait_for};
use rustix::fs::{major, minor};
use serde_json::json;

/// "Socket of a container runtime used by a container".
const RUNTIME_SOCKET: u64 = 30;

/// Asks a runtime's interface for its version, and ends.
const ASK: &str = "
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
client.sendall(b'GET /version HTTP/1.0\\r\\n\\r\\n')
answer = client.recv(65536)
assert b'200 OK' in answer, answer
";

/// Serves one socket: each connection gets an answer and stays open.
const SERVE: &str = "
import os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
server.listen(16)
kept = []
while True:
    client, _ = server.accept()
    client.recv(100)
    client.sendall(b'well')
    kept.append(client)
";

/// Connects, is answered, and stays for so many seconds.
const CONNECT: &str = "
import socket, sys, time
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
client.sendall(b'how?')
assert client.recv(100) == b'well'
time.sleep(int(sys.argv[2]))
";

/// The process whose command line has `part`, in a container or on the host.
fn process(part: &str, container: Option<&Container<'_>>) -> Result<u64> {
    wait_for(part, Duration::from_secs(10), || {
        for entry in fs::read_dir("/proc")? {
            let folder = entry?.path();
            let text = |name: &str| {
                String::from_utf8_lossy(&fs::read(folder.join(name)).unwrap_or_default())
                    .replace('\0', " ")
            };
            let inside = container.is_none_or(|it| text("cgroup").contains(it.id()));
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            if inside
                && text("cmdline").contains(part)
                && let Ok(pid) = name.parse()
            {
                return Ok(Some(pid));
            }
        }
        Ok(None)
    })
}

fn is_at(event: &Event, socket: &Path) -> Result<bool> {
    let metadata = fs::metadata(socket)?;
    let (major, minor) = (major(metadata.dev()), minor(metadata.dev()));
    Ok(event.text("/unix/device") == format!("{major}:{minor}")
        && event.number("/unix/inode") == metadata.ino())
}

fn wait_for_file(path: &Path) -> Result<()> {
    wait_for("the socket is there", Duration::from_secs(10), || {
        Ok(path.exists().then_some(()))
    })
}

#[test]
fn a_container_that_asks_its_runtime_is_told_unless_it_is_allowed() -> Result<()> {
    let engine = Engine::start()?;
    // Under another name, by which nobody would know it.
    let volume = format!("--volume={}:/run/harmless", engine.socket().display());
    let intruder = engine.run_idle("intruder", &[&volume])?;
    let manager = engine.run_idle("manager", &[&volume])?;
    let mut options = Options::new(&engine);
    options.config["local"] = json!({ "runtime_allow": ["name:manager"] });
    let agent = Agent::start(&options)?;

    manager.exec(&["python3", "-c", ASK, "/run/harmless"])?;
    intruder.exec(&["python3", "-c", ASK, "/run/harmless"])?;
    let alert = agent.wait_for("the runtime's socket", |event| {
        event.is_alert() && event.sid() == RUNTIME_SOCKET
    })?;
    assert_eq!(alert.source(), "intruder", "{alert}");
    assert_eq!(alert.text("/src_container/id"), intruder.id());
    assert_eq!(alert.text("/dst_container/kind"), "host", "{alert}");
    assert_eq!(alert.text("/unix/path"), "/run/harmless");
    assert_eq!(alert.text("/unix/runtime"), "docker");
    assert_eq!(alert.text("/unix/seen"), "call");
    ensure!(is_at(&alert, &engine.socket())?, "{alert}");
    assert_eq!(alert.text("/src_process/certainty"), "certain", "{alert}");
    let line = alert.text("/src_process/command_line");
    assert!(line.starts_with("python3 -c "), "{alert}");
    assert!(alert.text("/src_process/executable").contains("/python3"));
    let truth = process(&format!("unix://{}", engine.socket().display()), None)?;
    assert_eq!(alert.number("/dst_process/pid"), truth, "{alert}");
    assert_eq!(alert.text("/dst_process/comm"), "dockerd", "{alert}");
    ensure!(alert.has_attack("T1611"), "{alert}");
    // The allowed one came first.
    assert_eq!(agent.alerts_of(&["manager"]), []);
    assert_eq!(agent.alerts_of(&["intruder"]).len(), 1);
    agent.stop()?;
    Ok(())
}

#[test]
fn two_containers_over_a_shared_volume_are_both_named() -> Result<()> {
    let engine = Engine::start()?;
    let folder = tempfile::tempdir()?;
    let volume = format!("--volume={}:/shared", folder.path().display());
    let elsewhere = format!("--volume={}:/mnt/elsewhere", folder.path().display());
    let mut options = Options::new(&engine);
    options.config["events"] = json!({ "types": ["unix"] });

    let server = engine.run("server", &[&volume], &["python3", "-c", SERVE, "/shared/s"])?;
    let socket = folder.path().join("s");
    wait_for_file(&socket)?;
    let client = engine.run_idle("client", &[&elsewhere])?;
    let earlier = engine.run_idle("earlier", &[&volume])?;
    let connect = ["python3", "-c", CONNECT];
    // One that lasts, from before the agent.
    let mut lasting = earlier.spawn(&[&connect[..], &["/shared/s", "60"]].concat())?;
    process("/shared/s 60", Some(&earlier))?;
    let agent = Agent::start(&options)?;

    // Within one container.
    server.exec(&[&connect[..], &["/shared/s", "0"]].concat())?;
    // From one to the other, by another path.
    client.exec(&[&connect[..], &["/mnt/elsewhere/s", "0"]].concat())?;
    let is_unix = |event: &Event| event.text("/event_type") == "unix";
    let event = agent.wait_for("the connection", |event| {
        is_unix(event) && event.source() == "client"
    })?;
    assert_eq!(event.destination(), "server", "{event}");
    assert_eq!(event.text("/unix/path"), "/mnt/elsewhere/s");
    assert_eq!(event.text("/unix/seen"), "call");
    ensure!(is_at(&event, &socket)?, "{event}");
    assert_eq!(event.text("/src_process/certainty"), "certain", "{event}");
    let truth = process("/shared/s", Some(&server))?;
    assert_eq!(event.number("/dst_process/pid"), truth, "{event}");

    let event = agent.wait_for("the connection from before", |event| {
        is_unix(event) && event.source() == "earlier"
    })?;
    assert_eq!(event.destination(), "server", "{event}");
    assert_eq!(event.text("/unix/seen"), "table", "{event}");
    ensure!(is_at(&event, &socket)?, "{event}");
    let truth = process("/shared/s 60", Some(&earlier))?;
    assert_eq!(event.number("/src_process/pid"), truth, "{event}");

    lasting.kill()?;
    lasting.wait()?;
    let events = agent.stop()?;
    let of_server = events.iter().filter(|event| is_unix(event));
    let sources: Vec<_> = of_server.map(|event| event.source().to_owned()).collect();
    assert!(!sources.iter().any(|name| name == "server"), "{sources:?}");
    assert_eq!(sources.iter().filter(|name| *name == "client").count(), 1);
    Ok(())
}

#[test]
fn connections_of_the_host_are_silent_and_those_to_it_are_not() -> Result<()> {
    let engine = Engine::start()?;
    let folder = tempfile::tempdir()?;
    let volume = format!("--volume={}:/shared", folder.path().display());
    let mut options = Options::new(&engine);
    options.config["events"] = json!({ "types": ["unix"] });
    let client = engine.run_idle("client", &[&volume])?;
    let agent = Agent::start(&options)?;

    let socket = folder.path().join("s");
    let path = socket.to_str().context("path")?;
    let mut server = std::process::Command::new("python3")
        .args(["-c", SERVE, path])
        .spawn()?;
    wait_for_file(&socket)?;
    hydrophone_tests::run("python3", &["-c", CONNECT, path, "0"])?;
    client.exec(&["python3", "-c", CONNECT, "/shared/s", "0"])?;
    let event = agent.wait_for("the connection to the host", |event| {
        event.text("/event_type") == "unix" && event.source() == "client"
    })?;
    assert_eq!(event.text("/dst_container/kind"), "host", "{event}");
    assert_eq!(event.number("/dst_process/pid"), u64::from(server.id()));
    server.kill()?;
    server.wait()?;
    let events = agent.stop()?;
    let between = |event: &&Event| {
        event.text("/event_type") == "unix" && event.text("/src_container/kind") == "host"
    };
    assert_eq!(events.iter().filter(between).count(), 0);
    Ok(())
}
