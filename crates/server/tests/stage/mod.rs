//! A server on a socket of its own, over the testkit's world with a guest that runs a few commands.

#![allow(dead_code, reason = "each test program uses a part of the stage")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails as a test does")]

pub(crate) mod guest;
pub(crate) mod place;
pub(crate) mod project;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use machine_api::CreateMachine;
use machine_api::server::MachinesThen;
use machine_core::{MachineId, Refusal};
use machine_engine::Desk;
use machine_sdk::Client;
use machine_server::{About, Logs, Server, serve};
use machine_testkit::memory_images::FakeMemoryImages;
use machine_testkit::{Tripwire, World};
use serde_json::Value;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub(crate) struct Stage {
    pub(crate) client: Client,
    pub(crate) world: World,
    pub(crate) guest: Arc<guest::TestGuest>,
    pub(crate) place: Arc<place::Gate>,
    pub(crate) images: Arc<FakeMemoryImages>,
    pub(crate) log: Arc<Mutex<Vec<u8>>>,
    pub(crate) farewell: mpsc::Receiver<MachinesThen>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) served: JoinHandle<()>,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

/// A raw answer: status, headers, body.
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

struct FakeLogs(Arc<Mutex<Vec<u8>>>);

#[async_trait]
impl Logs for FakeLogs {
    async fn boot_log(&self, _machine: &MachineId) -> Result<Bytes, Refusal> {
        Ok(Bytes::from(self.0.lock().unwrap().clone()))
    }
}

impl Raw {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {:?}", self.body))
    }

    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        self.body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }
}

impl Stage {
    pub(crate) async fn open() -> Self {
        Self::open_for(None).await
    }

    /// A stage whose server belongs to this user; else to whoever runs the tests.
    pub(crate) async fn open_for(uid: Option<u32>) -> Self {
        let (world, guest, place) = (World::new(), Arc::new(guest::TestGuest::default()), Arc::default());
        let images = Arc::new(FakeMemoryImages::default());
        let mut promises = world.promises(&Tripwire::never());
        promises.provider = Arc::new(place::Place::new(promises.provider, guest.clone(), Arc::clone(&place)));
        promises.images = Arc::new(place::Images(promises.images));
        promises.memory_images = images.clone();
        let desk = Desk::open(promises).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (tell, farewell) = mpsc::channel(1);
        let server = Server {
            desk,
            logs: Arc::new(FakeLogs(log.clone())),
            about: About { version: "1.2.3".to_owned(), home: "/srv/machine/tests".to_owned() },
            uid: uid.unwrap_or(own_uid(&socket)),
            farewell: tell,
        };
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(serve(listener, server, async move {
            let _ = stopped.await;
        }));
        let client = Client::unix(&socket);
        let stop = Some(stop);
        Self { client, world, guest, place, images, log, farewell, stop, served, socket, _folder: folder }
    }

    /// A stage with one running machine, `web`.
    pub(crate) async fn with_web() -> Self {
        let stage = Self::open().await;
        stage.client.create(&named("web"), &mut |_| ()).await.unwrap();
        stage
    }

    pub(crate) async fn call(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Raw {
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("host", "test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Raw { status: head.status.as_u16(), headers: head.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Raw {
        self.call(Method::GET, path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Raw {
        self.call(Method::POST, path, &[], body).await
    }

    /// A connection that will be cut off.
    pub(crate) async fn stream(&self) -> UnixStream {
        UnixStream::connect(&self.socket).await.unwrap()
    }

    pub(crate) fn say(&self, text: &str) {
        self.log.lock().unwrap().extend_from_slice(text.as_bytes());
    }
}

pub(crate) fn named(name: &str) -> CreateMachine {
    CreateMachine { name: Some(name.to_owned()), ..CreateMachine::default() }
}

/// Waits until something holds; panics after a while.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("did not come to hold: {what}");
}

/// Whoever runs the tests made the socket.
pub(crate) fn own_uid(made: &std::path::Path) -> u32 {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(made).unwrap())
}
