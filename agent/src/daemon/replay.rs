//! The stages of `hydrophone run` on one thread, fed by a capture file.

use std::{ops::ControlFlow, path::Path, sync::Arc};

use hydrophone_inspect::{
    Correlator, FindingSink, Inspector, InspectorLimits, Signal, SignalSink, Timestamp,
};

use super::Rules;
use crate::{
    alert::{AlertStage, CaptureResolver, Naming, Overflow, Sink, SinkFormat},
    config::Config,
    intake::capture::{Capture, Summary},
    telemetry::{self, QueueLosses, Upstream},
};

const SECOND: u64 = 1_000_000_000;

/// Inspects a capture file. Events go to standard output, and wait for a slow reader.
///
/// # Errors
/// When the file cannot be read to its end; what was good before has been inspected then.
pub fn replay(config: &Config, rules: &Rules, path: &Path) -> anyhow::Result<Summary> {
    let mut capture = Capture::open(path)?;
    let format = SinkFormat::for_stdout(config.alert.format);
    let sink = Sink::stdout(&config.sinks.stdout, format, Overflow::Wait)?;
    let mut stage = AlertStage::new(&config.alert, CaptureResolver, vec![sink])
        .naming(Naming::of_capture(&config.census));
    let mut inspector = Inspector::new(Arc::clone(&rules.engine), InspectorLimits::from(config));
    let mut correlator = Correlator::new((&config.behavior).into());
    correlator.filter_by(rules.engine.filters());
    let mut now = Timestamp::default();
    let mut ticked = Timestamp::default();
    let read = capture.read(|packet| {
        now = now.max(packet.timestamp);
        let mut link = Link {
            correlator: &mut correlator,
            findings: &mut stage,
        };
        inspector.packet(packet, &mut link);
        if now.since(ticked) >= SECOND {
            ticked = now;
            inspector.tick(now, &mut link);
            correlator.tick(now, &mut stage);
            stage.tick(now);
        }
        if stage.is_closed() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    inspector.finish(&mut Link {
        correlator: &mut correlator,
        findings: &mut stage,
    });
    correlator.finish(&mut stage);
    stage.flush();
    let mut inspect = telemetry::inspection(&[inspector.stats()]);
    inspect.extend(telemetry::behavior(&correlator.stats()));
    stage.stats(
        Upstream {
            inspect,
            ..Upstream::default()
        },
        QueueLosses::default(),
        now,
    );
    stage.finish();
    read?;
    Ok(capture.summary())
}

/// Signals straight to the correlator: on one thread there is no queue between.
struct Link<'a, S> {
    correlator: &'a mut Correlator,
    findings: &'a mut S,
}

impl<S: FindingSink> SignalSink for Link<'_, S> {
    fn signal(&mut self, signal: Signal) {
        self.correlator.signal(signal, self.findings);
    }
}
