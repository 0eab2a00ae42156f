use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::decode::{Headers, Transport};

fn flow(number: u8, now: u64) -> Flow {
    let headers = Headers {
        source: [10, 0, 0, number].into(),
        destination: [10, 1, 0, 1].into(),
        protocol: 17,
        ttl: 64,
        transport: Transport::Udp {
            source_port: 1,
            destination_port: 2,
        },
        payload_length: 0,
    };
    let (key, from_low) = FlowKey::new(&headers, 0);
    Flow::new(key, from_low, &headers, Timestamp(now))
}

#[test]
fn both_directions_have_one_key() {
    let headers = |source: [u8; 4], destination: [u8; 4], ports: (u16, u16)| Headers {
        source: source.into(),
        destination: destination.into(),
        protocol: 6,
        ttl: 64,
        transport: Transport::Udp {
            source_port: ports.0,
            destination_port: ports.1,
        },
        payload_length: 0,
    };
    let (there, low) = FlowKey::new(&headers([10, 0, 0, 1], [10, 0, 0, 2], (5, 6)), 9);
    let (back, other) = FlowKey::new(&headers([10, 0, 0, 2], [10, 0, 0, 1], (6, 5)), 9);
    assert_eq!(there, back);
    assert_ne!(low, other);
    assert_eq!(there.flow_id(1), back.flow_id(1));
    assert_ne!(there.flow_id(1), there.flow_id(2));
}

#[test]
fn victims_are_taken_from_the_shortest_lived() {
    let mut table = FlowTable::new();
    let indices: Vec<FlowIndex> = (0..6).map(|n| table.insert(flow(n, 1))).collect();
    let lifetimes = [
        Lifetime::Established,
        Lifetime::Short,
        Lifetime::Closed,
        Lifetime::Established,
        Lifetime::Short,
        Lifetime::Closed,
    ];
    for (index, lifetime) in indices.iter().zip(lifetimes) {
        table.touch(*index, lifetime, false);
    }
    let mut order = Vec::new();
    while let Some(victim) = table.victim() {
        order.push(indices.iter().position(|index| *index == victim).unwrap());
        table.remove(victim);
    }
    assert_eq!(order, [2, 5, 1, 4, 0, 3]);
    assert_eq!(table.len(), 0);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert(u8),
    Touch(u8, u8, bool),
    Remove(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u8..12).prop_map(Step::Insert),
        (0_u8..12, 0_u8..3, any::<bool>()).prop_map(|(n, l, m)| Step::Touch(n, l, m)),
        (0_u8..12).prop_map(Step::Remove),
    ]
}

proptest! {
    #[test]
    fn the_lists_hold_what_a_plain_model_holds(steps in proptest::collection::vec(step(), 0..200)) {
        let lifetimes = [Lifetime::Closed, Lifetime::Short, Lifetime::Established];
        let mut table = FlowTable::new();
        // Number to index, lifetime, last touch, last touch as a holder.
        let mut model: BTreeMap<u8, (FlowIndex, usize, usize, Option<usize>)> = BTreeMap::new();
        for (clock, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert(number) if !model.contains_key(&number) => {
                    let index = table.insert(flow(number, 1));
                    model.insert(number, (index, 1, clock, None));
                }
                Step::Touch(number, lifetime, holds) => {
                    if let Some(entry) = model.get_mut(&number) {
                        let lifetime = usize::from(lifetime);
                        table.touch(entry.0, lifetimes[lifetime], holds);
                        *entry = (entry.0, lifetime, clock, holds.then_some(clock));
                    }
                }
                Step::Remove(number) => {
                    if let Some(entry) = model.remove(&number) {
                        prop_assert!(table.remove(entry.0).is_some());
                    }
                }
                Step::Insert(_) => {}
            }
            prop_assert_eq!(table.len(), model.len());
            for (number, entry) in &model {
                prop_assert_eq!(table.find(&flow(*number, 1).key), Some(entry.0));
            }
            for (at, lifetime) in lifetimes.into_iter().enumerate() {
                let expected = model.values().filter(|e| e.1 == at).min_by_key(|e| e.2);
                prop_assert_eq!(table.idlest(lifetime).map(|(index, _)| index), expected.map(|e| e.0));
            }
            let holders = model.values().filter(|e| e.3.is_some());
            let holder = holders.min_by_key(|e| (e.1 != 0, e.3));
            prop_assert_eq!(table.idlest_holder(), holder.map(|e| e.0));
        }
    }
}
