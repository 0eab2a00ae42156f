//! What one flow speaks: recognised, parsed, and kept as transactions.

use super::heard::{Heard, PROBED};
use crate::{
    flow::Direction,
    protocol::{
        AppProtocol, LimitCounters, Limits, Parser, Probe, Stage, Status, Transactions,
        ftp::Expectation,
        http::FAILED_PROTOCOL_CHANGE,
        registry::{self, Transport},
    },
};

/// Changes of the protocol in one flow. Honest ends make two: `CONNECT`, and TLS in it.
const MAX_CHANGES: u8 = 8;

/// The application layer of one flow.
#[derive(Debug)]
pub(crate) struct Application {
    transport: Transport,
    state: State,
    pub(crate) transactions: Transactions,
    /// Place of the next byte of each direction.
    positions: [u64; 2],
    ended: [bool; 2],
    /// Times that the two ends agreed on another protocol.
    changes: u8,
    /// What was spoken before the last of them, and before the first.
    before: Option<AppProtocol>,
    original: Option<AppProtocol>,
    /// What each end was heard to speak.
    heard: Heard,
    /// Bytes of memory held, as of the last [`Self::settle`]: packets without payload change nothing.
    held: usize,
}

#[derive(Debug)]
enum State {
    /// What has come of each direction while nothing is recognised.
    Probing([Vec<u8>; 2]),
    Known(AppProtocol, Option<Box<dyn Parser>>),
    Failed,
}

impl Application {
    pub(crate) fn new(transport: Transport, limits: Limits) -> Self {
        Self {
            transport,
            state: State::Probing([Vec::new(), Vec::new()]),
            transactions: Transactions::new(limits),
            positions: [0; 2],
            ended: [false; 2],
            changes: 0,
            before: None,
            original: None,
            heard: Heard::default(),
            held: 0,
        }
    }

    /// A flow of which it is known beforehand what it carries.
    pub(crate) fn announced(
        transport: Transport,
        limits: Limits,
        protocol: AppProtocol,
        parser: Box<dyn Parser>,
    ) -> Self {
        Self {
            state: State::Known(protocol, Some(parser)),
            heard: Heard::settled(),
            ..Self::new(transport, limits)
        }
    }

    /// Connections that were agreed on since the last call.
    pub(crate) fn take_announced(&mut self) -> Vec<Expectation> {
        match &mut self.state {
            State::Known(_, Some(parser)) => parser.take_announced(),
            _ => Vec::new(),
        }
    }

    /// What is spoken, once it is known.
    pub(crate) const fn protocol(&self) -> Option<AppProtocol> {
        match &self.state {
            State::Known(protocol, _) => Some(*protocol),
            // Until it is known what follows, it is the business of who announced it.
            State::Probing(_) => self.before,
            State::Failed => None,
        }
    }

    /// Whether what follows is encrypted: contents of rules are not to be found in it.
    pub(crate) fn encrypted(&self) -> bool {
        matches!(&self.state, State::Known(_, Some(parser)) if parser.is_encrypted())
    }

    /// What the client, and what the server speaks, where that is not what the flow is parsed as.
    pub(crate) const fn differing(&self) -> [Option<AppProtocol>; 2] {
        self.heard.differing
    }

    /// What was spoken before the two ends first agreed on something else.
    pub(crate) const fn original(&self) -> Option<AppProtocol> {
        self.original
    }

    /// Nothing was recognised, and nothing will be.
    pub(crate) const fn failed(&self) -> bool {
        matches!(self.state, State::Failed)
    }

    /// Bytes of memory held.
    pub(crate) const fn footprint(&self) -> usize {
        self.held
    }

    /// Lets go of what is over, after it was looked at, and says what limits cut off since the last
    /// call.
    pub(crate) fn settle(&mut self) -> LimitCounters {
        self.transactions.retire();
        self.weigh();
        core::mem::take(&mut self.transactions.counters)
    }

    fn weigh(&mut self) {
        let state = match &self.state {
            State::Probing(buffers) => buffers.iter().map(Vec::capacity).sum(),
            State::Known(_, parser) => parser.as_ref().map_or(0, |parser| parser.footprint()),
            State::Failed => 0,
        };
        self.held = state + self.heard.footprint() + self.transactions.footprint();
    }

    /// Bytes of one direction whose first has the place `start`. What lies before is a gap.
    pub(crate) fn stream(
        &mut self,
        direction: Direction,
        start: u64,
        data: &[u8],
        ports: [u16; 2],
    ) {
        let Some(position) = self.positions.get_mut(direction.index()) else {
            return;
        };
        let gap = start.saturating_sub(*position);
        *position = start + data.len() as u64;
        if gap > 0 {
            self.gap(direction, gap, ports);
        }
        self.data(direction, data, ports);
    }

    fn gap(&mut self, direction: Direction, length: u64, ports: [u16; 2]) {
        self.heard.gap(direction);
        match &mut self.state {
            State::Known(_, Some(parser)) => {
                let status = parser.gap(direction, length, &mut self.transactions);
                self.follow(status, ports);
            }
            State::Probing(buffers) => {
                if let Some(buffer) = buffers.get_mut(direction.index()) {
                    buffer.clear();
                }
            }
            _ => {}
        }
    }

