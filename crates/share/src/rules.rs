//! Which names of the folder are excluded or guarded: pure, over the places of names (paths relative to the
//! folder, as bytes). Knows nothing of descriptors; see `folder`.

use std::collections::BTreeSet;

use crate::plan::SharePlan;

/// What a place is to the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing: it may be changed.
    Plain,
    /// On the way to a place of the rules: it may hold other things, and cannot be moved, removed or replaced.
    Above,
    /// Guarded, or below what is.
    Guarded,
    /// The n-th excluded place.
    Excluded(usize),
    /// Below an excluded place.
    Hidden,
}

/// A path of a plan is none inside the folder.
#[derive(Debug, thiserror::Error)]
#[error("a path of the plan does not lead into the folder: {0:?}")]
pub struct NotInside(String);

type Components = Vec<Vec<u8>>;

/// The rules of a share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    excluded: Vec<Components>,
    guarded: Vec<Components>,
    /// The last component of each excluded place: most names are none of these.
    excluded_names: BTreeSet<Vec<u8>>,
}

/// How the two relate, from the rule's end.
enum Relation {
    Apart,
    Above,
    Same,
    Below,
}

impl Rules {
    pub(crate) fn of(plan: &SharePlan) -> Result<Self, NotInside> {
        let parsed = |paths: &[String]| paths.iter().map(|path| parse(path)).collect::<Result<Vec<_>, _>>();
        let (excluded, guarded) = (parsed(&plan.exclude)?, parsed(&plan.guard)?);
        let excluded_names = excluded.iter().filter_map(|rule| rule.last().cloned()).collect();
        Ok(Self { excluded, guarded, excluded_names })
    }

    /// Guards another place: what a guarded symbolic link of the host leads to.
    pub(crate) fn guard(&mut self, place: &[u8]) {
        if !place.is_empty() {
            self.guarded.push(components(place).map(<[u8]>::to_vec).collect());
        }
    }

    pub(crate) fn standing(&self, place: &[u8]) -> Standing {
        let mut standing = Standing::Plain;
        for (index, rule) in self.excluded.iter().enumerate() {
            match relation(rule, place, <[u8]>::eq) {
                Relation::Same => return Standing::Excluded(index),
                Relation::Below => return Standing::Hidden,
                Relation::Above => standing = Standing::Above,
                Relation::Apart => {}
            }
        }
        for rule in &self.guarded {
            match relation(rule, place, <[u8]>::eq_ignore_ascii_case) {
                Relation::Same | Relation::Below => return Standing::Guarded,
                Relation::Above => standing = Standing::Above,
                Relation::Apart => {}
            }
        }
        standing
    }

    /// Whether the machine does not see what the host has there.
    pub(crate) fn hides(&self, place: &[u8]) -> bool {
        match self.standing(place) {
            Standing::Excluded(_) | Standing::Hidden => true,
            Standing::Plain | Standing::Above | Standing::Guarded => false,
        }
    }

    /// Whether an excluded place may have this name: asked before its place is looked for.
    pub(crate) fn may_exclude(&self, name: &[u8]) -> bool {
        self.excluded_names.contains(name)
    }

    pub(crate) fn excludes_something(&self) -> bool {
        !self.excluded.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.excluded.is_empty() && self.guarded.is_empty()
    }

    /// The excluded names directly in a folder, with their numbers.
    pub(crate) fn excluded_in(&self, folder: &[u8]) -> Vec<(usize, &[u8])> {
        let inside = |rule: &Components| {
            let (last, above) = rule.split_last()?;
            above.iter().map(Vec::as_slice).eq(components(folder)).then_some(last.len())
        };
        let of = |(index, rule)| inside(rule).and(rule.last()).map(|name| (index, name.as_slice()));
        self.excluded.iter().enumerate().filter_map(of).collect()
    }

    /// The guarded places, as paths.
    pub(crate) fn guarded(&self) -> impl Iterator<Item = Vec<u8>> {
        self.guarded.iter().map(|rule| rule.join(&b'/'))
    }
}

/// The place of a name in a folder.
pub(crate) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

fn components(place: &[u8]) -> impl Iterator<Item = &[u8]> {
    place.split(|byte| *byte == b'/').filter(|component| !component.is_empty())
}

fn parse(path: &str) -> Result<Components, NotInside> {
    let parsed: Components = components(path.as_bytes()).filter(|name| *name != b".").map(<[u8]>::to_vec).collect();
    let inside = !path.starts_with('/') && !parsed.is_empty() && parsed.iter().all(|name| name != b"..");
    if inside && !path.contains('\0') { Ok(parsed) } else { Err(NotInside(path.to_owned())) }
}

/// Where `place` is as seen from `rule`; names compare by `same`.
fn relation(rule: &[Vec<u8>], place: &[u8], same: fn(&[u8], &[u8]) -> bool) -> Relation {
    let (mut rule, mut place) = (rule.iter(), components(place));
    loop {
        match (rule.next(), place.next()) {
            (None, None) => return Relation::Same,
            (None, Some(_)) => return Relation::Below,
            (Some(_), None) => return Relation::Above,
            (Some(ours), Some(theirs)) if same(ours, theirs) => {}
            (Some(_), Some(_)) => return Relation::Apart,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(exclude: &[&str], guard: &[&str]) -> Rules {
        let owned = |paths: &[&str]| paths.iter().map(|path| parse(path).unwrap()).collect::<Vec<_>>();
        let excluded = owned(exclude);
        let excluded_names = excluded.iter().filter_map(|rule| rule.last().cloned()).collect();
        Rules { excluded, guarded: owned(guard), excluded_names }
    }

    fn check(place: &str, standing: Standing) {
        let rules = rules(&["target", "web/node_modules"], &[".git/hooks", "Machinefile"]);
        assert_eq!(rules.standing(place.as_bytes()), standing, "{place}");
    }

    #[test]
    fn a_place_is_judged_by_whole_names() {
        check("target", Standing::Excluded(0));
        check("targets", Standing::Plain);
        check("src/target", Standing::Plain);
        check("web", Standing::Above);
        check("web/node_modules", Standing::Excluded(1));
        check("web/node_modules/x", Standing::Hidden);
        check(".git", Standing::Above);
        check(".git/config", Standing::Plain);
        check(".git/hooks", Standing::Guarded);
        check(".git/hooks/pre-commit", Standing::Guarded);
        check("", Standing::Above);
    }

    #[test]
    fn a_guard_holds_for_names_that_a_careless_file_system_takes_for_the_same() {
        check(".GIT/Hooks", Standing::Guarded);
        check("machinefile", Standing::Guarded);
    }

    #[test]
    fn the_empty_folders_of_a_folder_are_known() {
        let rules = rules(&["target", "web/node_modules"], &[]);
        assert_eq!(rules.excluded_in(b""), vec![(0, &b"target"[..])]);
        assert_eq!(rules.excluded_in(b"web"), vec![(1, &b"node_modules"[..])]);
        assert!(rules.excluded_in(b"web/node_modules").is_empty());
    }

    #[test]
    fn a_path_that_leaves_the_folder_is_refused() {
        for path in ["", "/", "/etc", "..", "a/../..", ".", "a\0b"] {
            assert!(parse(path).is_err(), "{path:?}");
        }
        assert_eq!(parse("./a//b/").unwrap(), vec![b"a".to_vec(), b"b".to_vec()]);
    }
}
