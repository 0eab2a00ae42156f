use proptest::prelude::*;

use super::*;
use crate::protocol::{Buffer, Field, Limits, Stage};

const UUID: [u8; 16] = [
    0x78, 0x57, 0x34, 0x12, 0x34, 0x12, 0xcd, 0xab, 0xef, 0x00, 0x01, 0x23, 0x45, 0x67, 0x89, 0xac,
];

fn unit(kind: u8, flags: u8, call: u32, body: &[u8]) -> Vec<u8> {
    let mut all = vec![5, 0, kind, flags, 0x10, 0, 0, 0];
    all.extend(u16::try_from(16 + body.len()).unwrap().to_le_bytes());
    all.extend([0, 0]);
    all.extend(call.to_le_bytes());
    all.extend(body);
    all
}

fn bind(call: u32, contexts: &[u16]) -> Vec<u8> {
    let mut body = vec![0xb8, 0x10, 0xb8, 0x10, 0, 0, 0, 0];
    body.extend([u8::try_from(contexts.len()).unwrap(), 0, 0, 0]);
    for context in contexts {
        body.extend(context.to_le_bytes());
        body.extend([1, 0]);
        body.extend(UUID);
        body.extend([1, 0, 0, 0]);
        body.extend([0; 20]);
    }
    unit(11, 3, call, &body)
}

fn bind_ack(call: u32, results: &[u16]) -> Vec<u8> {
    let mut body = vec![0xb8, 0x10, 0xb8, 0x10, 0, 0, 0, 0, 4, 0];
    body.extend(b"135\0\0\0");
    body.extend([u8::try_from(results.len()).unwrap(), 0, 0, 0]);
    for result in results {
        body.extend(result.to_le_bytes());
        body.extend([0; 22]);
    }
    unit(12, 3, call, &body)
}

fn request(call: u32, flags: u8, context: u16, operation: u16, stub: &[u8]) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(context.to_le_bytes());
    body.extend(operation.to_le_bytes());
    body.extend(stub);
    unit(0, flags, call, &body)
}

fn response(call: u32, flags: u8, stub: &[u8]) -> Vec<u8> {
    let mut body = vec![0; 8];
    body.extend(stub);
    unit(2, flags, call, &body)
}

fn exchange() -> Vec<(Direction, Vec<u8>)> {
    use Direction::{ToClient, ToServer};
    vec![
        (ToServer, bind(1, &[0, 7])),
        (ToClient, bind_ack(1, &[2, 0])),
        (ToServer, request(2, 1, 7, 15, b"one ")),
        (ToServer, request(2, 2, 7, 15, b"two")),
        (ToClient, response(2, 3, b"answer")),
        (ToServer, request(3, 3, 0, 16, b"refused")),
    ]
}

fn run(steps: &[(Direction, Vec<u8>)], size: usize) -> Transactions {
    let mut out = Transactions::new(Limits::default());
    let mut parser = Dcerpc::new();
    for (direction, data) in steps {
        for piece in data.chunks(size) {
            assert_eq!(parser.data(*direction, piece, &mut out), Status::Ok);
        }
    }
    out
}

#[test]
fn a_call_is_told_with_its_interface_and_stub_data() {
    let mut out = run(&exchange(), usize::MAX);
    assert_eq!(out.len(), 3);
    let bound = out.get(0).unwrap();
    assert_eq!(bound.stage(Direction::ToClient), Stage::Complete);
    assert!(bound.numbers().is_empty());
    let call = out.get(1).unwrap();
    for direction in [Direction::ToServer, Direction::ToClient] {
        assert_eq!(
            call.first(direction, Buffer::DcerpcInterface),
            Some(&b"12345778-1234-abcd-ef00-0123456789ac|1"[..])
        );
        assert!(
            call.numbers()
                .contains(&(direction, Field::DcerpcOpnum, 15))
        );
        assert_eq!(call.stage(direction), Stage::Complete);
    }
    let stub = Buffer::DcerpcStubData;
    assert_eq!(call.first(Direction::ToServer, stub), Some(&b"one two"[..]));
    assert_eq!(call.first(Direction::ToClient, stub), Some(&b"answer"[..]));
}

#[test]
fn a_refused_context_has_no_interface() {
    let mut out = run(&exchange(), usize::MAX);
    let call = out.get(2).unwrap();
    assert_eq!(
        call.first(Direction::ToServer, Buffer::DcerpcInterface),
        None
    );
    assert!(
        call.numbers()
            .contains(&(Direction::ToServer, Field::DcerpcOpnum, 16))
    );
}

#[test]
fn a_bind_that_is_no_first_fragment_is_told_as_such() {
    let mut unmarked = bind(1, &[0]);
    unmarked[3] = 0;
    let steps = [
        (Direction::ToServer, unmarked),
        (Direction::ToClient, bind_ack(1, &[0])),
        (Direction::ToServer, request(2, 3, 0, 42, b"stub")),
    ];
    let mut out = run(&steps, usize::MAX);
    assert_eq!(
        out.get(1)
            .unwrap()
            .first(Direction::ToServer, Buffer::DcerpcInterface),
        Some(&b" 12345778-1234-abcd-ef00-0123456789ac|1"[..])
    );
}

#[test]
fn the_byte_order_of_each_direction_is_told() {
    let mut out = run(&exchange(), usize::MAX);
    let call = out.get(1).unwrap();
    assert!(call.is_little_endian(Direction::ToServer));
    assert!(call.is_little_endian(Direction::ToClient));
    let refused = out.get(2).unwrap();
    assert!(refused.is_little_endian(Direction::ToServer));
    assert!(!refused.is_little_endian(Direction::ToClient));
}

