//! Segment files: their names, and reading their lines.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use super::record::Line;

/// Longest line that is read. The longest that is written is far shorter: facts are cut to size.
pub(super) const MAX_LINE: u64 = 1 << 20;

/// `ledger-0000000007.jsonl`.
pub(super) fn file_name(number: u64) -> String {
    format!("ledger-{number:010}.jsonl")
}

/// Numbers of the segments in a folder, ascending. Other files are left alone.
pub(super) fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix("ledger-")?.strip_suffix(".jsonl"))
            .and_then(|number| number.parse().ok());
        numbers.extend(number.filter(|number| *file_name(*number) == *name));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// One line of a segment.
pub(super) struct Read<'a> {
    /// The file.
    pub(super) path: &'a Path,
    /// Number of the segment.
    pub(super) segment: u64,
    /// Line number in the file, from 1.
    pub(super) line: u64,
    /// Without the line end.
    pub(super) bytes: &'a [u8],
    /// Whether there was a line end: an agent that is killed, or writes just now, leaves half a
    /// line.
    pub(super) whole: bool,
}

/// Hands over every line of every segment, oldest first. A segment that is dropped meanwhile is
/// left out.
pub(super) fn for_each_line(directory: &Path, mut take: impl FnMut(Read<'_>)) -> io::Result<()> {
    let mut files = Vec::new();
    for number in list(directory)? {
        let path = directory.join(file_name(number));
        match File::open(&path) {
            Ok(file) => files.push((number, path, file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(named(&path, &error)),
        }
    }
    for (segment, path, file) in files {
        lines(file, |line, bytes, whole| {
            take(Read {
                path: &path,
                segment,
                line,
                bytes,
                whole,
            });
        })
        .map_err(|error| named(&path, &error))?;
    }
    Ok(())
}

pub(super) fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Hands over number (from 1), bytes and wholeness of each line.
pub(super) fn lines(file: File, mut take: impl FnMut(u64, &[u8], bool)) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        let read = reader
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        number += 1;
        let whole = line.pop_if(|byte| *byte == b'\n').is_some();
        take(number, &line, whole);
        if !whole && read as u64 == MAX_LINE {
            // No line of ours: the rest of it is skipped, for it has been shown to be broken.
            reader.skip_until(b'\n')?;
        }
    }
}

/// The last whole line of a file that is one of the ledger, and the size of the file up to its end.
pub(super) struct LastLine {
    pub(super) line: Line,
    pub(super) bytes: Vec<u8>,
    pub(super) end: u64,
}

/// Reads backwards from the end; what is behind the last good line was torn. `good` says which
/// lines are.
pub(super) fn last_line(
    path: &PathBuf,
    good: impl Fn(&[u8]) -> bool,
) -> io::Result<Option<LastLine>> {
    let mut file = File::open(path).map_err(|error| named(path, &error))?;
    let length = file.metadata()?.len();
    // One more than twice the longest line holds the last whole one, unless what is torn is longer
    // than any line; then everything is read.
    for reach in [MAX_LINE / 16, 2 * MAX_LINE + 1, length] {
        let from = length.saturating_sub(reach);
        file.seek(SeekFrom::Start(from))?;
        let mut tail = Vec::new();
        file.by_ref().take(length - from).read_to_end(&mut tail)?;
        let mut end = tail.len();
        while let Some(newline) = tail
            .get(..end)
            .and_then(|tail| tail.iter().rposition(|byte| *byte == b'\n'))
        {
            let before = tail.get(..newline).unwrap_or_default();
            let start = before
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map(|at| at + 1);
            let Some(start) = start.or((from == 0).then_some(0)) else {
                break;
            };
            let bytes = before.get(start..).unwrap_or_default();
            if good(bytes)
                && let Ok(line) = serde_json::from_slice(bytes)
            {
                let end = from + newline as u64 + 1;
                return Ok(Some(LastLine {
                    line,
                    bytes: bytes.to_vec(),
                    end,
                }));
            }
            end = newline;
        }
        if from == 0 {
            break;
        }
    }
    Ok(None)
}
