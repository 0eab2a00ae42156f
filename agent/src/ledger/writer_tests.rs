use std::{fs, sync::LazyLock};

use proptest::prelude::*;

use super::{
    super::{
        Digest,
        fixtures::{Lab, container, wall},
        question::Certainty,
        record::{DropReason, GoneReason},
    },
    *,
};

const BUDGET: u64 = 1 << 20;

fn records(lab: &Lab) -> Vec<Record> {
    let text = lab.text();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str::<Line>(line).unwrap().record)
        .collect()
}

fn kinds(lab: &Lab) -> Vec<String> {
    let kind = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        value["kind"].as_str().unwrap().to_owned()
    };
    lab.text().lines().map(kind).collect()
}

#[test]
fn lines_are_json_that_other_tools_read() {
    let mut lab = Lab::started(BUDGET);
    lab.run(container(1));
    let text = lab.text();
    let line: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(line["kind"], "appear");
    assert_eq!(line["time"], "2026-11-23T20:00:00.000000Z");
    assert_eq!(line["boottime"], 1_000_000_000_u64);
    assert_eq!(line["facts"]["owner"]["compose_service"], "web");
    assert_eq!(line["facts"]["addresses"][0], "10.0.0.1");
    let before = text.lines().rev().nth(1).unwrap();
    assert_eq!(line["prev"], Digest::of(before.as_bytes()).to_string());
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(lab.directory()), mode(&lab.files()[0])),
        (0o700, 0o600)
    );
}

#[test]
fn a_restart_goes_on_where_the_ledger_ended() {
    let mut lab = Lab::started(BUDGET);
    for number in [1, 2] {
        lab.run(container(number));
    }
    lab.pass(61);
    lab.kill();
    lab.now += 100;
    lab.living.retain(|one| one.name != "c2");
    lab.living.push(Arc::new(container(3)));
    lab.open();
    let all = records(&lab);
    let start = all
        .iter()
        .rposition(|record| matches!(record, Record::Start { .. }))
        .unwrap();
    let after = &all[start..];
    assert!(
        matches!(
            after[0],
            Record::Start {
                after_stop: false,
                ..
            }
        ),
        "{after:?}"
    );
    let gone = Record::Gone {
        container: 2,
        why: GoneReason::NotSeenSince,
        last_seen: Some(wall(61)),
    };
    assert_eq!(after[1], gone);
    assert!(
        matches!(&after[2], Record::Carry { container: 1, since, .. } if *since == wall(0)),
        "{after:?}"
    );
    assert!(
        matches!(after[3], Record::Appear { container: 3, .. }),
        "{after:?}"
    );
    assert_eq!(after.len(), 4);
    assert!(lab.verify().is_sound());

    let now = lab.stamp();
    lab.writer.as_mut().unwrap().stop(now).unwrap();
    lab.kill();
    // Another boot: all that was there has ended with the host.
    lab.boot = "boot-2".to_owned();
    lab.living.clear();
    lab.now += 100;
    lab.open();
    let all = records(&lab);
    let after = &all[all.len() - 3..];
    assert!(
        matches!(
            after[0],
            Record::Start {
                after_stop: true,
                ..
            }
        ),
        "{after:?}"
    );
    let ended = |record: &Record| {
        matches!(
            record,
            Record::Gone {
                why: GoneReason::HostRestarted,
                ..
            }
        )
    };
    assert!(after[1..].iter().all(ended), "{after:?}");
    assert!(lab.verify().is_sound());
}

#[test]
fn a_runtime_that_is_asked_late_after_a_restart_takes_no_name_away() {
    let mut lab = Lab::started(BUDGET);
    lab.run(container(1));
    lab.kill();
    let unnamed = Container {
        name: String::new(),
        unknown: Some(crate::census::UnknownReason::RuntimePending),
        ..container(1)
    };
    lab.living = vec![Arc::new(unnamed)];
    lab.open();
    lab.run(container(1));
    assert!(
        !kinds(&lab).contains(&"change".to_owned()),
        "{:?}",
        kinds(&lab)
    );
}

#[test]
fn a_quiet_ledger_has_checkpoints_and_notices_that_the_clock_was_set() {
    let mut lab = Lab::started(BUDGET);
    for _ in 0..130 {
        lab.pass(1);
    }
    lab.ahead = -3_600;
    lab.pass(1);
    lab.pass(1);
    assert_eq!(
        kinds(&lab),
        ["segment", "start", "checkpoint", "checkpoint", "clock"]
    );
    assert_eq!(
        records(&lab).last(),
        Some(&Record::Clock {
            step: -3_600_000_000
        })
    );
}

#[test]
fn two_agents_do_not_write_one_ledger() {
    let lab = Lab::started(BUDGET);
    assert!(super::super::store::is_in_use(lab.directory()));
    let error = Writer::open(&lab.options, &Origin::default(), lab.stamp()).unwrap_err();
    assert!(error.to_string().contains("another agent"), "{error}");
}

