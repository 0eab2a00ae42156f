use std::sync::Arc;

use hydrophone_common::counter::Hook;
use hydrophone_inspect::{LinkType, Process, RawPacket};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    alert::fixtures,
    census::{Identity, UnknownReason, identity::Evidence as IdentityEvidence},
    process::Report,
    telemetry::{Accounting, AlertFigures, SinkFigures},
};

fn naming() -> Naming {
    Naming {
        host: Some("node1".into()),
        cluster: Some("prod".into()),
        ..Naming::of_capture(&config::Census::default())
    }
}

fn line(alert: &Alert, payload_max: usize) -> String {
    let mut out = Vec::new();
    let form = PayloadForm {
        max: payload_max,
        format: PayloadFormat::Printable,
    };
    write_alert(alert, &naming(), form, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn event(alert: &Alert) -> Value {
    serde_json::from_str(&line(alert, 4_096)).unwrap()
}

#[test]
fn a_rule_between_two_containers() {
    let expected = concat!(
        r#"{"timestamp":"2026-11-23T20:23:10.123456+0000","flow_id":77,"in_iface":"veth0","#,
        r#""event_type":"alert","host":"node1","cluster":"prod","src_ip":"172.17.0.2","src_port":43210,"dest_ip":"172.17.0.3","#,
        r#""dest_port":80,"proto":"TCP","direction":"to_server","hook":"link_ingress","#,
        r#""src_container":{"kind":"container","#,
        r#""id":"0000000000000000000000000000000000000000000000000000000000000065","#,
        r#""name":"web","image":"web:1","image_digest":"sha256:00ff","labels":{"tier":"front"},"#,
        r#""service":"shop/web","compose":{"project":"shop","service":"web","number":"1"},"#,
        r#""runtime":"docker","pid":4242,"#,
        r#""cgroup_id":101,"evidence":"cgroup"},"#,
        r#""dst_container":{"kind":"container","#,
        r#""id":"0000000000000000000000000000000000000000000000000000000000000066","#,
        r#""name":"db","image":"db:1","image_digest":"sha256:00ff","labels":{"tier":"front"},"#,
        r#""service":"shop/db","compose":{"project":"shop","service":"db","number":"1"},"#,
        r#""runtime":"docker","pid":4242,"#,
        r#""cgroup_id":102,"evidence":"cgroup"},"#,
        r#""src_process":{"pid":4300,"uid":33,"comm":"curl","certainty":"certain"},"#,
        r#""alert":{"action":"allowed","gid":1,"signature_id":9000001,"rev":2,"#,
        r#""signature":"Shellshock in an HTTP header","category":"web-application-attack","#,
        r#""severity":1,"metadata":{"affected":["bash","busybox"],"mitre_technique_id":["T1190"]},"#,
        r#""references":["cve,2014-6271"]},"attack":["T1190"],"suppressed":0,"#,
        r#""flow":{"pkts_toserver":4,"pkts_toclient":3,"bytes_toserver":500,"bytes_toclient":300,"#,
        r#""start":"2026-11-23T20:23:10.121456+0000"},"#,
        r#""payload_printable":"GET / HTTP/1.1\r\nUser-Agent: () { :;}; .[2J.\r\n","stream":1}"#,
    );
    assert_eq!(line(&fixtures::alert(), 4_096), expected);
}

#[test]
fn every_kind_of_end_is_there() {
    let mut alert = fixtures::alert();
    alert.source = fixtures::host();
    alert.destination = fixtures::UNKNOWN;
    let event = event(&alert);
    assert_eq!(
        event["src_container"],
        json!({"kind": "host", "hostname": "node1", "cgroup_path": "system.slice/ssh.service"})
    );
    assert_eq!(
        event["dst_container"],
        json!({"kind": "unknown", "reason": "address_not_local"})
    );
}

#[test]
fn a_shared_namespace_names_the_others() {
    let mut alert = fixtures::alert();
    alert.source = Identity::Container {
        container: Arc::new(fixtures::container("pause", 7)),
        or: vec![Arc::new(fixtures::container("app", 8))],
        by: IdentityEvidence::Link,
    };
    let end = &event(&alert)["src_container"];
    assert_eq!(end["evidence"], "link");
    assert_eq!(end["or"][0]["name"], "app");
}

#[test]
fn a_container_that_no_runtime_told_of_says_why() {
    let mut container = fixtures::container("", 7);
    container.unknown = Some(UnknownReason::NoRuntimeApi);
    container.gone_since = Some(1_795_465_000);
    let mut alert = fixtures::alert();
    alert.destination = fixtures::identity(container);
    let end = &event(&alert)["dst_container"];
    assert_eq!(end["unknown"], "no_runtime_api");
    assert_eq!(end["gone_since"], 1_795_465_000);
}

#[test]
fn protocols_without_ports() {
    let mut alert = fixtures::alert();
    alert.finding.context.protocol = Some(58);
    alert.finding.context.icmp = Some((128, 0));
    let icmp = event(&alert);
    assert_eq!(icmp["proto"], "IPv6-ICMP");
    assert_eq!(
        (&icmp["icmp_type"], &icmp["icmp_code"]),
        (&json!(128), &json!(0))
    );
    assert!(icmp.get("src_port").is_none() && icmp.get("dest_port").is_none());

    alert.finding.context.icmp = None;
    alert.finding.context.protocol = None;
    assert_eq!(event(&alert)["proto"], "ARP");
    alert.finding.context.protocol = Some(47);
    assert_eq!(event(&alert)["proto"], "047");
}

#[test]
fn behaviours_carry_their_figures() {
    let mut alert = fixtures::alert();
    alert.finding.evidence = Some(fixtures::evidence());
    alert.suppressed = 12;
    let event = event(&alert);
    assert_eq!(event["suppressed"], 12);
    assert_eq!(
        event["behavior"],
        json!({
            "summary": "214 ports of one host in 1.2 s", "count": 230, "targets": 214,
            "first": "2026-11-23T20:23:08.923456+0000", "last": "2026-11-23T20:23:10.123456+0000",
        })
    );
}

#[test]
fn payload_is_bounded_and_can_be_left_out() {
    let alert = fixtures::alert();
    let short: Value = serde_json::from_str(&line(&alert, 5)).unwrap();
    assert_eq!(short["payload_printable"], "GET /");
    let none: Value = serde_json::from_str(&line(&alert, 0)).unwrap();
    assert!(none.get("payload_printable").is_none());
    assert!(none.get("stream").is_none());
}

#[test]
fn payload_and_packet_in_base64_on_request() {
    let mut alert = fixtures::alert();
    let context = &mut alert.finding.context;
    context.payload = (&b"a\xffb"[..]).into();
    context.in_stream = false;
    context.packet = Some(RawPacket {
        link_type: LinkType::Ethernet,
        bytes: (&[0_u8, 1, 2, 0xff][..]).into(),
    });
    let fields = |format| {
        let mut out = Vec::new();
        let form = PayloadForm { max: 3, format };
        write_alert(&alert, &naming(), form, &mut out).unwrap();
        let event: Value = serde_json::from_slice(&out).unwrap();
        [
            "payload",
            "payload_printable",
            "packet",
            "packet_info",
            "stream",
        ]
        .map(|field| event[field].clone())
    };
    let (base64, printable) = (json!("Yf9i"), json!("a.b"));
    let packet = [json!("AAEC/w=="), json!({"linktype": 1}), json!(0)];
    let expect = |format, payload: [&Value; 2]| {
        let [first, second, rest @ ..] = fields(format);
        assert_eq!([&first, &second], payload, "{format:?}");
        assert_eq!(rest, packet);
    };
    expect(PayloadFormat::Printable, [&Value::Null, &printable]);
    expect(PayloadFormat::Base64, [&base64, &Value::Null]);
    expect(PayloadFormat::Both, [&base64, &printable]);
}

#[test]
fn labels_are_bounded_and_the_rest_is_counted() {
    let mut container = fixtures::container("web", 7);
    container.labels = (0..100)
        .map(|n| (format!("label{n:03}"), "x".repeat(10)))
        .collect();
    let mut alert = fixtures::alert();
    alert.source = fixtures::identity(container.clone());
    let end = &event(&alert)["src_container"];
    assert_eq!(end["labels"].as_object().unwrap().len(), LABELS_MAX);
    assert_eq!(end["labels_omitted"], 100 - LABELS_MAX);

    // Long ones leave room for short ones behind them.
    for n in 0..50 {
        let long = format!("label{n:03}");
        container.labels.insert(long, "x".repeat(10_000));
    }
    alert.source = fixtures::identity(container);
    let end = &event(&alert)["src_container"];
    assert_eq!(end["labels"]["label000"], format!("{}…", "x".repeat(512)));
    assert!(end["labels"].get("label049").is_none());
    assert_eq!(end["labels"]["label050"], "x".repeat(10));
}

/// No object has a member twice: readers do not agree which of them counts.
#[test]
fn labels_that_are_the_same_once_they_are_cut_are_one() {
    let mut container = fixtures::container("web", 7);
    container.labels = (0..3)
        .map(|n| (format!("{}{n}", "k".repeat(600)), format!("value{n}")))
        .collect();
    let mut alert = fixtures::alert();
    alert.source = fixtures::identity(container);
    let line = line(&alert, 0);
    assert_eq!(line.matches("kkk…").count(), 1, "{line}");
    assert!(line.contains("value0") && line.contains("\"labels_omitted\":2"));
}

#[test]
fn the_stats_event_shows_the_accounting() {
    let packets = Accounting {
        seen: 100,
        inspected: 60,
        counted: [("budget", 30)].into(),
        lost: [("ring_full", 10)].into(),
    };
    let stats = Stats {
        ledger: None,
        sensor: [("links_hooked", 2)].into(),
        processes: [("events", 5)].into(),
        uptime: 61,
        hooks: [(Hook::LinkIngress.name(), packets)].into(),
        inspect: [("flows", 3)].into(),
        census: [("containers", 2)].into(),
        alert: AlertFigures {
            findings: 5,
            emitted: 3,
            suppressed: 1,
            held: 1,
            ..AlertFigures::default()
        },
        services: crate::alert::ServiceTally::default(),
        sinks: [(
            "stdout".to_owned(),
            SinkFigures {
                written: 3,
                lost: 0,
            },
        )]
        .into(),
    };
    let mut out = Vec::new();
    write_stats(&stats, &naming(), fixtures::NOW, &mut out).unwrap();
    let expected = concat!(
        r#"{"timestamp":"2026-11-23T20:23:10.123456+0000","event_type":"stats","host":"node1","cluster":"prod","stats":{"uptime":61,"#,
        r#""hooks":{"link_ingress":{"seen":100,"inspected":60,"counted":{"budget":30},"#,
        r#""lost":{"ring_full":10},"unaccounted":0}},"inspect":{"flows":3},"sensor":{"links_hooked":2},"census":{"containers":2},"processes":{"events":5},"#,
        r#""alert":{"findings":5,"emitted":3,"suppressed":1,"held":1,"conditions_not_met":0,"storm_evicted":0,"queue_lost":0,"events":0,"events_lost":0},"#,
        r#""services":{"named":{},"others":{"source":0,"destination":0},"none":{"source":0,"destination":0}},"#,
        r#""sinks":{"stdout":{"written":3,"lost":0}}}}"#,
    );
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

const OWNER_LABELS: [&str; 25] = [
    "io.kubernetes.pod.namespace",
    "io.kubernetes.pod.name",
    "io.kubernetes.pod.uid",
    "io.kubernetes.container.name",
    "io.kubernetes.sandbox.id",
    "job-name",
    "app",
    "com.amazonaws.ecs.cluster",
    "com.amazonaws.ecs.task-arn",
    "com.amazonaws.ecs.task-definition-family",
    "com.amazonaws.ecs.task-definition-version",
    "com.amazonaws.ecs.container-name",
    "com.hashicorp.nomad.alloc_id",
    "com.hashicorp.nomad.namespace",
    "com.hashicorp.nomad.job_name",
    "com.hashicorp.nomad.task_group_name",
    "com.hashicorp.nomad.task_name",
    "com.hashicorp.nomad.node_name",
    "com.docker.swarm.service.name",
    "com.docker.swarm.task.name",
    "com.docker.swarm.node.id",
    "com.docker.stack.namespace",
    "com.docker.compose.project",
    "com.docker.compose.service",
    "com.docker.compose.container-number",
];

/// Everything that containers and traffic may choose, as long as can be and all to be escaped.
fn worst() -> Alert {
    let text = "\u{1}".repeat(1_024);
    let owned: BTreeMap<_, _> = OWNER_LABELS
        .iter()
        .map(|key| ((*key).to_owned(), text.clone()))
        .collect();
    let mut container = fixtures::container(&text, 1);
    container.id.clone_from(&text);
    container.image.clone_from(&text);
    container.image_digest.clone_from(&text);
    container.owner = Arc::new(crate::census::Ownership::of_labels(&owned));
    container.labels = (0..64)
        .map(|n| (format!("{n}{text}"), text.clone()))
        .collect();
    let container = Arc::new(container);
    let end = || Identity::Container {
        container: Arc::clone(&container),
        or: vec![Arc::clone(&container); 20],
        by: IdentityEvidence::Link,
    };
    let mut alert = fixtures::alert();
    alert.source = end();
    alert.destination = end();
    alert.finding.context.source.owner.process = Some(fixtures::process(&[1; 16]));
    alert.interface = Some(text.as_str().into());
    alert
}

#[test]
fn an_event_is_never_too_long_for_a_datagram() {
    let mut alert = worst();
    let ends_alone = line(&alert, 1_024);
    assert!(ends_alone.len() < EVENT_MAX, "{}", ends_alone.len());
    let whole: Value = serde_json::from_str(&ends_alone).unwrap();
    assert!(whole.get("reduced").is_none());
    let end = &whole["src_container"];
    let shown = end["labels"].as_object().unwrap().len();
    assert!(shown >= 2 && end["labels_omitted"] == 64 - shown, "{end}");
    assert_eq!(end["or"].as_array().unwrap().len(), OTHERS_MAX);

    // With as much of a transaction as one may have.
    let fields = (0..64).map(|_| {
        let buffer = hydrophone_inspect::protocol::Buffer::DnsQuery;
        (true, buffer, bytes::Bytes::from(vec![1; 1_024]))
    });
    let application = hydrophone_inspect::ApplicationRecord {
        protocol: hydrophone_inspect::protocol::AppProtocol::Ldap,
        transaction: 0,
        fields: fields.collect(),
        numbers: Vec::new(),
    };
    alert.finding.context.application = Some(Arc::new(application));
    let reduced = line(&alert, 1_024);
    assert!(reduced.len() < EVENT_MAX, "{}", reduced.len());
    let event: Value = serde_json::from_str(&reduced).unwrap();
    assert_eq!(event["reduced"], true);
    assert_eq!(event["src_container"]["labels_omitted"], 64);
    assert!(event["src_container"]["name"].as_str().unwrap().len() > 50);
    assert!(event["src_container"].get("kubernetes").is_none());
    assert!(event["alert"]["signature_id"] == 9_000_001 && event.get("app").is_none());
}

fn hostile() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop_oneof![
            any::<char>(),
            prop::sample::select(vec![
                '"',
                '\\',
                '\n',
                '\0',
                '\x1b',
                '\x7f',
                '\u{9b}',
                '\u{202e}',
                '\u{e0041}'
            ]),
        ],
        0..600,
    )
    .prop_map(String::from_iter)
}

proptest! {
    #[test]
    fn any_hostile_text_is_one_line_of_json_that_a_terminal_survives(
        name in hostile(),
        label in hostile(),
        value in hostile(),
        comm in any::<[u8; 16]>(),
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut container = fixtures::container(&name, 7);
        container.image.clone_from(&value);
        container.labels = [(label.clone(), value)].into();
        let mut alert = fixtures::alert();
        alert.source = fixtures::identity(container);
        let process = Process { pid: 1, uid: 2, comm };
        alert.processes = [None, Some(Report::bare(&process))];
        alert.finding.context.payload = payload.into();
        let line = line(&alert, 4_096);
        prop_assert!(!line.chars().any(char::is_control));
        let deceives = line.contains(['\u{202e}', '\u{e0041}']);
        prop_assert!(!deceives);
        let event: Value = serde_json::from_str(&line).unwrap();
        let end = &event["src_container"];
        let shown = end["name"].as_str().unwrap();
        let cut = shown.strip_suffix('…').filter(|start| name.starts_with(*start));
        prop_assert!(shown == name || cut.is_some());
        prop_assert_eq!(end["labels"].as_object().unwrap().len(), 1);
    }
}
