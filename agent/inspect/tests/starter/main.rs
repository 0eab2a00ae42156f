//! Every starter rule has an attack that it must find and a near miss that it must not; attacks are
//! found in whatever form they come, and ordinary traffic is silent.

mod others;
#[path = "../support/mod.rs"]
mod support;
mod variants;
mod web;
mod wire;

use std::{collections::BTreeSet, net::IpAddr, sync::LazyLock};

use hydrophone_inspect::{Inspector, InspectorLimits, rule::STARTER};
use support::{
    Ends, Pipeline,
    frames::{Tcp, icmp, ip, udp},
};
use wire::{Said, client, get, post, question, request, server};

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 18, 0, 3));
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 18, 0, 2));

/// A rule, where its attack goes, the attack and a near miss.
struct Case {
    sid: u32,
    to: (IpAddr, u16),
    attack: Vec<Said>,
    near_miss: Vec<Said>,
}

fn case(sid: u32, port: u16, attack: Vec<Said>, near_miss: Vec<Said>) -> Case {
    Case {
        sid,
        to: (PEER, port),
        attack,
        near_miss,
    }
}

static RULES: LazyLock<std::sync::Arc<hydrophone_inspect::engine::Engine>> =
    LazyLock::new(|| support::engine(STARTER));

fn pipeline() -> Pipeline {
    let mut pipeline = Pipeline::default();
    pipeline.inspector = Inspector::new(std::sync::Arc::clone(&RULES), InspectorLimits::default());
    pipeline
}

/// Sids that a connection raises.
fn connection(to: (IpAddr, u16), said: &[Said]) -> BTreeSet<u32> {
    let mut pipeline = pipeline();
    Talk::begin(&mut pipeline, to, 40_000).say(&mut pipeline, said);
    pipeline.finish();
    pipeline.sids().into_iter().collect()
}

/// An open connection.
struct Talk {
    ends: Ends,
    /// The next sequence numbers of client and server.
    next: (u32, u32),
}

impl Talk {
    fn begin(pipeline: &mut Pipeline, to: (IpAddr, u16), port: u16) -> Self {
        let ends = Ends {
            client: CLIENT,
            server: to.0,
            ports: (port, to.1),
        };
        pipeline.handshake(&ends);
        Self {
            ends,
            next: (1_001, 5_001),
        }
    }

    fn say(&mut self, pipeline: &mut Pipeline, said: &[Said]) {
        let ends = self.ends;
        for piece in said {
            let (from_client, bytes) = match piece {
                Said::Client(bytes) => (true, bytes),
                Said::Server(bytes) => (false, bytes),
            };
            for part in bytes.chunks(1_400) {
                let (asked, answered) = &mut self.next;
                let (from, to, ports, sequence, acknowledgement) = if from_client {
                    (ends.client, ends.server, ends.ports, asked, *answered)
                } else {
                    let ports = (ends.ports.1, ends.ports.0);
                    (ends.server, ends.client, ports, answered, *asked)
                };
                let segment = Tcp {
                    ports,
                    sequence: *sequence,
                    acknowledgement,
                    payload: part,
                    ..Tcp::default()
                };
                pipeline.tcp(from, to, &segment);
                *sequence += u32::try_from(part.len()).unwrap_or(0);
            }
        }
    }
}

/// Sids that a file raises which is sent by FTP in passive mode: the connection for it is there
/// before the command.
fn stored_by_ftp(data: &[u8]) -> BTreeSet<u32> {
    let mut pipeline = pipeline();
    let login = [
        server("220 ready\r\n"),
        client("USER anonymous\r\n"),
        server("230 in\r\n"),
        client("EPSV\r\n"),
        server("229 Entering extended passive mode (|||51201|).\r\n"),
    ]
    .concat();
    let store = [client("STOR x\r\n"), server("150 go\r\n")].concat();
    let mut control = Talk::begin(&mut pipeline, (PEER, 21), 40_000);
    control.say(&mut pipeline, &login);
    let mut transfer = Talk::begin(&mut pipeline, (PEER, 51_201), 40_001);
    control.say(&mut pipeline, &store);
    transfer.say(&mut pipeline, &client(data));
    pipeline.finish();
    pipeline.sids().into_iter().collect()
}

