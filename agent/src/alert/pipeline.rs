//! The alert stage on its own thread, behind a bounded queue.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use hydrophone_inspect::{Finding, FindingSink, Timestamp};

use super::{AlertStage, Resolve};
use crate::{
    config,
    telemetry::{AlertFigures, Upstream},
};

/// How often held-back alerts are looked at.
const TICK: Duration = Duration::from_millis(250);

/// Where the correlator puts findings. Never blocks: what does not fit is counted.
#[derive(Clone)]
pub struct FindingQueue {
    sender: SyncSender<Finding>,
    lost: Arc<AtomicU64>,
}

impl FindingSink for FindingQueue {
    fn finding(&mut self, finding: Finding) {
        if self.sender.try_send(finding).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
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
    let (sender, receiver) =
        mpsc::sync_channel(usize::try_from(config.queue).unwrap_or(usize::MAX));
    let lost = Arc::new(AtomicU64::new(0));
    let queue = FindingQueue {
        sender,
        lost: Arc::clone(&lost),
    };
    let interval = config.stats_interval.0;
    let thread = thread::Builder::new()
        .name("alert".to_owned())
        .spawn(move || run(stage, &receiver, &lost, interval, upstream))?;
    Ok((queue, AlertThread(thread)))
}

fn run<R: Resolve>(
    mut stage: AlertStage<R>,
    findings: &Receiver<Finding>,
    lost: &AtomicU64,
    interval: Duration,
    mut upstream: impl FnMut() -> Upstream,
) -> AlertFigures {
    let mut next_tick = Instant::now() + TICK;
    let mut next_stats = Instant::now() + interval;
    while !stage.is_closed() {
        let deadline = next_tick.min(next_stats);
        match findings.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(finding) => stage.finding(finding),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        let now = Instant::now();
        if now >= next_tick {
            stage.tick(wall_clock());
            next_tick = now + TICK;
        }
        if now >= next_stats {
            stage.stats(upstream(), lost.load(Ordering::Relaxed), wall_clock());
            next_stats = now + interval;
        }
    }
    stage.flush();
    stage.stats(upstream(), lost.load(Ordering::Relaxed), wall_clock());
    let figures = stage.finish();
    AlertFigures {
        queue_lost: lost.load(Ordering::Relaxed),
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
        let (sender, receiver) = mpsc::sync_channel(1);
        let lost = Arc::new(AtomicU64::new(0));
        let mut queue = FindingQueue {
            sender,
            lost: Arc::clone(&lost),
        };
        for _ in 0..3 {
            queue.finding(fixtures::finding());
        }
        drop(receiver);
        queue.finding(fixtures::finding());
        assert_eq!(lost.load(Ordering::Relaxed), 3);
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
