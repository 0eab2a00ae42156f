//! What services say to each other, made up: HTTP, TLS, DNS, SMTP, a database, bulk. The same in
//! each run.

use std::net::{IpAddr, Ipv4Addr};

use base64::random_text;
use hydrophone_inspect::{LinkType, Timestamp};

use crate::{
    frames::{ACK, FIN, PSH, SYN, Tcp, ip, udp},
    store::Store,
    tls,
};

/// Payload of a full segment on an Ethernet link, with timestamps in the header.
const SEGMENT: usize = 1_448;
/// Nanoseconds between two packets.
const GAP: u64 = 2_000;

const AGENTS: [&str; 8] = [
    "curl/7.88.1",
    "Go-http-client/1.1",
    "python-requests/2.31.0",
    "okhttp/4.12.0",
    "axios/1.6.8",
    "kube-probe/1.29",
    "Mozilla/5.0 (X11; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0",
    "Prometheus/2.51.0",
];

mod base64 {
    /// Base64 of noise, in lines as mail has them.
    pub(super) fn random_text(noise: &[u8]) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let letter = |byte: &u8| {
            ALPHABET
                .get(usize::from(byte & 63))
                .map_or('A', |letter| char::from(*letter))
        };
        let lines = noise
            .chunks(76)
            .map(|line| line.iter().map(letter).collect());
        lines.collect::<Vec<String>>().join("\r\n")
    }
}

/// Who says a thing: the client (`true`) or the server.
pub(crate) type Said = (bool, Vec<u8>);

/// A stream of random numbers (a linear congruential generator).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 24
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).unwrap_or_default() % end.max(1)
    }

    pub(crate) fn one_of<T: Copy>(&mut self, values: &[T]) -> Option<T> {
        values.get(self.below(values.len())).copied()
    }

    pub(crate) fn noise(&mut self, length: usize) -> Vec<u8> {
        (0..length)
            .map(|_| u8::try_from(self.next() & 0xff).unwrap_or_default())
            .collect()
    }

    pub(crate) fn word(&mut self) -> String {
        const SYLLABLES: [&str; 16] = [
            "an", "ber", "co", "da", "en", "fi", "go", "hu", "in", "ka", "lo", "mer", "no", "or",
            "ta", "us",
        ];
        (0..2 + self.below(3))
            .filter_map(|_| self.one_of(&SYLLABLES))
            .collect()
    }
}

/// The mix, of `sessions` conversations.
pub(crate) fn mix(sessions: usize) -> Store {
    let mut maker = Maker {
        random: Random(7),
        store: Store::default(),
        now: 1_000_000_000,
        client: 0,
    };
    for _ in 0..sessions {
        match maker.random.below(100) {
            0..46 => maker.http(),
            46..62 => maker.tls(),
            62..84 => maker.dns(),
            84..89 => maker.smtp(),
            89..97 => maker.redis(),
            _ => maker.bulk(),
        }
    }
    maker.store
}

struct Maker {
    random: Random,
    store: Store,
    now: u64,
    client: u32,
}

impl Maker {
    fn ends(&mut self) -> (IpAddr, IpAddr, u16) {
        self.client += 1;
        let client = Ipv4Addr::from_bits(0xac12_0000 + self.client % 200);
        let server =
            Ipv4Addr::from_bits(0xac12_0100 + u32::try_from(self.random.below(20)).unwrap_or(0));
        let port = u16::try_from(20_000 + self.client % 40_000).unwrap_or(20_000);
        (client.into(), server.into(), port)
    }

    fn push(&mut self, packet: &[u8]) {
        self.now += GAP;
        self.store
            .push(Timestamp(self.now), LinkType::RawIp, packet);
    }

