use std::{fs, sync::LazyLock};

use proptest::prelude::*;

use super::{
    super::fixtures::{Lab, container},
    *,
};

/// Three files, some lines each.
fn made() -> Vec<(PathBuf, Vec<u8>)> {
    let mut lab = Lab::started(1 << 20);
    for number in 0..40_u8 {
        lab.run(container(number));
        lab.now += 1;
        if number % 4 == 0 {
            lab.end(number);
        }
        if number % 15 == 14 {
            // As if it were full.
            let (stamp, writer) = (lab.stamp(), lab.writer.as_mut().unwrap());
            writer.begin_segment(stamp).unwrap();
        }
    }
    let name = |file: &PathBuf| file.file_name().unwrap().into();
    let files = lab.files().into_iter();
    files
        .map(|file| (name(&file), fs::read(&file).unwrap()))
        .collect()
}

/// The same in a folder of its own.
fn ledger() -> Lab {
    static MADE: LazyLock<Vec<(PathBuf, Vec<u8>)>> = LazyLock::new(made);
    let lab = Lab::new(1 << 20);
    fs::create_dir(lab.directory()).unwrap();
    for (name, bytes) in MADE.iter() {
        fs::write(lab.directory().join(name), bytes).unwrap();
    }
    lab
}

#[test]
fn a_ledger_as_it_was_written_is_sound() {
    let lab = ledger();
    let verdict = lab.verify();
    assert!(verdict.is_sound() && !verdict.torn, "{verdict:?}");
    let lines = lab.text().lines().count() as u64;
    assert_eq!((verdict.lines, verdict.head.seq), (lines, lines));
    assert_eq!((verdict.segments, verdict.first_seq), (3, 1));
    let empty = tempfile::tempdir().unwrap();
    assert!(
        verify(empty.path(), Sealer::default(), None)
            .unwrap()
            .is_sound()
    );
}

#[test]
fn the_first_broken_line_is_named() {
    let lab = ledger();
    let file = &lab.files()[1];
    let text = fs::read_to_string(file).unwrap();
    fs::write(file, text.replacen("nginx", "apach", 2)).unwrap();
    let verdict = lab.verify();
    let at = text
        .lines()
        .position(|line| line.contains("nginx"))
        .unwrap() as u64
        + 1;
    let first = &verdict.breaks[0];
    assert_eq!((&first.file, first.line), (file, at), "{verdict:?}");
    assert_eq!(first.what, "the line is not the one that was sealed");
}

#[test]
fn files_that_are_missing_are_noticed() {
    for (missing, what) in [
        (0, "no record says that they were dropped"),
        (1, "the file before this one is missing"),
    ] {
        let lab = ledger();
        fs::remove_file(&lab.files()[missing]).unwrap();
        let verdict = lab.verify();
        assert!(
            verdict
                .breaks
                .iter()
                .any(|broken| broken.what.contains(what)),
            "{verdict:?}"
        );
    }
}

#[test]
fn a_missing_end_shows_by_an_anchor() {
    let lab = ledger();
    let head = lab.verify().head;
    let check = |anchor| verify(lab.directory(), Sealer::default(), Some(anchor)).unwrap();
    assert!(check(head).is_sound());
    let other = Head {
        hash: Digest::of(b"other"),
        ..head
    };
    assert!(!check(other).is_sound());
    fs::remove_file(lab.files().pop().unwrap()).unwrap();
    assert!(lab.verify().is_sound(), "nothing that is there is wrong");
    let verdict = check(head);
    assert!(
        verdict.breaks[0].what.contains("ends before"),
        "{verdict:?}"
    );
    assert_eq!(format!("{}:{}", head.seq, head.hash).parse(), Ok(head));
}

#[test]
fn what_is_written_anew_without_the_key_is_noticed() {
    let mut lab = Lab::new(1 << 20);
    let key = lab.folder.path().join("key");
    fs::write(&key, "secret").unwrap();
    lab.options.key_file = Some(key);
    lab.open();
    lab.run(container(1));
    lab.kill();
    let keyed = || Sealer::new(Some(b"secret".to_vec()));
    let check = |sealer| verify(lab.directory(), sealer, None).unwrap();
    let verdict = check(keyed());
    assert!(
        verdict.is_sound() && verdict.keyed == verdict.lines,
        "{verdict:?}"
    );
    let verdict = check(Sealer::default());
    assert!(
        verdict.is_sound() && verdict.unchecked == verdict.lines,
        "{verdict:?}"
    );
    // The last line anew, with a hash that is right for it.
    let file = &lab.files()[0];
    let text = fs::read_to_string(file).unwrap();
    let (before, last) = text.trim_end().rsplit_once('\n').unwrap();
    let last = last.replace("\"c1\"", "\"c9\"");
    let body = last.split(",\"seal\"").next().unwrap();
    let mut forged = format!("{body}}}").into_bytes();
    Sealer::default().seal(&mut forged);
    fs::write(file, [before.as_bytes(), b"\n", &forged, b"\n"].concat()).unwrap();
    let verdict = check(keyed());
    assert_eq!(verdict.breaks[0].what, "the seal is made without the key");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_flipped_byte_is_noticed(file in 0..3_usize, at in any::<prop::sample::Index>(), bit in 0..8) {
        let lab = ledger();
        let path = &lab.files()[file];
        let mut bytes = fs::read(path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        fs::write(path, bytes).unwrap();
        let verdict = lab.verify();
        prop_assert!(!verdict.is_sound() || verdict.torn, "byte {} of file {}", at, file);
    }

    #[test]
    fn a_missing_moved_or_doubled_line_is_noticed(file in 0..3_usize, one in any::<prop::sample::Index>(), other in any::<prop::sample::Index>(), how in 0..3) {
        let lab = ledger();
        let path = &lab.files()[file];
        let text = fs::read_to_string(path).unwrap();
        let mut lines: Vec<_> = text.lines().collect();
        // The very last line may be missing: see the anchor.
        let most = lines.len() - usize::from(file == 2);
        let (one, other) = (one.index(most), other.index(most));
        match how {
            0 => drop(lines.remove(one)),
            1 if one == other => return Ok(()),
            1 => lines.swap(one, other),
            _ => lines.insert(other, lines[one]),
        }
        fs::write(path, lines.join("\n") + "\n").unwrap();
        prop_assert!(!lab.verify().is_sound());
    }

    #[test]
    fn any_file_is_walked(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(segment::file_name(1)), bytes).unwrap();
        let _ = verify(folder.path(), Sealer::default(), None).unwrap();
    }
}
