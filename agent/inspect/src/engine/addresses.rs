//! Rules about nothing but addresses, found by address. Block lists have tens of thousands of them.

use core::net::IpAddr;

use crate::rule::{AddressGroup, Rule};

/// Rules by the addresses of one end.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    source: Ranges,
    destination: Ranges,
    /// Rules that say of neither end where it is.
    anywhere: Vec<u32>,
}

/// Ranges of addresses, which may overlap, sorted by their beginning.
#[derive(Debug, Default)]
struct Ranges(Vec<Range>);

#[derive(Debug)]
struct Range {
    low: IpAddr,
    high: IpAddr,
    /// The highest end of this range and those before it.
    reach: IpAddr,
    rule: u32,
}

impl Addresses {
    pub(super) fn new<'a>(rules: impl IntoIterator<Item = (u32, &'a Rule)>) -> Self {
        let mut addresses = Self::default();
        for (index, rule) in rules {
            let mut ends = vec![(&rule.source, &rule.destination)];
            if rule.bidirectional {
                ends.push((&rule.destination, &rule.source));
            }
            let lists: Option<Vec<_>> = ends.into_iter().map(narrow).collect();
            match lists {
                None => addresses.anywhere.push(index),
                Some(lists) => {
                    for (of_source, ranges) in lists {
                        let list = if of_source {
                            &mut addresses.source
                        } else {
                            &mut addresses.destination
                        };
                        list.add(index, &ranges);
                    }
                }
            }
        }
        addresses.source.sort();
        addresses.destination.sort();
        addresses
    }

    /// Hands each rule that can be about a packet between these to `candidate`, maybe twice.
    pub(super) fn find(&self, source: IpAddr, destination: IpAddr, mut candidate: impl FnMut(u32)) {
        self.source.find(source, &mut candidate);
        self.destination.find(destination, &mut candidate);
        self.anywhere.iter().for_each(|rule| candidate(*rule));
    }
}

/// The ranges of the source if it is somewhere, else those of the destination; and which of the two.
fn narrow(
    (source, destination): (&AddressGroup, &AddressGroup),
) -> Option<(bool, Vec<(IpAddr, IpAddr)>)> {
    source
        .cover()
        .map(|ranges| (true, ranges))
        .or_else(|| destination.cover().map(|ranges| (false, ranges)))
}

impl Ranges {
    fn add(&mut self, rule: u32, ranges: &[(IpAddr, IpAddr)]) {
        let ranges = ranges.iter().map(|&(low, high)| Range {
            low,
            high,
            reach: high,
            rule,
        });
        self.0.extend(ranges);
    }

    fn sort(&mut self) {
        self.0.sort_by_key(|range| range.low);
        let mut reach = None;
        for range in &mut self.0 {
            range.reach = reach.map_or(range.high, |reach| range.high.max(reach));
            reach = Some(range.reach);
        }
    }

    fn find(&self, address: IpAddr, candidate: &mut impl FnMut(u32)) {
        let before = self.0.partition_point(|range| range.low <= address);
        let before = self.0.get(..before).unwrap_or_default();
        for range in before.iter().rev().take_while(|it| it.reach >= address) {
            if range.high >= address {
                candidate(range.rule);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{RuleSetBuilder, Variables};

    fn found(rules: &str, source: &str, destination: &str) -> Vec<u32> {
        let mut builder = RuleSetBuilder::new(Variables::default());
        builder.add_source("test", rules);
        let (set, _) = builder.build();
        let addresses = Addresses::new((0..).zip(set.rules.iter().map(|rule| &**rule)));
        let mut rules = Vec::new();
        let ends = (source.parse().unwrap(), destination.parse().unwrap());
        addresses.find(ends.0, ends.1, |rule| rules.push(rule));
        rules.sort_unstable();
        rules.dedup();
        rules
    }

    #[test]
    fn rules_are_found_by_the_end_that_they_place() {
        let rules = "\
            alert ip [192.0.2.0/24,198.51.100.7] any -> any any (msg:\"0\"; sid:1;)\n\
            alert ip any any -> [192.0.2.0/25,2001:db8::/32] any (msg:\"1\"; sid:2;)\n\
            alert ip 192.0.2.9 any <> any any (msg:\"2\"; sid:3;)\n\
            alert ip !10.0.0.0/8 any -> any any (msg:\"3\"; sid:4;)\n";
        assert_eq!(found(rules, "192.0.2.200", "10.1.1.1"), [0, 3]);
        assert_eq!(found(rules, "192.0.2.9", "192.0.2.9"), [0, 1, 2, 3]);
        assert_eq!(found(rules, "10.1.1.1", "192.0.2.9"), [1, 2, 3]);
        assert_eq!(found(rules, "2001:db8::1", "2001:db8::2"), [1, 3]);
        assert_eq!(found(rules, "198.51.100.8", "10.0.0.1"), [3]);
    }
}
