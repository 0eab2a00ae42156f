//! Links in the text of a mail.

/// What a link begins with (Suricata: `extract-urls-schemes`).
const SCHEMES: &[&[u8]] = &[b"http://", b"https://", b"ftp://"];

/// Bytes of one line that are looked at.
const MAX_LINE: usize = 4_096;

/// Finds links line by line.
#[derive(Debug, Default)]
pub(super) struct Links {
    line: Vec<u8>,
}

impl Links {
    /// Decoded text that follows what came before.
    pub(super) fn text(&mut self, text: &[u8], mut found: impl FnMut(&[u8])) {
        for part in text.split_inclusive(|byte| *byte == b'\n') {
            let room = MAX_LINE.saturating_sub(self.line.len());
            self.line
                .extend_from_slice(part.get(..room).unwrap_or(part));
            if part.ends_with(b"\n") {
                self.end(&mut found);
            }
        }
    }

    /// The line is over.
    pub(super) fn end(&mut self, mut found: impl FnMut(&[u8])) {
        let mut rest = self.line.as_slice();
        while let Some(at) = rest.iter().position(|byte| *byte == b':') {
            let after = rest.get(at + 1..).unwrap_or_default();
            let scheme = SCHEMES.iter().find(|scheme| {
                let front = scheme.split_last_chunk::<3>().map(|(front, _)| front);
                let before = rest.get(..at).unwrap_or_default();
                let written = front.and_then(|front| before.get(at.checked_sub(front.len())?..));
                after.starts_with(b"//")
                    && written
                        .zip(front)
                        .is_some_and(|(written, front)| written.eq_ignore_ascii_case(front))
            });
            rest = after;
            if scheme.is_some() {
                let link = after.get(2..).unwrap_or_default();
                let link = link.get(..end_of(link)).unwrap_or_default();
                if !link.is_empty() {
                    found(link);
                }
                rest = after.get(2 + link.len()..).unwrap_or_default();
            }
        }
        self.line.clear();
    }

    pub(super) fn footprint(&self) -> usize {
        self.line.capacity()
    }
}

/// Where a link ends: before what no link is made of (RFC 3986, section 2).
fn end_of(text: &[u8]) -> usize {
    text.iter()
        .position(|byte| {
            !byte.is_ascii_alphanumeric() && !b"-._~:/?#[]@!$&'()*+,;=%".contains(byte)
        })
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_without_their_scheme() {
        let mut links = Links::default();
        let mut all = Vec::new();
        links.text(b"see HTTP://a.b/c, \"ftp", |link| all.push(link.to_vec()));
        links.text(b"://d\" x:// https://\n", |link| all.push(link.to_vec()));
        assert_eq!(all, [&b"a.b/c,"[..], b"d"]);
    }
}
