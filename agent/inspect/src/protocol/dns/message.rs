//! One DNS message (RFC 1035, section 4).

/// Longest name that is kept.
const MAX_NAME: usize = 1_025;
/// Labels and pointers of one name.
const MAX_LABELS: usize = 255;
/// Bytes of all names of one message: pointers let a small message name a lot.
const MAX_NAMES: usize = 128 << 10;

/// Bytes of the header.
pub(super) const HEADER: usize = 12;
const RESPONSE: u16 = 0x8000;
const ZERO: u16 = 0x0040;

/// Why a message cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The fixed part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) flags: u16,
    /// Questions, answers, authorities, additionals.
    pub(super) counts: [u16; 4],
}

impl Header {
    pub(super) fn of(message: &[u8]) -> Option<Self> {
        let mut reader = Reader { message, at: 2 };
        let flags = reader.u16().ok()?;
        let mut counts = [0; 4];
        for count in &mut counts {
            *count = reader.u16().ok()?;
        }
        Some(Self { flags, counts })
    }

    pub(super) const fn is_response(self) -> bool {
        self.flags & RESPONSE != 0
    }

    pub(super) const fn has_zero_flag(self) -> bool {
        self.flags & ZERO != 0
    }

    pub(super) const fn opcode(self) -> u16 {
        (self.flags >> 11) & 0xf
    }

    pub(super) const fn rcode(self) -> u16 {
        self.flags & 0xf
    }

    /// Whether so many records fit a message of this length: a record has two bytes at least.
    pub(super) fn fits(self, length: usize) -> bool {
        let records: usize = self.counts.iter().map(|count| usize::from(*count)).sum();
        records * 2 + HEADER <= length
    }
}

/// What was odd about the names of a message that could be read all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Oddities {
    pub(super) truncated: bool,
    pub(super) infinite_loop: bool,
    pub(super) too_many_labels: bool,
    pub(super) invalid_authorities: bool,
    pub(super) invalid_additionals: bool,
}

#[derive(Debug)]
pub(super) struct Question {
    pub(super) name: Vec<u8>,
    pub(super) rrtype: u16,
}

#[derive(Debug)]
pub(super) struct Record {
    pub(super) name: Vec<u8>,
    pub(super) rrtype: u16,
    /// The name that the data of CNAME, NS, PTR, MX and SOA is.
    pub(super) target: Option<Vec<u8>>,
}

#[derive(Debug)]
pub(super) struct Message {
    pub(super) header: Header,
    pub(super) questions: Vec<Question>,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    pub(super) additionals: Vec<Record>,
    pub(super) oddities: Oddities,
}

impl Message {
    /// Reads a whole message. Authorities and additionals that cannot be read are left out: what
    /// comes before them is of use without.
    pub(super) fn parse(message: &[u8]) -> Result<Self, Malformed> {
        let header = Header::of(message).ok_or(Malformed)?;
        let mut parser = MessageParser {
            reader: Reader {
                message,
                at: HEADER,
            },
            oddities: Oddities::default(),
            names: 0,
        };
        let [questions, answers, authorities, additionals] = header.counts;
        let questions = parser.questions(questions)?;
        let answers = parser.records(answers)?;
        let authorities = parser.records(authorities).unwrap_or_else(|_| {
            parser.oddities.invalid_authorities = true;
            Vec::new()
        });
        let additionals = if parser.oddities.invalid_authorities {
            Vec::new()
        } else {
            parser.records(additionals).unwrap_or_else(|_| {
                parser.oddities.invalid_additionals = true;
                Vec::new()
            })
        };
        Ok(Self {
            header,
            questions,
            answers,
            authorities,
            additionals,
            oddities: parser.oddities,
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(length).ok_or(Malformed)?;
        let bytes = self.message.get(self.at..end).ok_or(Malformed)?;
        self.at = end;
        Ok(bytes)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.take(1)?.first().copied().ok_or(Malformed)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes([self.u8()?, self.u8()?]))
    }
}

struct MessageParser<'a> {
    reader: Reader<'a>,
    oddities: Oddities,
    /// Bytes of names so far.
    names: usize,
}

impl MessageParser<'_> {
    fn questions(&mut self, count: u16) -> Result<Vec<Question>, Malformed> {
        let mut questions = Vec::new();
        for _ in 0..count {
            let name = self.name()?;
            let rrtype = self.reader.u16()?;
            self.reader.take(2)?;
            questions.push(Question { name, rrtype });
        }
        Ok(questions)
    }

    fn records(&mut self, count: u16) -> Result<Vec<Record>, Malformed> {
        let mut records = Vec::new();
        for _ in 0..count {
            let name = self.name()?;
            let rrtype = self.reader.u16()?;
            self.reader.take(2 + 4)?;
            let length = usize::from(self.reader.u16()?);
            let start = self.reader.at;
            self.reader.take(length)?;
            let end = self.reader.at;
            self.reader.at = start;
            let target = self.target(rrtype, length)?;
            self.reader.at = end;
            records.push(Record {
                name,
                rrtype,
                target,
            });
        }
        Ok(records)
    }

    fn target(&mut self, rrtype: u16, length: usize) -> Result<Option<Vec<u8>>, Malformed> {
        if length == 0 {
            return Ok(None);
        }
        match rrtype {
            2 | 5 | 6 | 12 => self.name().map(Some),
            15 => {
                self.reader.take(2)?;
                self.name().map(Some)
            }
            _ => Ok(None),
        }
    }

    /// A name with dots between its labels, as it was sent; the root is empty. Pointers may lead
    /// anywhere in the message, since resolvers accept that.
    fn name(&mut self) -> Result<Vec<u8>, Malformed> {
        let mut name = Vec::new();
        let mut reader = self.reader;
        // Where to go on: behind the first pointer.
        let mut behind = None;
        for labels in 0.. {
            if labels > MAX_LABELS {
                self.oddities.too_many_labels = true;
                if name.is_empty() {
                    return Err(Malformed);
                }
                break;
            }
            let here = reader.at;
            let length = reader.u8()?;
            match length & 0xc0 {
                0 if length == 0 => break,
                0 => {
                    let label = reader.take(usize::from(length))?;
                    self.append(&mut name, label);
                }
                0xc0 => {
                    let to = usize::from(u16::from_be_bytes([length & 0x3f, reader.u8()?]));
                    behind = behind.or(Some(reader.at));
                    if to == here {
                        self.oddities.infinite_loop = true;
                        if name.is_empty() {
                            return Err(Malformed);
                        }
                        break;
                    }
                    reader.at = to;
                }
                _ => return Err(Malformed),
            }
        }
        self.reader.at = behind.unwrap_or(reader.at);
        self.names += name.len();
        Ok(name)
    }

    fn append(&mut self, name: &mut Vec<u8>, label: &[u8]) {
        if name.len() >= MAX_NAME || self.names + name.len() > MAX_NAMES {
            self.oddities.truncated = true;
            return;
        }
        if !name.is_empty() {
            name.push(b'.');
        }
        name.extend_from_slice(label);
        if name.len() > MAX_NAME {
            name.truncate(MAX_NAME);
            self.oddities.truncated = true;
        }
    }
}
