//! The alert stage on its own thread, behind a bounded queue.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use hydrophone_inspect::{Event, Finding, FindingSink, Timestamp};

use super::{AlertStage, Resolve, local::Local};
use crate::{
    config,
    telemetry::{AlertFigures, QueueLosses, Upstream},
};

/// How often held-back alerts are looked at.
const TICK: Duration = Duration::from_millis(250);

/// What waits for the stage.
#[expect(
    clippy::large_enum_variant,
    reason = "findings are the rule: a box would be an allocation for each"
)]
enum Message {
    Finding(Finding),
    Event(Box<Event>),
    Local(Box<Local>),
}

/// What both ends of the queue count.
#[derive(Default)]
struct Counts {
    findings_lost: AtomicU64,
    events_lost: AtomicU64,
    /// Events in the queue.
    events: AtomicUsize,
}

impl Counts {
    fn losses(&self) -> QueueLosses {
        QueueLosses {
            findings: self.findings_lost.load(Ordering::Relaxed),
            events: self.events_lost.load(Ordering::Relaxed),
        }
    }
}

/// Where the correlator puts findings, and events that are asked for. Never blocks: what does not fit
/// is counted.
#[derive(Clone)]
pub struct FindingQueue {
    sender: SyncSender<Message>,
    counts: Arc<Counts>,
    /// Events that may wait: they leave room for findings, which matter more.
    events_max: usize,
}

impl FindingQueue {
    fn new(capacity: usize) -> (Self, Receiver<Message>) {
        let (sender, receiver) = mpsc::sync_channel(capacity);
        let queue = Self {
            sender,
            counts: Arc::default(),
            events_max: capacity.div_ceil(2),
        };
        (queue, receiver)
    }
}

