//! Bytes that come piece by piece, and the lines in them.

use bytes::{Buf as _, Bytes, BytesMut};
use http::Response;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::error::SdkError;

/// A file or a log as it comes. Dropped early, the rest is not sent.
#[derive(Debug)]
pub struct ByteStream {
    tried: String,
    body: Incoming,
}

impl ByteStream {
    pub(crate) fn new((tried, response): (String, Response<Incoming>)) -> Self {
        Self { tried, body: response.into_body() }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// `Broken` if the rest cannot be had.
    pub async fn next(&mut self) -> Result<Option<Bytes>, SdkError> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(SdkError::broken(&self.tried, error)),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// All that comes, in one piece.
    ///
    /// # Errors
    /// `Broken` if the rest cannot be had.
    pub async fn collect(mut self) -> Result<Vec<u8>, SdkError> {
        let mut all = Vec::new();
        while let Some(bytes) = self.next().await? {
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }
}

/// The lines of a stream.
pub(crate) struct Lines {
    stream: ByteStream,
    seen: BytesMut,
}

impl Lines {
    pub(crate) fn new(stream: ByteStream) -> Self {
        Self { stream, seen: BytesMut::new() }
    }

    /// The next line without its end; what is after the last line end is not a line.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, SdkError> {
        let mut looked_at = 0;
        loop {
            if let Some(end) = self.seen[looked_at..].iter().position(|byte| *byte == b'\n') {
                let line = self.seen.split_to(looked_at + end).freeze();
                self.seen.advance(1);
                return Ok(Some(line));
            }
            looked_at = self.seen.len();
            match self.stream.next().await? {
                Some(bytes) => self.seen.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }
}
