//! One connection per call: opened, used, closed. A Unix socket costs tens of microseconds to open,
//! and a connection that is not kept cannot be found dead.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use machine_api::{ErrorBody, ErrorDetail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::error::{Cause, SdkError};

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A socket in the file system.
    Unix(PathBuf),
}

/// A client of one server; cloned freely.
#[derive(Debug, Clone)]
pub struct Client {
    endpoint: Endpoint,
}

pub(crate) type Body = UnsyncBoxBody<Bytes, Cause>;

/// A call before it is sent: what is tried, for errors, and the request.
pub(crate) struct Call {
    pub(crate) tried: String,
    pub(crate) request: http::request::Builder,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl Call {
    pub(crate) fn new(method: Method, path: &str) -> Self {
        let tried = format!("{method} {}", path.split('?').next().unwrap_or(path));
        let request = Request::builder().method(method).uri(path).header(header::HOST, "machine");
        Self { tried, request }
    }

    pub(crate) fn header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.request = self.request.header(name.as_ref(), value.as_ref());
        self
    }
}

impl Client {
    /// A client of the server that listens there. Nothing is sent yet.
    #[must_use]
    pub const fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    /// A client of the server that listens on this Unix socket.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::new(Endpoint::Unix(path.into()))
    }

    /// Where its server listens.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends a call and gives a good response, whatever its body.
    pub(crate) async fn send(&self, call: Call, body: Body) -> Result<(String, Response<Incoming>), SdkError> {
        let Call { tried, request } = call;
        let request = request.body(body).map_err(|error| SdkError::broken(&tried, error))?;
        let stream = self.connect().await?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| SdkError::broken(&tried, error))?;
        tokio::spawn(async move {
            // How a connection ends is told by the response or its body.
            let _ = connection.with_upgrades().await;
        });
        let response = sender.send_request(request).await.map_err(|error| SdkError::broken(&tried, error))?;
        if response.status().is_success() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
            Ok((tried, response))
        } else {
            Err(refused(&tried, response).await)
        }
    }

    async fn connect(&self) -> Result<UnixStream, SdkError> {
        match &self.endpoint {
            Endpoint::Unix(path) => UnixStream::connect(path)
                .await
                .map_err(|source| SdkError::Unreachable { endpoint: self.endpoint.to_string(), source }),
        }
    }

    /// Sends a call without a body and reads JSON.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, call: Call) -> Result<T, SdkError> {
        let (tried, response) = self.send(call, empty()).await?;
        read_json(&tried, response).await
    }

    /// Sends a call with a JSON body and reads JSON.
    pub(crate) async fn tell<T: DeserializeOwned>(&self, call: Call, body: &impl Serialize) -> Result<T, SdkError> {
        let (tried, response) = self.tell_only(call, body).await?;
        read_json(&tried, response).await
    }

    /// Sends a call with a JSON body; what is answered is up to the caller.
    pub(crate) async fn tell_only(
        &self,
        call: Call,
        body: &impl Serialize,
    ) -> Result<(String, Response<Incoming>), SdkError> {
        let body = serde_json::to_vec(body).map_err(|error| SdkError::broken(&call.tried, error))?;
        self.send(call.header(header::CONTENT_TYPE, "application/json"), whole(body)).await
    }
}

pub(crate) fn empty() -> Body {
    whole(Vec::new())
}

fn whole(bytes: Vec<u8>) -> Body {
    Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed_unsync()
}

async fn read_json<T: DeserializeOwned>(tried: &str, response: Response<Incoming>) -> Result<T, SdkError> {
    let bytes = response.into_body().collect().await.map_err(|error| SdkError::broken(tried, error))?.to_bytes();
    serde_json::from_slice(&bytes).map_err(|error| SdkError::broken(tried, error))
}

/// What a response that is no success says. A body that is not ours becomes an unknown code.
async fn refused(tried: &str, response: Response<Incoming>) -> SdkError {
    let status = response.status().as_u16();
    let bytes = match response.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return SdkError::broken(tried, error),
    };
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| ErrorBody {
        error: ErrorDetail {
            code: "unknown".to_owned(),
            message: format!("cannot {tried}: the server answered {status}"),
            hint: None,
            reason: None,
            request_id: String::new(),
            machine: None,
        },
    });
    SdkError::Refused(Box::new(body), status)
}

/// A text as one segment of a path, or one value of a query.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            other => write!(escaped, "%{other:02X}").expect("writing to a String cannot fail"),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_escapes_its_segment() {
        assert_eq!(escape("a/b?c=d&e#f ü"), "a%2Fb%3Fc%3Dd%26e%23f%20%C3%BC");
        assert_eq!(escape("web-2_x.y~"), "web-2_x.y~");
    }
}
