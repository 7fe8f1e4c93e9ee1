//! The JSON Schema of the Machinefile, for editors: made from the types of `written.rs`. What this build does not
//! honour is in it only with the values that ask for nothing, so that an editor and the reader say the same.

#[expect(dead_code, reason = "the schema is made from the types; no value of them is")]
mod work;
#[expect(dead_code, reason = "the schema is made from the types; no value of them is")]
mod written;

use serde_json::{Map, Value, json};

use crate::walk::refused::{LATER, Later, Nothing};

/// The path of the checked-in copy, from the repository's root.
pub const COPY: &str = "docs/reference/machinefile.schema.json";

/// Which definition a section of the file is. The file itself has no name.
const SECTIONS: &[(&str, &str)] = &[
    ("packages", "PackagesByTool"),
    ("base", "BaseSource"),
    ("secrets", "Secret"),
    ("provision", "Step"),
    ("network", "Network"),
    ("timeouts", "Timeouts"),
];

/// The schema.
#[must_use]
pub fn schema() -> Value {
    let mut whole = schemars::schema_for!(written::Machinefile).to_value();
    for later in LATER {
        let section = SECTIONS.iter().find(|(section, _)| *section == later.section);
        let pointer = section.map_or_else(|| "/properties".to_owned(), |(_, name)| format!("/$defs/{name}/properties"));
        if let Some(Value::Object(properties)) = whole.pointer_mut(&pointer) {
            properties.insert(later.key.to_owned(), nothing(later));
        }
    }
    free_extensions(&mut whole);
    whole
}

/// The schema as it is published.
#[must_use]
pub fn schema_text() -> String {
    format!("{}\n", serde_json::to_string_pretty(&schema()).expect("a schema is JSON"))
}

/// The values of a refused key that ask for nothing.
fn nothing(later: &Later) -> Value {
    let mut allowed = match &later.nothing {
        Nothing::Null => json!({"type": "null"}),
        Nothing::Empty => json!({"type": ["array", "object", "null"], "maxItems": 0, "maxProperties": 0}),
        Nothing::Off => json!({"enum": [0, "0", "off", false, null]}),
        Nothing::Word(usual, _) => {
            let words = usual.iter().map(|word| json!(word)).chain([Value::Null]);
            json!({"enum": words.collect::<Vec<_>>()})
        }
        Nothing::Snapshots => json!({
            "type": ["object", "null"],
            "properties": {"keep": true, "before_provision": {"enum": [0, "0", "off", false, null]}},
            "additionalProperties": {"type": "null"},
        }),
    };
    allowed["description"] = json!(format!("Not honoured by this build yet: {}.", later.hint));
    allowed
}

/// Keys that begin with `x-` are free wherever other keys are not.
fn free_extensions(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("additionalProperties") == Some(&Value::Bool(false)) {
                fields.insert(
                    "patternProperties".to_owned(),
                    Value::Object(Map::from_iter([("^x-".to_owned(), json!(true))])),
                );
            }
            fields.values_mut().for_each(free_extensions);
        }
        Value::Array(items) => items.iter_mut().for_each(free_extensions),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests;
