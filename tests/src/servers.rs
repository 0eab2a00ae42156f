//! Servers that Debian packages, each in a container of its own, as little configured as works.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};

use crate::{container::Container, engine::Engine};

/// A container that runs a shell script to its end.
fn script<'a>(
    engine: &'a Engine,
    name: &str,
    options: &[&str],
    port: u16,
    script: &str,
) -> Result<Container<'a>> {
    let server = engine.run(name, options, &["busybox", "sh", "-ec", script])?;
    if let Err(error) = server.wait_until_listening(port) {
        let said = engine.docker(&["logs", name])?;
        return Err(error.context(format!("{}\n{}", said.stdout, said.stderr)));
    }
    Ok(server)
}

/// Shell lines that make a key and a certificate in `/tmp`.
fn certificate(subject: &str) -> String {
    format!(
        "printf '[req]\ndistinguished_name=d\n[d]\n' > /tmp/config
         openssl req -config /tmp/config -x509 -newkey rsa:2048 -nodes -subj '{subject}' \
         -keyout /tmp/key -out /tmp/cert 2>/dev/null\n"
    )
}

/// nginx, badly configured: all of the container's files, compressed where a client likes it.
///
/// # Errors
/// When it does not come up; with what it wrote.
pub fn nginx(engine: &Engine) -> Result<Container<'_>> {
    const CONFIG: &str = r#"
mkdir -p /run/secrets/kubernetes.io/serviceaccount
echo eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl \
    > /run/secrets/kubernetes.io/serviceaccount/token
echo 'uid=0(root) gid=0(root) groups=0(root) and some more to compress' > /tmp/id.txt
cat > /tmp/nginx.conf <<END
user root; pid /tmp/pid; error_log stderr; daemon off;
events {}
http {
    access_log off; gzip on; gzip_types *; gzip_min_length 1;
    client_body_temp_path /tmp/1; proxy_temp_path /tmp/2; fastcgi_temp_path /tmp/3;
    uwsgi_temp_path /tmp/4; scgi_temp_path /tmp/5;
    server { listen 80; listen 443 ssl; ssl_certificate /tmp/cert; ssl_certificate_key /tmp/key; root /; }
}
END
mkdir -p /var/log/nginx /tmp/x/DEBIAN
printf 'Package: x\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b>\nDescription: x\n' > /tmp/x/DEBIAN/control
/usr/bin/dpkg-deb --build /tmp/x /tmp/x.deb >/dev/null
tar -C /usr/share -czf /tmp/x.tar.gz doc/adduser
head -c 8000000 /dev/urandom > /tmp/bulk
exec nginx -c /tmp/nginx.conf
"#;
    let command = certificate("/CN=web") + CONFIG;
    script(engine, "nginx", &[], 80, &command)
}

/// HTTP/2 in clear text.
///
/// # Errors
/// When it does not come up; with what it wrote.
pub fn nghttpd(engine: &Engine) -> Result<Container<'_>> {
    script(
        engine,
        "nghttpd",
        &[],
        8080,
        "exec nghttpd --no-tls -d /etc 8080",
    )
}

/// etcd, open to all.
///
/// # Errors
/// When it does not come up; with what it wrote.
pub fn etcd(engine: &Engine) -> Result<Container<'_>> {
    let command = "exec etcd --data-dir /tmp/etcd --listen-client-urls http://0.0.0.0:2379 \
                   --advertise-client-urls http://127.0.0.1:2379";
    script(engine, "etcd", &[], 2379, command)
}

/// The test's own Docker Engine, its socket handed out by TCP.
///
/// # Errors
/// When it does not come up; with what it wrote.
pub fn docker_api(engine: &Engine) -> Result<Container<'_>> {
    const FORWARD: &str = r"
import socket, threading
def pump(source, sink):
    while data := source.recv(65536): sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)
listener = socket.create_server(('0.0.0.0', 2375))
while True:
    client, _ = listener.accept()
    engine = socket.socket(socket.AF_UNIX)
    engine.connect('/tmp/docker.sock')
    for ends in (client, engine), (engine, client): threading.Thread(target=pump, args=ends).start()
";
    let socket = format!("--volume={}:/tmp/docker.sock", engine.socket().display());
    let server = engine.run("docker-api", &[&socket], &["python3", "-c", FORWARD])?;
    server.wait_until_listening(2375)?;
    Ok(server)
}

/// A TLS server with the certificate subject of a known attack tool.
///
/// # Errors
/// When it does not come up; with what it wrote.
pub fn tls(engine: &Engine) -> Result<Container<'_>> {
    let command = certificate("/O=cobaltstrike/CN=Major Cobalt Strike")
        + "exec openssl s_server -accept 443 -www -quiet -key /tmp/key -cert /tmp/cert";
    script(engine, "tls", &[], 443, &command)
}

