//! Every kind of path between two containers × TCP, UDP, ICMP × IPv4, IPv6: both ends named right, one
//! flow, one alert. Who is at the ends is known from Docker, not from the agent.
//!
//! What this machine cannot make is printed with the reason, never passed over; `docs/paths.md` has
//! the table.

mod rows;
mod world;

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use hydrophone_tests::{Agent, Container, Engine, Event, Options};

use rows::{Made, ROWS, Row};
use world::{Way, World};

const RULES: &str = r#"
alert tcp any any -> any any (msg:"probe by TCP"; content:"hydro-probe"; sid:9000001; rev:1;)
alert udp any any -> any !4789 (msg:"probe by UDP"; content:"hydro-probe"; sid:9000002; rev:1;)
alert icmp any any -> any any (msg:"probe by ICMP"; itype:8; content:"hydro-probe"; sid:9000003; rev:1;)
alert icmp any any -> any any (msg:"probe by ICMPv6"; itype:128; content:"hydro-probe"; sid:9000004; rev:1;)
"#;
const PROTOCOLS: [&str; 3] = ["tcp", "udp", "icmp"];
/// Source ports, one each for what is asked.
const MARKS: u16 = 21_000;

/// One conversation that took place.
struct Case {
    row: &'static Row,
    /// E.g. `tcp/4`.
    kind: String,
    protocol: &'static str,
    mark: u16,
    /// Name and id of the two ends.
    client: (String, String),
    server: (String, String),
}

impl Case {
    fn text(&self) -> String {
        format!("hydro-probe {};", self.mark)
    }
}

/// What of the table one cell is.
struct Cell {
    row: &'static str,
    kind: String,
    outcome: std::result::Result<(), String>,
    /// Nothing was tried, for the reason given.
    is_left_out: bool,
}

/// Where the kernel does not tell, both views must have come before the finding: one ring keeps their
/// order.
fn agent(engine: &Engine, rules: &Path, rings: u32) -> Result<Agent> {
    fs::write(rules, RULES)?;
    let path = rules.to_str().context("the path is not UTF-8")?;
    let options = Options::new(engine)
        .set("rules", "files", vec![path])
        .set("rules", "no_default_rules", true)
        .set("sensor", "rings", rings)
        .set("alert", "storm", serde_json::json!({"limit": 0}))
        .set("events", "types", vec!["flow"]);
    Agent::start(&options)
}

fn end(container: &Container<'_>) -> (String, String) {
    (container.name().to_owned(), container.id().to_owned())
}

/// Asks in every way that there is. Each must be answered: else there is no path to be judged.
fn talk(
    row: &'static Row,
    way: &Way<'_>,
    mark: &mut u16,
    cells: &mut Vec<Cell>,
) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let server = way.server.as_ref().unwrap_or(&way.client);
    for (family, address) in ["4", "6"].into_iter().zip(&way.asked) {
        for protocol in PROTOCOLS {
            let kind = format!("{protocol}/{family}");
            if let Some(reason) = way.without_icmp.filter(|_| protocol == "icmp") {
                cells.push(Cell {
                    row: row.name,
                    kind,
                    outcome: Err(reason.to_owned()),
                    is_left_out: true,
                });
                continue;
            }
            *mark += 1;
            let mut case = Case {
                row,
                kind,
                protocol,
                mark: *mark,
                client: end(&way.client),
                server: end(server),
            };
            if let Some(echoes) = way.echoes.as_ref().filter(|_| protocol == "icmp") {
                let answering = way.others.iter().chain([&way.client]);
                let mut answering = answering.filter(|one| one.name() == echoes);
                case.server = end(answering.next().context("who echoes?")?);
            }
            let (text, port, mark) = (case.text(), way.port.to_string(), case.mark.to_string());
            way.client
                .exec(&[
                    "python3", "/talk.py", "ask", protocol, address, &port, &text, &mark,
                ])
                .with_context(|| format!("{}, {}", row.name, case.kind))?;
            cases.push(case);
        }
    }
    Ok(cases)
}

/// Whether the two ends of an event are the containers that they should be.
fn named(event: &Event, case: &Case) -> Result<()> {
    for (place, (name, id)) in [("src", &case.client), ("dst", &case.server)] {
        let said = event.text(&format!("/{place}_container/name"));
        let is_right = said == name && event.text(&format!("/{place}_container/id")) == id;
        ensure!(is_right, "{place} is {said:?}, not {name:?}: {event}");
    }
    Ok(())
}

/// The flow events of a case: for TCP and UDP those that have its source port in either tuple, for
/// ICMP, which has none, those of the alert's flow.
fn flows<'e>(events: &'e [Event], case: &Case, alert: &Event) -> Vec<&'e Event> {
    let is_of_case = |event: &&Event| {
        if case.protocol == "icmp" {
            return event.number("/flow_id") == alert.number("/flow_id");
        }
        let ports = [
            "/src_port",
            "/nat/original/src_port",
            "/nat/translated/src_port",
        ];
        event.text("/proto").eq_ignore_ascii_case(case.protocol)
            && ports
                .iter()
                .any(|port| event.number(port) == u64::from(case.mark))
    };
    let flows = events
        .iter()
        .filter(|event| event.text("/event_type") == "flow");
    flows.filter(is_of_case).collect()
}

