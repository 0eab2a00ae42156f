//! Responses (RFC 9112, 4).

use super::{
    Exchange, Method,
    body::{Body, Framing, Piece, framing},
    coding::{Codings, Decoder},
    event, frame,
    head::{Head, Lines, Progress, is_space, trim},
    line::{StatusLine, upgrade},
    multipart::parameter,
    range::is_range,
};
use crate::{
    flow::Direction::{ToClient, ToServer},
    protocol::{Buffer, Stage, Status, Transaction, Transactions},
};

/// Whether data begins with `HTTP/`, `None` if it is too short to tell.
pub(super) fn begins_status_line(data: &[u8]) -> Option<bool> {
    let start = data.get(..5).unwrap_or(data);
    let same = b"HTTP/"
        .get(..start.len())
        .is_some_and(|name| name.eq_ignore_ascii_case(start));
    if same && start.len() < 5 {
        None
    } else {
        Some(same)
    }
}

/// What is read next.
#[derive(Debug, Default)]
enum State {
    #[default]
    Line,
    Head(Box<Head>),
    Body(Box<Content>),
    Failed,
}

/// A body and where it goes.
#[derive(Debug)]
struct Content {
    body: Body,
    decoder: Decoder,
    name: Option<Vec<u8>>,
    opened: bool,
}

/// The server's side.
#[derive(Debug, Default)]
pub(super) struct Responses {
    state: State,
    lines: Lines,
    /// The response that is being read.
    id: Option<u64>,
    /// It has a request.
    matched: bool,
    /// An interim response came before.
    interim: bool,
    /// A `CONNECT` was answered, and not by success.
    refused: bool,
    /// What came behind the last head, for the protocol that follows.
    rest: Vec<u8>,
}

impl Responses {
    pub(super) fn data(
        &mut self,
        data: &[u8],
        exchange: &mut Exchange,
        out: &mut Transactions,
    ) -> Status {
        let mut data = data;
        while !data.is_empty() {
            let before = data;
            let status = match &mut self.state {
                State::Failed => Status::Failed,
                State::Body(_) => {
                    self.content(&mut data, exchange, out);
                    Status::Ok
                }
                State::Line => self.first_line(&mut data, exchange, out),
                State::Head(head) => match self.lines.gather(&mut data, out.limits().partial) {
                    Progress::Partial => Status::Ok,
                    Progress::TooLong => self.too_long(out),
                    Progress::Whole => {
                        let over = head.line(&self.lines.held);
                        self.lines.held.clear();
                        if head.raw.len() > out.limits().head {
                            self.too_long(out)
                        } else if over {
                            self.finish_head(exchange, out)
                        } else {
                            Status::Ok
                        }
                    }
                },
            };
            let taken = before.get(..before.len() - data.len()).unwrap_or_default();
            let over = matches!(self.state, State::Line) && self.lines.held.is_empty();
            frame(ToClient, taken, over, out);
            if status != Status::Ok {
                if matches!(status, Status::Change(_)) {
                    self.rest = data.to_vec();
                }
                return status;
            }
        }
        Status::Ok
    }

