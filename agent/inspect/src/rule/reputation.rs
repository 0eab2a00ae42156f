//! `iprep`: what is known of addresses from files (Suricata: IP reputation).

use core::net::IpAddr;
use std::{collections::HashMap, sync::Arc};

use ipnet::IpNet;

use super::{IntegerTest, diagnostic::Fault, source::Span};

/// Highest number of a category, as elsewhere.
const MAX_CATEGORY: u8 = 60;
/// Highest score.
const MAX_SCORE: u8 = 127;
/// Most networks of all categories.
const MAX_NETWORKS: usize = 1 << 20;

/// The scores of networks in one category.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Category {
    scores: HashMap<IpNet, u8>,
    /// Lengths of the prefixes there are, the longest first.
    prefixes: Vec<u8>,
}

/// What a rule asks of the reputation of the two ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReputationTest {
    /// Whose.
    pub side: ReputationSide,
    /// Short name of the category.
    pub name: String,
    /// The category.
    pub category: Arc<Category>,
    /// What holds of the score; `None` is that there is none (`isnotset`).
    pub score: Option<IntegerTest>,
}

/// Whose reputation is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReputationSide {
    /// The source or the destination.
    Any,
    /// The source.
    Source,
    /// The destination.
    Destination,
    /// The source and the destination.
    Both,
}

impl Category {
    /// The score of an address: that of the longest prefix it is in.
    #[must_use]
    pub fn score(&self, address: IpAddr) -> Option<u8> {
        let networks = self.prefixes.iter().filter_map(|prefix| {
            let network = IpNet::new(address, *prefix).ok()?;
            self.scores.get(&network.trunc()).copied()
        });
        // A prefix of IPv6 may be as long as one of IPv4: the key has the family.
        networks.into_iter().next()
    }

    fn add(&mut self, network: IpNet, score: u8) {
        let prefix = network.prefix_len();
        if let Err(at) = self.prefixes.binary_search_by(|it| prefix.cmp(it)) {
            self.prefixes.insert(at, prefix);
        }
        self.scores.insert(network.trunc(), score);
    }
}

impl ReputationTest {
    /// Whether it holds between these two.
    #[must_use]
    pub fn matches(&self, source: IpAddr, destination: IpAddr) -> bool {
        let holds = |address| match (self.category.score(address), self.score) {
            (Some(score), Some(test)) => test.matches(u64::from(score)),
            (score, test) => score.is_none() && test.is_none(),
        };
        match self.side {
            ReputationSide::Any => holds(source) || holds(destination),
            ReputationSide::Source => holds(source),
            ReputationSide::Destination => holds(destination),
            ReputationSide::Both => holds(source) && holds(destination),
        }
    }
}

/// All categories, while rules are read.
#[derive(Debug, Default)]
pub(super) struct Reputations {
    categories: HashMap<u8, Arc<Category>>,
    names: HashMap<String, u8>,
    networks: usize,
}

impl Reputations {
    /// Reads `ID,SHORT NAME,DESCRIPTION`.
    pub(super) fn category(&mut self, line: Span<'_>) -> Result<(), Fault> {
        let usage = "ID,SHORT NAME,DESCRIPTION";
        let parts: Vec<Span<'_>> = line.split(',').map(Span::trim).collect();
        let [id, name, _, ..] = parts.as_slice() else {
            return Err(Fault::new(line.at, "a category has three parts").hint(usage));
        };
        let number = id.text.parse().ok();
        let number = number.filter(|number| (1..=MAX_CATEGORY).contains(number));
        let Some(number) = number else {
            let message = format!("a category's number is 1 to {MAX_CATEGORY}");
            return Err(Fault::new(id.at, message).hint(usage));
        };
        if name.text.is_empty() {
            return Err(Fault::new(name.at, "a category needs a short name").hint(usage));
        }
        if self.categories.contains_key(&number) || self.names.contains_key(name.text) {
            let message = format!("category {number} or `{}` stands already above", name.text);
            return Err(Fault::new(id.at, message));
        }
        self.categories.insert(number, Arc::default());
        self.names.insert(name.text.to_owned(), number);
        Ok(())
    }

