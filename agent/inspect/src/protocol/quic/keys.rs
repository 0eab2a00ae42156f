//! Keys of Initial packets, which everybody who sees the first one can derive (RFC 9001, section 5.2).

use aes_gcm::Aes128Gcm;
use aes_gcm::aead::AeadInOut as _;
use aes_gcm::aes::Aes128;
use aes_gcm::aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use hkdf::Hkdf;
use sha2::Sha256;

use super::header::{DRAFT_29, DRAFT_33, Packet, VERSION_2};
use crate::flow::Direction;

const SALT_1: [u8; 20] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad,
    0xcc, 0xbb, 0x7f, 0x0a,
];
const SALT_2: [u8; 20] = [
    0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb,
    0xf9, 0xbd, 0x2e, 0xd9,
];
const SALT_DRAFT: [u8; 20] = [
    0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0,
    0x43, 0x90, 0xa8, 0x99,
];
const TAG: usize = 16;
const MAX_NUMBER: usize = 4;

/// Of one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) key: [u8; 16],
    pub(super) iv: [u8; 12],
    pub(super) header: [u8; 16],
}

impl Keys {
    /// Those of the packets of `direction`, from the identifier that the client chose for the server.
    pub(super) fn initial(version: u32, id: &[u8], direction: Direction) -> Option<Self> {
        let salt = match version {
            VERSION_2 => &SALT_2,
            DRAFT_29..DRAFT_33 => &SALT_DRAFT,
            _ => &SALT_1,
        };
        let initial = Hkdf::<Sha256>::new(Some(salt), id);
        let secret: [u8; 32] = expand(
            &initial,
            match direction {
                Direction::ToServer => "client in",
                Direction::ToClient => "server in",
            },
        )?;
        let secret = Hkdf::<Sha256>::from_prk(&secret).ok()?;
        let [key, iv, header] = if version == VERSION_2 {
            ["quicv2 key", "quicv2 iv", "quicv2 hp"]
        } else {
            ["quic key", "quic iv", "quic hp"]
        };
        Some(Self {
            key: expand(&secret, key)?,
            iv: expand(&secret, iv)?,
            header: expand(&secret, header)?,
        })
    }

    /// The payload of a packet, if it was made with these keys.
    pub(super) fn open(&self, packet: &Packet<'_>) -> Option<Vec<u8>> {
        let mask = self.mask(packet.protected)?;
        let mut header = packet.header.to_vec();
        let first = header.first_mut()?;
        *first ^= mask.first()? & 0x0f;
        let length = usize::from(*first & 3) + 1;
        let (number, sealed) = packet.protected.split_at_checked(length)?;
        let mut nonce = self.iv;
        let mut full = [0; 4];
        for (byte, (sent, mask)) in full
            .iter_mut()
            .skip(MAX_NUMBER - length)
            .zip(number.iter().zip(mask.iter().skip(1)))
        {
            *byte = sent ^ mask;
            header.push(*byte);
        }
        for (byte, number) in nonce.iter_mut().skip(12 - MAX_NUMBER).zip(full) {
            *byte ^= number;
        }
        let (sealed, tag) = sealed.split_last_chunk::<TAG>()?;
        let tag = *tag;
        let mut payload = sealed.to_vec();
        Aes128Gcm::new(&self.key.into())
            .decrypt_inout_detached(
                &nonce.into(),
                &header,
                payload.as_mut_slice().into(),
                &tag.into(),
            )
            .ok()?;
        Some(payload)
    }

    /// What the header is protected with (RFC 9001, section 5.4).
    fn mask(&self, protected: &[u8]) -> Option<[u8; 16]> {
        let (_, sample) = protected.split_at_checked(MAX_NUMBER)?;
        let mut block = (*sample.first_chunk::<16>()?).into();
        Aes128::new(&self.header.into()).encrypt_block(&mut block);
        Some(block.into())
    }
}

/// HKDF-Expand-Label (RFC 8446, section 7.1).
fn expand<const N: usize>(from: &Hkdf<Sha256>, label: &str) -> Option<[u8; N]> {
    let mut info = Vec::with_capacity(32);
    info.extend_from_slice(&u16::try_from(N).ok()?.to_be_bytes());
    info.push(u8::try_from("tls13 ".len() + label.len()).ok()?);
    info.extend_from_slice(b"tls13 ");
    info.extend_from_slice(label.as_bytes());
    info.push(0);
    let mut output = [0; N];
    from.expand(&info, &mut output).ok()?;
    Some(output)
}

#[cfg(test)]
mod tests {
    use super::super::header::VERSION_1;
    use super::*;
    use crate::protocol::read::hex;

    /// RFC 9001, appendix A.1, and RFC 9369, appendix A.1.
    #[test]
    fn keys_are_those_of_the_standards() {
        let id = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
        let client = Keys::initial(VERSION_1, &id, Direction::ToServer).unwrap();
        assert_eq!(hex(&client.key), "1f369613dd76d5467730efcbe3b1a22d");
        assert_eq!(hex(&client.iv), "fa044b2f42a3fd3b46fb255c");
        assert_eq!(hex(&client.header), "9f50449e04a0e810283a1e9933adedd2");
        let server = Keys::initial(VERSION_1, &id, Direction::ToClient).unwrap();
        assert_eq!(hex(&server.key), "cf3a5331653c364c88f0f379b6067e37");
        let client = Keys::initial(VERSION_2, &id, Direction::ToServer).unwrap();
        assert_eq!(hex(&client.key), "8b1a0bc121284290a29e0971b5cd045d");
    }
}
