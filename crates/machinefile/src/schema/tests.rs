//! The schema is fresh, knows the keys that the reader knows, and takes what the reader takes.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::source::Place;
use crate::tree::{self, Content, Node};
use crate::walk::keys;

fn file(text: &str) -> Node {
    let (tree, refused) = tree::read(0, text, &mut tree::MOST.clone());
    assert!(refused.is_empty(), "{refused:?}");
    tree
}

/// Whether a value is one of the schema: its keys, and the types and words of its scalars.
fn takes(whole: &Value, schema: &Value, node: &Node) -> bool {
    if let Some(name) = schema["$ref"].as_str() {
        let pointer = name.trim_start_matches('#');
        return takes(whole, whole.pointer(pointer).expect("a definition"), node);
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[key].as_array() {
            return choices.iter().any(|choice| takes(whole, choice, node));
        }
    }
    let is =
        |kind: &str| schema["type"] == kind || schema["type"].as_array().is_some_and(|all| all.contains(&kind.into()));
    match &node.content {
        Content::Null => schema["type"].is_null() || is("null"),
        Content::List(items) => is("array") && items.iter().all(|item| takes(whole, &schema["items"], item)),
        Content::Map(entries) => {
            is("object") && entries.iter().all(|entry| takes_key(whole, schema, &entry.key, &entry.value))
        }
        Content::Plain(text) | Content::Quoted(text) => takes_scalar(schema, text, &node.content, &is),
    }
}

fn takes_key(whole: &Value, schema: &Value, key: &str, value: &Node) -> bool {
    match (&schema["properties"][key], &schema["additionalProperties"]) {
        _ if key.starts_with("x-") && schema["patternProperties"]["^x-"] == true => true,
        (Value::Bool(known), _) => *known,
        (Value::Null, Value::Bool(others)) => *others,
        (Value::Null, others) => takes(whole, others, value),
        (known, _) => takes(whole, known, value),
    }
}

fn takes_scalar(schema: &Value, text: &str, content: &Content, is: &dyn Fn(&str) -> bool) -> bool {
    if let Some(words) = schema["enum"].as_array() {
        return words.iter().any(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned) == text);
    }
    if schema["const"].is_string() {
        return schema["const"] == text;
    }
    let is_plain = matches!(content, Content::Plain(_));
    let is_number = is_plain && text.parse::<f64>().is_ok();
    let is_flag = is_plain && matches!(text, "true" | "false");
    (is_number && (is("integer") || is("number")))
        || (is_flag && is("boolean"))
        || (!is_number && !is_flag && is("string"))
}

fn takes_file(text: &str) -> bool {
    let whole = schema();
    takes(&whole, &whole, &file(text))
}

#[test]
fn the_checked_in_copy_is_fresh() {
    let copy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(COPY);
    let made = schema_text();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&copy, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&copy).unwrap_or_default();
    assert!(kept == made, "{COPY} is not what the types say: BLESS=1 cargo test -p machine-machinefile schema");
}

#[test]
fn it_knows_the_keys_that_the_reader_knows() {
    let whole = schema();
    for (section, definition, honoured) in keys::ALL {
        let pointer = match *definition {
            "" => "/properties".to_owned(),
            name => format!("/$defs/{name}/properties"),
        };
        let known = whole.pointer(&pointer).and_then(Value::as_object).unwrap_or_else(|| panic!("{pointer}"));
        let known: BTreeSet<&str> = known.keys().map(String::as_str).collect();
        let later = crate::walk::refused::keys_of(section);
        let read: BTreeSet<&str> = honoured.iter().copied().chain(later).collect();
        assert_eq!(known, read, "{definition}");
    }
}

#[test]
fn it_takes_what_the_reader_takes() {
    assert!(takes_file(include_str!("../../tests/examples/complete.yaml")));
    for kind in crate::detect::ProjectKind::ALL {
        assert!(takes_file(&crate::detect::starter_file(kind)), "{kind:?}");
    }
    for line in [
        "packages: [git]",
        "agents: none",
        "extends: ./a.yaml",
        "base: {template: a}",
        "resources: {memory: 512}",
        "ports: [3000, {guest: 80, host: 0, address: 192.0.2.1}]",
        "user: {uid: 1000}",
        "timeouts: {stop: 0, idle: off}",
        "gpu: null\nvolumes: []\nx-y: {z: 1}",
    ] {
        assert!(takes_file(&format!("version: 1\n{line}\n")), "{line}");
    }
}

#[test]
fn it_refuses_what_the_reader_refuses() {
    for line in [
        "port: 1",
        "root: temporary",
        "resources: {cpu: 1}",
        "gpu: {count: 1}",
        "provider: aws",
        "base: ubuntu:24.04",
        "agents: [gemini]",
        "ports: {a: 1}",
        "timeouts: {idle: 30m}",
        "mounts: [{host: ., guest: /w, owner: me}]",
    ] {
        assert!(!takes_file(&format!("version: 1\n{line}\n")), "{line}");
    }
    let nothing = Node { at: Place::start(0), content: Content::List(Vec::new()) };
    assert!(!takes(&schema(), &schema(), &nothing));
}
