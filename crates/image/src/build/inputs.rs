//! What decides a template, as far as this host decides it: the recipe, its sources, its authorities.

use std::fs;
use std::path::{Path, PathBuf};

use machine_core::Recipe;
use machine_core::recipe::Base;

use super::BuildError;
use crate::debian::{PACKAGES, SETUP};
use crate::digest::Digest;
use crate::host_sources::HostSources;
use crate::ingredients::Ingredients;

/// Raised when the base changes in a way that its files do not show.
const RECIPE: &str = "base 1";
/// Debian's releases, by name and number.
const RELEASES: [(&str, u8); 4] = [("bookworm", 12), ("trixie", 13), ("forky", 14), ("duke", 15)];

/// See the module.
pub(super) struct Inputs {
    pub(super) sources: HostSources,
    pub(super) authorities: Vec<PathBuf>,
    pub(super) ingredients: Ingredients,
    pub(super) digest: Digest,
}

impl Inputs {
    pub(super) fn read(host: &Path, recipe: &Recipe) -> Result<Self, BuildError> {
        let sources = HostSources::read(&host.join("etc/apt"), &host.join("etc/os-release"))?;
        if let Some(base) = recipe.base {
            check_release(base, &sources.codename)?;
        }
        let authorities = authorities(&host.join("usr/local/share/ca-certificates"));
        let mut text = format!("{RECIPE}\n{}\n{SETUP}\n{}\n", PACKAGES.join(" "), sources.deb822());
        for path in &authorities {
            let digest = Digest::of_file(path).map_err(|source| BuildError::Io { path: path.clone(), source })?;
            text.push_str(digest.as_str());
        }
        let ingredients = Ingredients::of(recipe, &sources.codename);
        if !recipe.is_plain() {
            text.push_str(&recipe.canonical());
            text.push_str(&ingredients.text());
        }
        Ok(Self { digest: Digest::of(text.as_bytes()), sources, authorities, ingredients })
    }
}

/// The release is the one that the host's sources are for: its packages are the only ones to be had.
fn check_release(asked: Base, codename: &str) -> Result<(), BuildError> {
    let here = RELEASES.iter().find(|(name, _)| *name == codename).map(|(_, release)| Base { release: *release });
    if here == Some(asked) {
        return Ok(());
    }
    let here = here.map_or_else(|| codename.to_owned(), |base| base.to_string());
    Err(BuildError::OtherRelease { asked: asked.to_string(), here })
}

/// The host administrator's own authorities: what the host trusts, its guests must trust to reach the same mirrors.
fn authorities(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "crt") && path.is_file())
        .collect();
    paths.sort();
    paths
}
