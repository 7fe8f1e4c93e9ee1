//! Reads `sources.list` lines: `deb [options] address suite components`.

use std::path::PathBuf;

use super::{AptSource, SignedBy};

/// Every binary source for this architecture.
pub(super) fn parse(text: &str) -> Vec<AptSource> {
    text.lines().filter_map(entry).collect()
}

fn entry(line: &str) -> Option<AptSource> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let rest = line.strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t', '[']) {
        return None;
    }
    let rest = rest.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    let uri = words.next().filter(|uri| !uri.starts_with("cdrom:"))?;
    let suite = words.next()?;
    let architectures = option(options, "arch");
    if architectures.is_some_and(|names| !names.split(',').any(|name| name == "amd64")) {
        return None;
    }
    Some(AptSource { uri, suites: vec![suite], components: words.collect(), signed_by: signed_by(options) })
}

fn option<'a>(options: &'a str, name: &str) -> Option<&'a str> {
    options.split_whitespace().find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
}

fn signed_by(options: &str) -> SignedBy {
    option(options, "signed-by")
        .map_or(SignedBy::HostTrust, |paths| SignedBy::Keyrings(paths.split(',').map(PathBuf::from).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_comments_are_understood() {
        let text = "deb [ arch=amd64,arm64 signed-by=/a.gpg,/b.gpg ] http://a.test/debian x main contrib # mirror\n";
        let sources = parse(text);
        assert_eq!(sources[0].components, ["main", "contrib"]);
        assert_eq!(sources[0].signed_by, SignedBy::Keyrings(vec![PathBuf::from("/a.gpg"), PathBuf::from("/b.gpg")]));
    }

    #[test]
    fn what_is_no_binary_source_of_ours_is_left_out() {
        for line in [
            "",
            "# deb http://a.test/ x main",
            "deb-src http://a.test/ x main",
            "deb [arch=arm64] http://a.test/ x main",
            "deb cdrom:[Debian]/ x main",
            "deb http://a.test/",
        ] {
            assert_eq!(parse(line), [], "{line}");
        }
    }
}
