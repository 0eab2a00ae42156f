//! Findings by the service at each end, for the `stats` event.

use std::collections::BTreeMap;

use serde::Serialize;

use super::escape::short;
use crate::census::{Identity, ServiceBy};

/// Services that are told apart; findings of more are counted together.
pub const SERVICES_MAX: usize = 128;

/// Findings at whose source or destination something was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EndCounts {
    /// It was the source.
    pub source: u64,
    /// It was the destination.
    pub destination: u64,
}

/// Findings by the service at each end. The sum over all three is that of the findings whose
/// conditions held, at either end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServiceTally {
    /// By the service's name, at most [`SERVICES_MAX`].
    named: BTreeMap<String, EndCounts>,
    /// Services that came when there were as many.
    others: EndCounts,
    /// Ends that are of no service, or of which none is known.
    none: EndCounts,
}

impl ServiceTally {
    /// Counts one finding.
    pub(super) fn count(&mut self, source: &Identity, destination: &Identity, by: &[ServiceBy]) {
        self.of(source, by).source += 1;
        self.of(destination, by).destination += 1;
    }

    fn of(&mut self, end: &Identity, by: &[ServiceBy]) -> &mut EndCounts {
        let Some(name) = service_of(end, by) else {
            return &mut self.none;
        };
        if self.named.len() >= SERVICES_MAX && !self.named.contains_key(&name) {
            return &mut self.others;
        }
        self.named.entry(name).or_default()
    }
}

/// The service of an end. One that could be one of several containers has one only if all do.
fn service_of(end: &Identity, by: &[ServiceBy]) -> Option<String> {
    let Identity::Container { container, or, .. } = end else {
        return None;
    };
    let service = container.service(by)?;
    let agreed = or.iter().all(|other| other.service(by) == Some(service));
    agreed.then(|| short(&service.to_string()).into_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{alert::fixtures, census::Evidence};

    const BY: &[ServiceBy] = &ServiceBy::ORCHESTRATORS;

    #[test]
    fn each_end_is_counted_with_its_service() {
        let end = |name| fixtures::identity(fixtures::container(name, 1));
        let mut tally = ServiceTally::default();
        tally.count(&end("web"), &end("db"), BY);
        tally.count(&end("db"), &fixtures::UNKNOWN, BY);
        tally.count(&fixtures::host(), &end("db"), BY);
        let shared = Identity::Container {
            container: Arc::new(fixtures::container("web", 1)),
            or: vec![Arc::new(fixtures::container("sidecar", 2))],
            by: Evidence::Link,
        };
        tally.count(&shared, &end("web"), BY);
        let json = serde_json::to_value(&tally).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "named": {
                    "shop/db": {"source": 1, "destination": 2},
                    "shop/web": {"source": 1, "destination": 1},
                },
                "others": {"source": 0, "destination": 0},
                "none": {"source": 2, "destination": 1},
            })
        );
    }

    #[test]
    fn more_services_than_fit_are_counted_together() {
        let mut tally = ServiceTally::default();
        for number in 0..SERVICES_MAX + 3 {
            let name = format!("s{number:05}\u{1b}[2J");
            let end = fixtures::identity(fixtures::container(&name, 1));
            tally.count(&end, &end, BY);
        }
        assert_eq!(tally.named.len(), SERVICES_MAX);
        assert_eq!((tally.others.source, tally.others.destination), (3, 3));
    }
}
