//! `cargo xtask conformance`: other people's captures, rules and verdicts against ours.
//!
//! Every folder of `cases/` under the directory that `HYDROPHONE_CORPUS` names has `input.pcap`,
//! `test.rules` and `case.json` with the alerts that the reference engine gave.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::command::{cargo, check};

/// Generator of rules; alerts of behaviours have another.
const RULE_GID: u64 = 1;

/// One case and how it ended.
struct Case {
    name: String,
    pure: bool,
    labels: Vec<String>,
    /// What differs, e.g. `sid 3: 1 expected, 0 seen`. Empty when nothing does.
    differences: Vec<String>,
}

/// Replays all cases, or those whose name contains `filter`.
pub(crate) fn conformance(
    root: &Path,
    filter: Option<&str>,
    binary: Option<PathBuf>,
) -> Result<ExitCode> {
    let Some(corpus) = env::var_os("HYDROPHONE_CORPUS") else {
        bail!(
            "HYDROPHONE_CORPUS names no directory: it is the one with `cases/`, `rules/` and `attacks/`"
        );
    };
    let binary = match binary {
        // Each case is replayed in its own folder.
        Some(binary) => std::path::absolute(binary)?,
        None => {
            let mut build = cargo(root);
            build.args(["build", "--locked", "--release", "--package", "hydrophone"]);
            check(&mut build, "the agent did not build")?;
            root.join("target/release/hydrophone")
        }
    };
    let folders = folders(&Path::new(&corpus).join("cases"), filter)?;
    let cases = replay_all(&folders, &binary);
    let mut failed = 0;
    for case in &cases {
        if !case.differences.is_empty() {
            failed += 1;
            println!("{:<52} {}", case.name, case.differences.join("; "));
        }
    }
    table(&cases);
    for (name, of) in [("pure", true), ("mixed", false)] {
        let group: Vec<&Case> = cases.iter().filter(|case| case.pure == of).collect();
        let good = group
            .iter()
            .filter(|case| case.differences.is_empty())
            .count();
        println!("{name}: {good} of {} cases as the reference", group.len());
    }
    println!(
        "all: {} of {} cases as the reference",
        cases.len() - failed,
        cases.len()
    );
    Ok(ExitCode::SUCCESS)
}

fn folders(cases: &Path, filter: Option<&str>) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(cases).with_context(|| format!("cannot read {}", cases.display()))?;
    let mut folders: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("case.json").is_file())
        .filter(|path| filter.is_none_or(|filter| path.to_string_lossy().contains(filter)))
        .collect();
    folders.sort();
    Ok(folders)
}

fn replay_all(folders: &[PathBuf], binary: &Path) -> Vec<Case> {
    let next = AtomicUsize::new(0);
    let cases = Mutex::new(Vec::new());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(folder) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let case = replay(folder, binary);
                    cases
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(case);
                }
            });
        }
    });
    let mut cases = cases.into_inner().unwrap_or_else(PoisonError::into_inner);
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

fn replay(folder: &Path, binary: &Path) -> Case {
    let name = folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let described = fs::read(folder.join("case.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        .unwrap_or_default();
    let words = |key: &str| -> Vec<String> {
        let list = get(&described, key).as_array();
        list.into_iter()
            .flatten()
            .filter_map(|word| word.as_str().map(str::to_owned))
            .collect()
    };
    let mut labels: Vec<String> = words("keywords");
    labels.extend(
        words("protocols")
            .into_iter()
            .map(|protocol| format!("alert {protocol}")),
    );
    let mut command = Command::new(binary);
    command
        .current_dir(folder)
        .args([
            "replay",
            "input.pcap",
            "--rules",
            "test.rules",
            "--no-default-rules",
            "--format",
            "eve",
        ])
        .args(["--set", "alert.storm.limit=0", "--log-level", "error"]);
    let mut checksums = "validate".to_owned();
    for (key, value) in get(&described, "options").as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            ("checksums", value) => checksums = value.as_str().unwrap_or_default().to_owned(),
            (key, value) => {
                command.args(["--set", &format!("{key}={value}")]);
            }
        }
    }
    if !labels.iter().any(|label| label == "no-midstream")
        && get(&described, "options").get("midstream").is_none()
    {
        command.args(["--set", "midstream=false"]);
    }
    command.args(["--set", &format!("checksums={checksums}")]);
    let differences = match command.output() {
        Err(error) => vec![format!("cannot run: {error}")],
        Ok(output) => {
            let mut differences = compare(&described, &output.stdout);
            let said = String::from_utf8_lossy(&output.stderr);
            // The reference reads what there is of a capture that ends too early, as we do, but we say so.
            if !output.status.success() && !said.contains("cut off") {
                differences.push(format!(
                    "ended with {}: {}",
                    output.status,
                    said.lines().next().unwrap_or_default()
                ));
            }
            differences
        }
    };
    Case {
        name,
        pure: get(&described, "group") == "pure",
        labels,
        differences,
    }
}

/// What differs between the alerts that were expected and those in `output`.
fn compare(described: &Value, output: &[u8]) -> Vec<String> {
    let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
    for line in output.split(|byte| *byte == b'\n') {
        let Ok(event) = serde_json::from_slice::<Value>(line) else {
            continue;
        };
        let alert = get(&event, "alert");
        if get(&event, "event_type") == "alert" && get(alert, "gid") == RULE_GID {
            *seen
                .entry(get(alert, "signature_id").as_u64().unwrap_or(0))
                .or_default() += 1;
        }
    }
    if described.get("alerts").is_none_or(Value::is_null) {
        // What the reference gave is not known: only what must not fire is.
        let silent = get(described, "silent").as_array().into_iter().flatten();
        let fired = silent
            .filter_map(Value::as_u64)
            .filter(|sid| seen.contains_key(sid));
        return fired
            .map(|sid| format!("sid {sid}: must be silent"))
            .collect();
    }
    let mut expected: BTreeMap<u64, u64> = BTreeMap::new();
    for (sid, count) in get(described, "alerts").as_object().into_iter().flatten() {
        if let (Ok(sid), Some(count)) = (sid.parse(), count.as_u64()) {
            expected.insert(sid, count);
        }
    }
    let sids: BTreeSet<u64> = seen.keys().chain(expected.keys()).copied().collect();
    let count = |of: &BTreeMap<u64, u64>, sid: u64| of.get(&sid).copied().unwrap_or(0);
    sids.into_iter()
        .filter(|sid| count(&seen, *sid) != count(&expected, *sid))
        .map(|sid| {
            format!(
                "sid {sid}: {} expected, {} seen",
                count(&expected, sid),
                count(&seen, sid)
            )
        })
        .collect()
}

/// Cases by keyword and protocol, those first with the most differences.
fn table(cases: &[Case]) {
    let mut rows: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for case in cases {
        for label in &case.labels {
            let (good, all) = rows.entry(label).or_default();
            *good += usize::from(case.differences.is_empty());
            *all += 1;
        }
    }
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by_key(|(label, (good, all))| (core::cmp::Reverse(all - good), *label));
    println!(
        "\n{:<32}{:>8}{:>8}",
        "keyword or protocol", "agree", "cases"
    );
    for (label, (good, all)) in rows.into_iter().filter(|(_, (good, all))| good < all) {
        println!("{label:<32}{good:>8}{all:>8}");
    }
    println!("(the others agree in all their cases)\n");
}

/// The value of a key; null when there is none.
fn get<'a>(object: &'a Value, key: &str) -> &'a Value {
    object.get(key).unwrap_or(&Value::Null)
}
