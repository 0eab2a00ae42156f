//! Bodies: decoded, and passed on as body, file and DNS message.

use super::{doh, event, fields, hpack::Block};
use crate::{
    flow::Direction::{self, ToClient, ToServer},
    protocol::{
        Buffer, Limits, Transaction,
        http::{
            coding::{Codings, Decoder},
            multipart::{Multipart, parameter},
        },
    },
};

/// The body of one direction of a stream.
#[derive(Debug)]
pub(super) struct Content {
    direction: Direction,
    decoder: Decoder,
    form: Option<Multipart>,
    name: Option<Vec<u8>>,
    file: bool,
    opened: bool,
    dns: Option<doh::Message>,
    /// Bytes are missing that what follows cannot be decoded without.
    broken: bool,
}

impl Content {
    /// As the head announces it; `path` is what a file without a name is called by.
    pub(super) fn of(direction: Direction, block: &Block, path: &[u8], limits: &Limits) -> Self {
        let get = |name: &[u8]| fields::get(block, name).unwrap_or_default();
        let codings = fields::get(block, b"content-encoding")
            .map(|value| Codings::of(&value))
            .unwrap_or_default();
        let kind = get(b"content-type");
        let form = match direction {
            ToServer => Multipart::of(&kind),
            ToClient => None,
        };
        let named = match direction {
            ToServer => None,
            ToClient => parameter(&get(b"content-disposition"), b"filename").map(<[u8]>::to_vec),
        };
        let urlencoded = kind
            .get(..33)
            .is_some_and(|kind| kind.eq_ignore_ascii_case(b"application/x-www-form-urlencoded"));
        Self {
            direction,
            decoder: Decoder::new(&codings, limits.layers, limits.decompressed),
            file: form.is_none() && !(direction == ToServer && urlencoded),
            form,
            name: named.or_else(|| (!path.is_empty()).then(|| path.to_vec())),
            opened: false,
            dns: doh::is_dns(&kind).then(doh::Message::default),
            broken: false,
        }
    }

    pub(super) const fn has_dns(&self) -> bool {
        self.dns.is_some()
    }

    pub(super) fn gap(&mut self) {
        self.broken |= !self.decoder.is_plain();
        self.dns = None;
    }

    pub(super) fn give(&mut self, bytes: &[u8], transaction: &mut Transaction) {
        if self.broken {
            return;
        }
        let decoded = self.decoder.decode(bytes);
        self.pass(&decoded, transaction);
    }

    fn pass(&mut self, bytes: &[u8], transaction: &mut Transaction) {
        if bytes.is_empty() {
            return;
        }
        let buffer = match self.direction {
            ToServer => Buffer::HttpRequestBody,
            ToClient => Buffer::HttpResponseBody,
        };
        transaction.append(self.direction, buffer, bytes);
        if let Some(form) = &mut self.form {
            form.feed(bytes, transaction);
        }
        if let Some(dns) = &mut self.dns {
            dns.feed(bytes, self.direction, transaction);
        }
        if self.file {
            if !self.opened {
                self.opened = true;
                transaction.file_open(self.direction, self.name.as_deref());
            }
            transaction.file_data(self.direction, bytes);
        }
    }

    /// The body is over. Whether a limit was met.
    pub(super) fn finish(&mut self, transaction: &mut Transaction) -> bool {
        if !self.broken {
            let rest = self.decoder.finish();
            self.pass(&rest, transaction);
        }
        if let Some(form) = &mut self.form {
            form.finish(transaction);
        }
        if let Some(dns) = &mut self.dns {
            dns.finish(self.direction, transaction);
        }
        if self.opened {
            transaction.file_close(self.direction);
        }
        if self.decoder.failed {
            transaction.event(self.direction, event::FAILED_DECOMPRESSION);
        }
        self.decoder.exceeded
    }

    pub(super) fn footprint(&self) -> usize {
        self.decoder.footprint()
            + self.form.as_ref().map_or(0, Multipart::footprint)
            + self.dns.as_ref().map_or(0, doh::Message::footprint)
            + self.name.as_ref().map_or(0, Vec::capacity)
    }
}