/// Thousands come and go: the budget holds, one that is there from the beginning stays known.
#[test]
fn the_oldest_goes_first_and_nothing_that_is_there_is_forgotten() {
    let mut lab = Lab::started(BUDGET);
    lab.run(container(200));
    let mut most = 0;
    for round in 0..3_000 {
        let number = (round % 200) as u8;
        lab.run(Container {
            cgroup_id: 10_000 + round,
            ..container(number)
        });
        lab.end(number);
        lab.gone.truncate(5);
        lab.now += 1;
        if round % 50 == 0 {
            let sizes = lab
                .files()
                .into_iter()
                .map(|file| fs::metadata(file).unwrap().len());
            most = most.max(sizes.sum());
        }
    }
    assert!(
        (BUDGET / 2..=BUDGET).contains(&most),
        "{most} bytes at most"
    );
    let verdict = lab.verify();
    assert!(verdict.is_sound() && verdict.first_seq > 1, "{verdict:?}");
    let dropped = records(&lab)
        .into_iter()
        .rev()
        .find_map(|record| match record {
            Record::Dropped { last_seq, why, .. } => Some((last_seq, why)),
            _ => None,
        });
    assert_eq!(dropped, Some((verdict.first_seq - 1, DropReason::Budget)));
    assert_eq!(
        lab.who("10.0.0.200", 3_000),
        [("c200".to_owned(), Certainty::Certain)]
    );
    assert_eq!(
        lab.who("10.0.0.200", 10),
        [("c200".to_owned(), Certainty::Possible)]
    );
    lab.kill();
    lab.open();
    assert_eq!(
        lab.who("10.0.0.200", 3_000),
        [("c200".to_owned(), Certainty::Certain)]
    );

    // What is older than the retention goes even if there is room.
    lab.pass(2 * 86_400);
    lab.pass(61);
    let verdict = lab.verify();
    assert!(verdict.is_sound() && verdict.segments == 1, "{verdict:?}");
}

/// More is there than the budget holds: it is exceeded, not ground away.
#[test]
fn a_segment_that_carries_much_has_room_for_as_much_again() {
    let mut lab = Lab::new(BUDGET);
    let many = (0..2_000_u32).map(|number| Container {
        id: format!("{number:064x}"),
        cgroup_id: number.into(),
        ..container(1)
    });
    lab.living = many.map(Arc::new).collect();
    lab.open();
    for _ in 0..20 {
        lab.run(container(7));
        lab.end(7);
    }
    assert!(lab.verify().segments <= 2, "{:?}", lab.verify());
}

/// A ledger of one file.
fn short() -> Lab {
    static MADE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut lab = Lab::started(BUDGET);
        for number in 0..10 {
            lab.now += 1;
            lab.run(container(number));
            if number % 3 == 0 {
                lab.end(number);
            }
        }
        fs::read(&lab.files()[0]).unwrap()
    });
    let lab = Lab::new(BUDGET);
    fs::create_dir(lab.directory()).unwrap();
    fs::write(lab.directory().join(file_name(1)), &*MADE).unwrap();
    lab
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Wherever the power fails: the ledger opens, all whole lines are there, and what was torn is
    /// on record.
    #[test]
    fn a_torn_end_costs_no_more_than_its_line(at in any::<prop::sample::Index>(), garbage in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut lab = short();
        let file = lab.files().pop().unwrap();
        let whole = fs::read(&file).unwrap();
        let cut = at.index(whole.len() + 1);
        let kept: Vec<_> = whole[..cut].to_vec();
        let lines = kept.iter().filter(|byte| **byte == b'\n').count();
        let end = kept.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        fs::write(&file, [&kept[..], &garbage].concat()).unwrap();
        lab.open();
        let now = fs::read(lab.files().pop().unwrap()).unwrap();
        prop_assert!(now.starts_with(&whole[..end]));
        let verdict = lab.verify();
        prop_assert!(verdict.is_sound(), "{:?}", verdict);
        let torn = cut + garbage.len() - end;
        let cuts: Vec<_> = records(&lab).into_iter().skip(lines).filter_map(|record| match record {
            Record::Cut { bytes, sha256, .. } => Some((bytes, sha256)),
            _ => None,
        }).collect();
        let expected = Digest::of(&[&kept[end..], &garbage].concat());
        let expected = (torn > 0).then_some((torn as u64, expected));
        prop_assert_eq!(cuts, expected.into_iter().collect::<Vec<_>>());
    }
}

/// A crash in the middle of beginning a segment: what is open comes from the one before.
#[test]
fn a_segment_that_is_cut_short_at_its_beginning_forgets_nobody() {
    for keep in [0, 1, 2] {
        let mut lab = Lab::started(BUDGET);
        for number in 0..5 {
            lab.run(container(number));
        }
        let now = lab.stamp();
        lab.writer.as_mut().unwrap().begin_segment(now).unwrap();
        lab.kill();
        let file = lab.files().pop().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let kept: String = text.split_inclusive('\n').take(keep).collect();
        fs::write(&file, kept).unwrap();
        lab.open();
        let carried = records(&lab).into_iter().rev().take(5);
        assert_eq!(
            carried
                .filter(|record| matches!(record, Record::Carry { .. }))
                .count(),
            5
        );
        assert!(lab.verify().is_sound(), "{:?}", lab.verify());
    }
}

#[test]
fn hostile_text_is_one_line_and_no_control_character() {
    let mut lab = Lab::started(BUDGET);
    lab.run(Container {
        name: "a\n{\"seq\":9}\u{1b}]0;x\u{7}\u{9b}\u{202e}\"\\,\"seal\":\"sha256:".repeat(40),
        image: "\u{7f}".repeat(600),
        labels: [("app".to_owned(), "\r\n\t".repeat(500))].into(),
        ..container(1)
    });
    let text = lab.text();
    assert!(
        text.chars().all(
            |character| character == '\n' || !character.is_control() && character != '\u{202e}'
        )
    );
    assert!(lab.verify().is_sound(), "{:?}", lab.verify());
    let answers = lab.ask("10.0.0.1", wall(0), wall(0)).answers;
    assert!(
        answers[0]
            .facts
            .name
            .starts_with("a\n{\"seq\":9}\u{1b}]0;x")
    );
}