/// Sids that a datagram to the peer raises.
fn datagram(protocol: u8, payload: &[u8]) -> BTreeSet<u32> {
    let mut pipeline = pipeline();
    pipeline.packet(&ip(CLIENT, PEER, protocol, payload));
    pipeline.finish();
    pipeline.sids().into_iter().collect()
}

fn asked(name: &str, kind: u8) -> BTreeSet<u32> {
    datagram(17, &udp(40_000, 53, &question(name, kind)))
}

/// Cases of what is no connection: sid, what the attack raised, what the near miss raised.
fn datagrams() -> Vec<(u32, BTreeSet<u32>, BTreeSet<u32>)> {
    let control = |kind| datagram(1, &icmp(kind, 0, 1, 1, b"abcdefgh"));
    let name = |labels: &[u8]| {
        let head = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0";
        let second = [head, labels, b"\0\x01\0\x01"].concat();
        let mut pipeline = pipeline();
        for message in [question("a", 1), second] {
            pipeline.packet(&ip(CLIENT, PEER, 17, &udp(40_000, 53, &message)));
        }
        pipeline.finish();
        pipeline.sids().into_iter().collect::<BTreeSet<_>>()
    };
    vec![
        (7_000_074, asked("a", 10), asked("a", 1)),
        (7_000_075, control(5), control(8)),
        (7_000_076, control(13), control(8)),
        (
            7_000_077,
            asked("cluster.local", 252),
            asked("cluster.local", 6),
        ),
        (
            7_000_120,
            asked("eth.2miners.com", 1),
            asked("2miners.com.example.org", 1),
        ),
        (
            7_000_122,
            asked("any.any.svc.cluster.local", 33),
            asked("many.any.example.org", 33),
        ),
        (
            7_000_113,
            stored_by_ftp(b"\x7fELF\x02\x01\x01\0\0\0\0\0"),
            stored_by_ftp(b"about \x7fELF"),
        ),
        (7_000_123, name(b"\x01a\xc0\x0e"), name(b"\x01b\0")),
        (7_000_130, name(b"\x01a\xc0\x0c"), name(b"\x01b\0")),
    ]
}

fn cases() -> Vec<Case> {
    web::cases().into_iter().chain(others::cases()).collect()
}