impl FindingQueue {
    /// Puts what has no packet there.
    pub fn local(&self, local: Local) {
        let is_alert = local.signature.is_some();
        if self
            .sender
            .try_send(Message::Local(Box::new(local)))
            .is_err()
        {
            let lost = if is_alert {
                &self.counts.findings_lost
            } else {
                &self.counts.events_lost
            };
            lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl FindingSink for FindingQueue {
    fn finding(&mut self, finding: Finding) {
        if self.sender.try_send(Message::Finding(finding)).is_err() {
            self.counts.findings_lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn event(&mut self, event: Box<Event>) {
        let counts = &self.counts;
        // Counted before it is sent: the other end may take it at once.
        let waiting = counts.events.fetch_add(1, Ordering::Relaxed);
        if waiting >= self.events_max || self.sender.try_send(Message::Event(event)).is_err() {
            counts.events.fetch_sub(1, Ordering::Relaxed);
            counts.events_lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The running stage. It ends when every [`FindingQueue`] has been dropped.
pub struct AlertThread(JoinHandle<AlertFigures>);

impl AlertThread {
    /// Whether the stage has ended, e.g. because every sink has closed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for the stage to write what it has, and a last `stats` event.
    #[must_use]
    pub fn join(self) -> AlertFigures {
        self.0.join().unwrap_or_default()
    }
}

/// Starts the stage. `upstream` is asked for figures once in every `stats_interval` and at the end.
///
/// # Errors
/// When the operating system has no thread to give.
pub fn spawn<R, U>(
    stage: AlertStage<R>,
    config: &config::Alert,
    upstream: U,
) -> io::Result<(FindingQueue, AlertThread)>
where
    R: Resolve + Send + 'static,
    U: FnMut() -> Upstream + Send + 'static,
{
    let (queue, receiver) = FindingQueue::new(usize::try_from(config.queue).unwrap_or(usize::MAX));
    let counts = Arc::clone(&queue.counts);
    let interval = config.stats_interval.0;
    let thread = thread::Builder::new()
        .name("alert".to_owned())
        .spawn(move || run(stage, &receiver, &counts, interval, upstream))?;
    Ok((queue, AlertThread(thread)))
}

fn run<R: Resolve>(
    mut stage: AlertStage<R>,
    messages: &Receiver<Message>,
    counts: &Counts,
    interval: Duration,
    mut upstream: impl FnMut() -> Upstream,
) -> AlertFigures {
    let mut next_tick = Instant::now() + TICK;
    let mut next_stats = Instant::now() + interval;
    while !stage.is_closed() {
        let deadline = next_tick.min(next_stats);
        match messages.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Message::Finding(finding)) => stage.finding(finding),
            Ok(Message::Event(event)) => {
                counts.events.fetch_sub(1, Ordering::Relaxed);
                stage.event(event);
            }
            Ok(Message::Local(local)) => stage.local(*local),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let now = Instant::now();
        if now >= next_tick {
            stage.tick(wall_clock());
            next_tick = now + TICK;
        }
        if now >= next_stats {
            stage.stats(upstream(), counts.losses(), wall_clock());
            next_stats = now + interval;
        }
    }
    stage.flush();
    stage.stats(upstream(), counts.losses(), wall_clock());
    let figures = stage.finish();
    AlertFigures {
        queue_lost: counts.losses().findings,
        events_lost: counts.losses().events,
        ..figures
    }
}

/// Now, as the engine counts time.
fn wall_clock() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, net::UdpSocket};

    use hydrophone_common::counter::Hook;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        alert::{Alert, Sink, fixtures},
        census::Identity,
        config::Interval,
        telemetry::Accounting,
    };

    /// Both ends of every finding are those of the fixture.
    struct Fixed(Alert);

    impl Resolve for Fixed {
        fn resolve(
            &self,
            _owner: &hydrophone_inspect::Owner,
            address: std::net::IpAddr,
            _scope: u64,
        ) -> Identity {
            if address == self.0.finding.context.source.socket.address {
                self.0.source.clone()
            } else {
                self.0.destination.clone()
            }
        }

        fn interface(&self, ifindex: u32) -> Option<Arc<str>> {
            (ifindex == 12).then(|| "veth0".into())
        }
    }

    fn config(limit: u32) -> config::Alert {
        config::Alert {
            stats_interval: Interval::seconds(3_600),
            storm: config::Storm {
                limit,
                window: Interval::seconds(3_600),
                pairs: 10,
            },
            ..config::Alert::default()
        }
    }

    fn receiver() -> (UdpSocket, Vec<Sink>) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let target = format!("udp://{}", socket.local_addr().unwrap());
        let syslog = config::Syslog {
            targets: vec![target.parse().unwrap()],
            ..config::Syslog::default()
        };
        (socket, Sink::syslog(&syslog).unwrap())
    }

    fn next_event(socket: &UdpSocket) -> Value {
        let mut buffer = [0; 8_192];
        let length = socket.recv(&mut buffer).unwrap();
        let message = std::str::from_utf8(&buffer[..length]).unwrap();
        serde_json::from_str(&message[message.find('{').unwrap()..]).unwrap()
    }

    #[test]
    fn findings_become_events_and_the_last_event_accounts_for_all() {
        let (socket, sinks) = receiver();
        let config = config(1);
        let stage = AlertStage::new(&config, Fixed(fixtures::alert()), sinks);
        let upstream = || Upstream {
            hooks: BTreeMap::from([(
                Hook::LinkIngress.name(),
                Accounting {
                    seen: 9,
                    inspected: 9,
                    ..Accounting::default()
                },
            )]),
            inspect: BTreeMap::from([("flows", 1)]),
            ..Upstream::default()
        };
        let (mut queue, thread) = spawn(stage, &config, upstream).unwrap();
        for _ in 0..3 {
            queue.finding(fixtures::finding());
        }
        drop(queue);
        let figures = thread.join();
        assert_eq!(
            (figures.findings, figures.emitted, figures.suppressed),
            (3, 2, 1)
        );

        let first = next_event(&socket);
        assert_eq!(first["src_container"]["name"], "web");
        assert_eq!(first["dst_container"]["name"], "db");
        assert_eq!(first["in_iface"], "veth0");
        assert_eq!(next_event(&socket)["suppressed"], 1);
        let stats = next_event(&socket)["stats"].take();
        assert_eq!(stats["hooks"]["link_ingress"]["inspected"], 9);
        assert_eq!(stats["alert"]["held"], 0);
        assert_eq!(stats["alert"]["emitted"], 2);
        assert_eq!(
            stats["sinks"].as_object().unwrap().values().next().unwrap()["lost"],
            json!(0)
        );
    }

    #[test]
    fn a_full_queue_counts_what_it_loses() {
        let (mut queue, receiver) = FindingQueue::new(1);
        let counts = Arc::clone(&queue.counts);
        for _ in 0..3 {
            queue.finding(fixtures::finding());
        }
        drop(receiver);
        queue.finding(fixtures::finding());
        assert_eq!(counts.losses().findings, 3);
    }

    #[test]
    fn events_leave_room_for_findings() {
        let (mut queue, receiver) = FindingQueue::new(4);
        let counts = Arc::clone(&queue.counts);
        for _ in 0..5 {
            queue.event(fixtures::event());
        }
        queue.finding(fixtures::finding());
        queue.finding(fixtures::finding());
        let losses = QueueLosses {
            findings: 0,
            events: 3,
        };
        assert_eq!(counts.losses(), losses);
        assert_eq!(receiver.try_iter().count(), 4);
    }

    #[test]
    fn the_stage_ends_when_every_sink_has_closed() {
        let config = config(0);
        let stage = AlertStage::new(&config, Fixed(fixtures::alert()), Vec::new());
        let (queue, thread) = spawn(stage, &config, Upstream::default).unwrap();
        let _figures = thread.join();
        drop(queue);
    }
}