    /// Reads `ADDRESS[/PREFIX],CATEGORY,SCORE`.
    pub(super) fn network(&mut self, line: Span<'_>) -> Result<(), Fault> {
        let usage = "ADDRESS[/PREFIX],CATEGORY,SCORE";
        let parts: Vec<Span<'_>> = line.split(',').map(Span::trim).collect();
        let [address, category, score] = parts.as_slice() else {
            return Err(Fault::new(line.at, "a reputation has three parts").hint(usage));
        };
        let host = || address.text.parse::<IpAddr>().map(IpNet::from);
        let Ok(network) = address.text.parse::<IpNet>().or_else(|_| host()) else {
            let message = format!("`{}` is no address", address.text);
            return Err(Fault::new(address.at, message).hint(usage));
        };
        let number = category.text.parse::<u8>().ok();
        let known = number.and_then(|number| self.categories.get_mut(&number));
        let Some(known) = known else {
            let message = format!("there is no category `{}`", category.text);
            return Err(Fault::new(category.at, message)
                .hint("its number, as in rules.reputation.categories"));
        };
        let score = match score.text.parse::<u8>() {
            Ok(score) if score <= MAX_SCORE => score,
            _ => {
                let message = format!("a score is 0 to {MAX_SCORE}");
                return Err(Fault::new(score.at, message).hint(usage));
            }
        };
        if self.networks >= MAX_NETWORKS {
            let message = format!("more than {MAX_NETWORKS} reputations");
            return Err(Fault::new(line.at, message));
        }
        self.networks += 1;
        Arc::make_mut(known).add(network, score);
        Ok(())
    }

    /// Parses `SIDE,CATEGORY,isset|isnotset` or `SIDE,CATEGORY,OPERATOR,SCORE`.
    pub(super) fn test(&self, value: Span<'_>) -> Result<ReputationTest, Fault> {
        let usage = "any|src|dst|both,CATEGORY,isset|isnotset or <|<=|>|>=|=,0 to 127";
        let parts: Vec<Span<'_>> = value.split(',').map(Span::trim).collect();
        let [side, name, operator, score @ ..] = parts.as_slice() else {
            return Err(Fault::new(value.at, "iprep needs three or four parts").hint(usage));
        };
        let whose = match side.text {
            "any" => ReputationSide::Any,
            "src" => ReputationSide::Source,
            "dst" => ReputationSide::Destination,
            "both" => ReputationSide::Both,
            other => {
                let message = format!("unknown side `{other}`");
                return Err(Fault::new(side.at, message).hint(usage));
            }
        };
        let number = self.names.get(name.text);
        let Some(category) = number.and_then(|number| self.categories.get(number)) else {
            let message = format!("there is no category `{}`", name.text);
            return Err(Fault::new(name.at, message)
                .hint("a short name, as in rules.reputation.categories"));
        };
        let range = |low, high| IntegerTest::Range {
            low,
            high,
            negated: false,
        };
        let test = match (operator.text, score) {
            ("isset", []) => Some(range(0, u64::MAX)),
            ("isnotset", []) => None,
            (operator, [score]) => {
                let wrong = |at| Fault::new(at, "no comparison with a score").hint(usage);
                let number = score.text.parse::<u8>().ok();
                let number = number.filter(|number| *number <= MAX_SCORE);
                let number = u64::from(number.ok_or_else(|| wrong(score.at))?);
                Some(match operator {
                    "<" => range(0, number.checked_sub(1).ok_or_else(|| wrong(score.at))?),
                    "<=" => range(0, number),
                    ">" => range(number + 1, u64::MAX),
                    ">=" => range(number, u64::MAX),
                    "=" => range(number, number),
                    _ => return Err(wrong(value.at)),
                })
            }
            _ => return Err(Fault::new(operator.at, "no test of a score").hint(usage)),
        };
        Ok(ReputationTest {
            side: whose,
            name: name.text.to_owned(),
            category: Arc::clone(category),
            score: test,
        })
    }
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use crate::rule::{PacketTest, RuleSetBuilder, Variables};

