//! Files with environment: `KEY=VALUE` lines, quotes, comments, `export`. Nothing is interpolated or run.

use crate::walk::is_variable;

/// The largest file that is read, in bytes.
pub const LARGEST: usize = 1 << 20;

/// A line that is no assignment. Its value is not repeated: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct BadLine {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// What a line says, if anything, or why it is bad; and what stands behind it.
type Read<'t> = (Result<Option<(String, String)>, String>, &'t str);

/// Reads a file: assignments in their order, of which a later one wins; or all lines that are none.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, Vec<BadLine>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > LARGEST {
        return Err(vec![BadLine { line: 1, message: format!("the file has more than {LARGEST} bytes") }]);
    }
    let mut set = Vec::new();
    let mut bad = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while !rest.is_empty() {
        let (read, after) = one(rest);
        match read {
            Ok(assignment) => set.extend(assignment),
            Err(message) => bad.push(BadLine { line, message }),
        }
        line += rest[..rest.len() - after.len()].matches('\n').count();
        rest = after;
    }
    if bad.is_empty() { Ok(set) } else { Err(bad) }
}

/// What one line says, and what stands behind it. A quoted value may have several lines.
fn one(text: &str) -> Read<'_> {
    let (line, after) = text.split_once('\n').unwrap_or((text, ""));
    let begun = line.trim_start();
    if begun.trim_end().is_empty() || begun.starts_with('#') {
        return (Ok(None), after);
    }
    let begun = begun.strip_prefix("export ").map_or(begun, str::trim_start);
    let Some((name, value)) = begun.split_once('=') else {
        return (Err("no '=': write KEY=VALUE".to_owned()), after);
    };
    let name = name.trim_end();
    if !is_variable(name) {
        return (Err("not a variable's name before '='".to_owned()), after);
    }
    let value_at = text.len() - after.len() - usize::from(line.len() < text.len()) - value.trim_start().len();
    match text[value_at..].chars().next().filter(|_| !value.trim().is_empty()) {
        Some(quote @ ('"' | '\'')) => quoted(name, &text[value_at + 1..], quote, after),
        Some(_) | None => (plain(value).map(|value| Some((name.to_owned(), value))), after),
    }
}

/// A value without quotes ends at its line, or at a comment.
fn plain(value: &str) -> Result<String, String> {
    let comment = value
        .char_indices()
        .find(|(at, letter)| *letter == '#' && value[..*at].chars().last().is_none_or(char::is_whitespace));
    let value = comment.map_or(value, |(at, _)| &value[..at]).trim();
    if value.contains('\0') { Err("a zero byte in the value".to_owned()) } else { Ok(value.to_owned()) }
}

/// A value in quotes. In double ones, a backslash stands before n, r, t, $, " and itself.
fn quoted<'t>(name: &str, text: &'t str, quote: char, after: &'t str) -> Read<'t> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\0' => return (Err("a zero byte in the value".to_owned()), after),
            letter if letter == quote => {
                let behind = &text[at + 1..];
                let (rest, next) = behind.split_once('\n').unwrap_or((behind, ""));
                let rest = rest.trim();
                if rest.is_empty() || rest.starts_with('#') {
                    return (Ok(Some((name.to_owned(), value))), next);
                }
                return (Err("something stands behind the closing quote".to_owned()), next);
            }
            '\\' if quote == '"' => match letters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 'r')) => value.push('\r'),
                Some((_, 't')) => value.push('\t'),
                Some((_, same @ ('\\' | '"' | '$'))) => value.push(same),
                Some((_, other)) => value.extend(['\\', other]),
                None => value.push('\\'),
            },
            letter => value.push(letter),
        }
    }
    (Err(format!("no closing {quote}")), after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(text: &str, wanted: &[(&str, &str)]) {
        let wanted = wanted.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(parse(text), Ok(wanted), "{text:?}");
    }

    #[test]
    fn assignments_are_read_as_people_write_them() {
        reads("A=1\n# a comment\n\nexport B = two words \r\nC=\n", &[("A", "1"), ("B", "two words"), ("C", "")]);
        reads("URL=http://a/#b # why\nD='x # y' # z\n", &[("URL", "http://a/#b"), ("D", "x # y")]);
        reads("A=\"x\\ny\\\"\\$\\q\"", &[("A", "x\ny\"$\\q")]);
        reads("A='x\\n'\n", &[("A", "x\\n")]);
        reads("KEY=\"-----\nlines\n-----\"\nB=1", &[("KEY", "-----\nlines\n-----"), ("B", "1")]);
        reads("\u{feff}A=${B}\n", &[("A", "${B}")]);
        reads("A=\nB=1\n", &[("A", ""), ("B", "1")]);
    }

    #[test]
    fn every_bad_line_is_told_by_its_number_and_never_by_its_value() {
        let bad = parse("A=1\nhidden\n2B=hidden\nC=\"x\ny\"\nD='x' hidden\nE=\"hidden").unwrap_err();
        let lines: Vec<usize> = bad.iter().map(|bad| bad.line).collect();
        assert_eq!(lines, [2, 3, 6, 7]);
        assert!(!format!("{bad:?}").contains("hidden"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[ -~\\n\"'=#\u{e9}\\\\]{0,80}") {
            let _ = parse(&text);
        }
    }
}
