//! Names of packages, strict enough that no client takes one for an option, a path, an address or a pattern.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::worded::{is_alphanumeric, is_lower, is_word, worded};

/// Longer names are nobody's.
const LONGEST: usize = 214;
/// What a client takes for a file, whatever comes before it.
const ARCHIVES: [&str; 5] = [".tgz", ".tar", ".tar.gz", ".whl", ".zip"];

/// A Debian package, by its name alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AptPackage(String);

/// A package of the npm registry: `name`, `@scope/name`, each perhaps with `@range`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NpmSpec(String);

/// A Python package: `name`, `name[extra]`, each perhaps with a version as `==1.2` or `>=1,<2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PipSpec(String);

/// A text that names no package of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadIngredient {
    /// Not a Debian package.
    #[error("not a Debian package's name: '{0}' (lower-case letters, digits, '+', '-' and '.')")]
    Apt(String),
    /// Not a package of the npm registry.
    #[error(
        "not a package of the npm registry: '{0}' (a name, or a name with a range: left-pad@^1.3; no address, no path)"
    )]
    Npm(String),
    /// Not a Python package.
    #[error("not a Python package: '{0}' (a name, or a name with a version: requests==2.31; no address, no path)")]
    Pip(String),
}

impl NpmSpec {
    /// The package's name, without its range.
    #[must_use]
    pub fn name(&self) -> &str {
        npm_parts(&self.0).0
    }
}

impl FromStr for AptPackage {
    type Err = BadIngredient;
    fn from_str(text: &str) -> Result<Self, BadIngredient> {
        // `name-` would ask apt to remove a package.
        if is_word(text, is_lower, "+-.") && (2..=LONGEST).contains(&text.len()) && !text.ends_with('-') {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadIngredient::Apt(text.to_owned()))
        }
    }
}

impl FromStr for NpmSpec {
    type Err = BadIngredient;
    fn from_str(text: &str) -> Result<Self, BadIngredient> {
        let (name, range) = npm_parts(text);
        let word = |part: &str| is_word(part, is_alphanumeric, "-._~");
        let named = match name.strip_prefix('@') {
            Some(scoped) => scoped.split_once('/').is_some_and(|(scope, name)| word(scope) && word(name)),
            None => word(name),
        };
        let ranged = range.is_none_or(|range| {
            range.starts_with(|c: char| c.is_ascii_alphanumeric() || "^~<>=*".contains(c))
                && range.chars().all(|c| c.is_ascii_alphanumeric() || "^~<>=*|.+- ".contains(c))
        });
        if named && ranged && text.len() <= LONGEST && !is_archive(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadIngredient::Npm(text.to_owned()))
        }
    }
}

impl FromStr for PipSpec {
    type Err = BadIngredient;
    fn from_str(text: &str) -> Result<Self, BadIngredient> {
        let bad = || BadIngredient::Pip(text.to_owned());
        let word = |part: &str| is_word(part, is_alphanumeric, "-._") && part.ends_with(is_alphanumeric);
        let (named, version) = text.split_at(text.find(['=', '<', '>', '!', '~']).unwrap_or(text.len()));
        let (name, extras) = match named.split_once('[') {
            Some((name, extras)) => (name, Some(extras.strip_suffix(']').ok_or_else(bad)?)),
            None => (named, None),
        };
        let extras_fit = extras.is_none_or(|extras| extras.split(',').all(word));
        let version_fits = version.is_empty()
            || (version.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '*')
                && version.chars().all(|c| c.is_ascii_alphanumeric() || "=<>!~.,*+-".contains(c)));
        if word(name) && extras_fit && version_fits && text.len() <= LONGEST && !is_archive(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(bad())
        }
    }
}

/// The name and the range; a scope's own `@` is the name's.
fn npm_parts(text: &str) -> (&str, Option<&str>) {
    match text.get(1..).and_then(|rest| rest.find('@')) {
        Some(at) => (&text[..=at], Some(&text[at + 2..])),
        None => (text, None),
    }
}

fn is_archive(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ARCHIVES.iter().any(|ending| text.ends_with(ending))
}

worded!(AptPackage, BadIngredient);
worded!(NpmSpec, BadIngredient);
worded!(PipSpec, BadIngredient);

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr<Err = BadIngredient>>(good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(text.parse::<T>().is_ok(), "{text}");
        }
        for text in bad {
            assert!(text.parse::<T>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_debian_package_is_no_option_pattern_or_file() {
        check::<AptPackage>(
            &["git", "g++", "libstdc++-12-dev", "python3.11", "7zip"],
            &["", "a", "-y", "git-", "./x.deb", "/x", "git=1", "git/sid", "?all", "~n", "git,vim", "Git", "a b", "a'b"],
        );
    }

    #[test]
    fn an_npm_package_is_no_address_and_no_file() {
        check::<NpmSpec>(
            &["left-pad", "left-pad@1.3.0", "@a/b", "@a/b@^1 || >=2 <3", "JSONStream", "x@next", "x@*", "x@~1.2"],
            &[
                "",
                "-g",
                "./x",
                "../x",
                "~/x",
                "a/b",
                "git+ssh://a",
                "x@git+ssh://a",
                "x@npm:y",
                "x@file:y",
                "x@../y",
                "x@./y",
                "x@a/b",
                "x.tgz",
                "x@y.tgz",
                "x@http://a",
                "github:a/b",
                "@a",
                "@/b",
                "x@",
                "x@\ty",
                "x@#y",
            ],
        );
        assert_eq!("@a/b@1".parse::<NpmSpec>().unwrap().name(), "@a/b");
        assert_eq!("left-pad".parse::<NpmSpec>().unwrap().name(), "left-pad");
    }

    #[test]
    fn a_python_package_is_no_address_and_no_file() {
        check::<PipSpec>(
            &["requests", "requests==2.31.0", "x[a,b]>=1,<2", "ruamel.yaml", "x~=1.4", "x==1.*", "x!=1.0"],
            &[
                "",
                "-r",
                "--pre",
                ".",
                "./x",
                "a/b",
                "x @ http://a",
                "git+http://a",
                "x;y",
                "x[a",
                "x[]",
                "x==",
                "x.whl",
                "x ==1",
                "x[a]b==1",
            ],
        );
    }
}