    /// Bytes of one direction, or a datagram.
    pub(crate) fn data(&mut self, direction: Direction, data: &[u8], ports: [u16; 2]) {
        match &mut self.state {
            State::Known(protocol, Some(parser)) => {
                let status = parser.data(direction, data, &mut self.transactions);
                if let Some(refined) = parser.refined() {
                    *protocol = refined;
                }
                self.follow(status, ports);
                if self.changes == 0 {
                    let heard = self.heard.second(self.transport, direction, data, ports);
                    if let Some(event) = heard {
                        self.event(direction, event);
                    }
                }
            }
            State::Probing(buffers) => {
                if let Some(buffer) = buffers.get_mut(direction.index()) {
                    let room = PROBED.saturating_sub(buffer.len());
                    buffer.extend_from_slice(data.get(..room).unwrap_or(data));
                    if room < data.len() {
                        // Too long to be looked at again: what was left out would be missing.
                        self.probe(direction, ports, Some(data.get(room..).unwrap_or_default()));
                        return;
                    }
                }
                self.probe(direction, ports, None);
            }
            _ => {}
        }
    }

    /// Looks whether what has come begins as a protocol does; `rest` is what did not fit.
    fn probe(&mut self, direction: Direction, ports: [u16; 2], rest: Option<&[u8]>) {
        let State::Probing(buffers) = &mut self.state else {
            return;
        };
        let mine = buffers
            .get(direction.index())
            .map_or(&[][..], Vec::as_slice);
        if mine.is_empty() {
            return;
        }
        match registry::recognise(self.transport, direction, mine, ports) {
            (Some(protocol), _) => {
                let buffers = core::mem::take(buffers);
                let [client, _] = &buffers;
                let reversed = direction == Direction::ToClient && client.is_empty();
                self.heard.first(direction, protocol);
                self.state = State::Known(protocol, registry::parser(protocol, self.transport));
                for (direction, buffer) in [Direction::ToServer, Direction::ToClient]
                    .into_iter()
                    .zip(buffers)
                {
                    if !buffer.is_empty() {
                        self.data(direction, &buffer, ports);
                    }
                }
                if let Some(rest) = rest {
                    self.data(direction, rest, ports);
                }
                if reversed && self.changes == 0 && registry::client_first(protocol) {
                    self.event(direction, registry::WRONG_DIRECTION);
                }
            }
            (None, Probe::NeedMore) if rest.is_none() => {}
            (None, _) => {
                let other = buffers.get(1 - direction.index()).map_or(0, Vec::len);
                // The other side may still say something that is recognised.
                if other > 0 || rest.is_some() {
                    if other == 0 {
                        self.event(direction, registry::SKIPPED);
                    }
                    self.fail(direction);
                }
            }
        }
    }

    /// Forgets what has come and looks at nothing more: its memory is needed elsewhere.
    pub(crate) fn give_up(&mut self) {
        self.state = State::Failed;
        self.transactions.clear();
        self.weigh();
    }

    /// Nothing more comes in this direction.
    pub(crate) fn end(&mut self, direction: Direction) {
        let ended = self.ended.get_mut(direction.index());
        if ended.is_none_or(|ended| core::mem::replace(ended, true)) {
            return;
        }
        if let State::Known(_, Some(parser)) = &mut self.state {
            parser.end(direction, &mut self.transactions);
        }
    }

    /// Gives up to find out what is spoken.
    fn fail(&mut self, direction: Direction) {
        self.state = State::Failed;
        if let Some(before @ AppProtocol::Http) = self.before {
            self.alone(direction, FAILED_PROTOCOL_CHANGE);
            self.state = State::Known(before, None);
        }
    }

    /// An event of the flow: it goes with the transaction that is nearest, if there is one.
    fn event(&mut self, direction: Direction, event: &'static str) {
        match self.transactions.last() {
            Some(transaction) => transaction.event(direction, event),
            None => self.alone(direction, event),
        }
    }

    /// An event that belongs to no exchange.
    fn alone(&mut self, direction: Direction, event: &'static str) {
        let id = self.transactions.begin();
        if let Some(transaction) = self.transactions.get(id) {
            transaction.event(direction, event);
            transaction.advance(Direction::ToServer, Stage::Complete);
            transaction.advance(Direction::ToClient, Stage::Complete);
        }
    }

    fn change(&mut self, to: Option<AppProtocol>, ports: [u16; 2]) {
        let State::Known(before, parser) = &mut self.state else {
            return;
        };
        self.before = Some(*before);
        self.transactions.settle_protocol(*before);
        self.original = self.original.or(self.before);
        self.heard = Heard::settled();
        let rest = parser.as_mut().map(|parser| parser.take_rest());
        self.changes = self.changes.saturating_add(1);
        // What was taken in with the change may hold the next one.
        if self.changes > MAX_CHANGES {
            self.state = State::Failed;
            return;
        }
        self.state = match to {
            Some(protocol) => State::Known(protocol, registry::parser(protocol, self.transport)),
            None => State::Probing([Vec::new(), Vec::new()]),
        };
        for (direction, data) in rest.into_iter().flatten() {
            if !data.is_empty() {
                self.data(direction, &data, ports);
            }
        }
    }

    fn follow(&mut self, status: Status, ports: [u16; 2]) {
        match status {
            Status::Ok => {}
            Status::Failed => {
                if let State::Known(_, parser) = &mut self.state {
                    *parser = None;
                }
            }
            Status::Change(to) => self.change(to, ports),
        }
    }
}