#[test]
fn big_endian_is_read() {
    let mut body = vec![0, 0, 0, 0, 0, 0, 0, 9];
    body.extend(b"stub");
    let mut all = vec![5, 0, 0, 3, 0, 0, 0, 0, 0, 28, 0, 0, 0, 0, 0, 1];
    all.extend(body);
    let mut out = run(&[(Direction::ToServer, all)], usize::MAX);
    let call = out.get(0).unwrap();
    assert_eq!(
        call.numbers(),
        [(Direction::ToServer, Field::DcerpcOpnum, 9)]
    );
    assert!(!call.is_little_endian(Direction::ToServer));
    assert_eq!(
        call.first(Direction::ToServer, Buffer::DcerpcStubData),
        Some(&b"stub"[..])
    );
}

#[test]
fn after_a_gap_the_next_unit_is_found() {
    let mut out = Transactions::new(Limits::default());
    let mut parser = Dcerpc::new();
    let first = request(1, 3, 0, 1, b"lost");
    parser.data(Direction::ToServer, &first[..20], &mut out);
    parser.gap(Direction::ToServer, 4, &mut out);
    let mut rest = b"tail".to_vec();
    rest.extend(request(2, 3, 0, 2, b"found"));
    parser.data(Direction::ToServer, &rest, &mut out);
    assert_eq!(out.len(), 1);
}

#[test]
fn a_datagram_carries_its_interface() {
    let mut data = vec![4, 0, 0x20, 0, 0x10, 0, 0, 0];
    data.extend([0; 16]);
    data.extend(UUID);
    data.extend([7; 16]);
    data.extend([0; 4]);
    data.extend(3_u32.to_le_bytes());
    data.extend(1_u32.to_le_bytes());
    data.extend(5_u16.to_le_bytes());
    data.extend([0xff; 4]);
    data.extend(4_u16.to_le_bytes());
    data.extend([0; 4]);
    data.extend(b"stub");
    assert_eq!(probe_udp(Direction::ToServer, &data), Probe::Yes);
    let mut out = Transactions::new(Limits::default());
    let mut parser = DcerpcUdp::new();
    parser.data(Direction::ToServer, &data, &mut out);
    data[1] = 2;
    parser.data(Direction::ToClient, &data, &mut out);
    let call = out.get(0).unwrap();
    assert_eq!(
        call.first(Direction::ToServer, Buffer::DcerpcInterface),
        Some(&b"12345778-1234-abcd-ef00-0123456789ac|3"[..])
    );
    assert_eq!(
        call.first(Direction::ToClient, Buffer::DcerpcStubData),
        Some(&b"stub"[..])
    );
}

#[test]
fn many_open_calls_hold_no_more_than_one() {
    let mut out = Transactions::new(Limits {
        body: 1_000,
        ..Limits::default()
    });
    let mut parser = Dcerpc::new();
    for call in 0..60 {
        let open = request(call, 1, 0, 1, &[7; 900]);
        parser.data(Direction::ToServer, &open, &mut out);
    }
    assert!(parser.footprint() < 40_000);
    parser.end(Direction::ToServer, &mut out);
    let kept: usize = out
        .iter_mut()
        .filter_map(|one| {
            Some(
                one.first(Direction::ToServer, Buffer::DcerpcStubData)?
                    .len(),
            )
        })
        .sum();
    assert_eq!(kept, 1_000);
}

#[test]
fn probing() {
    let whole = bind(1, &[0]);
    assert_eq!(probe(Direction::ToServer, &whole), Probe::Yes);
    assert_eq!(probe(Direction::ToServer, &whole[..5]), Probe::NeedMore);
    assert_eq!(probe(Direction::ToServer, b"GET / HTTP"), Probe::No);
}

proptest! {
    #[test]
    fn segmentation_does_not_matter(size in 1_usize..40) {
        let whole = format!("{:?}", run(&exchange(), usize::MAX).iter_mut().map(|t| (t.numbers().to_vec(), t.instances().iter().map(|i| t.bytes(i).to_vec()).collect::<Vec<_>>())).collect::<Vec<_>>());
        let pieces = format!("{:?}", run(&exchange(), size).iter_mut().map(|t| (t.numbers().to_vec(), t.instances().iter().map(|i| t.bytes(i).to_vec()).collect::<Vec<_>>())).collect::<Vec<_>>());
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(steps in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)), 0..20)) {
        let mut out = Transactions::new(Limits::default());
        let mut stream = Dcerpc::new();
        let mut datagrams = DcerpcUdp::new();
        for (to_server, mut data) in steps {
            let direction = if to_server { Direction::ToServer } else { Direction::ToClient };
            stream.data(direction, &data, &mut out);
            datagrams.data(direction, &data, &mut out);
            if let Some(front) = data.get_mut(..3) {
                front[0] = 5;
                front[1] = 0;
                front[2] %= 20;
            }
            stream.data(direction, &data, &mut out);
            if let Some(front) = data.get_mut(..2) {
                front[0] = 4;
            }
            datagrams.data(direction, &data, &mut out);
        }
        stream.end(Direction::ToServer, &mut out);
        stream.end(Direction::ToClient, &mut out);
        prop_assert!(out.len() <= 256);
    }
}
