//! Requests (RFC 9112, 3).

use super::{
    Awaiting, Exchange, Method,
    body::{Body, Framing, Piece, framing},
    coding::{Codings, Decoder},
    event, frame,
    head::{Head, Lines, Progress, chomp, trim},
    is_method,
    line::{Parts, starts_protocol, upgrade},
    multipart::Multipart,
    uri::{Host, Target},
};
use crate::{
    flow::Direction::ToServer,
    protocol::{AppProtocol, Buffer, Stage, Status, Transaction, Transactions, http2},
};

/// What is read next.
#[derive(Debug, Default)]
enum State {
    #[default]
    Line,
    Head(Box<Head>),
    Body(Box<Content>),
    /// Behind a `CONNECT` whose answer is not there: held until then.
    Tunnel,
    Failed,
}

/// A body and where it goes.
#[derive(Debug)]
struct Content {
    body: Body,
    decoder: Decoder,
    form: Option<Multipart>,
    file: bool,
}

/// The client's side.
#[derive(Debug, Default)]
pub(super) struct Requests {
    state: State,
    lines: Lines,
    /// The request that is read or was read last.
    id: Option<u64>,
    request: Request,
    /// The head is over, but it is not clear whether content without a length follows.
    lingering: bool,
}

/// What is known of the request by its first line.
#[derive(Debug, Default)]
struct Request {
    method: Vec<u8>,
    path: Vec<u8>,
    uri_host: Option<Host>,
    /// Without its protocol.
    short: bool,
    /// HTTP/1.1 or above.
    modern: bool,
}

impl Requests {
    pub(super) fn data(
        &mut self,
        data: &[u8],
        exchange: &mut Exchange,
        out: &mut Transactions,
    ) -> Status {
        let mut data = data;
        while !data.is_empty() {
            if let State::Tunnel = self.state {
                let room = out.limits().partial.saturating_sub(self.lines.held.len());
                let kept = data.get(..room).unwrap_or(data);
                self.lines.held.extend_from_slice(kept);
                return Status::Ok;
            }
            let before = data;
            let status = self.step(&mut data, exchange, out);
            let taken = before.get(..before.len() - data.len()).unwrap_or_default();
            let over = matches!(self.state, State::Line) && self.lines.held.is_empty();
            frame(ToServer, taken, over, out);
            if status != Status::Ok {
                return status;
            }
        }
        Status::Ok
    }

    /// Reads the next line, or the next piece of content.
    fn step(
        &mut self,
        data: &mut &[u8],
        exchange: &mut Exchange,
        out: &mut Transactions,
    ) -> Status {
        match self.state {
            State::Failed | State::Tunnel => Status::Failed,
            State::Body(_) => {
                self.content(data, out);
                Status::Ok
            }
            State::Line | State::Head(_) => match self.lines.gather(data, out.limits().partial) {
                Progress::Partial => Status::Ok,
                Progress::TooLong => self.too_long(out),
                Progress::Whole => {
                    let line = core::mem::take(&mut self.lines.held);
                    let status = self.line(&line, exchange, out);
                    if matches!(status, Status::Change(_)) {
                        // The line is the other protocol's already.
                        self.lines.held = [&line, *data].concat();
                        return status;
                    }
                    self.lines.held = line;
                    self.lines.held.clear();
                    status
                }
            },
        }
    }

    fn too_long(&mut self, out: &mut Transactions) -> Status {
        out.counters.partial_exceeded += 1;
        if let Some(transaction) = self.id.and_then(|id| out.get(id)) {
            transaction.event(ToServer, event::REQUEST_TOO_LONG);
        }
        self.state = State::Failed;
        Status::Failed
    }

    fn line(&mut self, line: &[u8], exchange: &mut Exchange, out: &mut Transactions) -> Status {
        let State::Head(head) = &mut self.state else {
            return self.first_line(line, exchange, out);
        };
        if self.request.short
            && head.raw.is_empty()
            && !chomp(line).is_empty()
            && let Some(transaction) = self.id.and_then(|id| out.get(id))
        {
            transaction.event(ToServer, event::MISSING_PROTOCOL);
        }
        if head.raw.len() + line.len() > out.limits().head {
            return self.too_long(out);
        }
        if head.line(line) {
            self.finish_head(exchange, out);
        }
        Status::Ok
    }