    pub(super) fn take_rest(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.rest)
    }

    fn too_long(&mut self, out: &mut Transactions) -> Status {
        out.counters.partial_exceeded += 1;
        if let Some(transaction) = self.id.and_then(|id| out.get(id)) {
            transaction.event(ToClient, event::RESPONSE_TOO_LONG);
        }
        self.state = State::Failed;
        Status::Failed
    }

    /// Finds the transaction of the response that begins.
    fn begin(&mut self, exchange: &Exchange, out: &mut Transactions) {
        if self.id.is_some() {
            return;
        }
        if let Some(awaiting) = exchange.awaiting.front() {
            self.id = Some(awaiting.id);
            self.matched = true;
            return;
        }
        let id = out.begin();
        self.id = Some(id);
        self.matched = false;
        if let Some(transaction) = out.get(id) {
            transaction.event(ToClient, event::UNMATCHED_RESPONSE);
        }
    }

    /// Reads a status line, or finds out that there is none.
    fn first_line(
        &mut self,
        data: &mut &[u8],
        exchange: &Exchange,
        out: &mut Transactions,
    ) -> Status {
        if self.lines.held.is_empty() {
            let blank = data.iter().take_while(|byte| is_space(**byte)).count();
            *data = data.get(blank..).unwrap_or_default();
            if data.is_empty() {
                return Status::Ok;
            }
        }
        let progress = self.lines.gather(data, out.limits().partial);
        match begins_status_line(&self.lines.held) {
            None if progress == Progress::Partial => return Status::Ok,
            Some(true) => {}
            None | Some(false) => {
                // What has no status line is content (HTTP/0.9).
                self.begin(exchange, out);
                let held = core::mem::take(&mut self.lines.held);
                let mut content = Content::new(Body::until_close(ToClient));
                content.name = self.path(exchange);
                if let Some(transaction) = self.id.and_then(|id| out.get(id)) {
                    transaction.advance(ToClient, Stage::Headers);
                    content.give(&held, transaction);
                }
                self.state = State::Body(Box::new(content));
                return Status::Ok;
            }
        }
        match progress {
            Progress::Partial => Status::Ok,
            Progress::TooLong => self.too_long(out),
            Progress::Whole => {
                self.begin(exchange, out);
                self.state = State::Head(Box::new(status_line(&self.lines.held)));
                self.lines.held.clear();
                Status::Ok
            }
        }
    }

    /// Pushes what the head had and finds out about content.
    fn finish_head(&mut self, exchange: &mut Exchange, out: &mut Transactions) -> Status {
        let State::Head(head) = core::mem::take(&mut self.state) else {
            return Status::Ok;
        };
        let limits = *out.limits();
        let awaiting = exchange.awaiting.front().filter(|_| self.matched);
        let method = awaiting.map_or(Method::Other, |awaiting| awaiting.method);
        let offered = awaiting.and_then(|awaiting| awaiting.upgrade);
        let line = StatusLine::of(&head.start);
        let number = line.number();
        let transaction = self.id.and_then(|id| out.get(id));
        if matches!(number, Some(100 | 102..=199)) {
            // The response itself is still to come (RFC 9110, 15.2).
            if self.interim
                && number == Some(100)
                && let Some(transaction) = transaction
            {
                transaction.event(ToClient, event::CONTINUE_ALREADY_SEEN);
            }
            self.interim = true;
            return Status::Ok;
        }
        let mut events = Vec::new();
        let body = framing(ToClient, &head, &mut events);
        let codings = head
            .get(b"content-encoding")
            .map(Codings::of)
            .unwrap_or_default();
        if let Some(transaction) = transaction {
            line.push(transaction, &head.start);
            head.push(transaction);
            oddities(&head, &line, &body, &mut events);
            codings.oddities(limits.layers, &mut events);
            for event in events {
                transaction.event(ToClient, event);
            }
            transaction.advance(ToClient, Stage::Headers);
        }
        if method == Method::Connect && matches!(number, Some(200..=299)) {
            self.complete(exchange, out);
            return Status::Change(None);
        }
        if number == Some(101) {
            self.complete(exchange, out);
            return Status::Change(head.get(b"upgrade").and_then(upgrade).or(offered));
        }
        self.refused |= method == Method::Connect;
        let bodiless = method == Method::Head || matches!(number, Some(204 | 304));
        if bodiless || body.is_over() {
            self.complete(exchange, out);
            return Status::Ok;
        }
        let name = head
            .get(b"content-disposition")
            .and_then(|value| parameter(value, b"filename"))
            .map(<[u8]>::to_vec)
            .or_else(|| self.path(exchange));
        self.begin_content(body, &codings, name, &limits);
        Status::Ok
    }

    fn begin_content(
        &mut self,
        body: Body,
        codings: &Codings,
        name: Option<Vec<u8>>,
        limits: &crate::protocol::Limits,
    ) {
        self.state = State::Body(Box::new(Content {
            decoder: Decoder::new(codings, limits.layers, limits.decompressed),
            name,
            ..Content::new(body)
        }));
    }

    /// Takes content off `data`.
    fn content(&mut self, data: &mut &[u8], exchange: &mut Exchange, out: &mut Transactions) {
        let State::Body(content) = &mut self.state else {
            return;
        };
        let mut events = Vec::new();
        let piece = content.body.next(data, &mut events);
        if let Some(transaction) = self.id.and_then(|id| out.get(id)) {
            match &piece {
                Piece::Borrowed(bytes) => content.give(bytes, transaction),
                Piece::Owned(bytes) => content.give(bytes, transaction),
                Piece::Nothing | Piece::End => {}
            }
            for event in events {
                transaction.event(ToClient, event);
            }
        }
        if content.body.is_over() {
            self.complete(exchange, out);
        }
    }

    /// The response that was read is whole.
    fn complete(&mut self, exchange: &mut Exchange, out: &mut Transactions) {
        let state = core::mem::take(&mut self.state);
        self.interim = false;
        let Some(id) = self.id.take() else { return };
        if self.matched {
            exchange.awaiting.pop_front();
        }
        let mut exceeded = false;
        if let Some(transaction) = out.get(id) {
            if let State::Body(mut content) = state {
                exceeded = content.finish(transaction);
            }
            transaction.advance(ToClient, Stage::Complete);
            if !self.matched {
                transaction.advance(ToServer, Stage::Complete);
            }
        }
        out.counters.decompression_exceeded += u64::from(exceeded);
    }

    /// The name of a file without one: the path it was asked for by.
    fn path(&self, exchange: &Exchange) -> Option<Vec<u8>> {
        let awaiting = exchange.awaiting.front().filter(|_| self.matched)?;
        (!awaiting.path.is_empty()).then(|| awaiting.path.clone())
    }

    pub(super) const fn take_refused(&mut self) -> bool {
        core::mem::replace(&mut self.refused, false)
    }

    pub(super) fn skip(&mut self, length: u64) -> bool {
        match &mut self.state {
            State::Body(content) => content.decoder.is_plain() && content.body.skip(length),
            _ => false,
        }
    }

    pub(super) fn end(&mut self, exchange: &mut Exchange, out: &mut Transactions) {
        let line = core::mem::take(&mut self.lines.held);
        match &mut self.state {
            State::Head(head) => {
                head.line(&line);
                head.close();
                self.finish_head(exchange, out);
            }
            State::Line if !line.is_empty() => {
                self.begin(exchange, out);
                self.state = State::Head(Box::new(status_line(&line)));
                self.finish_head(exchange, out);
            }
            _ => {}
        }
        self.complete(exchange, out);
        // Requests that will not be answered any more.
        for awaiting in exchange.awaiting.drain(..) {
            if let Some(transaction) = out.get(awaiting.id) {
                transaction.advance(ToClient, Stage::Complete);
            }
        }
        self.state = State::Line;
    }

    pub(super) fn footprint(&self) -> usize {
        let state = match &self.state {
            State::Head(head) => head.footprint(),
            State::Body(content) => content.body.footprint() + content.decoder.footprint(),
            _ => 0,
        };
        state + self.lines.held.capacity()
    }
}

