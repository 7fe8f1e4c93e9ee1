//! Folders of the host as they came over the wire become what the engine takes. All that is wrong is told at once,
//! each by its field. The host's folders are looked at here and opened by whoever serves them: a link that is put
//! in the way later must be refused there.
//!
//! Whoever asks is the server's own user or root, at this host's Unix socket: the door lets nobody else in. So a
//! folder that the server may read, they may.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use machine_api::Mount;
use machine_core::Refusal;
use machine_core::mount::MountSpec;

use crate::refused::invalid;

/// Each takes one of the places that are kept free for devices; one more is for a device that replaces another.
const MOST: usize = 3;
/// Neither the agent nor a path in a kernel's hands takes more.
const LONGEST: usize = 1024;
/// Where the guest's system is: nothing may be put there, nor below.
const SYSTEM: [&str; 12] =
    ["/proc", "/sys", "/dev", "/run", "/boot", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/// Below these there is room; they themselves are the system's.
const ROOMY: [&str; 4] = ["/", "/var", "/home", "/tmp"];
/// The one part of the system that is for what is added.
const ADDED: [&str; 2] = ["/usr/local", "/usr/src"];

/// Reads the `mounts` of a create.
pub(crate) fn mounts(wishes: &[Mount]) -> Result<Vec<MountSpec>, Refusal> {
    let mut wrong = Vec::new();
    if wishes.len() > MOST {
        wrong.push(format!("mounts: {} are too many (at most {MOST})", wishes.len()));
    }
    let mut taken = BTreeMap::new();
    for (place, wish) in wishes.iter().enumerate() {
        let mut say = |field: &str, what: Result<(), String>| {
            wrong.extend(what.err().map(|why| format!("mounts[{place}].{field}: {why}")));
        };
        say("source", source(&wish.source));
        say("target", target(&wish.target));
        if let Some(other) = taken.insert(&wish.target, place) {
            say("target", Err(format!("taken by mounts[{other}]: '{}'", wish.target)));
        }
        for (field, list) in [("exclude", &wish.exclude), ("guard", &wish.guard)] {
            for (at, path) in list.iter().enumerate() {
                say(&format!("{field}[{at}]"), below(path));
            }
        }
    }
    match wrong.is_empty() {
        true => Ok(wishes.iter().map(read).collect()),
        false => Err(invalid(wrong.join("; "))),
    }
}

fn read(wish: &Mount) -> MountSpec {
    MountSpec {
        source: wish.source.clone().into(),
        target: wish.target.clone(),
        access: wish.access(),
        exclude: wish.exclude.clone(),
        guard: wish.guard.clone(),
    }
}

/// A folder of the host by its one true name.
fn source(text: &str) -> Result<(), String> {
    let path = Path::new(text);
    plain(text)?;
    if !path.is_absolute() {
        return Err(format!("not an absolute path: '{text}'"));
    }
    let real = path.canonicalize().map_err(|error| format!("cannot be looked at: '{text}': {error}"))?;
    if real == Path::new("/") {
        return Err("the host's whole file system is not given away".to_owned());
    }
    if !real.is_dir() {
        return Err(format!("not a folder: '{text}'"));
    }
    // As text: two paths that differ in a slash are equal as paths.
    if real.as_os_str() != text {
        return Err(format!("a link, or a detour, is on the way: say '{}'", real.display()));
    }
    Ok(())
}

/// A place in the guest that is not its system's.
fn target(text: &str) -> Result<(), String> {
    plain(text)?;
    let Some(relative) = text.strip_prefix('/') else { return Err(format!("not an absolute path: '{text}'")) };
    if text != "/" && !names_only(relative) {
        return Err(format!("not a plain path, without '.', '..' and empty names: '{text}'"));
    }
    let is_below = |folder: &str| Path::new(text).starts_with(folder);
    let is_usr = is_below("/usr") && !ADDED.iter().any(|added| is_below(added) && text != *added);
    if is_usr || SYSTEM.iter().any(|folder| is_below(folder)) || ROOMY.contains(&text) {
        return Err(format!("the guest's system is there: '{text}'"));
    }
    Ok(())
}

/// A path below a mounted folder.
fn below(text: &str) -> Result<(), String> {
    plain(text)?;
    if names_only(text) { Ok(()) } else { Err(format!("not a relative path, without '.' and '..': '{text}'")) }
}

/// Names alone, one slash between two.
fn names_only(text: &str) -> bool {
    let is_name = |part: Component<'_>| matches!(part, Component::Normal(_));
    let parts = Path::new(text).components();
    let again: Vec<&str> = text.split('/').collect();
    !text.is_empty() && parts.clone().all(is_name) && parts.count() == again.len()
}

fn plain(text: &str) -> Result<(), String> {
    if text.len() > LONGEST {
        return Err(format!("longer than {LONGEST} bytes"));
    }
    if text.chars().any(char::is_control) { Err("a path has no control characters".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
#[path = "mount_wish_tests.rs"]
mod tests;
