//! The alert stage itself: one thread's work, without the thread.

use std::{io, sync::Arc, time::Instant};

use hydrophone_inspect::{Context, Finding, FindingSink, Timestamp, event};

use super::{
    Alert, Ask, Naming, Resolve,
    ends::Ends,
    eve,
    local::Local,
    sinks::{Event, EventKind, Sink, SinkFormat},
    storm::StormLimit,
    tally::ServiceTally,
    text,
};
use crate::{
    census::Identity,
    config,
    process::Report,
    telemetry::{AlertFigures, QueueLosses, Stats, Upstream},
};

/// Resolves, limits, formats and hands to the sinks. Never blocks on a sink.
pub struct AlertStage<R> {
    resolver: R,
    naming: Arc<Naming>,
    /// Findings whose conditions did not hold.
    unmet: u64,
    /// Events written that are no alerts.
    events: u64,
    storm: StormLimit<Alert>,
    local_storm: StormLimit<Local>,
    services: ServiceTally,
    sinks: Vec<Sink>,
    payload: eve::PayloadForm,
    started: Instant,
    ready: Vec<Alert>,
    ready_local: Vec<Local>,
    buffer: Vec<u8>,
}

impl<R: Resolve> AlertStage<R> {
    /// A stage that writes to `sinks`.
    #[must_use]
    pub fn new(config: &config::Alert, resolver: R, sinks: Vec<Sink>) -> Self {
        Self {
            resolver,
            naming: Arc::new(Naming::of_capture(&config::Census::default())),
            unmet: 0,
            events: 0,
            storm: StormLimit::new(&config.storm),
            local_storm: StormLimit::new(&config.storm),
            services: ServiceTally::default(),
            sinks,
            payload: config.into(),
            started: Instant::now(),
            ready: Vec::new(),
            ready_local: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// The same stage, with how its events name this host and services.
    #[must_use]
    pub fn naming(self, naming: Naming) -> Self {
        Self {
            naming: Arc::new(naming),
            ..self
        }
    }

    fn ends(&self, context: &Context) -> [Identity; 2] {
        let [source, destination] = context.true_ends();
        [
            (&context.source.owner, source),
            (&context.destination.owner, destination),
        ]
        .map(|(owner, socket)| self.resolver.resolve(owner, socket.address, context.scope))
    }

    fn processes(
        &self,
        context: &Context,
        [source, destination]: [&Identity; 2],
        patient: bool,
    ) -> [Option<Report>; 2] {
        let (from, to) = (&context.source, &context.destination);
        [(from, to, source), (to, from, destination)].map(|(end, peer, identity)| {
            self.resolver.process(&Ask {
                end,
                peer,
                identity,
                context,
                patient,
            })
        })
    }

    fn figures(&self) -> AlertFigures {
        let storm = self.storm.figures() + self.local_storm.figures();
        AlertFigures {
            findings: storm.findings + self.unmet,
            conditions_not_met: self.unmet,
            events: self.events,
            ..storm
        }
    }

    /// Emits what the storm limit held back in windows that are over at `now`.
    pub fn tick(&mut self, now: Timestamp) {
        self.storm.tick(now, &mut self.ready);
        self.local_storm.tick(now, &mut self.ready_local);
        self.write_ready();
    }

    /// Writes a `stats` event to every sink that takes EVE. `lost` is what did not reach the
    /// stage.
    pub fn stats(&mut self, upstream: Upstream, lost: QueueLosses, now: Timestamp) {
        let stats = Stats {
            uptime: self.started.elapsed().as_secs(),
            hooks: upstream.hooks,
            inspect: upstream.inspect,
            census: upstream.census,
            sensor: upstream.sensor,
            ledger: upstream.ledger,
            processes: upstream.processes,
            alert: AlertFigures {
                queue_lost: lost.findings,
                events_lost: lost.events,
                ..self.figures()
            },
            services: self.services.clone(),
            sinks: self
                .sinks
                .iter()
                .map(|sink| (sink.name().to_owned(), sink.figures()))
                .collect(),
        };
        self.buffer.clear();
        if eve::write_stats(&stats, &self.naming, now, &mut self.buffer).is_err() {
            return;
        }
        let event = Event::new(&self.buffer, EventKind::Stats, now);
        for sink in &mut self.sinks {
            if sink.format() == SinkFormat::Eve {
                sink.send(event.clone());
            }
        }
    }

    /// Whether no sink can take anything any more (the reader of standard output has gone).
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sinks.iter().all(Sink::is_closed)
    }

    /// Emits all that is still held back.
    pub fn flush(&mut self) {
        self.storm.flush(&mut self.ready);
        self.local_storm.flush(&mut self.ready_local);
        self.write_ready();
    }

    /// Emits all that is still held back and waits for the sinks, each for a bounded time.
    pub fn finish(mut self) -> AlertFigures {
        self.flush();
        let figures = self.figures();
        for sink in self.sinks {
            sink.finish();
        }
        figures
    }

    fn write_ready(&mut self) {
        let mut ready = core::mem::take(&mut self.ready);
        for alert in ready.drain(..) {
            self.write(&alert);
        }
        self.ready = ready;
        let mut ready = core::mem::take(&mut self.ready_local);
        let naming = Arc::clone(&self.naming);
        for local in ready.drain(..) {
            let kind = local
                .signature
                .as_ref()
                .map_or(EventKind::Requested(eve::local_type(&local)), |it| {
                    EventKind::Alert(it.severity)
                });
            self.send(kind, local.timestamp, |format, out| match format {
                SinkFormat::Eve => eve::write_local(&local, &naming, out),
                SinkFormat::Text { color } => text::write_local(&local, color, out),
            });
        }
        self.ready_local = ready;
    }

    /// Takes what has no packet. Alerts are limited; an event that was asked for is not.
    pub fn local(&mut self, local: Local) {
        if local.signature.is_some() {
            self.local_storm.admit(local, &mut self.ready_local);
        } else {
            self.events += 1;
            self.ready_local.push(local);
        }
        self.write_ready();
    }

    fn write(&mut self, alert: &Alert) {
        let kind = EventKind::Alert(alert.finding.signature.severity);
        let payload = self.payload;
        let timestamp = alert.finding.context.timestamp;
        let naming = Arc::clone(&self.naming);
        self.send(kind, timestamp, |format, out| match format {
            SinkFormat::Eve => eve::write_alert(alert, &naming, payload, out),
            SinkFormat::Text { color } => text::write_alert(alert, color, out),
        });
    }

    /// Formats once for each format that a sink wants. What has no form in one is not sent there.
    fn send(
        &mut self,
        kind: EventKind,
        timestamp: Timestamp,
        write: impl Fn(SinkFormat, &mut Vec<u8>) -> io::Result<()>,
    ) {
        let mut formats: Vec<SinkFormat> = self.sinks.iter().map(Sink::format).collect();
        formats.sort_unstable();
        formats.dedup();
        for format in formats {
            self.buffer.clear();
            if write(format, &mut self.buffer).is_err() || self.buffer.is_empty() {
                continue;
            }
            let event = Event::new(&self.buffer, kind, timestamp);
            for sink in self.sinks.iter_mut().filter(|sink| sink.format() == format) {
                sink.send(event.clone());
            }
        }
    }
}

impl<R: Resolve> FindingSink for AlertStage<R> {
    fn finding(&mut self, finding: Finding) {
        let context = &finding.context;
        let [source, destination] = self.ends(context);
        if let Some(conditions) = &finding.conditions
            && !Ends::new(context, &source, &destination, &self.naming.service_by).meet(conditions)
        {
            self.unmet += 1;
            return;
        }
        self.services
            .count(&source, &destination, &self.naming.service_by);
        let alert = Alert {
            processes: self.processes(context, [&source, &destination], true),
            source,
            destination,
            interface: self.resolver.interface(context.ifindex),
            suppressed: 0,
            finding,
        };
        self.storm.admit(alert, &mut self.ready);
        self.write_ready();
    }

    fn event(&mut self, event: Box<event::Event>) {
        let [source, destination] = self.ends(&event.context);
        let located = eve::Located {
            processes: self.processes(&event.context, [&source, &destination], false),
            source,
            destination,
            interface: self.resolver.interface(event.context.ifindex),
            event,
        };
        let timestamp = located.event.context.timestamp;
        let mut written = 0;
        let sinks = &mut self.sinks;
        let done = eve::write_events(
            &located,
            &self.naming,
            &mut self.buffer,
            &mut |name, line| {
                written += 1;
                let event = Event::new(line, EventKind::Requested(name), timestamp);
                for sink in sinks
                    .iter_mut()
                    .filter(|sink| sink.format() == SinkFormat::Eve)
                {
                    sink.send(event.clone());
                }
            },
        );
        // Memory does not fail.
        let _ = done;
        self.events += written;
    }
}
