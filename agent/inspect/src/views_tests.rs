use super::*;
use crate::{
    anomaly::Anomaly,
    finding::{Endpoint, FlowSummary},
    packet::Hook,
    signal::{Attempt, Contact, Outcome},
};

const NOW: Timestamp = Timestamp(1_000_000_000_000);
const PATIENCE: u64 = 300_000_000;

fn end(last: u8, port: u16) -> SocketId {
    SocketId {
        address: [10, 0, 0, last].into(),
        port,
    }
}

/// A client at .2 asks for port 8080 of .1, and is led to port 80 of .3, who sees .1 asking.
const ORIGINAL: [(u8, u16); 2] = [(2, 4_000), (1, 8_080)];
const TRANSLATED: [(u8, u16); 2] = [(1, 5_000), (3, 80)];

fn ends([one, other]: [(u8, u16); 2]) -> [SocketId; 2] {
    [end(one.0, one.1), end(other.0, other.1)]
}

fn owner(ifindex: u32) -> Owner {
    Owner {
        ifindex,
        ..Owner::default()
    }
}

fn context(tuple: [(u8, u16); 2], vantage: Vantage, to_server: bool) -> Context {
    let [client, server] = ends(tuple).map(|socket| Endpoint {
        socket,
        owner: Owner::default(),
    });
    let (source, destination) = if to_server {
        (client, server)
    } else {
        (server, client)
    };
    Context {
        timestamp: NOW,
        hook: Hook::LinkIngress,
        ifindex: 0,
        scope: 0,
        protocol: Some(6),
        icmp: None,
        source,
        destination,
        to_server,
        flow: FlowSummary {
            start: NOW,
            packets_to_client: 1,
            ..FlowSummary::default()
        },
        vantage,
        likeness: None,
        translation: None,
        tunnel: None,
        application: None,
        payload: bytes::Bytes::new(),
        in_stream: false,
        packet: None,
    }
}

fn finding(context: Context) -> Signal {
    Signal::Anomaly {
        anomaly: Anomaly::TcpFlags,
        context,
    }
}

fn contact(context: Context) -> Signal {
    Signal::Contact(Contact {
        attempt: Attempt::Syn,
        outcome: Outcome::Sent,
        context,
    })
}

#[derive(Default)]
struct Known {
    translation: Option<Translation>,
    client_is_watched: bool,
}

impl Known {
    fn published(client_is_watched: bool) -> Self {
        Self {
            translation: Some(Translation {
                original: ends(ORIGINAL),
                translated: ends(TRANSLATED),
                by: TranslationEvidence::Conntrack,
                id: 1,
            }),
            client_is_watched,
        }
    }
}

impl Paths for Known {
    fn translation(
        &mut self,
        _protocol: u8,
        of: [SocketId; 2],
        _start: Timestamp,
    ) -> Option<Arc<Translation>> {
        let is_of_it = of == ends(ORIGINAL) || of == ends(TRANSLATED);
        self.translation.filter(|_| is_of_it).map(Arc::new)
    }

    fn seen(&mut self, _protocol: u8, _scope: u64, of: [SocketId; 2]) -> Option<Seen> {
        if of[1] == end(1, 8_080) {
            self.client_is_watched.then_some(Seen {
                owners: [owner(12), Owner::default()],
                at_client: true,
            })
        } else {
            Some(Seen {
                owners: [Owner::default(), owner(13)],
                at_client: false,
            })
        }
    }
}

struct Stage {
    views: Views,
    paths: Known,
    told: Vec<Signal>,
}

impl Stage {
    fn new(paths: Known) -> Self {
        Self {
            views: Views::new(PATIENCE),
            paths,
            told: Vec::new(),
        }
    }

    fn signal(&mut self, signal: Signal) -> usize {
        let told = &mut self.told;
        let tell = &mut |signal| told.push(signal);
        self.views.signal(signal, NOW, &mut self.paths, tell);
        self.told.len()
    }

    fn release(&mut self, after: u64) -> usize {
        let told = &mut self.told;
        let tell = &mut |signal| told.push(signal);
        let now = Timestamp(NOW.0 + after);
        self.views.release(now, &mut self.paths, tell);
        self.told.len()
    }
}

