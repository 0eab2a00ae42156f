//! Events that are written on request, whether or not a rule matches, about real servers and clients.

use anyhow::{Context as _, Result, ensure};
use hydrophone_tests::{Agent, Engine, Event, Options, ordinary, servers};

/// An event that must come: its type, the container at its source, and texts in it.
type Expected = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const EXPECTED: &[Expected] = &[
    (
        "http",
        "client",
        &[
            ("/http/http_method", "GET"),
            ("/http/url", "/etc/hostname?x=1"),
            ("/http/http_user_agent", "event-test"),
            ("/dst_container/name", "nginx"),
            ("/app_proto", "http"),
        ],
    ),
    (
        "fileinfo",
        "nginx",
        &[
            ("/fileinfo/filename", "/etc/hostname"),
            ("/fileinfo/state", "CLOSED"),
            ("/http/url", "/etc/hostname?x=1"),
            ("/dst_container/name", "client"),
        ],
    ),
    (
        "dns",
        "client",
        &[
            ("/dns/queries/0/rrname", "web.test"),
            ("/dns/queries/0/rrtype", "A"),
            ("/dns/type", "request"),
            ("/dst_container/name", "dnsmasq"),
            ("/proto", "UDP"),
        ],
    ),
    (
        "tls",
        "client",
        &[
            ("/tls/sni", "told.example.org"),
            ("/dst_container/name", "nginx"),
        ],
    ),
    (
        "flow",
        "client",
        &[
            ("/app_proto", "http"),
            ("/flow/state", "closed"),
            ("/dst_container/name", "nginx"),
            ("/proto", "TCP"),
        ],
    ),
    (
        "flow",
        "client",
        &[
            ("/app_proto", "dns"),
            ("/dst_container/name", "dnsmasq"),
            ("/proto", "UDP"),
        ],
    ),
];

const REQUESTS: &[&str] = &[
    "curl -sf -o /dev/null -A event-test 'http://{nginx}/etc/hostname?x=1'",
    "dig +short web.test @{dnsmasq}",
    "echo | openssl s_client -connect {nginx}:443 -tls1_2 -servername told.example.org",
];

fn fits(event: &Event, (kind, source, texts): &Expected) -> bool {
    event.text("/event_type") == *kind
        && event.source() == *source
        && texts.iter().all(|(at, text)| event.text(at) == *text)
}

/// All events of a run with these types.
fn run(types: &[&str]) -> Result<Vec<Event>> {
    let engine = Engine::start()?;
    let all = [servers::nginx(&engine)?, servers::dnsmasq(&engine)?];
    let client = engine.run_idle("client", &[])?;
    let options = Options::new(&engine).set("events", "types", types);
    let agent = Agent::start(&options)?;
    ordinary::run(&client, &all.each_ref(), REQUESTS)?;
    agent.settle()?;
    // Flows that are not over are told at the end.
    agent.stop()
}

#[test]
fn what_is_asked_for_is_told_with_both_names() -> Result<()> {
    let events = run(&["flow", "http", "dns", "tls", "fileinfo"])?;
    let of_client = |event: &&Event| event.source() == "client" || event.destination() == "client";
    for expected in EXPECTED {
        let mut found = events.iter().filter(|event| fits(event, expected));
        let shown: Vec<String> = events
            .iter()
            .filter(of_client)
            .map(Event::to_string)
            .collect();
        let first = found
            .next()
            .with_context(|| format!("{expected:?}\n{}", shown.join("\n")))?;
        ensure!(first.at("/flow_id").is_u64(), "{first}");
        ensure!(found.next().is_none(), "twice: {first}");
    }
    // The flow and what was said in it have one number, and it says how much there was.
    let of = |at: usize| {
        let fit = |event: &&Event| EXPECTED.get(at).is_some_and(|it| fits(event, it));
        events.iter().find(fit).context("it was there above")
    };
    let (http, file, flow) = (of(0)?, of(1)?, of(4)?);
    assert_eq!(http.number("/flow_id"), flow.number("/flow_id"));
    assert_eq!(file.number("/flow_id"), flow.number("/flow_id"));
    // Docker calls a container by twelve digits of its id; then a line feed.
    assert_eq!(file.number("/fileinfo/size"), 13, "{file}");
    for direction in ["toserver", "toclient"] {
        assert!(
            flow.number(&format!("/flow/pkts_{direction}")) >= 4,
            "{flow}"
        );
        assert!(
            flow.number(&format!("/flow/bytes_{direction}")) > 200,
            "{flow}"
        );
    }
    let alerts = events.iter().filter(|event| event.is_alert());
    assert_eq!(alerts.count(), 0, "ordinary use");
    Ok(())
}

#[test]
fn only_what_is_asked_for_is_told() -> Result<()> {
    let events = run(&["dns"])?;
    let told = |kind: &str| {
        let mut events = events.iter();
        events.any(|event| event.text("/event_type") == kind)
    };
    assert!(told("dns"));
    for kind in ["http", "tls", "flow", "fileinfo"] {
        assert!(!told(kind), "{kind} was not asked for");
    }
    Ok(())
}
