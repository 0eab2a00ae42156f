//! What a rule asks of the bytes of one buffer, in the order written.

use std::sync::Arc;

use super::{
    Content, DatasetTest, EntropyTest, IntegerTest, Pcre, header_buffer::HeaderBuffer,
    transform::Transform,
};
use crate::protocol::Buffer;

/// A number in a rule: written out, or taken from the packet by `byte_extract` or `byte_math`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// As written.
    Number(i64),
    /// The variable of this index.
    Variable(u8),
}

impl Value {
    /// The number, if it is written out.
    #[must_use]
    pub const fn literal(self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Variable(_) => None,
        }
    }
}

/// What a group of tests looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// The packet's payload or the stream.
    Payload,
    /// A part of a transaction.
    Transaction(Buffer),
    /// A header of the packet.
    Header(HeaderBuffer),
    /// A text about one end.
    Identity(super::identity::IdentityBuffer),
    /// What `base64_decode` gave in this evaluation.
    Base64,
}

/// Tests of one buffer. With several instances of the buffer, one has to pass all of them.
#[derive(Clone, Debug)]
pub struct Group {
    /// The buffer.
    pub target: Target,
    /// What is done to its bytes first.
    pub transforms: Vec<Transform>,
    /// The tests.
    pub tests: Vec<Test>,
}

/// One test.
#[derive(Clone, Debug)]
pub enum Test {
    /// `content`.
    Content(Content),
    /// `pcre`.
    Pcre(Arc<Pcre>),
    /// `byte_test`.
    ByteTest(ByteTest),
    /// `byte_jump`.
    ByteJump(ByteJump),
    /// `byte_extract`.
    ByteExtract(ByteExtract),
    /// `byte_math`.
    ByteMath(ByteMath),
    /// `isdataat`.
    IsDataAt {
        /// There must be none.
        negated: bool,
        /// How far.
        position: Value,
        /// From the previous match.
        relative: bool,
    },
    /// `bsize`, and `urilen` on its buffer.
    Size(IntegerTest),
    /// `entropy`.
    Entropy(EntropyTest),
    /// `base64_decode`.
    Base64Decode {
        /// Bytes to decode at most.
        bytes: Option<u32>,
        /// Where from.
        offset: u32,
        /// From the previous match.
        relative: bool,
    },
    /// `dataset` and `datarep`.
    Dataset(DatasetTest),
    /// What follows the previous match is a decimal number that passes.
    DecimalRest(IntegerTest),
    /// `absent`: the buffer is not there; with `or_else`, or passes the other tests.
    Absent {
        /// `or_else`.
        or_else: bool,
    },
}

/// How bytes become a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberFormat {
    /// Bytes that are read, 0 to 8 (23 as text).
    pub bytes: Value,
    /// Least significant first.
    pub little_endian: bool,
    /// As text, in this base.
    pub text_base: Option<u32>,
    /// From the previous match.
    pub relative: bool,
    /// Byte order of the DCE/RPC header.
    pub dce: bool,
}

/// How `byte_test` compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`.
    Less,
    /// `<=`.
    LessOrEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterOrEqual,
    /// `=`.
    Equal,
    /// `&`.
    And,
    /// `^`.
    Or,
}

/// `byte_test`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteTest {
    /// How to read.
    pub format: NumberFormat,
    /// The outcome is turned round.
    pub negated: bool,
    /// How to compare.
    pub comparison: Comparison,
    /// With what.
    pub value: Value,
    /// Where.
    pub offset: Value,
    /// `bitmask`.
    pub bitmask: Option<u64>,
}

/// `byte_jump`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteJump {
    /// How to read.
    pub format: NumberFormat,
    /// Where.
    pub offset: Value,
    /// Factor.
    pub multiplier: u32,
    /// Rounded up to 4.
    pub align: bool,
    /// From the start of the data instead of the place read.
    pub from_beginning: bool,
    /// From the end of the data.
    pub from_end: bool,
    /// Added at last.
    pub post_offset: Value,
    /// `bitmask`.
    pub bitmask: Option<u64>,
}

/// `byte_extract`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteExtract {
    /// How to read.
    pub format: NumberFormat,
    /// Where.
    pub offset: i64,
    /// The variable that gets the number.
    pub variable: u8,
    /// Factor.
    pub multiplier: u32,
    /// Rounded up to this.
    pub align: u32,
    /// `bitmask`.
    pub bitmask: Option<u64>,
}

/// What `byte_math` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `+`.
    Add,
    /// `-`.
    Subtract,
    /// `*`.
    Multiply,
    /// `/`.
    Divide,
    /// `<<`.
    ShiftLeft,
    /// `>>`.
    ShiftRight,
}

/// `byte_math`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteMath {
    /// How to read.
    pub format: NumberFormat,
    /// Where.
    pub offset: i64,
    /// What to do with it.
    pub operator: Operator,
    /// And with what.
    pub operand: Value,
    /// The variable that gets the result.
    pub variable: u8,
    /// `bitmask`.
    pub bitmask: Option<u64>,
}

impl Test {
    /// The content, if it is one.
    #[must_use]
    pub const fn content(&self) -> Option<&Content> {
        match self {
            Self::Content(content) => Some(content),
            _ => None,
        }
    }

    /// Whether what has not come yet can turn a pass into a failure.
    #[must_use]
    pub fn needs_end(&self) -> bool {
        match self {
            Self::Content(content) => content.negated || content.endswith,
            Self::Pcre(pcre) => pcre.negated || pcre.anchored_at_end,
            Self::IsDataAt { negated, .. } => *negated,
            Self::Size(_) | Self::Entropy(_) | Self::Absent { .. } | Self::DecimalRest(_) => true,
            Self::ByteJump(jump) => jump.from_end,
            Self::Dataset(_) => true,
            Self::ByteTest(_)
            | Self::ByteExtract(_)
            | Self::ByteMath(_)
            | Self::Base64Decode { .. } => false,
        }
    }
}