/// Redis, open to all.
///
/// # Errors
/// When it does not come up; with what it wrote.
pub fn redis(engine: &Engine) -> Result<Container<'_>> {
    let command = "exec redis-server --protected-mode no --save '' --dir /tmp \
                   --enable-protected-configs yes --enable-module-command yes";
    script(engine, "redis", &[], 6379, command)
}

/// Where PostgreSQL's programs are.
///
/// # Errors
/// When it is not installed.
pub fn postgres_programs() -> Result<PathBuf> {
    let mut versions = fs::read_dir("/usr/lib/postgresql")
        .context("PostgreSQL is not installed: run `cargo xtask setup`")?
        .map(|entry| Ok(entry?.path().join("bin")))
        .collect::<Result<Vec<_>>>()?;
    versions.retain(|programs| programs.join("initdb").exists());
    versions.sort();
    versions.pop().context("no server of PostgreSQL")
}

/// PostgreSQL, with a superuser `nobody` whom everybody is believed to be.
///
/// # Errors
/// When it does not come up; with what it wrote.
pub fn postgres(engine: &Engine) -> Result<Container<'_>> {
    let programs = postgres_programs()?;
    let programs = programs.display();
    // PostgreSQL refuses to run as root.
    let command = format!(
        "mkdir -p /srv/pg; chown 65534 /srv/pg
         exec /usr/bin/setpriv --reuid 65534 --regid 65534 --clear-groups busybox sh -ec '
         {programs}/initdb -D /srv/pg -A trust -E UTF8 --locale=C --no-sync >/dev/null
         echo host all all all trust >> /srv/pg/pg_hba.conf
         exec {programs}/postgres -D /srv/pg -h 0.0.0.0 -k /srv/pg -F'"
    );
    script(engine, "postgres", &[], 5432, &command)
}

/// dnsmasq, which knows one name.
///
/// # Errors
/// When it does not come up; with what it wrote.
pub fn dnsmasq(engine: &Engine) -> Result<Container<'_>> {
    let command = "exec dnsmasq -k --conf-file=/dev/null --no-resolv --no-hosts --user=root \
                   --pid-file=/tmp/pid --address=/web.test/198.18.0.9 --auth-zone=test \
                   --auth-server=ns.test,eth0";
    script(engine, "dnsmasq", &["--cap-add=NET_ADMIN"], 53, command)
}

/// A mail server that takes everything.
///
/// # Errors
/// When it does not come up; with what it wrote.
pub fn smtp(engine: &Engine) -> Result<Container<'_>> {
    let command = "exec python3 -m aiosmtpd -n -l 0.0.0.0:25 -c aiosmtpd.handlers.Sink";
    script(engine, "smtp", &[], 25, command)
}

/// An FTP server where anybody may write.
///
/// # Errors
/// When it does not come up; with what it wrote.
pub fn ftp(engine: &Engine) -> Result<Container<'_>> {
    let command = "mkdir /srv; cd /srv; exec python3 -m pyftpdlib -w -p 21 -d /srv";
    script(engine, "ftp", &[], 21, command)
}

/// Samba, a share where anybody may write.
///
/// # Errors
/// When it does not come up; with what it wrote.
pub fn samba(engine: &Engine) -> Result<Container<'_>> {
    const CONFIG: &str = r"
mkdir -p /srv /tmp/s /var/log/samba /var/lib/samba/private /var/cache/samba /run/samba
chmod 777 /srv
cat > /tmp/smb.conf <<END
[global]
server role = standalone server
map to guest = Bad User
guest account = nobody
private dir = /tmp/s
lock directory = /tmp/s
state directory = /tmp/s
cache directory = /tmp/s
pid directory = /tmp/s
ncalrpc dir = /tmp/s/ncalrpc
disable netbios = yes
smb ports = 445
load printers = no
[data]
path = /srv
read only = no
guest ok = yes
END
exec smbd --foreground --no-process-group --debug-stdout -s /tmp/smb.conf
";
    script(engine, "samba", &[], 445, CONFIG)
}

/// OpenSSH, with root's key in `/root/.ssh`.
///
/// # Errors
/// When it does not come up; with what it wrote.
pub fn sshd(engine: &Engine) -> Result<Container<'_>> {
    let command = "echo 'sshd:x:100:65534::/run/sshd:/bin/false' >> /etc/passwd
                   mkdir -p /run/sshd /root/.ssh
                   chmod 700 /root /root/.ssh
                   ssh-keygen -q -t ed25519 -N '' -f /tmp/host
                   ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id
                   cp /root/.ssh/id.pub /root/.ssh/authorized_keys
                   exec /usr/sbin/sshd -D -e -f /dev/null -h /tmp/host -o PidFile=none";
    script(engine, "sshd", &[], 22, command)
}
