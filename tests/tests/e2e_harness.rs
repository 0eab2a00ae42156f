//! The harness itself: what the other end-to-end tests stand on.

use std::fs;

use anyhow::Result;
use hydrophone_tests::{Engine, run};

#[test]
fn engine_runs_containers_and_leaves_nothing() -> Result<()> {
    let engine = Engine::start()?;
    let (folder, bridge) = (engine.folder().to_owned(), engine.bridge().to_owned());
    {
        let web = engine.run_web("web")?;
        let attacker = engine.run_idle("attacker", &[])?;
        assert_eq!(web.id().len(), 64);
        assert!(!web.link()?.is_empty());
        for address in [web.ipv4().to_owned(), format!("[{}]", web.ipv6())] {
            let url = format!("http://{address}/hostname");
            let fetched = attacker.exec(&["busybox", "wget", "-q", "-O", "-", &url])?;
            assert!(web.id().starts_with(&fetched.stdout), "{fetched:?}");
        }
        let scan = attacker.exec(&["nmap", "-sS", "-Pn", "-p", "79-81", web.ipv4()])?;
        assert!(scan.stdout.contains("80/tcp open"), "{scan:?}");
        let scapy =
            attacker.exec(&["python3", "-c", "import scapy.all as s; print(s.IP().ttl)"])?;
        assert_eq!(scapy.stdout, "64", "{scapy:?}");
    }
    drop(engine);
    assert!(!folder.exists());
    assert!(
        run("ip", &["link", "show", &bridge]).is_err(),
        "{bridge} is still there"
    );
    let rules = run("iptables-save", &[""; 0])?.stdout;
    assert!(!rules.contains(&bridge), "{rules}");
    let processes = run("ps", &["-eo", "args"])?.stdout;
    let own = |line: &&str| line.contains(&folder.display().to_string());
    assert_eq!(processes.lines().find(own), None);
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    assert_eq!(mounts.lines().find(own), None);
    Ok(())
}
