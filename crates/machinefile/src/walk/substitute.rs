//! `${VAR}` and `${VAR:?message}` from the host's variables. Nothing else is interpolated, and what is put in is
//! not read again.

use crate::rule::Rule;
use crate::source::Place;

use super::Walk;
use super::environment::is_variable;
use super::scalars::short;

impl Walk<'_> {
    /// A text with its variables put in. One that is not set is empty, with a warning; with a message, it is an error.
    pub(super) fn substitute(&mut self, text: &str, what: &str, at: Place) -> String {
        let mut put_in = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            put_in.push_str(before);
            let Some((inside, behind)) = after.split_once('}') else {
                self.note(Rule::E003, at, format!("{what}: '${{' without '}}'"), "write ${NAME} or ${NAME:?message}");
                return put_in;
            };
            put_in.push_str(&self.variable(inside, what, at));
            rest = behind;
        }
        put_in.push_str(rest);
        put_in
    }

    fn variable(&mut self, inside: &str, what: &str, at: Place) -> String {
        let (name, message) = inside.split_once(":?").map_or((inside, None), |(name, said)| (name, Some(said)));
        if !is_variable(name) {
            let message = format!("{what}: not a variable: '${{{}}}'", short(inside));
            self.note(Rule::E003, at, message, "write ${NAME} or ${NAME:?message}");
            return String::new();
        }
        let value = (self.lookup)(name);
        match (value, message) {
            (Some(value), None) => value,
            (Some(value), Some(_)) if !value.is_empty() => value,
            (_, Some(said)) => {
                let said = if said.is_empty() { "it is needed".to_owned() } else { short(said) };
                self.note(
                    Rule::E050,
                    at,
                    format!("{what}: {name} is not set: {said}"),
                    format!("set {name} on the host"),
                );
                String::new()
            }
            (None, None) => {
                let hint = format!("set {name} on the host, or write ${{{name}:?why}} to demand it");
                self.note(Rule::W003, at, format!("{what}: {name} is not set: read as empty"), hint);
                String::new()
            }
        }
    }
}
