use proptest::prelude::*;

use super::*;

fn matcher(patterns: &[(&[u8], usize)]) -> Matcher {
    let patterns = (0..).zip(patterns).map(|(rule, (bytes, bound))| Pattern {
        bytes: bytes.to_vec(),
        bound: *bound,
        rule,
    });
    Matcher::new(patterns.collect())
}

fn found(matcher: &Matcher, data: &[u8], start: u64, fresh: usize) -> Vec<u32> {
    let mut rules = Vec::new();
    matcher.find(data, start, fresh, &mut Noted::default(), |rule| {
        rules.push(rule);
    });
    rules.sort_unstable();
    rules.dedup();
    rules
}

#[test]
fn patterns_of_all_lengths_in_any_case() {
    let matcher = matcher(&[
        (b"x", usize::MAX),
        (b"ab", usize::MAX),
        (b"abc", usize::MAX),
        (b"abcd", usize::MAX),
        (b"ABCDE", usize::MAX),
        (b"cdefghij", usize::MAX),
    ]);
    assert_eq!(found(&matcher, b"..aBcDefghij", 0, 0), [1, 2, 3, 4, 5]);
    assert_eq!(found(&matcher, b"X", 0, 0), [0]);
    assert_eq!(found(&matcher, b"zab", 0, 0), [1]);
    assert!(found(&matcher, b"ba dcba", 0, 0).is_empty());
    assert!(found(&matcher, b"", 0, 0).is_empty());
}

#[test]
fn few_short_patterns_are_found_as_many_are() {
    let texts: Vec<[u8; 2]> = (0..40).map(|at| [b'a' + at % 20, 0x80 + at]).collect();
    let few: Vec<(&[u8], usize)> = texts[..5].iter().map(|it| (&it[..], usize::MAX)).collect();
    let many: Vec<(&[u8], usize)> = texts.iter().map(|it| (&it[..], usize::MAX)).collect();
    let data = texts[..5].concat().to_ascii_uppercase();
    assert_eq!(found(&matcher(&few), &data, 0, 0), [0, 1, 2, 3, 4]);
    assert_eq!(found(&matcher(&many), &data, 0, 0), [0, 1, 2, 3, 4]);
    assert_eq!(found(&matcher(&few), &data, 0, 9), [4]);
}

#[test]
fn what_was_seen_before_is_not_found_again() {
    let matcher = matcher(&[(b"needle", usize::MAX), (b"ne", usize::MAX)]);
    assert!(found(&matcher, b"needle ...", 0, 6).is_empty());
    assert_eq!(found(&matcher, b"needle ...", 0, 5), [0]);
}

#[test]
fn bounded_patterns_are_looked_for_where_they_can_be() {
    let matcher = matcher(&[(b"magic", 8)]);
    let far = [&[b'.'; 200][..], b"magic"].concat();
    assert_eq!(found(&matcher, b"..magic", 0, 0), [0]);
    assert!(found(&matcher, &far, 0, 0).is_empty());
    // Whether it is exactly there is the verification's business; whether it can be is not.
    assert!(found(&matcher, b"magic", 4_000, 0).is_empty());
}

proptest! {
    /// The same as comparing every pattern at every place.
    #[test]
    fn finds_what_a_plain_search_finds(
        patterns in prop::collection::vec(prop::collection::vec(0_u8..4, 1..9), 1..20),
        data in prop::collection::vec(0_u8..4, 0..200),
        fresh in 0_usize..200,
    ) {
        let letters = |bytes: &[u8]| -> Vec<u8> {
            bytes.iter().map(|byte| b"aB\x00 "[usize::from(*byte)]).collect()
        };
        let patterns: Vec<Vec<u8>> = patterns.iter().map(|bytes| letters(bytes)).collect();
        let data = letters(&data);
        let list: Vec<(&[u8], usize)> =
            patterns.iter().map(|bytes| (&**bytes, usize::MAX)).collect();
        let expected: Vec<u32> = (0..)
            .zip(&patterns)
            .filter(|(_, pattern)| {
                data.windows(pattern.len()).enumerate().any(|(at, window)| {
                    window.eq_ignore_ascii_case(pattern) && at + pattern.len() > fresh
                })
            })
            .map(|(rule, _)| rule)
            .collect();
        prop_assert_eq!(found(&matcher(&list), &data, 0, fresh), expected);
    }
}
