//! `EtherNet/IP` and the calls that it carries.

use super::check;

/// A message of `EtherNet/IP`.
fn enip(command: u8, status: u8, body: &[u8]) -> Vec<u8> {
    let [low, high] = u16::try_from(body.len()).unwrap().to_le_bytes();
    let mut message = vec![command, 0, low, high, 0, 0, 0, 0, status];
    message.resize(24, 0);
    message.extend_from_slice(body);
    message
}

#[test]
fn identities_and_services_of_ethernet_ip() {
    let name = |text: &str, length: usize| {
        let mut name = text.as_bytes().to_vec();
        name.resize(length, 0);
        name
    };
    let identity = [
        &[1, 0][..],
        &[0; 16],
        &[
            0x4d, 0, 12, 0, 65, 0, 2, 5, 0x34, 0, 0x78, 0x56, 0x34, 0x12, 5,
        ],
        b"plant",
        &[3],
    ]
    .concat();
    let size = u8::try_from(identity.len()).unwrap();
    let identity = [&[1, 0, 0x0c, 0, size, 0], identity.as_slice()].concat();
    let services = [&[1, 0, 0, 1, 20, 0, 1, 0, 0x20, 1][..], &name("Comm", 16)].concat();
    let answers = [enip(0x63, 0, &identity), enip(4, 0, &services)].concat();
    let asked = enip(0x65, 0, &[1, 0, 0, 0]);
    let refused = enip(0x65, 0x69, &[1, 0, 0, 0]);
    check(
        "enip",
        44_818,
        &[(true, &asked), (false, &answers), (false, &refused)],
        &[
            (true, "enip_command:list_identity;"),
            (false, "enip.command:list_interfaces;"),
            (true, "enip.status:unsupported_prot_rev;"),
            (false, "enip.status:invalid_session;"),
            (true, "enip.protocol_version:1;"),
            (true, "enip.vendor_id:77;"),
            (true, "enip.device_type:12;"),
            (true, "enip.product_code:65;"),
            (true, "enip.revision:1282;"),
            (true, "enip.identity_status:52;"),
            (true, "enip.serial:0x12345678;"),
            (false, "enip.serial:0x12345679;"),
            (true, "enip.state:3;"),
            (true, "enip.product_name; content:\"plant\"; bsize:5;"),
            (true, "enip.capabilities:288;"),
            (true, "enip.service_name; content:\"Comm\"; bsize:4;"),
            (false, "enip.service_name; content:\"plant\";"),
            (false, "app-layer-event:enip.invalid_pdu;"),
        ],
    );
}

#[test]
fn calls_of_cip() {
    let unconnected = |call: &[u8]| {
        let size = u8::try_from(call.len()).unwrap();
        let items = [&[2, 0, 0, 0, 0, 0, 0xb2, 0, size, 0], call].concat();
        [&[0; 6], items.as_slice()].concat()
    };
    // One that sets attribute 6 of instance 1 of class 246, and one that carries two.
    let set = [0x10, 3, 0x20, 246, 0x24, 1, 0x30, 6];
    let two = [
        &[0x0a, 2, 0x20, 2, 0x24, 1, 2, 0, 6, 0, 14, 0][..],
        &[0x0e, 3, 0x20, 1, 0x24, 1, 0x30, 7],
        &[0x4b, 0],
    ]
    .concat();
    let failed = [0x90, 0, 8, 1, 0x13, 0x21];
    let requests = [
        enip(0x6f, 0, &unconnected(&set)),
        enip(0x6f, 0, &unconnected(&two)),
    ]
    .concat();
    let replies = enip(0x6f, 0, &unconnected(&failed));
    check(
        "enip",
        44_818,
        &[(true, &requests), (false, &replies)],
        &[
            (true, "cip_service:16;"),
            (true, "cip_service:16,246,6;"),
            (false, "cip_service:16,246,7;"),
            (false, "cip_service:16,1;"),
            (true, "cip_service:14,1,7;"),
            (true, "cip_service:75;"),
            (false, "cip_service:76;"),
            (true, "enip.cip_class:246;"),
            (true, "enip.cip_attribute:7;"),
            (false, "enip.cip_attribute:8;"),
            (true, "enip.cip_instance:1;"),
            (true, "enip.cip_status:8;"),
            (false, "enip.cip_status:9;"),
            (true, "enip.cip_extendedstatus:0x2113;"),
            (
                true,
                "frame:enip.cip; content:\"|10 03 20 f6|\"; startswith; bsize:8;",
            ),
            (
                true,
                "frame:enip.item; content:\"|b2 00 08 00 10|\"; startswith;",
            ),
            (false, "frame:enip.cip; content:\"|b2 00|\"; startswith;"),
            (false, "app-layer-event:enip.invalid_pdu;"),
        ],
    );
    let broken = enip(0x6f, 0, &unconnected(&[0x10, 9, 0x20]));
    check(
        "enip",
        44_818,
        &[(true, &broken)],
        &[(true, "app-layer-event:enip.invalid_pdu;")],
    );
}
