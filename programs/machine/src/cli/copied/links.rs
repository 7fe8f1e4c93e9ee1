//! Where a symbolic link leads, decided from its text: a guest's link may not lead out of the folder,
//! now or when more of the folder is there.
//!
//! Upward steps may come first only: a link is in a real folder, so that they are what they seem. After a
//! name they could start from wherever that name leads. Links that are here already are followed on.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::inside::Inside;

/// How many links are followed.
const LINKS: usize = 40;

/// Whether a link at a path leads out of the folder, with the links that are here.
pub(crate) fn leads_out(at: &Inside, target: &Path, here: &dyn Fn(&[OsString]) -> Option<PathBuf>) -> bool {
    let mut above = at.names();
    above.pop();
    resolve(&above, target, here, &mut LINKS.clone()).is_none()
}

/// Where a target leads from a folder; nowhere if that may be outside.
fn resolve(
    folder: &[OsString],
    target: &Path,
    here: &dyn Fn(&[OsString]) -> Option<PathBuf>,
    left: &mut usize,
) -> Option<Vec<OsString>> {
    let mut place = folder.to_vec();
    let mut named = false;
    for component in target.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if !named => {
                place.pop()?;
            }
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
            Component::Normal(name) => {
                named = true;
                place.push(name.to_owned());
                if let Some(next) = here(&place) {
                    *left = left.checked_sub(1)?;
                    place.pop();
                    place = resolve(&place, &next, here, left)?;
                }
            }
        }
    }
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(at: &str, target: &str) -> bool {
        let here = |names: &[OsString]| {
            let path: PathBuf = names.iter().collect();
            let links = [("ext", "/etc"), ("m", "ext"), ("d/up", ".."), ("loop", "loop")];
            links.iter().find(|(link, _)| Path::new(link) == path).map(|(_, target)| PathBuf::from(target))
        };
        leads_out(&Inside::new(Path::new(at)).unwrap(), Path::new(target), &here)
    }

    #[test]
    fn links_inside_stay() {
        for (at, target) in [("a", "b"), ("a/b", "../c"), ("a/b/c", "../../d/e"), ("a", "missing/x"), ("x", "d/up/a")] {
            assert!(!out(at, target), "{at} -> {target}");
        }
    }

    #[test]
    fn links_that_lead_out_are_known() {
        for (at, target) in [
            ("a", "/etc/passwd"),
            ("a", ".."),
            ("a/b", "../../x"),
            // Where a name leads is not known before it is there.
            ("a", "b/../c"),
            ("x", "ext/passwd"),
            ("x", "m/passwd"),
            ("x", "loop"),
        ] {
            assert!(out(at, target), "{at} -> {target}");
        }
    }
}