    fn first_line(
        &mut self,
        line: &[u8],
        exchange: &mut Exchange,
        out: &mut Transactions,
    ) -> Status {
        let text = trim(line);
        if text.is_empty() {
            return Status::Ok;
        }
        if text.starts_with(b"PRI * HTTP/2") {
            return Status::Change(Some(AppProtocol::Http2));
        }
        let parts = Parts::of(text);
        if !is_method(parts.method)
            && !starts_protocol(parts.protocol)
            && let Some(transaction) = self.id.and_then(|id| out.get(id))
        {
            // Content that the head did not announce.
            transaction.event(ToServer, event::BODY_UNEXPECTED);
            transaction.append(ToServer, Buffer::HttpRequestBody, line);
            return Status::Ok;
        }
        if self.lingering {
            self.complete(out);
        }
        let id = out.begin();
        self.id = Some(id);
        if let Some(transaction) = out.get(id) {
            if line
                .first()
                .is_some_and(|byte| matches!(byte, b' ' | b'\t'))
            {
                transaction.event(ToServer, event::LEADING_WHITESPACE);
            }
            parts.push(transaction, text);
        }
        let connect = parts.method == b"CONNECT";
        let target = Target::of(parts.uri, connect);
        self.request = Request {
            method: parts.method.to_vec(),
            path: target.file_name(),
            uri_host: target.authority.map(Host::of),
            short: parts.protocol.is_empty(),
            modern: parts.protocol.len() >= 8 && parts.protocol.get(5..8) >= Some(b"1.1"),
        };
        if exchange.awaiting.len() >= out.limits().transactions.max(1) {
            exchange.awaiting.pop_front();
        }
        exchange.awaiting.push_back(Awaiting {
            id,
            method: match parts.method {
                b"HEAD" => Method::Head,
                b"CONNECT" => Method::Connect,
                b"POST" | b"PUT" | b"PATCH" => Method::Content,
                _ => Method::Other,
            },
            upgrade: None,
            path: self.request.path.clone(),
        });
        self.state = State::Head(Box::new(Head::new(ToServer, text)));
        Status::Ok
    }

