//! `extends`: the files of a Machinefile as one tree. Merged first to last, the file itself last: maps merge by
//! key, lists append, everything else replaces. Two keys differ: `base` replaces, since a disk begins as one
//! thing; a list of `packages` is its `apt`. Whoever extends a file, its path is from the project's folder, as are
//! the paths in it.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::find::Project;
use crate::paths;
use crate::read::from_folder;
use crate::rule::Rule;
use crate::source::{Place, Sources};
use crate::tree::{self, Content, Entry, LARGEST, Node, Refused};

/// How many files deep a file may extend others.
const DEEPEST: usize = 8;
/// How many files may be read in all.
const MOST: usize = 32;
const FORMS: &str = "write ./FILE or template:NAME";

/// What is refused, and by which rule.
pub(crate) type Refusals = Vec<(Rule, Refused)>;

struct Loader<'a> {
    folder: &'a Path,
    sources: &'a mut Sources,
    refused: Refusals,
    /// How many values may still be read.
    left: usize,
    /// The files that are being read: each is extended by the one before it.
    open: Vec<PathBuf>,
}

/// The tree of a project's file and all that it extends.
pub(crate) fn load(project: &Project, sources: &mut Sources) -> (Node, Refusals) {
    let mut loader =
        Loader { folder: &project.folder, sources, refused: Vec::new(), left: tree::MOST, open: Vec::new() };
    let tree = loader.file(&project.file, Place::start(0));
    (tree, loader.refused)
}

impl Loader<'_> {
    /// One file, over what it extends. `asked_at` is where it was asked for.
    fn file(&mut self, path: &Path, asked_at: Place) -> Node {
        let shown = from_folder(self.folder, path);
        let text = match text_of(path) {
            Ok(text) => text,
            Err(error) => {
                let rule = if self.open.is_empty() { Rule::E002 } else { Rule::E003 };
                self.refuse(rule, asked_at, format!("cannot read {shown}: {error}"), "make it a readable text");
                return Node { at: asked_at, content: Content::Null };
            }
        };
        let number = self.sources.add(shown, text);
        let (tree, refused) = tree::read(number, self.sources.text(number), &mut self.left);
        let is_yaml = refused.is_empty();
        self.refused.extend(refused.into_iter().map(|refused| (Rule::E002, refused)));
        if is_yaml {
            self.version(&tree, number);
        }
        self.open.push(path.to_owned());
        let below = self.extended(&tree);
        self.open.pop();
        below
            .into_iter()
            .chain([tree])
            .reduce(|under, over| merged(under, over, ""))
            .unwrap_or_else(|| Node { at: Place::start(number), content: Content::Null })
    }

    fn version(&mut self, tree: &Node, number: usize) {
        let hint = "write `version: 1`";
        match value(tree, "version").map(|node| (&node.content, node.at)) {
            Some((Content::Plain(text), _)) if text == "1" => {}
            Some((Content::Plain(text) | Content::Quoted(text), at)) => {
                let text = crate::finding::printable(&text.chars().take(20).collect::<String>());
                self.refuse(Rule::E001, at, format!("version '{text}' is not one that this build reads"), hint);
            }
            Some((Content::Null | Content::List(_) | Content::Map(_), at)) => {
                self.refuse(Rule::E001, at, "version is not a number".to_owned(), hint);
            }
            None => self.refuse(Rule::E001, Place::start(number), "version is missing".to_owned(), hint),
        }
    }

    fn extended(&mut self, tree: &Node) -> Vec<Node> {
        let items = match value(tree, "extends").map(|node| (&node.content, node)) {
            None | Some((Content::Null, _)) => return Vec::new(),
            Some((Content::List(items), _)) => items.as_slice(),
            Some((Content::Plain(_) | Content::Quoted(_), node)) => std::slice::from_ref(node),
            Some((Content::Map(_), node)) => {
                self.refuse(Rule::E003, node.at, "extends is a map".to_owned(), FORMS);
                return Vec::new();
            }
        };
        items.iter().filter_map(|item| self.one(item)).collect()
    }

    fn one(&mut self, item: &Node) -> Option<Node> {
        let (Content::Plain(text) | Content::Quoted(text)) = &item.content else {
            self.refuse(Rule::E003, item.at, "an entry of extends is no text".to_owned(), FORMS);
            return None;
        };
        if let Some(name) = text.strip_prefix("template:") {
            return Some(template(name, item.at));
        }
        let shown = crate::finding::printable(&text.chars().take(60).collect::<String>());
        if !text.starts_with("./") || !paths::is_below(text) {
            let message = format!("extends: '{shown}' is no file of the project");
            self.refuse(Rule::E003, item.at, message, FORMS);
            return None;
        }
        let path = paths::on_host(self.folder, None, Path::new(text));
        let real = |path: &Path| std::fs::canonicalize(path).ok();
        if let (Some(folder), Some(file)) = (real(self.folder), real(&path))
            && !file.starts_with(folder)
        {
            let message = format!("extends: a symbolic link in {shown} leaves the project");
            self.refuse(Rule::E003, item.at, message, "keep the file in the project");
            return None;
        }
        if self.open.contains(&path) {
            self.refuse(Rule::E003, item.at, format!("extends: {shown} extends itself"), "take it out");
            return None;
        }
        if self.open.len() >= DEEPEST || self.sources.paths().count() >= MOST {
            let message = format!("extends: too many files: at most {DEEPEST} deep, {MOST} in all");
            self.refuse(Rule::E003, item.at, message, "merge some of them");
            return None;
        }
        Some(self.file(&path, item.at))
    }

    fn refuse(&mut self, rule: Rule, at: Place, message: String, hint: &str) {
        self.refused.push((rule, Refused { at, message, hint: hint.to_owned() }));
    }
}