#[test]
fn what_both_views_find_is_told_once_of_the_clients_with_the_true_ends() {
    for server_first in [false, true] {
        let mut stage = Stage::new(Known::published(true));
        let mut views = [
            finding(context(ORIGINAL, Vantage::Client, true)),
            finding(context(TRANSLATED, Vantage::Server, true)),
        ];
        if server_first {
            views.reverse();
        }
        for view in views {
            stage.signal(view);
        }
        assert_eq!(stage.release(PATIENCE), 1);
        let context = stage.told[0].context();
        assert_eq!(context.source.socket, end(2, 4_000));
        assert_eq!(context.destination.socket, end(1, 8_080));
        assert_eq!(context.true_ends(), [end(2, 4_000), end(3, 80)]);
        assert_eq!(context.destination.owner, owner(13));
        let stats = stage.views.stats();
        assert_eq!((stats.translated, stats.merged, stats.held), (2, 1, 0));
    }
}

#[test]
fn contacts_and_events_are_the_clients_view() {
    let mut stage = Stage::new(Known::published(true));
    stage.signal(contact(context(TRANSLATED, Vantage::Server, true)));
    assert_eq!(stage.release(PATIENCE), 0);
    stage.signal(contact(context(ORIGINAL, Vantage::Client, true)));
    assert_eq!(stage.told.len(), 1);
}

#[test]
fn what_only_the_servers_view_finds_is_told_with_the_true_client() {
    // The rule asks for the server's port, say: the client's view has another.
    let mut stage = Stage::new(Known::published(true));
    stage.signal(finding(context(TRANSLATED, Vantage::Server, true)));
    assert_eq!(stage.release(PATIENCE - 1), 0);
    assert_eq!(stage.release(PATIENCE), 1);
    let context = stage.told[0].context();
    assert_eq!(context.true_ends(), [end(2, 4_000), end(3, 80)]);
    assert_eq!(context.source.owner, owner(12));
    // Should the client's view come to find it after all, it has been told.
    stage.signal(finding(self::context(ORIGINAL, Vantage::Client, true)));
    assert_eq!(stage.told.len(), 1);
    // Its next is another, and so is the answer's.
    stage.signal(finding(self::context(ORIGINAL, Vantage::Client, true)));
    stage.signal(finding(self::context(ORIGINAL, Vantage::Client, false)));
    assert_eq!(stage.told.len(), 3);
}

#[test]
fn a_client_that_no_hook_sees_is_told_at_once_by_the_servers_view() {
    let mut stage = Stage::new(Known::published(false));
    stage.signal(contact(context(TRANSLATED, Vantage::Server, true)));
    stage.signal(finding(context(TRANSLATED, Vantage::Server, false)));
    assert_eq!(stage.told.len(), 2);
    let context = stage.told[1].context();
    assert_eq!(context.true_ends(), [end(3, 80), end(2, 4_000)]);
}

#[test]
fn the_next_connection_on_the_same_ports_begins_anew() {
    let mut stage = Stage::new(Known::published(true));
    stage.signal(finding(context(ORIGINAL, Vantage::Client, true)));
    stage.signal(finding(context(TRANSLATED, Vantage::Server, true)));
    if let Some(translation) = &mut stage.paths.translation {
        translation.id = 2;
    }
    stage.signal(finding(context(TRANSLATED, Vantage::Server, true)));
    assert_eq!(stage.release(PATIENCE), 2);
}

#[test]
fn flows_that_are_not_translated_pass_at_once() {
    let mut stage = Stage::new(Known::default());
    let mut bridged = context(ORIGINAL, Vantage::Client, true);
    bridged.destination.owner = owner(13);
    stage.signal(finding(bridged));
    stage.signal(contact(context(ORIGINAL, Vantage::Client, true)));
    // Sent by a process of the host to a container.
    let mut of_host = context(TRANSLATED, Vantage::Server, true);
    of_host.source.owner.cgroup_id = 5;
    stage.signal(contact(of_host));
    // Loopback.
    let mut loopback = context(TRANSLATED, Vantage::Server, true);
    loopback.scope = 9;
    loopback.destination.owner.cgroup_id = 6;
    stage.signal(finding(loopback));
    assert_eq!(stage.told.len(), 4);
}

#[test]
fn news_of_a_first_packet_are_waited_for() {
    let mut stage = Stage::new(Known::default());
    let mut first = context(ORIGINAL, Vantage::Client, true);
    first.flow.packets_to_client = 0;
    assert_eq!(stage.signal(finding(first)), 0);
    stage.paths = Known::published(true);
    assert_eq!(stage.release(SETTLE), 1);
    assert!(stage.told[0].context().translation.is_some());
}

