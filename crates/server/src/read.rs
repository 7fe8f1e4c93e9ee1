//! Reads JSON bodies: bounded, null as absent, and every complaint names its field.

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use machine_core::Refusal;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::refused::{Refused, invalid};

/// The largest JSON body.
pub(crate) const JSON_LIMIT: usize = 1 << 20;
/// The largest JSON body that carries a file: 8 MiB in base64, and what is around it.
pub(crate) const FILE_LIMIT: usize = 12 << 20;
/// How much of a complaint is told: it may quote what was sent.
const LONGEST_COMPLAINT: usize = 400;

/// A JSON body of at most `LIMIT` bytes. No body is `{}`.
pub(crate) struct Json<T, const LIMIT: usize = JSON_LIMIT>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned, const LIMIT: usize> FromRequest<S> for Json<T, LIMIT> {
    type Rejection = Refused;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refused> {
        let object = object(request.into_body(), LIMIT).await?;
        Ok(Self(typed(object)?))
    }
}

/// Reads a body as an object without its nulls.
pub(crate) async fn object(body: Body, limit: usize) -> Result<Map<String, Value>, Refusal> {
    let bytes = to_bytes(body, limit)
        .await
        .map_err(|error| invalid(format!("the body is cut off, or larger than {limit} bytes: {error}")))?;
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    let value = serde_json::from_slice(&bytes).map_err(|error| invalid(format!("the body is not JSON: {error}")))?;
    let Value::Object(mut object) = value else { return Err(invalid("the body is not a JSON object")) };
    object.retain(|_, value| !value.is_null());
    Ok(object)
}

/// Gives an object its type.
pub(crate) fn typed<T: DeserializeOwned>(object: Map<String, Value>) -> Result<T, Refusal> {
    serde_path_to_error::deserialize(Value::Object(object)).map_err(|error| {
        let path = error.path().to_string();
        let why = shorten(&error.into_inner().to_string());
        invalid(if path == "." { why } else { format!("{path}: {why}") })
    })
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(LONGEST_COMPLAINT) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine_api::exec::ExecRequest;

    async fn check(body: &str, names: &str) {
        let refusal = match object(Body::from(body.to_owned()), 1000).await {
            Ok(object) => typed::<ExecRequest>(object).expect_err(body),
            Err(refusal) => refusal,
        };
        assert_eq!(refusal.code, machine_core::Code::InvalidRequest);
        assert!(refusal.message.contains(names), "{body}: {}", refusal.message);
    }

    #[tokio::test]
    async fn a_complaint_names_the_field() {
        check("{", "not JSON").await;
        check("[]", "not a JSON object").await;
        check("{}", "command").await;
        check(r#"{"command": 1}"#, "command").await;
        check(r#"{"command": "a", "args": ["b", 2]}"#, "args[1]").await;
        check(r#"{"command": "a", "envs": {"A": 1}}"#, "envs.A").await;
        check(r#"{"command": "a", "typo": 1}"#, "typo").await;
        check(&format!(r#"{{"command": "{}"}}"#, "x".repeat(1000)), "1000 bytes").await;
    }

    #[tokio::test]
    async fn null_is_absent() {
        let body = Body::from(r#"{"command": "a", "cwd": null, "envs": null}"#);
        let request: ExecRequest = typed(object(body, 1000).await.unwrap()).unwrap();
        assert!(request.cwd.is_none() && request.envs.is_empty());
    }
}
