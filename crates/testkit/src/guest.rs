//! A guest that has no commands and no files: it answers that it cannot.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use machine_core::network::Transport;
use machine_core::promise::awakening::{Awakening, Settled, Vitals, Woken};
use machine_core::promise::guest::{
    ExecRequest, FileInfo, FileSink, FileSource, Guest, GuestConnection, GuestError, GuestFiles, GuestProcess,
    WriteOptions,
};

/// See the module.
pub struct FakeGuest;

fn cannot<T>(what: &str) -> Result<T, GuestError> {
    Err(GuestError::Unsupported(format!("{what} in a fake guest")))
}

#[async_trait]
impl Guest for FakeGuest {
    async fn set_clock(&self, _now: jiff::Timestamp) -> Result<(), GuestError> {
        Ok(())
    }

    async fn wake_as(&self, _awakening: &Awakening) -> Result<Woken, GuestError> {
        Ok(Woken::default())
    }
    async fn settle(&self, _authorities: &[String]) -> Result<Settled, GuestError> {
        Ok(Settled::default())
    }
    async fn measure(&self) -> Result<Vitals, GuestError> {
        Ok(Vitals::default())
    }
    async fn exec(&self, _request: ExecRequest) -> Result<Box<dyn GuestProcess>, GuestError> {
        cannot("exec")
    }
    fn files(&self) -> Arc<dyn GuestFiles> {
        Arc::new(Self)
    }
    async fn connect(&self, port: u16, _transport: Transport) -> Result<Box<dyn GuestConnection>, GuestError> {
        Err(GuestError::Refused(port))
    }
    async fn power_off(&self, _grace: Duration) -> Result<(), GuestError> {
        Ok(())
    }
    fn is_lost(&self) -> bool {
        false
    }
}

#[async_trait]
impl GuestFiles for FakeGuest {
    async fn read(&self, _path: &str, _user: Option<&str>) -> Result<(FileInfo, Box<dyn FileSource>), GuestError> {
        cannot("read")
    }
    async fn write(&self, _path: &str, _options: WriteOptions) -> Result<Box<dyn FileSink>, GuestError> {
        cannot("write")
    }
    async fn list(&self, _path: &str, _depth: u32) -> Result<Vec<FileInfo>, GuestError> {
        cannot("list")
    }
    async fn stat(&self, _path: &str) -> Result<FileInfo, GuestError> {
        cannot("stat")
    }
    async fn remove(&self, _path: &str) -> Result<(), GuestError> {
        cannot("remove")
    }
    async fn make_folder(&self, _path: &str) -> Result<(), GuestError> {
        cannot("make_folder")
    }
}
