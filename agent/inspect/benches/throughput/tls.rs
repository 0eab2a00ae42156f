//! A TLS 1.2 session by hand: hellos, a certificate, and records of noise.

use crate::mix::{Random, Said};

/// What a client that asks for `name` and its server say.
pub(crate) fn session(name: &str, random: &mut Random) -> Vec<Said> {
    let mut body = [&[3, 3], &*random.noise(32), &[0]].concat();
    body.extend(sized(2, &[0xc0, 0x2f, 0xc0, 0x30, 0xcc, 0xa8, 0x13, 0x01]));
    body.extend([1, 0]);
    let entry = [&[0], &*sized(2, name.as_bytes())].concat();
    let extensions = [
        extension(0, &sized(2, &entry)),
        extension(10, &sized(2, &[0, 29, 0, 23])),
        extension(11, &sized(1, &[0])),
        extension(13, &sized(2, &[4, 3, 8, 4])),
        extension(16, &sized(2, &sized(1, b"http/1.1"))),
    ];
    body.extend(sized(2, &extensions.concat()));
    let hello = message(1, &body);

    let mut body = [&[3, 3], &*random.noise(32), &[0, 0xc0, 0x2f, 0]].concat();
    body.extend(sized(2, &extension(11, &sized(1, &[0]))));
    let certificate = certificate(name, random);
    let chain = sized(3, &sized(3, &certificate));
    let answer = [message(2, &body), message(11, &chain), message(14, &[])].concat();

    let finished = |random: &mut Random| [record(20, &[1]), record(22, &random.noise(40))].concat();
    let mut said = vec![
        (true, record(22, &hello)),
        (false, record(22, &answer)),
        (
            true,
            [
                record(22, &message(16, &random.noise(66))),
                finished(random),
            ]
            .concat(),
        ),
        (false, finished(random)),
    ];
    for _ in 0..=random.below(5) {
        let (asks, answers) = (200 + random.below(800), 300 + random.below(15_000));
        said.push((true, record(23, &random.noise(asks))));
        said.push((false, record(23, &random.noise(answers))));
    }
    said
}

fn certificate(name: &str, random: &mut Random) -> Vec<u8> {
    let algorithm = der(
        0x30,
        &der(0x06, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11]),
    );
    let issuer = [attribute(10, b"Shop"), attribute(3, b"Shop Internal CA")].concat();
    let validity = [der(0x17, b"260101000000Z"), der(0x17, b"270101000000Z")].concat();
    let names = der(0x30, &der(0x82, name.as_bytes()));
    let alternatives = [der(0x06, &[0x55, 0x1d, 0x11]), der(0x04, &names)].concat();
    let fields = [
        der(0xa0, &der(0x02, &[2])),
        der(0x02, &random.noise(16)),
        algorithm.clone(),
        der(0x30, &issuer),
        der(0x30, &validity),
        der(0x30, &attribute(3, name.as_bytes())),
        der(0x30, &random.noise(290)),
        der(0xa3, &der(0x30, &der(0x30, &alternatives))),
    ];
    let signature = der(0x03, &random.noise(257));
    der(
        0x30,
        &[der(0x30, &fields.concat()), algorithm, signature].concat(),
    )
}

fn attribute(kind: u8, value: &[u8]) -> Vec<u8> {
    let pair = [der(0x06, &[0x55, 4, kind]), der(0x0c, value)].concat();
    der(0x31, &der(0x30, &pair))
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    if content.len() < 0x80 {
        [&[tag], &*sized(1, content)].concat()
    } else {
        [&[tag, 0x82], &*sized(2, content)].concat()
    }
}

/// `content` behind its length in `width` bytes.
fn sized(width: usize, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = length.get(length.len() - width..).unwrap_or_default();
    [length, content].concat()
}

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3], &*sized(2, content)].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &*sized(3, body)].concat()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes(), &*sized(2, data)].concat()
}
