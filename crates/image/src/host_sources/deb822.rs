//! Reads `*.sources` files: stanzas of fields, each field with continuation lines.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{AptSource, SignedBy};

/// Every enabled binary source for this architecture; one per address.
pub(super) fn parse(text: &str) -> Vec<AptSource> {
    let mut sources = Vec::new();
    for stanza in stanzas(text) {
        sources.extend(from_stanza(&stanza));
    }
    sources
}

type Stanza = BTreeMap<String, String>;

fn stanzas(text: &str) -> Vec<Stanza> {
    let mut all = vec![Stanza::new()];
    let mut key = String::new();
    for line in text.lines() {
        if line.starts_with('#') {
            continue;
        }
        let last = all.len() - 1;
        if line.trim().is_empty() {
            all.push(Stanza::new());
            key.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some(value) = all[last].get_mut(&key) {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            key = name.trim().to_ascii_lowercase();
            all[last].insert(key.clone(), value.to_owned());
        }
    }
    all
}

fn from_stanza(stanza: &Stanza) -> Vec<AptSource> {
    let words = |field: &str| -> Vec<String> {
        stanza.get(field).map(|value| value.split_whitespace().map(str::to_owned).collect()).unwrap_or_default()
    };
    let off = words("enabled").iter().any(|word| matches!(word.as_str(), "no" | "false" | "off" | "without" | "0"));
    let architectures = words("architectures");
    let foreign = !architectures.is_empty() && !architectures.iter().any(|name| name == "amd64");
    if off || foreign || !words("types").iter().any(|word| word == "deb") {
        return Vec::new();
    }
    words("uris")
        .into_iter()
        .map(|uri| AptSource {
            uri,
            suites: words("suites"),
            components: words("components"),
            signed_by: signed_by(stanza.get("signed-by").map(String::as_str)),
        })
        .collect()
}

fn signed_by(value: Option<&str>) -> SignedBy {
    match value {
        None => SignedBy::HostTrust,
        Some(value) if value.trim().is_empty() => SignedBy::HostTrust,
        Some(value) if value.contains("BEGIN PGP") => SignedBy::Inline(value.to_owned()),
        Some(value) => {
            let paths = value.split([',', ' ', '\t', '\n']).filter(|path| !path.is_empty());
            SignedBy::Keyrings(paths.map(PathBuf::from).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_within_a_stanza_and_continued_fields_are_read() {
        let text = "# first\nTypes: deb deb-src\n# within\nURIs: http://a.test/debian\n http://b.test/debian\nSuites: x\n x-updates\nComponents: main\nSigned-By: /k.gpg\n";
        let sources = parse(text);
        assert_eq!(sources.len(), 2);
        assert_eq!(sources[1].uri, "http://b.test/debian");
        assert_eq!(sources[1].suites, ["x", "x-updates"]);
        assert_eq!(sources[1].signed_by, SignedBy::Keyrings(vec![PathBuf::from("/k.gpg")]));
    }

    #[test]
    fn a_source_that_is_off_or_for_source_code_or_another_computer_is_left_out() {
        for field in ["Enabled: no\nTypes: deb", "Types: deb-src", "Types: deb\nArchitectures: arm64 riscv64"] {
            let text = format!("{field}\nURIs: http://a.test/\nSuites: x\nComponents: main\n");
            assert_eq!(parse(&text), [], "{field}");
        }
    }

    #[test]
    fn a_key_in_the_file_is_kept_as_it_stands() {
        let key = "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----";
        let text = format!("Types: deb\nURIs: http://a.test/\nSuites: x\nComponents: main\nSigned-By:{key}\n");
        assert_eq!(parse(&text)[0].signed_by, SignedBy::Inline(key.to_owned()));
    }
}