#[test]
fn every_rule_finds_its_attack_and_leaves_its_near_miss() {
    let mut wrong = Vec::new();
    let mut covered = BTreeSet::new();
    for case in cases() {
        let found = connection(case.to, &case.attack);
        if !found.contains(&case.sid) {
            wrong.push(format!("{} misses its attack: {found:?}", case.sid));
        }
        let found = connection(case.to, &case.near_miss);
        if found.contains(&case.sid) {
            wrong.push(format!("{} fires on its near miss", case.sid));
        }
        covered.insert(case.sid);
    }
    for (sid, attack, near_miss) in datagrams() {
        if !attack.contains(&sid) || !near_miss.is_empty() {
            wrong.push(format!("{sid}: {attack:?} and {near_miss:?}"));
        }
        covered.insert(sid);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let all: BTreeSet<u32> = RULES
        .rules()
        .iter()
        .map(|rule| rule.signature.sid)
        .collect();
    assert_eq!(
        all, covered,
        "each rule needs a case here, and each case a rule"
    );
}

/// A near miss must not become a match because only a part of it has arrived.
#[test]
fn near_misses_stay_silent_when_cut_short() {
    for case in cases() {
        let total: usize = case.near_miss.iter().map(length).sum();
        for kept in (0..total).step_by(total / 60 + 1) {
            let mut left = kept;
            let mut said = case.near_miss.clone();
            for piece in &mut said {
                let (Said::Client(bytes) | Said::Server(bytes)) = piece;
                bytes.truncate(left);
                left -= bytes.len();
            }
            let found = connection(case.to, &said);
            assert!(
                !found.contains(&case.sid),
                "sid {} on the first {kept} bytes",
                case.sid
            );
        }
    }
}

fn length(piece: &Said) -> usize {
    let (Said::Client(bytes) | Said::Server(bytes)) = piece;
    bytes.len()
}

#[test]
fn ordinary_requests_are_silent() {
    let agents = [
        "curl/8.5",
        "Mozilla/5.0 (X11; Linux x86_64)",
        "kube-probe/1.31",
        "Go-http-client/1.1",
        "python-requests/2.32",
    ];
    let paths = [
        "/",
        "/healthz",
        "/api/v1/orders?page=2&sort=-date",
        "/static/app.min.js?v=3",
        "/search?q=select+a+union",
        "/search?q=union+select+committee",
        "/shop/a%20b%2fc?name=O%27Brien&or=1",
        "/run?cmd=curl&url=http%3a%2f%2fexample.org",
        "/%7Buser%7D/$count",
    ];
    let bodies = [
        "",
        "{\"user\":\"a\",\"roles\":[\"admin\"]}",
        "a=1&b=%20c",
        "<order id=\"1\"/>",
        "${HOME}/bin",
        "{\"template\":\"${name} of ${service:-web}\",\"device\":\"/dev/tty\"}",
        "INSERT INTO t SELECT a FROM b; -- union all the things",
        "<!DOCTYPE a [<!ENTITY copy \"(c)\">]><a>&copy;</a>",
    ];
    let mut requests = 0;
    for agent in agents {
        for path in paths {
            for body in bodies {
                for method in ["GET", "POST"] {
                    let line = format!("User-Agent: {agent}\r\n");
                    let said = request(method, path, &line, body.as_bytes());
                    let found = connection((PEER, 8080), &said);
                    assert_eq!(found, BTreeSet::new(), "{method} {path} {body}");
                    requests += 1;
                }
            }
        }
    }
    assert!(requests >= 200);
}

#[test]
fn ordinary_sessions_are_silent() {
    let others: Vec<(u16, Vec<Said>)> = vec![
        (22, client("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n")),
        (443, client(wire::client_hello("pool.example.org"))),
        (
            6379,
            client("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n*1\r\n$4\r\nPING\r\n"),
        ),
        (
            6379,
            client("*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$9\r\nmaxmemory\r\n"),
        ),
        (5432, client("Q\0\0\0\x20SELECT program FROM copy_jobs\0")),
        (5432, client("Q\0\0\0\x20COPY t (a, b) FROM STDIN\0")),
        (
            3306,
            client("\x20\0\0\0\x03SELECT * FROM orders WHERE id = 7"),
        ),
        (11_211, client("set key 0 0 5\r\nvalue\r\nget key\r\n")),
        (2379, client("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),
        (
            80,
            [
                get("/"),
                wire::answer("200 OK", "", b"<html>uid=0 (root)</html>"),
            ]
            .concat(),
        ),
        (
            25,
            [
                server("220 mail ESMTP\r\n"),
                client("EHLO web\r\n"),
                server("250 mail\r\n"),
                client("MAIL FROM:<a@web>\r\n"),
                server("250 OK\r\n"),
                client("RCPT TO:<b@mail>\r\n"),
                server("250 OK\r\n"),
                client("DATA\r\n"),
                server("354 go\r\n"),
                client("Subject: totals\r\n\r\nprice ${total}; done\r\n.\r\n"),
                server("250 OK\r\n"),
            ]
            .concat(),
        ),
        (8080, post("/job", "{\"run\":\"v=$(curl -s http://a/v)\"}")),
    ];
    for (port, said) in others {
        assert_eq!(
            connection((PEER, port), &said),
            BTreeSet::new(),
            "port {port}: {said:?}"
        );
    }
}