    const CATEGORIES: &str = "# id,name,text\n1,BadHosts,Known bad hosts\n2,Good,Good, and known\n";

    fn builder(files: &str) -> RuleSetBuilder {
        let mut builder = RuleSetBuilder::new(Variables::default());
        builder.add_categories("categories.txt", CATEGORIES);
        builder.add_reputations("hosts.list", files);
        builder
    }

    #[test]
    fn the_longest_prefix_says_the_score() {
        let files =
            "10.0.0.0/8,1,20\n10.0.0.0/24,1,100\n10.0.0.7,1,0\n2001:db8::/32,1,50\n10.0.0.7,2,5\n";
        let [seven, eight, far, six, other] = [
            "10.0.0.7",
            "10.0.0.8",
            "10.9.0.1",
            "2001:db8::1",
            "198.18.0.1",
        ]
        .map(|text| text.parse::<IpAddr>().unwrap());
        for (test, source, destination, expected) in [
            ("src,BadHosts,>,30", eight, other, true),
            ("src,BadHosts,>,30", other, eight, false),
            ("dst,BadHosts,>,30", other, eight, true),
            ("src,BadHosts,=,20", far, other, true),
            ("src,BadHosts,<=,20", far, other, true),
            ("src,BadHosts,<,20", far, other, false),
            ("src,BadHosts,<,20", other, far, false),
            ("any,BadHosts,>=,50", other, six, true),
            ("both,BadHosts,>=,50", other, six, false),
            ("both,BadHosts,>=,50", eight, six, true),
            ("src,BadHosts,isset", seven, other, true),
            ("src,BadHosts,isset", other, seven, false),
            ("src,BadHosts,isnotset", other, seven, true),
            ("both,BadHosts,isnotset", other, seven, false),
            ("any,BadHosts,isnotset", other, seven, true),
            ("src,Good,=,5", seven, other, true),
            ("src,Good,isset", eight, other, false),
        ] {
            let mut builder = builder(files);
            let rule = format!("alert ip any any -> any any (iprep:{test}; sid:1;)");
            builder.add_source("a.rules", &rule);
            let (set, diagnostics) = builder.build();
            assert_eq!(diagnostics, []);
            let [PacketTest::Reputation(parsed)] = set.rules[0].packet.as_slice() else {
                panic!("{test}");
            };
            assert_eq!(parsed.matches(source, destination), expected, "{test}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let files =
            "10.0.0.0/33,1,1\n10.0.0.1,9,1\n10.0.0.1,1,128\n10.0.0.1,1\n# right\n10.0.0.1,1,127\n";
        let mut builder = builder(files);
        builder.add_categories("more.txt", "1,Other,x\n61,Far,x\n3,,x\n4,Four\n5,Good,x\n");
        for (at, test) in [
            "from,Good,isset",
            "src,Nobody,isset",
            "src,Good,isset,1",
            "src,Good,<,0",
            "src,Good,=,128",
            "src,Good",
        ]
        .iter()
        .enumerate()
        {
            let rule = format!(
                "alert ip any any -> any any (iprep:{test}; sid:{};)",
                at + 1
            );
            builder.add_source("a.rules", &rule);
        }
        let (set, diagnostics) = builder.build();
        assert!(set.rules.is_empty());
        let places = |file: &str| {
            let of = diagnostics.iter().filter(|it| &*it.file == file);
            of.map(|it| (it.line, it.column)).collect::<Vec<_>>()
        };
        assert_eq!(places("hosts.list"), [(1, 1), (2, 10), (3, 12), (4, 1)]);
        let expected = [(1, 1), (2, 1), (3, 3), (4, 1), (5, 1)];
        assert_eq!(places("more.txt"), expected);
        let columns = places("a.rules").into_iter().map(|(_, column)| column);
        assert_eq!(columns.collect::<Vec<_>>(), [36, 40, 36, 47, 47, 36]);
    }
}
