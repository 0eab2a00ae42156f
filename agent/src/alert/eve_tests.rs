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
        .map(|n| (format!("label{n:03}"), "x".repeat(10_000)))
        .collect();
    let mut alert = fixtures::alert();
    alert.source = fixtures::identity(container);
    let end = &event(&alert)["src_container"];
    assert_eq!(end["labels"].as_object().unwrap().len(), LABELS_MAX);
    assert_eq!(end["labels_omitted"], 100 - LABELS_MAX);
    assert_eq!(end["labels"]["label000"], format!("{}…", "x".repeat(512)));
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
        r#""sinks":{"stdout":{"written":3,"lost":0}}}}"#,
    );
    assert_eq!(String::from_utf8(out).unwrap(), expected);
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
        if name.len() <= 512 {
            prop_assert_eq!(&end["name"], &name);
        } else {
            prop_assert!(end["name"].as_str().unwrap().len() <= 515);
        }
        if label.len() <= 512 {
            prop_assert!(end["labels"].get(&label).is_some());
        }
    }
}