/// Begins a head. Browsers end the status line at a bare CR too.
fn status_line(line: &[u8]) -> Head {
    let line = trim(line);
    let end = line
        .windows(2)
        .position(|pair| matches!(pair, [b'\r', next] if !is_space(*next)));
    let (start, rest) = end
        .and_then(|end| line.split_at_checked(end))
        .unwrap_or((line, &[]));
    let mut head = Head::new(ToClient, start);
    if let Some(field) = rest.strip_prefix(b"\r") {
        head.first_field(field);
    }
    head
}

/// Raises events for what is odd about a head.
fn oddities(head: &Head, line: &StatusLine<'_>, body: &Body, events: &mut Vec<&'static str>) {
    if !matches!(line.protocol, b"HTTP/1.0" | b"HTTP/1.1" | b"HTTP/0.9") {
        events.push(event::RESPONSE_PROTOCOL);
    }
    if line
        .number()
        .is_none_or(|number| !(100..=999).contains(&number))
    {
        events.push(event::RESPONSE_STATUS);
    }
    if matches!(body.framing, Framing::Chunked(_)) && !line.protocol.ends_with(b"1.1") {
        events.push(event::CHUNKED_OLD_PROTOCOL);
    }
    if head.get(b"content-type").is_some_and(|kind| {
        kind.get(..20)
            .is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/byteranges"))
    }) {
        events.push(event::BYTERANGES);
    }
    let range = head.get(b"content-range");
    if line.number() == Some(206) && range.is_some_and(|range| !is_range(range)) {
        events.push(event::RANGE_INVALID);
    }
}

impl Content {
    fn new(body: Body) -> Self {
        Self {
            body,
            decoder: Decoder::default(),
            name: None,
            opened: false,
        }
    }

    fn give(&mut self, bytes: &[u8], transaction: &mut Transaction) {
        let decoded = self.decoder.decode(bytes);
        self.pass(&decoded, transaction);
    }

    fn pass(&mut self, bytes: &[u8], transaction: &mut Transaction) {
        if bytes.is_empty() {
            return;
        }
        transaction.append(ToClient, Buffer::HttpResponseBody, bytes);
        if !self.opened {
            self.opened = true;
            transaction.file_open(ToClient, self.name.as_deref());
        }
        transaction.file_data(ToClient, bytes);
    }

    /// Whether a limit was met.
    fn finish(&mut self, transaction: &mut Transaction) -> bool {
        let rest = self.decoder.finish();
        self.pass(&rest, transaction);
        transaction.file_close(ToClient);
        self.decoder.report(ToClient, transaction)
    }
}
