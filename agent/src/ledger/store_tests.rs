use super::*;

#[test]
fn a_key_file_is_read_without_its_line_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, "secret\n").unwrap();
    let with_key = sealer(Some(&path)).unwrap();
    let mut line = b"{\"a\":1}".to_vec();
    Sealer::new(Some(b"secret".to_vec())).seal(&mut line);
    assert_eq!(with_key.check(&line), SealState::Keyed);

    fs::write(&path, "\n").unwrap();
    let error = sealer(Some(&path)).unwrap_err().to_string();
    assert!(error.contains("there is no key"), "{error}");
    let error = sealer(Some(&folder.path().join("none")))
        .unwrap_err()
        .to_string();
    assert!(error.contains("none"), "{error}");
}