    /// A TCP connection in which this is said; every second segment is acknowledged.
    fn connection(&mut self, port: u16, said: &[Said]) {
        let (client, server, client_port) = self.ends();
        let mut next = [1_000_u32, 2_000];
        let mut segment = |maker: &mut Self, to_server: bool, flags, payload: &[u8]| {
            let [from_client, from_server] = next;
            let (sequence, acknowledgement) = if to_server {
                (from_client, from_server)
            } else {
                (from_server, from_client)
            };
            let ports = if to_server {
                (client_port, port)
            } else {
                (port, client_port)
            };
            let tcp = Tcp {
                ports,
                sequence,
                acknowledgement,
                flags,
                options: &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2],
                payload,
                ..Tcp::default()
            };
            let (source, destination) = if to_server {
                (client, server)
            } else {
                (server, client)
            };
            maker.push(&ip(source, destination, 6, &tcp.bytes()));
            let taken =
                u32::try_from(payload.len()).unwrap_or(0) + u32::from(flags & (SYN | FIN) != 0);
            if let Some(place) = next.get_mut(usize::from(!to_server)) {
                *place = place.wrapping_add(taken);
            }
        };
        segment(self, true, SYN, &[]);
        segment(self, false, SYN | ACK, &[]);
        segment(self, true, ACK, &[]);
        for (to_server, bytes) in said {
            let mut pieces = bytes.chunks(SEGMENT).peekable();
            let mut count = 0;
            while let Some(piece) = pieces.next() {
                count += 1;
                segment(self, *to_server, ACK | PSH, piece);
                if count % 2 == 0 || pieces.peek().is_none() {
                    segment(self, !to_server, ACK, &[]);
                }
            }
        }
        segment(self, true, FIN | ACK, &[]);
        segment(self, false, FIN | ACK, &[]);
        segment(self, true, ACK, &[]);
    }

    fn http(&mut self) {
        let mut said = Vec::new();
        let agent = self.random.one_of(&AGENTS).unwrap_or_default();
        let host = format!("{}.shop.internal", self.random.word());
        for _ in 0..=self.random.below(6) {
            said.push((true, self.request(&host, agent)));
            said.push((false, self.answer()));
        }
        let port = self
            .random
            .one_of(&[80, 80, 8_080, 8_000, 3_000])
            .unwrap_or(80);
        self.connection(port, &said);
    }

    fn request(&mut self, host: &str, agent: &str) -> Vec<u8> {
        let path: Vec<String> = (0..=self.random.below(4))
            .map(|_| self.random.word())
            .collect();
        let (name, value) = (self.random.word(), self.random.next());
        let token = random_text(&self.random.noise(64));
        let posts = self.random.below(4) == 0;
        let body = if posts { self.json(3) } else { String::new() };
        let length = if posts {
            format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            )
        } else {
            String::new()
        };
        format!(
            "{} /api/v1/{}?{name}={value} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nAuthorization: Bearer {token}\r\nX-Request-Id: {:016x}\r\n{length}\r\n{body}",
            if posts { "POST" } else { "GET" },
            path.join("/"),
            self.random.next(),
        )
        .into_bytes()
    }

    fn json(&mut self, records: usize) -> String {
        let mut rows = Vec::new();
        for _ in 0..records {
            rows.push(format!(
                "{{\"id\":{},\"name\":\"{} {}\",\"price\":{}.99,\"tags\":[\"{}\",\"{}\"]}}",
                self.random.next(),
                self.random.word(),
                self.random.word(),
                self.random.below(1_000),
                self.random.word(),
                self.random.word()
            ));
        }
        format!("[{}]", rows.join(","))
    }

    fn answer(&mut self) -> Vec<u8> {
        let (kind, body) = match self.random.below(8) {
            0 => ("image/webp", {
                let length = 2_000 + self.random.below(30_000);
                self.random.noise(length)
            }),
            1..3 => {
                let rows = self.random.below(40);
                let text = format!(
                    "<html><head><title>{}</title></head><body><p>{}</p></body></html>",
                    self.random.word(),
                    self.json(rows)
                );
                ("text/html; charset=utf-8", text.into_bytes())
            }
            _ => {
                let rows = self.random.below(20);
                ("application/json", self.json(rows).into_bytes())
            }
        };
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nServer: nginx/1.24.0\r\nDate: Tue, 24 Nov 2026 10:00:00 GMT\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: keep-alive\r\nX-Trace: {:016x}\r\n\r\n",
            body.len(),
            self.random.next()
        )
        .into_bytes();
        answer.extend(body);
        answer
    }

    fn tls(&mut self) {
        let name = format!("{}.payments.internal", self.random.word());
        let said = tls::session(&name, &mut self.random);
        self.connection(443, &said);
    }

    fn dns(&mut self) {
        let (client, server, port) = self.ends();
        for _ in 0..=self.random.below(3) {
            let id = u8::try_from(self.random.below(256)).unwrap_or_default();
            let mut name = Vec::new();
            for label in [
                self.random.word(),
                "svc".into(),
                "cluster".into(),
                "local".into(),
            ] {
                name.push(u8::try_from(label.len()).unwrap_or_default());
                name.extend(label.bytes());
            }
            name.extend([0, 0, 1, 0, 1]);
            let question = [&[id, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], &*name].concat();
            self.push(&ip(client, server, 17, &udp(port, 53, &question)));
            let record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 96, 0, id];
            let answer = [
                &[id, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0],
                &*name,
                &record,
            ]
            .concat();
            self.push(&ip(server, client, 17, &udp(53, port, &answer)));
        }
    }

    fn smtp(&mut self) {
        let length = 3_000 + self.random.below(40_000);
        let attachment = random_text(&self.random.noise(length));
        let (from, to, subject) = (self.random.word(), self.random.word(), self.random.word());
        let mail = format!(
            "From: {from}@shop.internal\r\nTo: {to}@shop.internal\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"x42\"\r\n\r\n--x42\r\nContent-Type: text/plain\r\n\r\n{}\r\n--x42\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=\"{subject}.bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{attachment}\r\n--x42--\r\n.\r\n",
            self.json(4)
        );
        let said = [
            (false, "220 mail.shop.internal ESMTP Postfix\r\n".to_owned()),
            (true, "EHLO app.shop.internal\r\n".to_owned()),
            (
                false,
                "250-mail.shop.internal\r\n250-SIZE 10240000\r\n250 8BITMIME\r\n".to_owned(),
            ),
            (true, format!("MAIL FROM:<{from}@shop.internal>\r\n")),
            (false, "250 2.1.0 Ok\r\n".to_owned()),
            (true, format!("RCPT TO:<{to}@shop.internal>\r\n")),
            (false, "250 2.1.5 Ok\r\n".to_owned()),
            (true, "DATA\r\n".to_owned()),
            (false, "354 End data with <CR><LF>.<CR><LF>\r\n".to_owned()),
            (true, mail),
            (false, "250 2.0.0 Ok: queued\r\n".to_owned()),
            (true, "QUIT\r\n".to_owned()),
            (false, "221 2.0.0 Bye\r\n".to_owned()),
        ]
        .map(|(client, text)| (client, text.into_bytes()));
        self.connection(25, &said);
    }

    fn redis(&mut self) {
        let mut said = Vec::new();
        for _ in 0..4 + self.random.below(20) {
            let (key, value) = (self.random.word(), self.random.word());
            let set = format!(
                "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n",
                key.len(),
                value.len()
            );
            said.push((true, set.into_bytes()));
            said.push((false, b"+OK\r\n".to_vec()));
        }
        self.connection(6_379, &said);
    }

    fn bulk(&mut self) {
        let length = 50_000 + self.random.below(150_000);
        let said = [(true, self.random.noise(length))];
        self.connection(5_201, &said);
    }
}
