//! Header blocks: one frame and what continues it.

use super::{
    Http2, event,
    frame::{self, Header, Kind},
    stream::note,
};
use crate::{flow::Direction, protocol::Transactions};

/// Bytes of a header block in several frames.
const BLOCK: usize = 100 << 10;

/// A header block that is not whole.
#[derive(Debug)]
pub(super) struct OpenBlock {
    pub(super) stream: u32,
    promised: Option<u32>,
    end: bool,
    priority: Option<u8>,
    continued: bool,
    pub(super) data: Vec<u8>,
    /// It is longer than what may be held.
    lost: bool,
}

impl Http2 {
    /// `HEADERS` and `PUSH_PROMISE` (RFC 9113, 6.2 and 6.6).
    pub(super) fn fields(
        &mut self,
        direction: Direction,
        header: Header,
        payload: &[u8],
        out: &mut Transactions,
    ) {
        let mut promised = None;
        let mut fragment = header.fragment(payload);
        if header.kind == Kind::PushPromise {
            let split = fragment.and_then(|fragment| fragment.split_first_chunk::<4>());
            promised = split.map(|(id, _)| u32::from_be_bytes(*id) & 0x7fff_ffff);
            fragment = split.map(|(_, fragment)| fragment);
        }
        let side = self.side(direction);
        let interrupted = side.block.take().is_some();
        if interrupted || fragment.is_none() {
            side.hpack.lose();
            self.misplaced(direction, header.stream, out);
        }
        let Some(fragment) = fragment else { return };
        let block = OpenBlock {
            stream: header.stream,
            promised,
            end: header.kind == Kind::Headers && header.has(frame::END_STREAM),
            priority: header.weight(payload),
            continued: false,
            data: fragment.to_vec(),
            lost: false,
        };
        if header.has(frame::END_HEADERS) {
            self.block(direction, &block, out);
        } else {
            self.side(direction).block = Some(block);
        }
    }

    /// RFC 9113, 6.10.
    pub(super) fn continuation(
        &mut self,
        direction: Direction,
        header: Header,
        payload: &[u8],
        out: &mut Transactions,
    ) {
        let open = self.side(direction).block.take();
        let Some(mut block) = open.filter(|block| block.stream == header.stream) else {
            self.side(direction).hpack.lose();
            self.misplaced(direction, header.stream, out);
            return;
        };
        block.continued = true;
        let most = out.limits().head.min(BLOCK);
        if !block.lost && block.data.len() + payload.len() > most {
            block.lost = true;
            block.data = Vec::new();
            let transaction = self.streams.transaction(block.stream);
            note(direction, transaction, event::REASSEMBLY_LIMIT, out);
        }
        if !block.lost {
            block.data.extend_from_slice(payload);
        }
        if header.has(frame::END_HEADERS) {
            self.block(direction, &block, out);
        } else {
            self.side(direction).block = Some(block);
        }
    }

    /// A whole header block.
    fn block(&mut self, direction: Direction, block: &OpenBlock, out: &mut Transactions) {
        let room = out.limits().head;
        let hpack = &mut self.side(direction).hpack;
        if block.lost {
            hpack.lose();
        }
        let mut decoded = hpack.decode(&block.data, room);
        decoded.priority = block.priority;
        decoded.continued = block.continued;
        match block.promised {
            Some(promised) => self.streams.promise(promised, &decoded, out),
            None => self
                .streams
                .headers(direction, block.stream, &decoded, block.end, out),
        }
    }
}
