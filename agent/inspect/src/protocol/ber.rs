//! Elements of BER and DER (X.690), as LDAP, SNMP and Kerberos use them.

/// Why there is no element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// More bytes are needed to tell.
    More,
    /// It is none of the supported form: definite length of at most four bytes, one byte of tag.
    Never,
}

/// The tag and the lengths of the header and of the content.
pub(crate) fn header(data: &[u8]) -> Result<(u8, usize, u64), Missing> {
    let [tag, rest @ ..] = data else {
        return Err(Missing::More);
    };
    if tag & 0x1f == 0x1f {
        return Err(Missing::Never);
    }
    let Some((first, rest)) = rest.split_first() else {
        return Err(Missing::More);
    };
    match *first {
        short @ 0..=0x7f => Ok((*tag, 2, short.into())),
        long @ 0x81..=0x84 => {
            let count = usize::from(long & 0x7f);
            let bytes = rest.get(..count).ok_or(Missing::More)?;
            let length = bytes
                .iter()
                .fold(0, |value, byte| (value << 8) | u64::from(*byte));
            Ok((*tag, 2 + count, length))
        }
        _ => Err(Missing::Never),
    }
}

/// The whole length of the element that begins here.
pub(crate) fn length(data: &[u8]) -> Result<u64, Missing> {
    header(data).map(|(_, header, content)| header as u64 + content)
}

/// Elements one after another. What is cut off at the end is given as far as it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elements<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (tag, start, length) = header(self.0).ok()?;
        let rest = self.0.get(start..)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (content, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        self.0 = after;
        Some((tag, content))
    }
}

impl<'a> Elements<'a> {
    /// The content of the next element, if it has this tag.
    pub(crate) fn content(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next()
            .filter(|element| element.0 == tag)
            .map(|it| it.1)
    }

    /// The content of the first element with this tag.
    pub(crate) fn find_tag(self, tag: u8) -> Option<&'a [u8]> {
        let mut all = self;
        all.find(|element| element.0 == tag).map(|it| it.1)
    }
}

/// An integer that is not negative.
pub(crate) fn unsigned(content: &[u8]) -> Option<u64> {
    let bytes = match content {
        [0, rest @ ..] => rest,
        [first, ..] if *first < 0x80 => content,
        _ => return None,
    };
    let whole = bytes.len() <= 8;
    whole.then(|| {
        bytes
            .iter()
            .fold(0, |value, byte| (value << 8) | u64::from(*byte))
    })
}

/// Tags.
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const OCTETS: u8 = 0x04;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
