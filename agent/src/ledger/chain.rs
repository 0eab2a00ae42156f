//! What binds the lines together: each has a number, the SHA-256 of the line before it, and ends
//! with a seal over itself.
//!
//! ```text
//! {"seq":7,"prev":"<SHA-256 of line 6>",…,"seal":"sha256:<of all before it in this line>"}
//! ```
//! With a key the seal is an HMAC (RFC 2104), which nobody can make anew who has not the key. A
//! line end belongs to no hash. Lines cut off at the end show only against an anchor: the head that
//! the `stats` events carry elsewhere.

use core::{fmt, str::FromStr};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};

/// A SHA-256, as text 64 hexadecimal digits.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digit = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err("not 64 hexadecimal digits".to_owned());
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            let value = digit(*high).zip(digit(*low));
            let (high, low) = value.ok_or("not 64 hexadecimal digits")?;
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// The end of the chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Head {
    /// Number of the last line; lines count from 1.
    pub seq: u64,
    /// SHA-256 of that line without its end.
    pub hash: Digest,
}

/// `SEQ:HASH`, as `stats` events have it.
impl FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (seq, hash) = text.split_once(':').ok_or("not SEQ:HASH")?;
        Ok(Self {
            seq: seq.parse().map_err(|_| "SEQ is not a number")?,
            hash: hash.parse()?,
        })
    }
}

/// What lines are sealed with.
#[derive(Clone, Default)]
pub struct Sealer {
    key: Option<Vec<u8>>,
}

/// Never shows the key.
impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("keyed", &self.key.is_some())
            .finish()
    }
}

const SEAL: &[u8] = b",\"seal\":\"";
const HASHED: &str = "sha256:";
const KEYED: &str = "hmac-sha256:";

/// How a line's seal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealState {
    /// A hash that is right.
    Hashed,
    /// A keyed one that is right.
    Keyed,
    /// A keyed one, and there is no key to check it with.
    NoKey,
    /// It is not that of the line.
    Broken,
}

impl Sealer {
    /// Seals with this key, or without one by a hash.
    #[must_use]
    pub const fn new(key: Option<Vec<u8>>) -> Self {
        Self { key }
    }

    /// Whether there is a key.
    #[must_use]
    pub const fn is_keyed(&self) -> bool {
        self.key.is_some()
    }

    fn mac(key: &[u8], body: &[u8]) -> Digest {
        // Any length of key will do (RFC 2104 section 2).
        Hmac::<Sha256>::new_from_slice(key)
            .map(|mac| Digest(mac.chain_update(body).finalize().into_bytes().into()))
            .unwrap_or_default()
    }

    /// Ends a line that is a JSON object: puts the seal in before its last brace.
    pub(super) fn seal(&self, line: &mut Vec<u8>) {
        line.pop();
        let (name, digest) = match &self.key {
            Some(key) => (KEYED, Self::mac(key, line)),
            None => (HASHED, Digest::of(line)),
        };
        line.extend_from_slice(SEAL);
        line.extend_from_slice(format!("{name}{digest}\"}}").as_bytes());
    }

    /// Checks the seal of a line without its end.
    #[must_use]
    pub fn check(&self, line: &[u8]) -> SealState {
        let parts = line
            .windows(SEAL.len())
            .rposition(|window| window == SEAL)
            .and_then(|at| line.split_at_checked(at));
        let Some((body, end)) = parts else {
            return SealState::Broken;
        };
        let text = end
            .get(SEAL.len()..)
            .and_then(|text| str::from_utf8(text).ok());
        let text = text
            .and_then(|text| text.strip_suffix("\"}"))
            .unwrap_or_default();
        let of = |name: &str| text.strip_prefix(name)?.parse::<Digest>().ok();
        if let Some(digest) = of(HASHED) {
            return if digest == Digest::of(body) {
                SealState::Hashed
            } else {
                SealState::Broken
            };
        }
        match (of(KEYED), &self.key) {
            (Some(_), None) => SealState::NoKey,
            // What is compared is of no use to who measures the time: they have the file.
            (Some(digest), Some(key)) if digest == Self::mac(key, body) => SealState::Keyed,
            _ => SealState::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealed(sealer: &Sealer, body: &str) -> Vec<u8> {
        let mut line = body.as_bytes().to_vec();
        sealer.seal(&mut line);
        line
    }

    #[test]
    fn seals_are_those_of_other_tools() {
        // printf '{"a":1' | sha256sum; printf '{"a":1' | openssl dgst -sha256 -hmac key
        let hashed = sealed(&Sealer::default(), r#"{"a":1}"#);
        let keyed = sealed(&Sealer::new(Some(b"key".to_vec())), r#"{"a":1}"#);
        assert_eq!(
            String::from_utf8(hashed).unwrap(),
            r#"{"a":1,"seal":"sha256:8b0f0d75aabe01bbfba9341752c2cf7626f154e676aa791427b31aebfabc2592"}"#
        );
        assert_eq!(
            String::from_utf8(keyed).unwrap(),
            r#"{"a":1,"seal":"hmac-sha256:c03209c415a364b212726b61a9e64e2abc0a2fb2bf59a86c98b0d7d4f68c4de9"}"#
        );
    }

    #[test]
    fn a_key_is_needed_for_a_keyed_seal() {
        let keyed = Sealer::new(Some(b"key".to_vec()));
        let line = sealed(&keyed, r#"{"a":1}"#);
        assert_eq!(keyed.check(&line), SealState::Keyed);
        assert_eq!(Sealer::default().check(&line), SealState::NoKey);
        assert_eq!(
            Sealer::new(Some(b"other".to_vec())).check(&line),
            SealState::Broken
        );
        assert!(!format!("{keyed:?}").contains("107"), "{keyed:?}");
    }

    #[test]
    fn a_text_that_looks_like_a_seal_is_none() {
        let line = sealed(&Sealer::default(), r#"{"a":"\",\"seal\":\"sha256:00"}"#);
        assert_eq!(Sealer::default().check(&line), SealState::Hashed);
    }

    proptest! {
        #[test]
        fn a_changed_byte_breaks_the_seal(at in any::<prop::sample::Index>(), bit in 0..8) {
            let mut line = sealed(&Sealer::default(), r#"{"seq":1,"name":"web"}"#);
            let at = at.index(line.len());
            line[at] ^= 1_u8 << bit;
            prop_assert_eq!(Sealer::default().check(&line), SealState::Broken);
        }

        #[test]
        fn any_bytes_are_checked(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Sealer::default().check(&bytes);
        }
    }
}
