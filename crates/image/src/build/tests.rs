//! What a build promises before it needs the mirror. The rest is what `make test` builds.

use std::fs;

use machine_core::recipe::Base;

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

fn plain(host: &Path) -> Result<Inputs, BuildError> {
    Inputs::read(host, &Recipe::default())
}

fn recipe(text: &str) -> Recipe {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_recipe_asks_for_a_template_of_its_own_and_its_bases_number_does_not() {
    let host = host();
    let inputs = |text: &str| Inputs::read(host.path(), &recipe(text)).unwrap().digest;
    assert_eq!(inputs(r#"{"base":"debian:12"}"#), plain(host.path()).unwrap().digest);
    assert_ne!(inputs(r#"{"apt":["vim"]}"#), plain(host.path()).unwrap().digest);
    assert_eq!(inputs(r#"{"apt":["vim"],"base":"debian:12"}"#), inputs(r#"{"apt":["vim"]}"#));
}

#[test]
fn another_release_than_the_hosts_is_refused() {
    let asked = Recipe { base: Some(Base { release: 13 }), ..Recipe::default() };
    let refused = Inputs::read(host().path(), &asked).err().unwrap();
    assert!(matches!(refused, BuildError::OtherRelease { .. }));
    assert_eq!(refused.hint().unwrap(), "leave the base out, or ask for debian:12");
}

#[test]
fn a_build_without_room_does_not_begin() {
    let images = tempfile::tempdir().unwrap();
    let full = Workshop::open(images.path(), u64::MAX).err().unwrap();
    assert!(full.is_disk_full());
    assert_eq!(fs::read_dir(images.path()).unwrap().count(), 0);
}

#[test]
fn another_authority_or_source_asks_for_another_template() {
    let host = host();
    let first = plain(host.path()).unwrap();
    assert_eq!(first.authorities.len(), 1);
    assert_eq!(plain(host.path()).unwrap().digest, first.digest);
    fs::write(&first.authorities[0], "two").unwrap();
    let second = plain(host.path()).unwrap().digest;
    assert_ne!(second, first.digest);
    fs::write(host.path().join("etc/apt/sources.list"), "deb http://other.invalid/debian bookworm main\n").unwrap();
    assert_ne!(plain(host.path()).unwrap().digest, second);
}

#[test]
fn the_kernel_of_debian_12_comes_from_its_backports_alone() {
    let sources = kernel::sources(&plain(host().path()).unwrap().sources);
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
    let error = build_template(&request, &machine_core::Progress::silent()).unwrap_err();
    assert!(matches!(error.tool(), Some(ToolError::Failed { tool: "apt-get", .. })), "{error}");
    assert_eq!(fs::read_dir(images.path()).unwrap().count(), 0);
}

#[test]
fn a_full_disk_is_recognised_wherever_it_shows() {
    let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let error = BuildError::Io { path: PathBuf::from("x"), source };
    assert!(error.is_disk_full() && error.hint().is_some_and(|hint| hint.contains("space")));
}