    /// Pushes what the head had and finds out about content.
    fn finish_head(&mut self, exchange: &mut Exchange, out: &mut Transactions) {
        let State::Head(head) = core::mem::take(&mut self.state) else {
            return;
        };
        let limits = *out.limits();
        let Some(id) = self.id else { return };
        let awaiting = exchange
            .awaiting
            .iter_mut()
            .rev()
            .find(|awaiting| awaiting.id == id);
        let mut events = Vec::new();
        let body = framing(ToServer, &head, &mut events);
        let method = awaiting.as_ref().map(|awaiting| awaiting.method);
        if let Some(awaiting) = awaiting {
            awaiting.upgrade = head.get(b"upgrade").and_then(upgrade);
        }
        let Some(transaction) = out.get(id) else {
            // Given up for want of room: its content is still to be passed over.
            self.begin_content(&head, body, &limits);
            return;
        };
        head.push(transaction);
        self.hosts(&head, transaction);
        if let Some(authorization) = head.get(b"authorization")
            && !["basic", "digest", "bearer"].iter().any(|scheme| {
                authorization
                    .get(..scheme.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
            })
        {
            transaction.event(ToServer, event::AUTH_UNRECOGNIZED);
        }
        if let Some(settings) = head.get(b"http2-settings")
            && !http2::are_settings(settings)
        {
            events.push(http2::HTTP1_SETTINGS);
        }
        for event in events {
            transaction.event(ToServer, event);
        }
        transaction.advance(ToServer, Stage::Headers);
        if method == Some(Method::Connect) {
            transaction.advance(ToServer, Stage::Complete);
            self.state = State::Tunnel;
        } else if !body.is_over() {
            self.begin_content(&head, body, &limits);
        } else if method == Some(Method::Content) && body.framing == Framing::Empty {
            self.lingering = true;
        } else {
            transaction.advance(ToServer, Stage::Complete);
        }
    }

    fn begin_content(&mut self, head: &Head, body: Body, limits: &crate::protocol::Limits) {
        if body.is_over() {
            return;
        }
        let codings = head
            .get(b"content-encoding")
            .map(Codings::of)
            .unwrap_or_default();
        let kind = head.get(b"content-type").unwrap_or_default();
        let form = Multipart::of(kind);
        let urlencoded = kind
            .get(..33)
            .is_some_and(|kind| kind.eq_ignore_ascii_case(b"application/x-www-form-urlencoded"));
        let file = form.is_none()
            && !urlencoded
            && matches!(self.request.method.as_slice(), b"POST" | b"PUT");
        self.state = State::Body(Box::new(Content {
            body,
            decoder: Decoder::new(&codings, limits.layers, limits.decompressed),
            form,
            file,
        }));
    }

    /// Host buffers, and whether the host is what it should be (RFC 9112, 3.2).
    fn hosts(&self, head: &Head, transaction: &mut Transaction) {
        let field = head.get(b"host");
        let field_host = field.map(Host::of);
        if let Some(host) = &self.request.uri_host {
            if !host.valid {
                transaction.event(ToServer, event::URI_HOST_INVALID);
            }
            let differs = field_host.as_ref().is_some_and(|field| {
                field.name != host.name
                    || (field.port.is_some() && host.port.is_some() && field.port != host.port)
            });
            if differs {
                transaction.event(ToServer, event::HOST_AMBIGUOUS);
            }
        }
        match &field_host {
            Some(host) if !host.valid => transaction.event(ToServer, event::HOST_INVALID),
            None if self.request.modern => transaction.event(ToServer, event::MISSING_HOST),
            _ => {}
        }
        if let Some(host) = self.request.uri_host.as_ref().or(field_host.as_ref()) {
            transaction.push(ToServer, Buffer::HttpHost, &host.name);
        }
        if let Some(raw) = field {
            transaction.push(ToServer, Buffer::HttpRawHost, raw);
        } else if let Some(host) = &self.request.uri_host {
            transaction.push(ToServer, Buffer::HttpRawHost, &host.name);
        }
    }

    /// Takes content off `data`.
    fn content(&mut self, data: &mut &[u8], out: &mut Transactions) {
        let State::Body(content) = &mut self.state else {
            return;
        };
        let mut events = Vec::new();
        let piece = content.body.next(data, &mut events);
        let transaction = self.id.and_then(|id| out.get(id));
        let over = match piece {
            Piece::Nothing => false,
            Piece::End => true,
            Piece::Borrowed(bytes) => {
                if let Some(transaction) = transaction {
                    content.give(bytes, &self.request.path, transaction);
                }
                content.body.is_over()
            }
            Piece::Owned(bytes) => {
                if let Some(transaction) = transaction {
                    content.give(&bytes, &self.request.path, transaction);
                }
                content.body.is_over()
            }
        };
        if let Some(transaction) = self.id.and_then(|id| out.get(id)) {
            for event in events {
                transaction.event(ToServer, event);
            }
        }
        if over || content.body.is_over() {
            self.complete(out);
        }
    }

    /// The request that was read is whole.
    fn complete(&mut self, out: &mut Transactions) {
        let state = core::mem::take(&mut self.state);
        self.lingering = false;
        let Some(id) = self.id else { return };
        let mut exceeded = false;
        if let Some(transaction) = out.get(id) {
            if let State::Body(mut content) = state {
                exceeded = content.finish(&self.request.path, transaction);
            }
            transaction.advance(ToServer, Stage::Complete);
        }
        out.counters.decompression_exceeded += u64::from(exceeded);
    }

    /// The server sends: a request that may have been over is over.
    pub(super) fn answered(&mut self, out: &mut Transactions) {
        let only_line = matches!(&self.state, State::Head(head) if head.raw.is_empty())
            && self.request.short
            && self.lines.held.is_empty();
        if self.lingering {
            self.flush(out);
        }
        if only_line && let Some(transaction) = self.id.and_then(|id| out.get(id)) {
            transaction.advance(ToServer, Stage::Headers);
        }
        if only_line || self.lingering {
            self.complete(out);
        }
    }

    /// A line that has no end is content too.
    fn flush(&mut self, out: &mut Transactions) {
        let held = trim(&self.lines.held);
        if held.is_empty() || is_method(Parts::of(held).method) {
            return;
        }
        if let Some(transaction) = self.id.and_then(|id| out.get(id)) {
            transaction.event(ToServer, event::BODY_UNEXPECTED);
            transaction.append(ToServer, Buffer::HttpRequestBody, &self.lines.held);
        }
        self.lines.held.clear();
    }

    /// The server refused to be a tunnel: what was held are requests.
    pub(super) fn refused(&mut self, exchange: &mut Exchange, out: &mut Transactions) -> Status {
        if !matches!(self.state, State::Tunnel) {
            return Status::Ok;
        }
        self.state = State::Line;
        let held = core::mem::take(&mut self.lines.held);
        self.data(&held, exchange, out)
    }

    /// What came for the protocol that follows.
    pub(super) fn take_rest(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.lines.held)
    }

