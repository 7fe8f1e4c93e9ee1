//! A refusal on its way out. Its body is written by the door, which knows the request's id.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use machine_api::ErrorBody;
use machine_core::{Code, Refusal};

/// The error type of every route.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) Refusal);

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = status(self.0.code).into_response();
        response.extensions_mut().insert(self.0);
        response
    }
}

/// A request that asks for something out of range, or that cannot be understood.
pub(crate) fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::InvalidRequest, message)
}

/// Something that the contract knows and this version does not do.
pub(crate) fn not_implemented(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::NotImplemented, message)
}

/// A field that the contract knows and this version does not honour.
pub(crate) fn later(field: &str) -> Refusal {
    not_implemented(format!("{field}: not implemented in this version")).reason(field)
}

/// The whole response that tells a refusal.
pub(crate) fn render(refusal: Refusal, request_id: &str) -> Response {
    let status = status(refusal.code);
    let body = serde_json::to_vec(&ErrorBody::of(refusal, request_id))
        .expect("an error body has text keys and cannot fail to serialize");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

fn status(code: Code) -> StatusCode {
    StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
