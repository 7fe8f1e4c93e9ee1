//! Files of a machine's guest, streamed raw: what is read is not held whole, what is written waits
//! while the guest's disk is slower.

use futures::TryStreamExt as _;
use http::{Method, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use machine_api::file::{ExistsResponse, FileInfo, PathRequest};
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use crate::connection::{Call, Client, empty, escape};
use crate::error::{Cause, SdkError};
use crate::machine::of;
use crate::stream::ByteStream;

const PIECE: usize = 64 << 10;

/// How a file is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteFile {
    /// Permission bits; else 0644, or those of the file that is replaced.
    pub mode: Option<u32>,
    /// Its owner in the guest; else root.
    pub user: Option<String>,
}

impl Client {
    /// Opens a guest's file to read.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn read_file(&self, machine: &str, path: &str, user: Option<&str>) -> Result<ByteStream, SdkError> {
        let query = format!("/file?path={}{}", escape(path), user_query(user));
        Ok(ByteStream::new(self.send(Call::new(Method::GET, &of(machine, &query)), empty()).await?))
    }

    /// Writes a guest's file whole; it appears when all was sent.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached. Nothing is left of the file then.
    pub async fn write_file(
        &self,
        machine: &str,
        path: &str,
        how: &WriteFile,
        content: impl AsyncRead + Send + 'static,
    ) -> Result<(), SdkError> {
        let mut query = format!("/file?path={}{}", escape(path), user_query(how.user.as_deref()));
        if let Some(mode) = how.mode {
            query += &format!("&mode={mode:o}");
        }
        let pieces = ReaderStream::with_capacity(content, PIECE).map_ok(Frame::data).map_err(Cause::from);
        let call = Call::new(Method::PUT, &of(machine, &query));
        let call = call.header(header::CONTENT_TYPE, "application/octet-stream");
        self.send(call, StreamBody::new(pieces).boxed_unsync()).await?;
        Ok(())
    }

    /// What is in a guest's folder, `depth` levels down (1: its children).
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn list_files(&self, machine: &str, path: &str, depth: u32) -> Result<Vec<FileInfo>, SdkError> {
        let query = format!("/files?path={}&depth={depth}", escape(path));
        self.ask(Call::new(Method::GET, &of(machine, &query))).await
    }

    /// What a path in a guest is.
    ///
    /// # Errors
    /// `file_not_found` among the refusals, or the server cannot be reached.
    pub async fn stat_file(&self, machine: &str, path: &str) -> Result<FileInfo, SdkError> {
        self.tell(Call::new(Method::POST, &of(machine, "/files/info")), &at(path)).await
    }

    /// Whether there is something at a path in a guest.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn file_exists(&self, machine: &str, path: &str) -> Result<bool, SdkError> {
        let answer: ExistsResponse =
            self.tell(Call::new(Method::POST, &of(machine, "/files/exists")), &at(path)).await?;
        Ok(answer.exists)
    }

    /// Removes a guest's file, or a folder with all that is in it.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn remove_file(&self, machine: &str, path: &str) -> Result<(), SdkError> {
        self.tell_only(Call::new(Method::POST, &of(machine, "/files/remove")), &at(path)).await?;
        Ok(())
    }

    /// Makes a folder in a guest, and those above it.
    ///
    /// # Errors
    /// A refusal, or the server cannot be reached.
    pub async fn make_folder(&self, machine: &str, path: &str) -> Result<(), SdkError> {
        self.tell_only(Call::new(Method::POST, &of(machine, "/files/mkdir")), &at(path)).await?;
        Ok(())
    }
}

fn at(path: &str) -> PathRequest {
    PathRequest { path: path.to_owned(), user: None }
}

fn user_query(user: Option<&str>) -> String {
    user.map(|user| format!("&user={}", escape(user))).unwrap_or_default()
}
