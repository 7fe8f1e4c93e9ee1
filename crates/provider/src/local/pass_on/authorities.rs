//! The certificate authorities that an administrator added to this host, from where Debian and Fedora look for
//! them. Those that came with the system are not passed on: the guest has its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use machine_core::promise::provider::ProviderError;

use super::super::of_io;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// A certificate of two keys of the largest size in use has a tenth of this.
const LARGEST_FILE: u64 = 1 << 20;
/// All of it is one message to the guest, with other things in it.
const MOST_BYTES: usize = 512 << 10;
const MOST: usize = 512;
/// Folders below a folder.
const DEEPEST: usize = 4;

/// Every certificate in these folders and those below, each by itself and once. Folders that are not there have
/// none, and so have files that are something else.
///
/// # Errors
/// If a file cannot be read, or there are more than a guest takes.
pub(crate) fn collect(folders: &[PathBuf]) -> Result<Vec<String>, ProviderError> {
    let mut found = Vec::new();
    for folder in folders {
        look_into(folder, DEEPEST, &mut found)
            .map_err(|error| of_io("read the host's certificate authorities", &error))?;
    }
    let bytes: usize = found.iter().map(String::len).sum();
    if found.len() > MOST || bytes > MOST_BYTES {
        return Err(ProviderError::Host {
            tried: "pass the host's certificate authorities on".to_owned(),
            detail: format!("{} of them, {bytes} bytes: {MOST} and {MOST_BYTES} are the most", found.len()),
        });
    }
    Ok(found)
}

fn look_into(folder: &Path, deep: usize, found: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    // In one order, so that a machine is told the same each time.
    paths.sort();
    for path in paths {
        let facts = match fs::metadata(&path) {
            // A link that leads nowhere.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            facts => facts?,
        };
        if facts.is_dir() && deep > 0 {
            look_into(&path, deep - 1, found)?;
        } else if facts.is_file() && is_named_so(&path) && facts.len() <= LARGEST_FILE {
            let new = certificates(&String::from_utf8_lossy(&fs::read(&path)?));
            if new.is_empty() {
                tracing::warn!(file = %path.display(), "no certificate in PEM: it is not passed on");
            }
            found.extend(new.into_iter().filter(|one| !found.contains(one)).collect::<Vec<_>>());
        }
    }
    Ok(())
}

fn is_named_so(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "crt" || ending == "pem")
}

/// The certificates in a text, without the words around them.
fn certificates(text: &str) -> Vec<String> {
    let bodies = text.split(BEGIN).skip(1).filter_map(|rest| rest.split_once(END));
    bodies.map(|(body, _)| format!("{BEGIN}\n{}\n{END}\n", body.trim().replace('\r', ""))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(body: &str) -> String {
        format!("{BEGIN}\n{body}\n{END}\n")
    }

    #[test]
    fn every_certificate_is_found_once_and_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("below")).unwrap();
        fs::write(at("b.crt"), format!("subject=b\r\n{}and\n{}", pem("Qg==").replace('\n', "\r\n"), pem("QzE=")))
            .unwrap();
        fs::write(at("below/a.crt"), pem("QQ==")).unwrap();
        fs::write(at("again.crt"), pem("QQ==")).unwrap();
        fs::write(at("readme.txt"), pem("no")).unwrap();
        fs::write(at("der.crt"), [0x30, 0x82, 0xff]).unwrap();
        std::os::unix::fs::symlink("/nowhere", at("dangling.crt")).unwrap();
        let found = collect(&[folder.path().to_owned(), at("not there")]).unwrap();
        assert_eq!(found, [pem("QQ=="), pem("Qg=="), pem("QzE=")]);
    }

    #[test]
    fn more_than_a_guest_takes_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("many.crt"), (0..=MOST).map(|one| pem(&one.to_string())).collect::<String>())
            .unwrap();
        let refused = collect(&[folder.path().to_owned()]).unwrap_err().to_string();
        assert!(refused.contains("513 of them"), "{refused}");
    }
}
