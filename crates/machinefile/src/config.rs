//! The resolved file as lines, for `machine config`: each value with where it came from.

use serde::Serialize;
use serde_json::Value;

use crate::model::{Machinefile, Origin};

/// One value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigLine {
    /// Its path: `resources.cpus`.
    pub key: String,
    /// As JSON, which is YAML, too.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}

impl Machinefile {
    /// All values in the order of the model. Empty lists and maps are values.
    #[must_use]
    pub fn lines(&self) -> Vec<ConfigLine> {
        let whole = serde_json::to_value(self).expect("the model is texts, numbers, lists and maps");
        let mut lines = Vec::new();
        self.flatten("", whole, &mut lines);
        lines
    }

    fn flatten(&self, path: &str, value: Value, lines: &mut Vec<ConfigLine>) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                for (key, value) in fields {
                    let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                    self.flatten(&path, value, lines);
                }
            }
            Value::Array(items) if !items.is_empty() => {
                for (number, value) in items.into_iter().enumerate() {
                    self.flatten(&format!("{path}[{number}]"), value, lines);
                }
            }
            Value::Null => {}
            value @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
                lines.push(ConfigLine { key: path.to_owned(), value, origin: self.origins.of(path) });
            }
        }
    }
}
