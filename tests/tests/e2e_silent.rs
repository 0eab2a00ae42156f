//! Ordinary traffic between real containers, about which nothing must be told.

use anyhow::{Result, ensure};
use hydrophone_tests::{Agent, Container, Engine, Event, Options};

/// Nothing was told about ordinary traffic up to here, and the sensor was not blind: an attack now
/// is told, and is all that is told. Returns the last `stats` event.
fn assert_silent(agent: &Agent, client: &Container<'_>, server: &Container<'_>) -> Result<Event> {
    let header = "User-Agent: () { :;}; /bin/id";
    let url = format!("http://{}/hostname", server.ipv4());
    agent.settle()?;
    client.ask(&url, header)?;
    agent.wait_for("the attack at the end", |event| {
        event.is_between(client.name(), server.name()) && event.signature().contains("Shellshock")
    })?;
    let stats = agent.settle()?;
    let alerts: Vec<Event> = agent.events().into_iter().filter(Event::is_alert).collect();
    ensure!(
        alerts.len() == 1,
        "{} alerts: {alerts:#?}",
        alerts.len() - 1
    );
    Ok(stats)
}

/// Four clients side by side, a connection a request.
const CLIENT: &str = r"
import http.client, sys, threading
server, requests = sys.argv[1], int(sys.argv[2])
done = []
def client():
    for _ in range(requests // 4):
        connection = http.client.HTTPConnection(server)
        connection.request('GET', '/hostname')
        done.append(connection.getresponse().read())
        connection.close()
clients = [threading.Thread(target=client) for _ in range(4)]
for thread in clients: thread.start()
for thread in clients: thread.join()
print(len(done))
";

#[test]
fn ten_thousand_requests_are_no_attack() -> Result<()> {
    let engine = Engine::start()?;
    let web = engine.run_web("web")?;
    let client = engine.run_idle("client", &[])?;
    // Room for all of it: a loss would make the silence worthless.
    let agent = Agent::start(&Options::new(&engine).set("sensor", "ring_size", "64MiB"))?;

    let done = client.exec(&["python3", "-c", CLIENT, web.ipv4(), "10000"])?;
    assert_eq!(done.stdout, "10000");

    let stats = assert_silent(&agent, &client, &web)?;
    assert!(
        stats.number("/stats/inspect/flows_created") >= 10_000,
        "{stats}"
    );
    agent.stop()?;
    Ok(())
}

#[test]
fn bulk_transfer_is_no_attack() -> Result<()> {
    let engine = Engine::start()?;
    let web = engine.run_web("web")?;
    let client = engine.run_idle("client", &[])?;
    let store = engine.run("store", &[], &["iperf3", "--server"])?;
    store.wait_until_listening(5201)?;
    let agent = Agent::start(&Options::new(&engine))?;

    for options in [
        &["-n", "2G"][..],
        &["-n", "2G", "--reverse"],
        &["-n", "50M", "--udp"],
    ] {
        let command = ["iperf3", "--client", store.ipv4()];
        client.exec(&[&command, options, &["--bitrate", "0"]].concat())?;
    }

    let stats = assert_silent(&agent, &client, &web)?;
    let spent = stats.number("/stats/hooks/link_ingress/counted/budget_spent");
    assert!(
        spent > 10_000,
        "beyond its budget a flow is only counted: {stats}"
    );
    agent.stop()?;
    Ok(())
}

/// Asks every server until it has been told to stop. Refused connections are part of it, and so are
/// answers that end in the middle because their server was stopped.
const POLLER: &str = r"
import http.client, os, sys
answered = failed = 0
while not os.path.exists('/tmp/stop'):
    for server in sys.argv[1:]:
        try:
            connection = http.client.HTTPConnection(server, timeout=1)
            connection.request('GET', '/hostname')
            connection.getresponse().read()
            answered += 1
        except (OSError, http.client.HTTPException):
            failed += 1
print(answered, failed)
";

#[test]
fn rolling_restart_is_no_attack() -> Result<()> {
    let engine = Engine::start()?;
    let servers = (1..=4)
        .map(|number| engine.run_web(&format!("web-{number}")))
        .collect::<Result<Vec<_>>>()?;
    let web = engine.run_web("web")?;
    let client = engine.run_idle("client", &[])?;
    let agent = Agent::start(&Options::new(&engine))?;

    let mut command = vec!["python3", "-c", POLLER];
    command.extend(servers.iter().map(Container::ipv4));
    let poller = client.spawn(&command)?;
    for server in &servers {
        engine.docker(&["restart", "--time=0", server.name()])?;
    }
    client.exec(&["busybox", "touch", "/tmp/stop"])?;
    let polled = poller.wait_with_output()?;
    ensure!(polled.status.success(), "{polled:?}");

    assert_silent(&agent, &client, &web)?;
    agent.stop()?;
    Ok(())
}
