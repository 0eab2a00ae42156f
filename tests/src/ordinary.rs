//! Ordinary use of the servers, by the clients that Debian packages.

use anyhow::{Context as _, Result};

use crate::{container::Container, servers};

/// Mail, as a program sends it.
const MAIL: &str = "import smtplib, sys
with smtplib.SMTP(sys.argv[1]) as mail:
    mail.sendmail('a@example.org', ['b@example.org'], 'Subject: ${total}\\r\\n\\r\\nrun; it\\r\\n')
";
/// Runs shell lines in a container, in which `{NAME}` is the address of the server of that name.
///
/// # Errors
/// When one ends with another status than 0.
pub fn run<L: AsRef<str>>(
    from: &Container<'_>,
    servers: &[&Container<'_>],
    lines: &[L],
) -> Result<()> {
    for line in lines {
        let mut line = line.as_ref().to_owned();
        for server in servers {
            line = line.replace(&format!("{{{}}}", server.name()), server.ipv4());
        }
        from.shell(&line).with_context(|| line.clone())?;
    }
    Ok(())
}

/// Of web servers and platforms.
#[must_use]
pub fn web() -> Vec<String> {
    [
        "curl -sf http://{nginx}/etc/hostname",
        "curl -sfk --compressed https://{nginx}/etc/hostname",
        "curl -sf -A 'Mozilla/5.0' 'http://{nginx}/etc/hostname?q=select+a+union&x=%7Bid%7D' -H 'Cookie: a=${b}'",
        "busybox wget -q -O /dev/null http://{nginx}/etc/group",
        "curl -sf --http2-prior-knowledge http://{nghttpd}:8080/hostname",
        "curl -sf http://{etcd}:2379/health",
        "curl -sf http://{etcd}:2379/v3/kv/put -d '{\"key\":\"YQ==\",\"value\":\"Yg==\"}'",
        "echo | openssl s_client -connect {nginx}:443 -servername web.example.org",
    ]
    .map(str::to_owned)
    .into()
}

/// Of data stores.
///
/// # Errors
/// When PostgreSQL is not installed.
pub fn data_stores() -> Result<Vec<String>> {
    let psql = format!(
        "{}/psql -q -U nobody -h {{postgres}} postgres",
        servers::postgres_programs()?.display()
    );
    Ok([
        "redis-cli -h {redis} set key value",
        "redis-cli -h {redis} config get maxmemory",
        "redis-cli -h {redis} config set maxmemory 100mb",
        "redis-benchmark -h {redis} -n 2000 -q -t set,get,lpush",
        &format!("{psql} -c 'CREATE TABLE t (a text)' -c \"INSERT INTO t VALUES ('program')\""),
        &format!("printf 'a\\nb\\n' | {psql} -c 'COPY t FROM STDIN' -c 'COPY t TO STDOUT'"),
    ]
    .map(str::to_owned)
    .into())
}

/// Of servers of names, mail and files, and of `sshd`.
///
/// # Errors
/// When `sshd` has no key for its clients.
pub fn names_mail_files_and_shells(sshd: &Container<'_>) -> Result<Vec<String>> {
    let key = sshd.shell("cat /root/.ssh/id")?.stdout;
    let ssh = format!(
        "echo '{key}' > /tmp/id; chmod 600 /tmp/id; ssh -i /tmp/id -o StrictHostKeyChecking=no \
         -o UserKnownHostsFile=/dev/null root@{{sshd}} id"
    );
    Ok([

        "dig +short web.test @{dnsmasq}",
        "dig +short -x 198.18.0.9 @{dnsmasq}",
        "dig +short +tcp web.test AAAA @{dnsmasq}",
        "dig +short _http._tcp.web.test SRV @{dnsmasq}",
        &format!("python3 -c \"{MAIL}\" {{smtp}}"),
        "echo text > /tmp/text; curl -s -T /tmp/text ftp://{ftp}/; curl -s ftp://{ftp}/text",
        "smbclient -N -s /dev/null //{samba}/data -c 'put /tmp/text text; dir; get text /tmp/again'",
        "smbclient -N -s /dev/null -L {samba}",
        &ssh,
        ]
    .map(str::to_owned)
    .into())
}

/// Downloads: packages, what programs of several languages fetch, and bulk.
#[must_use]
pub fn downloads() -> Vec<String> {
    let python = "import urllib.request as u, sys; u.urlopen(\"http://\" + sys.argv[1] + \"/etc/hostname\").read()";
    [
        "curl -sf -o /tmp/x.deb -A 'Debian APT-HTTP/1.3 (2.6.1)' http://{nginx}/tmp/x.deb",
        "curl -sf -o /tmp/x -A 'pip/24.0 {\"installer\":{\"name\":\"pip\"}}' http://{nginx}/tmp/x.tar.gz",
        "curl -sf -o /tmp/x -A 'Go-http-client/1.1' http://{nginx}/etc/hostname",
        "busybox wget -q -O /tmp/x http://{nginx}/tmp/x.tar.gz",
        &format!("python3 -c '{python}' {{nginx}}"),
        "curl -sf -o /tmp/x http://{nginx}/tmp/bulk",
        "curl -sfk -o /tmp/x https://{nginx}/tmp/bulk",
        "for n in 1 2 3 4 5 6 7 8 9; do curl -sf -o /tmp/x -d 'user=a&n='$n http://{nginx}/etc/hostname || true; done",
    ]
    .map(str::to_owned)
    .into()
}
