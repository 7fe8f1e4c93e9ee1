//! What a login has that a command has not: what /etc/environment says, and a name that begins with a dash.

use crate::house::DefaultEnv;
use std::fs::File;
use std::io::Read as _;

const FILE: &str = "/etc/environment";
/// Who writes more means something else.
const LONGEST: u64 = 64 * 1024;

/// As what a login calls a program: by its last name.
pub(super) fn called(program: &str) -> String {
    format!("-{}", program.rsplit('/').next().unwrap_or(program))
}

/// What every login gets. A file that cannot be read says nothing.
pub(super) fn environment() -> DefaultEnv {
    let mut text = Vec::new();
    let read = File::open(FILE).and_then(|file| file.take(LONGEST).read_to_end(&mut text));
    read.map_or_else(|_| DefaultEnv::new(), |_| parse(&String::from_utf8_lossy(&text)))
}

/// `NAME=value`, with or without `export` before and quotes around, and words after a `#`.
fn parse(text: &str) -> DefaultEnv {
    let one = |line: &str| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let (name, value) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let value = ['"', '\'']
            .into_iter()
            .find_map(|quote| value.strip_prefix(quote)?.split(quote).next())
            .unwrap_or_else(|| value.split('#').next().unwrap_or_default().trim_end());
        (plain && !name.is_empty() && !value.contains('\0')).then(|| (name.to_owned(), value.to_owned()))
    };
    text.lines().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_name_and_a_value() {
        let env = parse("A=1\n# B=2\nexport C=\"x y\" # z\nD='#' \n=e\nF G=1\n\nH=a # b\nI=\n");
        let all: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(all, ["A=1", "C=x y", "D=#", "H=a", "I="]);
        assert_eq!(called("/bin/bash"), "-bash");
        assert_eq!(called("zsh"), "-zsh");
    }
}
