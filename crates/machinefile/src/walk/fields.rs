//! Maps: their known keys, and what is said of the others.

use crate::nearest::nearest;
use crate::rule::Rule;
use crate::source::Place;
use crate::tree::{Content, Entry, Node};

use super::{Walk, refused};

/// The known keys of a map that have a value. A key whose value is null is as if it were not there.
pub(crate) struct Fields<'n> {
    /// The path of the map: empty for the file, `resources`, `mounts[0]`.
    pub(crate) path: String,
    /// Where the map stands.
    pub(crate) at: Place,
    entries: Vec<&'n Entry>,
}

impl<'n> Fields<'n> {
    pub(crate) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key == key).copied()
    }

    /// The path of one of its keys.
    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl Walk<'_> {
    /// A map with these keys. Anything else than a map is noted, and read as an empty one.
    pub(crate) fn fields<'n>(&mut self, node: &'n Node, path: &str, keys: &[&str]) -> Fields<'n> {
        let mut fields = Fields { path: path.to_owned(), at: node.at, entries: Vec::new() };
        let Content::Map(entries) = &node.content else {
            if node.content != Content::Null {
                let what = if path.is_empty() { "the file" } else { path };
                self.wrong_type(node, what, &format!("a map with keys out of {}", keys.join(", ")));
            }
            return fields;
        };
        let later = refused::keys_of(path);
        for entry in entries.iter().filter(|entry| !entry.key.starts_with("x-")) {
            let known = keys.contains(&entry.key.as_str());
            if !known && !later.contains(&entry.key.as_str()) {
                self.unknown_key(entry, keys);
            }
            self.refuse_later(path, entry);
            if entry.value.content != Content::Null {
                if known {
                    self.came_from(&fields.path_of(&entry.key), entry.key_at);
                }
                fields.entries.push(entry);
            }
        }
        fields
    }

    fn unknown_key(&mut self, entry: &Entry, keys: &[&str]) {
        let key = crate::finding::printable(&entry.key);
        let (message, hint) = match nearest(&entry.key, keys.iter().copied()) {
            Some(meant) => (format!("unknown key '{key}' (did you mean '{meant}'?)"), format!("write '{meant}'")),
            None => (format!("unknown key '{key}'"), format!("the keys here are {}", keys.join(", "))),
        };
        self.note(Rule::E002, entry.key_at, message, hint);
    }

    /// The map that is the value of a key.
    pub(crate) fn section<'n>(&mut self, fields: &Fields<'n>, key: &str, keys: &[&str]) -> Option<Fields<'n>> {
        let node = fields.get(key)?;
        Some(self.fields(node, &fields.path_of(key), keys))
    }

    /// The items of the list that is the value of a key; nothing if it is not there. `form` is such a list, for the
    /// hint of who wrote something else.
    pub(crate) fn items<'n>(&mut self, fields: &Fields<'n>, key: &str, form: &str) -> Option<&'n [Node]> {
        let node = fields.get(key)?;
        let Content::List(items) = &node.content else {
            self.wrong_type(node, &fields.path_of(key), &format!("a list: `{key}: {form}`"));
            return None;
        };
        for (number, item) in items.iter().enumerate() {
            self.came_from(&format!("{}[{number}]", fields.path_of(key)), item.at);
        }
        Some(items)
    }

    /// The texts of a map whose keys are free. `form` is an entry of such a map.
    pub(crate) fn texts_by_key<'n>(&mut self, fields: &Fields<'n>, key: &str, form: &str) -> Vec<(&'n Entry, String)> {
        let Some(node) = fields.get(key) else { return Vec::new() };
        let Content::Map(entries) = &node.content else {
            self.wrong_type(node, &fields.path_of(key), &format!("a map from names to texts: `{key}: {{{form}}}`"));
            return Vec::new();
        };
        let mut texts = Vec::new();
        for entry in entries {
            let path = format!("{}.{}", fields.path_of(key), entry.key);
            if entry.key.starts_with("x-") {
                continue;
            }
            if let Some(text) = self.text(&entry.value, &path) {
                self.came_from(&path, entry.key_at);
                texts.push((entry, text));
            }
        }
        texts
    }
}
