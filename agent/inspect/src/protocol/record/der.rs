//! The little of BER and DER (X.690) that Kerberos, SNMP and LDAP need: walking through values.

/// Identifier and content of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value<'a> {
    /// The identifier octet: class, constructed bit and number below 31.
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
}

/// Octets of the header and of the content. `None` when too little has come or the form is not one
/// that these protocols use (long tag numbers, indefinite lengths).
pub(crate) fn header(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    if tag & 0x1f == 0x1f {
        return None;
    }
    if first < 0x80 {
        return Some((tag, 2, usize::from(first)));
    }
    let octets = usize::from(first & 0x7f);
    if octets == 0 || octets > 4 {
        return None;
    }
    let length = rest
        .get(..octets)?
        .iter()
        .fold(0_usize, |length, &byte| (length << 8) | usize::from(byte));
    Some((tag, 2 + octets, length))
}

/// The value at the front, and what follows it.
pub(crate) fn value(bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let (tag, head, length) = header(bytes)?;
    let (content, rest) = bytes.get(head..)?.split_at_checked(length)?;
    Some((Value { tag, content }, rest))
}

/// The content of the value at the front if it has this tag, and what follows it.
pub(crate) fn expect(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (value, rest) = value(bytes)?;
    (value.tag == tag).then_some((value.content, rest))
}

/// The values of a constructed one, one after the other, until the end or what is none.
pub(crate) fn values(mut content: &[u8]) -> impl Iterator<Item = Value<'_>> {
    core::iter::from_fn(move || {
        let (value, rest) = value(content)?;
        content = rest;
        Some(value)
    })
}

/// An integer of at most eight octets, as two's complement.
pub(crate) fn integer(content: &[u8]) -> Option<i64> {
    let (&first, _) = content.split_first()?;
    if content.len() > 8 {
        return None;
    }
    let start = if first & 0x80 == 0 { 0 } else { -1 };
    Some(
        content
            .iter()
            .fold(start, |value: i64, &byte| (value << 8) | i64::from(byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_walked() {
        let bytes = [0x30, 0x06, 0x02, 0x01, 0x05, 0x02, 0x01, 0xff];
        let (content, rest) = expect(&bytes, 0x30).unwrap();
        assert!(rest.is_empty());
        let all: Vec<_> = values(content)
            .map(|value| integer(value.content))
            .collect();
        assert_eq!(all, [Some(5), Some(-1)]);
    }

    #[test]
    fn long_lengths_and_nonsense() {
        assert_eq!(header(&[0x30, 0x82, 0x01, 0x00]), Some((0x30, 4, 256)));
        assert_eq!(header(&[0x30, 0x80]), None);
        assert_eq!(header(&[0x30, 0x82, 0x01]), None);
        assert_eq!(value(&[0x04, 0x05, 0x00]), None);
        assert_eq!(integer(&[]), None);
    }
}