/// A text of bounded size; a byte order mark is no part of it.
fn text_of(path: &Path) -> Result<String, String> {
    // Asked before it is opened: opening a pipe waits for its other end.
    if !std::fs::metadata(path).map_err(|error| error.to_string())?.is_file() {
        return Err("not a file".to_owned());
    }
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let most = u64::try_from(LARGEST).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() > LARGEST {
        return Err(format!("more than {LARGEST} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// What `template:NAME` stands for: a file that says `base: {template: NAME}` alone.
fn template(name: &str, at: Place) -> Node {
    let name = Node { at, content: Content::Quoted(name.to_owned()) };
    let source =
        Node { at, content: Content::Map(vec![Entry { key: "template".to_owned(), key_at: at, value: name }]) };
    Node { at, content: Content::Map(vec![Entry { key: "base".to_owned(), key_at: at, value: source }]) }
}

fn value<'n>(tree: &'n Node, key: &str) -> Option<&'n Node> {
    match &tree.content {
        Content::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
        Content::Null | Content::Plain(_) | Content::Quoted(_) | Content::List(_) => None,
    }
}

/// Two values of one key as one. The place is that of the later.
fn merged(under: Node, over: Node, key: &str) -> Node {
    let at = over.at;
    let content = match (under.content, over.content, key) {
        (Content::Null, over, _) => over,
        (under, Content::Null, _) => under,
        (_, over, "base") => over,
        (under @ Content::List(_), over @ Content::Map(_), "packages")
        | (under @ Content::Map(_), over @ Content::List(_), "packages") => {
            by_key(entries(as_apt(under, at)), entries(as_apt(over, at)))
        }
        (Content::List(mut items), Content::List(more), _) => {
            items.extend(more);
            Content::List(items)
        }
        (Content::Map(under), Content::Map(over), _) => by_key(under, over),
        (_, over, _) => over,
    };
    Node { at, content }
}

fn by_key(mut under: Vec<Entry>, over: Vec<Entry>) -> Content {
    for entry in over {
        match under.iter().position(|known| known.key == entry.key) {
            Some(at) => {
                let known = under.remove(at);
                let value = merged(known.value, entry.value, &entry.key);
                under.insert(at, Entry { value, key_at: entry.key_at, key: entry.key });
            }
            None => under.push(entry),
        }
    }
    Content::Map(under)
}

/// `[git]` as `{apt: [git]}`.
fn as_apt(content: Content, at: Place) -> Content {
    match content {
        Content::List(items) => {
            let value = Node { at, content: Content::List(items) };
            Content::Map(vec![Entry { key: "apt".to_owned(), key_at: at, value }])
        }
        Content::Null | Content::Plain(_) | Content::Quoted(_) | Content::Map(_) => content,
    }
}

fn entries(content: Content) -> Vec<Entry> {
    match content {
        Content::Map(entries) => entries,
        Content::Null | Content::Plain(_) | Content::Quoted(_) | Content::List(_) => Vec::new(),
    }
}
