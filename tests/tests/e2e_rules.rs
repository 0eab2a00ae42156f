//! Rules of the operator's own on real containers: transactions, who the two ends are, and other
//! rules while the agent runs.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use hydrophone_tests::{Agent, Container, Engine, Options};
use rustix::process::Signal;
use serde_json::Value;

fn agent(engine: &Engine, rules: &Path) -> Result<Agent> {
    let path = rules.to_str().context("the path is not UTF-8")?;
    let options = Options::new(engine).set("rules", "files", vec![path]).set(
        "rules",
        "no_default_rules",
        true,
    );
    Agent::start(&options)
}

/// A request for `path` from one container to another.
fn ask(from: &Container<'_>, to: &Container<'_>, path: &str) -> Result<()> {
    let url = format!("http://{}{path}", to.ipv4());
    from.exec(&["busybox", "wget", "-q", "-O", "/dev/null", &url])?;
    Ok(())
}

fn service(name: &str) -> [String; 2] {
    [
        "--label=com.docker.compose.project=shop".to_owned(),
        format!("--label=com.docker.compose.service={name}"),
    ]
}

#[test]
fn rules_ask_what_was_said_and_who_the_two_ends_are() -> Result<()> {
    const RULES: &str = r#"
alert http any any -> any any (msg:"asked of web"; http.uri; content:"/hostname"; http.method; content:"GET"; dst.container.name; content:"web"; sid:9000001; rev:1;)
alert http any any -> any any (msg:"asked of another"; http.uri; content:"/hostname"; dst.container.name; content:"other"; sid:9000002; rev:1;)
alert http $EXTERNAL_NET any -> $HOME_NET any (msg:"from outside the service"; http.uri; content:"/hostname"; sid:9000003; rev:1;)
"#;
    let engine = Engine::start()?;
    let folder = tempfile::tempdir()?;
    let rules = folder.path().join("own.rules");
    fs::write(&rules, RULES)?;
    let web = engine.run_web("web")?;
    let stranger = engine.run_idle("stranger", &[])?;
    let front = engine.run_idle("front", &service("front").each_ref().map(String::as_str))?;
    let back = service("back");
    let back = back.each_ref().map(String::as_str);
    let asks = engine.run_idle("back-1", &back)?;
    let peer = engine.run_idle("back-2", &back)?;
    peer.exec(&["busybox", "sh", "-c", "busybox httpd -p 80 -h /etc"])?;
    peer.wait_until_listening(80)?;
    let agent = agent(&engine, &rules)?;

    ask(&front, &web, "/hostname")?;
    let alert = agent.wait_for("the request to web", |event| {
        event.is_between("front", "web") && event.sid() == 9_000_001
    })?;
    assert_eq!(alert.text("/app_proto"), "http", "{alert}");
    assert_eq!(alert.text("/http/url"), "/hostname", "{alert}");
    assert_eq!(alert.text("/http/http_method"), "GET", "{alert}");
    assert_eq!(alert.text("/dst_container/id"), web.id(), "{alert}");
    assert_eq!(
        alert.text("/src_container/service"),
        "shop/front",
        "{alert}"
    );
    assert_eq!(alert.at("/dst_container/service"), &Value::Null, "{alert}");

    // Replicas of one service are not external to each other; another service is, and so is a
    // stranger that only has the same image.
    ask(&asks, &peer, "/hostname")?;
    ask(&front, &peer, "/hostname")?;
    ask(&stranger, &web, "/hostname")?;
    agent.wait_for("the request of a stranger with the same image", |event| {
        event.is_between("stranger", "web") && event.sid() == 9_000_003
    })?;
    agent.wait_for("the request from another service", |event| {
        event.is_between("front", "back-2") && event.sid() == 9_000_003
    })?;
    agent.settle()?;
    let alerts = agent.alerts_of(&["front", "back-1"]);
    let others = alerts
        .iter()
        .filter(|event| event.sid() == 9_000_002 || event.is_between("back-1", "back-2"));
    assert_eq!(others.count(), 0, "{alerts:?}");
    agent.stop()?;
    Ok(())
}

#[test]
fn other_rules_are_taken_up_and_damaged_ones_are_not() -> Result<()> {
    let rule = |sid: u32, path: &str| {
        format!(
            "alert http any any -> any any (msg:\"{path}\"; http.uri; content:\"{path}\"; sid:{sid}; rev:1;)\n"
        )
    };
    let engine = Engine::start()?;
    let folder = tempfile::tempdir()?;
    let rules = folder.path().join("own.rules");
    fs::write(&rules, rule(9_000_001, "/hostname"))?;
    let web = engine.run_web("web")?;
    let asks = engine.run_idle("asks", &[])?;
    let agent = agent(&engine, &rules)?;
    let told = |sid: u64| {
        agent.wait_for(&format!("sid {sid}"), |event| {
            event.is_between("asks", "web") && event.sid() == sid
        })
    };
    ask(&asks, &web, "/hostname")?;
    told(9_000_001)?;

    fs::write(
        &rules,
        "alert http any any -> any any (http.uri; contnet:\"/x\"; sid:1;)\n",
    )?;
    agent.signal(Signal::HUP)?;
    let complaint = agent.wait_for_log("the place of the error", |line| {
        line.contains("own.rules:1:42")
    })?;
    assert!(complaint.contains("did you mean `content`"), "{complaint}");
    agent.wait_for_log("that the old rules stay", |line| {
        line.contains("stay in force")
    })?;

    // The old ones still work, and the new ones do when they are right.
    fs::write(
        &rules,
        rule(9_000_001, "/hostname") + &rule(9_000_002, "/hosts"),
    )?;
    agent.signal(Signal::HUP)?;
    agent.wait_for_log("that the new rules are loaded", |line| {
        line.contains("rules=2")
    })?;
    // Each inspection thread takes them up at its next tick: asked until then.
    let deadline = Instant::now() + Duration::from_secs(30);
    let found = || {
        agent
            .alerts_of(&["asks"])
            .iter()
            .any(|event| event.sid() == 9_000_002)
    };
    while !found() {
        ensure!(
            Instant::now() < deadline,
            "the new rule is not in force: {}",
            agent.log()
        );
        ask(&asks, &web, "/hosts")?;
    }
    agent.stop()?;
    Ok(())
}