#[test]
fn who_receives_a_first_packet_is_waited_for() {
    let mut stage = Stage::new(Known::default());
    let mut first = context(TRANSLATED, Vantage::Client, true);
    first.flow.packets_to_client = 0;
    stage.signal(finding(first));
    stage.release(SETTLE);
    let context = stage.told[0].context();
    assert_eq!(context.destination.owner, owner(13));
    // The address has another owner meanwhile.
    stage.told.clear();
    let mut earlier = self::context(TRANSLATED, Vantage::Client, true);
    earlier.destination.owner = owner(14);
    stage.signal(finding(earlier));
    assert_eq!(stage.told[0].context().destination.owner, owner(14));
}

fn like(tuple: [(u8, u16); 2], vantage: Vantage, protocol: u8, start: u64) -> Context {
    Context {
        protocol: Some(protocol),
        likeness: NonZeroU64::new(77),
        flow: FlowSummary {
            start: Timestamp(NOW.0 + start),
            packets_to_client: 1,
            ..FlowSummary::default()
        },
        ..context(tuple, vantage, true)
    }
}

/// Both views of a flow, in the order in which their threads happened to be.
fn unknown(protocol: u8, client: [(u8, u16); 2], apart: u64) -> Stage {
    let mut stage = Stage::new(Known {
        client_is_watched: true,
        ..Known::default()
    });
    let client = like(client, Vantage::Client, protocol, 0);
    let server = like(TRANSLATED, Vantage::Server, protocol, apart);
    stage.signal(contact(server.clone()));
    stage.signal(finding(server));
    stage.signal(contact(client.clone()));
    stage.signal(finding(client));
    stage.release(PATIENCE);
    stage
}

#[test]
fn without_connection_tracking_two_views_are_known_by_how_they_begin() {
    let stage = unknown(6, ORIGINAL, 1_000);
    assert_eq!(stage.told.len(), 2, "{:#?}", stage.told);
    for told in &stage.told {
        let context = told.context();
        assert_eq!(context.true_ends(), [end(2, 4_000), end(3, 80)]);
        let by = context.translation.as_ref().map(|it| it.by);
        assert_eq!(by, Some(TranslationEvidence::Sequence));
    }
    // A datagram says less: the source port must be the same.
    assert_eq!(unknown(17, ORIGINAL, 1_000).told.len(), 4);
    let same_port = [(2, 5_000), (1, 8_080)];
    assert_eq!(unknown(17, same_port, 1_000).told.len(), 2);
}

#[test]
fn a_view_that_comes_late_tells_nothing_twice() {
    for is_client_late in [false, true] {
        let mut stage = Stage::new(Known {
            client_is_watched: true,
            ..Known::default()
        });
        let mut views = [
            like(ORIGINAL, Vantage::Client, 6, 0),
            like(TRANSLATED, Vantage::Server, 6, 0),
        ];
        if is_client_late {
            views.reverse();
        }
        let [first, late] = views;
        stage.signal(finding(first));
        stage.release(PATIENCE - 1);
        stage.signal(finding(late));
        assert_eq!(stage.release(PATIENCE), 1);
    }
}

#[test]
fn what_begins_alike_at_another_time_is_another() {
    assert_eq!(unknown(6, ORIGINAL, TOGETHER + 1).told.len(), 4);
}

#[test]
fn a_client_behind_a_link_is_told_whatever_is_alike() {
    let mut stage = Stage::new(Known {
        client_is_watched: true,
        ..Known::default()
    });
    for port in 1..=3 {
        let tuple = [(2, 4_000), (1, port)];
        stage.signal(contact(like(tuple, Vantage::Client, 6, 0)));
        stage.signal(finding(like(tuple, Vantage::Client, 6, 0)));
    }
    assert_eq!(stage.release(SETTLE), 6);
}

#[test]
fn a_flood_of_unsure_signals_is_bounded_and_loses_none() {
    let mut stage = Stage::new(Known::default());
    for port in 0..10_000 {
        let tuple = [(200, port), (3, 80)];
        stage.signal(contact(context(tuple, Vantage::Server, true)));
        assert!(stage.views.stats().held <= HELD_MAX as u64);
    }
    assert_eq!(stage.release(PATIENCE), 10_000);
    assert_eq!(stage.views.stats().hurried, 10_000 - HELD_MAX as u64);
}
