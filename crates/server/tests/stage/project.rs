//! A guest's part for projects: remembers what it was told. Its services run as soon as they are set; port 80 is
//! open, and then closed.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use machine_core::network::Transport;
use machine_core::promise::guest::{FileSource, GuestError};
use machine_core::promise::project::{
    Following, GuestMount, GuestProject, GuestUser, HostChange, ListenAddress, Listener, ListenerNews, ListenerSource,
    Secrets,
};
use machine_core::promise::service::{
    GuestServices, ServiceOrigin, ServiceSpec, ServiceState, ServiceStatus, ServiceTurn,
};

#[derive(Clone, Default)]
pub(crate) struct TestProject {
    pub(crate) secrets: Arc<Mutex<Option<Secrets>>>,
    pub(crate) user: Arc<Mutex<Option<GuestUser>>>,
    services: Arc<Mutex<Vec<ServiceStatus>>>,
}

struct News(Vec<ListenerNews>);
struct Said(Option<Bytes>);

#[async_trait]
impl GuestProject for TestProject {
    async fn mount(&self, _mount: &GuestMount) -> Result<(), GuestError> {
        Ok(())
    }

    async fn unmount(&self, _target: &str) -> Result<(), GuestError> {
        Ok(())
    }

    async fn touch(&self, _target: &str, _changes: &[HostChange]) -> Result<(), GuestError> {
        Ok(())
    }

    async fn put_secrets(&self, secrets: &Secrets) -> Result<(), GuestError> {
        *self.secrets.lock().unwrap() = Some(secrets.clone());
        Ok(())
    }

    async fn ensure_user(&self, user: &GuestUser) -> Result<(), GuestError> {
        *self.user.lock().unwrap() = Some(user.clone());
        Ok(())
    }

    async fn listeners(&self, following: Following) -> Result<Box<dyn ListenerSource>, GuestError> {
        let (address, program) = (ListenAddress::Any, Some("nginx".to_owned()));
        let all = vec![Listener { port: 80, transport: Transport::Tcp, address, uid: 0, program }];
        let opened = ListenerNews { opened: all.clone(), closed: Vec::new() };
        let closed = ListenerNews { opened: Vec::new(), closed: all };
        Ok(Box::new(News(match following {
            Following::No => vec![opened],
            Following::Yes => vec![closed, opened],
        })))
    }

    fn services(&self) -> Arc<dyn GuestServices> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl ListenerSource for News {
    async fn next(&mut self) -> Result<Option<ListenerNews>, GuestError> {
        Ok(self.0.pop())
    }
}

#[async_trait]
impl FileSource for Said {
    async fn next(&mut self) -> Result<Option<Bytes>, GuestError> {
        Ok(self.0.take())
    }
}

fn unknown(name: &str) -> GuestError {
    GuestError::NotFound(format!("no such service: {name}"))
}

#[async_trait]
impl GuestServices for TestProject {
    async fn set(&self, services: Vec<ServiceSpec>) -> Result<Vec<ServiceStatus>, GuestError> {
        let running = |spec: ServiceSpec| ServiceStatus {
            name: spec.name,
            state: ServiceState::Running,
            pid: Some(7),
            restarts: 0,
            exit: None,
            since: Timestamp::UNIX_EPOCH,
            origin: ServiceOrigin::Project,
            why: None,
        };
        *self.services.lock().unwrap() = services.into_iter().map(running).collect();
        self.list().await
    }

    async fn list(&self) -> Result<Vec<ServiceStatus>, GuestError> {
        Ok(self.services.lock().unwrap().clone())
    }

    async fn turn(&self, name: &str, turn: ServiceTurn) -> Result<ServiceStatus, GuestError> {
        let mut services = self.services.lock().unwrap();
        let found = services.iter_mut().find(|status| status.name == name).ok_or_else(|| unknown(name))?;
        found.state = match turn {
            ServiceTurn::Start | ServiceTurn::Restart => ServiceState::Running,
            ServiceTurn::Stop => ServiceState::Ended,
        };
        Ok(found.clone())
    }

    async fn log(
        &self,
        name: &str,
        _following: Following,
        tail: Option<u32>,
    ) -> Result<Box<dyn FileSource>, GuestError> {
        if !self.services.lock().unwrap().iter().any(|status| status.name == name) {
            return Err(unknown(name));
        }
        let lines = tail.map_or("all".to_owned(), |lines| lines.to_string());
        Ok(Box::new(Said(Some(Bytes::from(format!("{name} said {lines}\n"))))))
    }
}