fn judge(events: &[Event], case: &Case, by: &str) -> Result<()> {
    let text = case.text();
    let is_of_case =
        |event: &&Event| event.is_alert() && event.text("/payload_printable").contains(&text);
    let alerts: Vec<&Event> = events.iter().filter(is_of_case).collect();
    let [alert] = alerts.as_slice() else {
        bail!("{} alerts: {alerts:#?}", alerts.len());
    };
    named(alert, case)?;
    let is_translated = !alert.at("/nat").is_null();
    ensure!(is_translated == case.row.is_translated, "nat: {alert}");
    let is_in_tunnel = !alert.at("/tunnel").is_null();
    ensure!(
        is_in_tunnel == case.row.name.starts_with("VXLAN"),
        "tunnel: {alert}"
    );
    let is_known_by = !is_translated || alert.text("/nat/by") == by;
    ensure!(is_known_by, "not known by {by}: {alert}");
    let flows = flows(events, case, alert);
    let [flow] = flows.as_slice() else {
        bail!("{} flows: {flows:#?}", flows.len());
    };
    ensure!(
        flow.number("/flow_id") == alert.number("/flow_id"),
        "another flow: {flow}"
    );
    named(flow, case)
}

#[test]
fn both_ends_are_named_and_one_flow_and_one_alert_told_on_every_path() -> Result<()> {
    walk("conntrack", |_| true)
}

#[test]
fn translation_is_known_by_how_connections_begin_where_the_kernel_does_not_tell() -> Result<()> {
    walk("sequence", |row| row.is_translated)
}

/// Walks paths of one host. `by` is how translations are known.
fn walk(by: &str, wanted: impl Fn(&Row) -> bool) -> Result<()> {
    let engine = Engine::start_apart()?;
    let world = World::new(&engine)?;
    if by == "sequence" {
        let silence = "echo 0 > /proc/sys/net/netfilter/nf_conntrack_events";
        engine.on_host("sh", &["-ec", silence])?;
    }
    let folder = tempfile::tempdir()?;
    let rings = u32::from(by == "sequence");
    let agent = agent(&engine, &folder.path().join("own.rules"), rings)?;
    let (mut cases, mut cells, mut ways) = (Vec::new(), Vec::new(), Vec::new());
    let mut mark = MARKS;
    let only = std::env::var("HYDROPHONE_PATH").unwrap_or_default();
    for row in ROWS
        .iter()
        .filter(|row| wanted(row) && row.name.contains(&only))
    {
        let made = (row.make)(&world).and_then(|made| {
            if let Made::Way(way) = &made {
                cases.extend(talk(row, way, &mut mark, &mut cells)?);
            }
            Ok(made)
        });
        match made {
            Ok(Made::Way(way)) => ways.push(way),
            Err(error) => cells.push(Cell {
                row: row.name,
                kind: "all".to_owned(),
                outcome: Err(format!("{error:#}")),
                is_left_out: false,
            }),
            Ok(Made::Not(reason)) => cells.push(Cell {
                row: row.name,
                kind: "all".to_owned(),
                outcome: Err(reason),
                is_left_out: true,
            }),
        }
    }
    // It tells all that it has seen before it ends.
    let events = agent.stop()?;
    cells.extend(cases.iter().map(|case| Cell {
        row: case.row.name,
        kind: case.kind.clone(),
        outcome: judge(&events, case, by).map_err(|error| format!("{error:#}")),
        is_left_out: false,
    }));
    report(&cells)
}

/// Prints the table; fails if any cell that was tried is wrong.
fn report(cells: &[Cell]) -> Result<()> {
    let mut wrong = Vec::new();
    for row in ROWS {
        for cell in cells.iter().filter(|cell| cell.row == row.name) {
            let word = match (&cell.outcome, cell.is_left_out) {
                (Ok(()), _) => "right".to_owned(),
                (Err(reason), true) => format!("NOT MADE: {reason}"),
                (Err(reason), false) => {
                    wrong.push(format!("{}, {}: {reason}", cell.row, cell.kind));
                    "WRONG".to_owned()
                }
            };
            println!("{:45} {:7} {word}", cell.row, cell.kind);
        }
    }
    let right = cells.iter().filter(|cell| cell.outcome.is_ok()).count();
    let left_out = cells.iter().filter(|cell| cell.is_left_out).count();
    println!("{right} right, {} wrong, {left_out} not made", wrong.len());
    ensure!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    ensure!(right > 0, "nothing was tried");
    Ok(())
}
