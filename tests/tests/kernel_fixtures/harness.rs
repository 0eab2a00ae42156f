//! The loaded object, run on one packet at a time by `BPF_PROG_TEST_RUN`.

use aya::programs::{CgroupSkb, SchedClassifier, TestRun as _, TestRunOptions};
use hydrophone::probe::{
    Budgets, Counters, HookCounters, LoadOptions, Loaded, Probe, RingReader, Shutdown,
};
use hydrophone_common::{
    counter::{Counter, Hook},
    record::{Record, RecordHeader},
};

/// `TCX_NEXT`, as the kernel reports it.
pub(crate) const NEXT: u32 = u32::MAX;

pub(crate) struct Fixture {
    pub(crate) probe: Probe,
    pub(crate) rings: Vec<RingReader>,
    pub(crate) counters: Counters,
    pub(crate) budgets: Budgets,
}

/// A record with its bytes, out of the ring.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) header: RecordHeader,
    pub(crate) hook: Hook,
    pub(crate) bytes: Vec<u8>,
}

impl Fixture {
    pub(crate) fn new(options: &LoadOptions) -> Self {
        let shutdown = Shutdown::new().expect("eventfd");
        let Loaded {
            probe,
            rings,
            counters,
            budgets,
            ..
        } = Probe::load(options, &shutdown).unwrap_or_else(|error| panic!("{error}"));
        Self {
            probe,
            rings,
            counters,
            budgets,
        }
    }

    /// Runs a classifier on `frame` and asserts that the verdict is to go on.
    pub(crate) fn link(&mut self, program: &'static str, frame: &[u8]) {
        let program: &mut SchedClassifier = self.probe.program(program).expect("classifier");
        let result = program
            .test_run(TestRunOptions {
                data_in: Some(frame),
                ..TestRunOptions::default()
            })
            .expect("BPF_PROG_TEST_RUN");
        assert_eq!(result.return_value, NEXT, "the verdict must be TCX_NEXT");
    }

    /// Runs a `cgroup_skb` program. The kernel takes the Ethernet header off before.
    pub(crate) fn socket(&mut self, program: &'static str, frame: &[u8]) {
        let program: &mut CgroupSkb = self.probe.program(program).expect("cgroup_skb");
        let result = program
            .test_run(TestRunOptions {
                data_in: Some(frame),
                ..TestRunOptions::default()
            })
            .expect("BPF_PROG_TEST_RUN");
        assert_eq!(result.return_value, 1, "the verdict must be to pass");
    }

    /// All records that wait in the rings.
    pub(crate) fn records(&mut self) -> Vec<Recorded> {
        let mut records = Vec::new();
        for ring in &mut self.rings {
            while ring.next(|raw| {
                let record = Record::decode(raw).unwrap_or_else(|error| panic!("{error}"));
                records.push(Recorded {
                    header: record.header,
                    hook: record.hook,
                    bytes: record.bytes.to_vec(),
                });
            }) {}
        }
        records
    }

    /// Runs `hydro_link_in` on `frame` and returns its only record.
    pub(crate) fn ingress(&mut self, frame: &[u8]) -> Recorded {
        self.link("hydro_link_in", frame);
        let mut records = self.records();
        assert_eq!(records.len(), 1, "one record for one packet");
        self.assert_account();
        records.remove(0)
    }

    pub(crate) fn count(&self, hook: Hook, counter: Counter) -> u64 {
        self.hook(hook).get(counter)
    }

    fn hook(&self, hook: Hook) -> HookCounters {
        let all = self.counters.read().expect("counters");
        all.into_iter()
            .find(|(row, _)| *row == hook)
            .map(|(_, counters)| counters)
            .expect("row")
    }

    /// seen = inspected + counted + lost, at every hook.
    pub(crate) fn assert_account(&self) {
        for (hook, counters) in self.counters.read().expect("counters") {
            assert_eq!(counters.unaccounted(), 0, "{}: {counters:?}", hook.name());
        }
    }
}
