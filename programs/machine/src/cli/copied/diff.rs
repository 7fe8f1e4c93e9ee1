//! What a guest changed in a text, as a unified diff for a person: control characters of it are shown, not
//! obeyed, so that it is to be read, not to be applied.

use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use similar::{ChangeTag, TextDiff};

use super::changes::{Change, What};
use super::inside::shown;
use super::place::Place;
use crate::cli::copy::entry::Entry;
use crate::cli::paint::Paint;
use crate::cli::word::escape::plain;

/// Longer texts are not compared line by line.
const LONGEST: u64 = 1 << 20;
/// A guest may choose texts that take long: then the diff is coarser.
const PATIENCE: Duration = Duration::from_secs(1);

/// One side of a change.
enum Side {
    Text(String),
    /// No text, or too much of it.
    NoText,
}

/// The diff of a change, if it is one of a file's content.
pub(crate) fn diff(change: &Change, draft: &Place, here: &Place, paint: Paint) -> io::Result<Option<String>> {
    match &change.what {
        What::Added(_) | What::Modified { .. } | What::Kind { .. } | What::Deleted(_) => {}
        What::Mode { .. } => return Ok(None),
    }
    let of_file = |entry: Option<&Entry>| matches!(entry, Some(Entry::File { .. }));
    if !of_file(change.here.as_ref()) && !of_file(change.now()) {
        return Ok(None);
    }
    let old = side(change, change.here.as_ref(), here)?;
    let new = side(change, change.now(), draft)?;
    let name = shown(change.path.path().as_os_str());
    Ok(Some(match (old, new) {
        (Side::Text(old), Side::Text(new)) => {
            let before = heading("a/", &name, change.here.is_some());
            let after = heading("b/", &name, change.now().is_some());
            format!("{}{}", paint.bold(&format!("--- {before}\n+++ {after}\n")), hunks(&old, &new, paint))
        }
        (Side::NoText, _) | (_, Side::NoText) => {
            format!("{}\n", paint.bold(&format!("not shown, no text or long: {name}")))
        }
    }))
}

fn heading(side: &str, name: &str, is_there: bool) -> String {
    if is_there { format!("{side}{name}") } else { Path::new("/dev/null").display().to_string() }
}

fn side(change: &Change, entry: Option<&Entry>, place: &Place) -> io::Result<Side> {
    match entry {
        Some(Entry::File { size, .. }) if *size <= LONGEST => {
            let mut bytes = Vec::new();
            place.content(&change.path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
            Ok(match String::from_utf8(bytes) {
                Ok(text) if !text.contains('\0') => Side::Text(text),
                Ok(_) | Err(_) => Side::NoText,
            })
        }
        Some(Entry::File { .. }) => Ok(Side::NoText),
        Some(Entry::Folder { .. } | Entry::Link { .. } | Entry::Other) | None => Ok(Side::Text(String::new())),
    }
}

fn hunks(old: &str, new: &str, paint: Paint) -> String {
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(old, new);
    let mut text = String::new();
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        text += &format!("{}\n", paint.cyan(&hunk.header().to_string()));
        for line in hunk.iter_changes() {
            let said = line.value();
            let said = plain(said.strip_suffix('\n').unwrap_or(said)).replace("\\t", "\t");
            text += &match line.tag() {
                ChangeTag::Equal => format!(" {said}\n"),
                ChangeTag::Delete => format!("{}\n", paint.red(&format!("-{said}"))),
                ChangeTag::Insert => format!("{}\n", paint.green(&format!("+{said}"))),
            };
            if line.missing_newline() {
                text += "\\ no newline at the end\n";
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_shows_lines_and_obeys_none() {
        let text = hunks("a\nb\nc\n", "a\n\x1b[2J\tx\r\nc", Paint::Plain);
        let expected = "@@ -1,3 +1,3 @@\n a\n-b\n-c\n+\\u{1b}[2J\tx\\r\n+c\n\\ no newline at the end\n";
        assert_eq!(text, expected);
        assert_eq!(hunks("a\n", "a\n", Paint::Plain), "");
    }
}