    pub(super) fn skip(&mut self, length: u64) -> bool {
        match &mut self.state {
            State::Body(content) => content.decoder.is_plain() && content.body.skip(length),
            _ => false,
        }
    }

    pub(super) fn end(&mut self, exchange: &mut Exchange, out: &mut Transactions) {
        match &mut self.state {
            State::Head(head) => {
                let line = core::mem::take(&mut self.lines.held);
                head.line(&line);
                head.close();
                self.finish_head(exchange, out);
            }
            State::Line if self.id.is_some() => self.flush(out),
            State::Line if !trim(&self.lines.held).is_empty() => {
                let line = core::mem::take(&mut self.lines.held);
                self.first_line(&line, exchange, out);
                if let Some(transaction) = self.id.and_then(|id| out.get(id)) {
                    transaction.event(ToServer, event::REQUEST_LINE_INCOMPLETE);
                    transaction.advance(ToServer, Stage::Headers);
                }
            }
            _ => {}
        }
        self.complete(out);
        self.lines.held = Vec::new();
        self.state = State::Line;
        self.id = None;
    }

    pub(super) fn footprint(&self) -> usize {
        let state = match &self.state {
            State::Head(head) => head.footprint(),
            State::Body(content) => {
                content.body.footprint()
                    + content.decoder.footprint()
                    + content.form.as_ref().map_or(0, Multipart::footprint)
            }
            _ => 0,
        };
        state + self.lines.held.capacity() + self.request.path.capacity()
    }
}

impl Content {
    fn give(&mut self, bytes: &[u8], path: &[u8], transaction: &mut Transaction) {
        let decoded = self.decoder.decode(bytes);
        self.pass(&decoded, path, transaction);
    }

    fn pass(&mut self, bytes: &[u8], path: &[u8], transaction: &mut Transaction) {
        if bytes.is_empty() {
            return;
        }
        transaction.append(ToServer, Buffer::HttpRequestBody, bytes);
        if let Some(form) = &mut self.form {
            form.feed(bytes, transaction);
        }
        if self.file {
            if transaction.first(ToServer, Buffer::FileData).is_none() {
                transaction.file_open(ToServer, Some(path));
            }
            transaction.file_data(ToServer, bytes);
        }
    }

    /// Whether a limit was met.
    fn finish(&mut self, path: &[u8], transaction: &mut Transaction) -> bool {
        let rest = self.decoder.finish();
        self.pass(&rest, path, transaction);
        if let Some(form) = &mut self.form {
            form.finish(transaction);
        }
        if self.file {
            transaction.file_close(ToServer);
        }
        self.decoder.report(ToServer, transaction)
    }
}
