//! The harness itself: what the other end-to-end tests stand on.

use std::time::Duration;

use anyhow::Result;
use hydrophone_tests::{Engine, HostLock, HostState, wait_for};

#[test]
fn engine_runs_containers_and_leaves_nothing() -> Result<()> {
    let _lock = HostLock::take()?;
    let before = HostState::read()?;
    let engine = Engine::start()?;
    let folder = engine.folder().to_owned();
    {
        let web = engine.run(
            "web",
            &[],
            &["busybox", "httpd", "-f", "-h", "/usr/share/doc"],
        )?;
        let attacker = engine.run("attacker", &[], &["busybox", "sleep", "1000000"])?;
        assert_eq!(web.id().len(), 64);
        assert!(!web.link()?.is_empty());
        web.wait_until_listening(80)?;
        for address in [web.ipv4().to_owned(), format!("[{}]", web.ipv6())] {
            let url = format!("http://{address}/adduser/copyright");
            let fetched = attacker.exec(&["busybox", "wget", "-q", "-O", "-", &url])?;
            assert!(fetched.stdout.contains("adduser"), "{fetched:?}");
        }
        let scan = attacker.exec(&["nmap", "-sS", "-Pn", "-p", "79-81", web.ipv4()])?;
        assert!(scan.stdout.contains("80/tcp open"), "{scan:?}");
        let scapy =
            attacker.exec(&["python3", "-c", "import scapy.all as s; print(s.IP().ttl)"])?;
        assert_eq!(scapy.stdout, "64", "{scapy:?}");
    }
    drop(engine);
    wait_for(
        "the engine's folder has gone",
        Duration::from_secs(10),
        || Ok((!folder.exists()).then_some(())),
    )?;
    before.wait_until_again()
}
