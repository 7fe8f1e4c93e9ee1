//! What a build promises before it needs the mirror. The rest is what `make test` builds.

use super::*;
use crate::tool::ToolError;

/// A host with one source and one authority.
fn host() -> tempfile::TempDir {
    let host = tempfile::tempdir().unwrap();
    let etc = host.path().join("etc/apt/sources.list.d");
    fs::create_dir_all(&etc).unwrap();
    fs::write(host.path().join("etc/os-release"), "VERSION_CODENAME=bookworm\n").unwrap();
    fs::write(host.path().join("etc/apt/sources.list"), "deb file:/nowhere/debian bookworm main\n").unwrap();
    let authorities = host.path().join("usr/local/share/ca-certificates");
    fs::create_dir_all(&authorities).unwrap();
    fs::write(authorities.join("ours.crt"), "one").unwrap();
    fs::write(authorities.join("readme.txt"), "not one").unwrap();
    host
}

#[test]
fn another_authority_or_source_asks_for_another_template() {
    let host = host();
    let first = Inputs::read(host.path()).unwrap();
    assert_eq!(first.authorities.len(), 1);
    assert_eq!(Inputs::read(host.path()).unwrap().digest, first.digest);
    fs::write(&first.authorities[0], "two").unwrap();
    let second = Inputs::read(host.path()).unwrap().digest;
    assert_ne!(second, first.digest);
    fs::write(host.path().join("etc/apt/sources.list"), "deb http://other.invalid/debian bookworm main\n").unwrap();
    assert_ne!(Inputs::read(host.path()).unwrap().digest, second);
}

#[test]
fn the_kernel_of_debian_12_comes_from_its_backports_alone() {
    let sources = kernel::sources(&Inputs::read(host().path()).unwrap().sources);
    assert_eq!(sources.entries.len(), 1);
    assert_eq!(sources.entries[0].suites, ["bookworm-backports"]);
}

#[test]
fn a_failed_build_leaves_nothing_behind() {
    let images = tempfile::tempdir().unwrap();
    let host = host();
    let request = BuildRequest {
        host: host.path().to_owned(),
        ..BuildRequest::new(images.path(), Rebuild::WhenChanged, Timestamp::UNIX_EPOCH)
    };
    let error = build_base(&request, &machine_core::Progress::silent()).unwrap_err();
    assert!(matches!(error.tool(), Some(ToolError::Failed { tool: "apt-get", .. })), "{error}");
    assert_eq!(fs::read_dir(images.path()).unwrap().count(), 0);
}

#[test]
fn a_full_disk_is_recognised_wherever_it_shows() {
    let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let error = BuildError::Io { path: PathBuf::from("x"), source };
    assert!(error.is_disk_full() && error.hint().is_some_and(|hint| hint.contains("space")));
}
