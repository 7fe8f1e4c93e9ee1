//! Keeps core's promise of what a guest does for a project.

use std::sync::Arc;

use async_trait::async_trait;
use machine_agent_protocol as wire;
use machine_core::mount::Access;
use machine_core::network::Transport;
use machine_core::promise::guest::GuestError;
use machine_core::promise::project as core;
use machine_core::promise::service::GuestServices;

use super::service::Kept;
use crate::{GuestLink, ListenerStream};

pub(super) struct Project(pub(super) GuestLink);

struct Listening(ListenerStream);

#[async_trait]
impl core::GuestProject for Project {
    async fn mount(&self, mount: &core::GuestMount) -> Result<(), GuestError> {
        Ok(self.0.mount(to_mount(mount)).await?)
    }

    async fn unmount(&self, target: &str) -> Result<(), GuestError> {
        Ok(self.0.unmount(wire::Unmount { target: target.into() }).await?)
    }

    async fn touch(&self, target: &str, changes: &[core::HostChange]) -> Result<(), GuestError> {
        let changes = changes.iter().map(to_change).collect();
        Ok(self.0.touch(wire::Touch { target: target.into(), changes }).await?)
    }

    async fn put_secrets(&self, secrets: &core::Secrets) -> Result<(), GuestError> {
        let one = |(name, value): &(String, Vec<u8>)| wire::Secret { name: name.clone(), value: value.clone() };
        let (uid, secrets) = (secrets.uid, secrets.entries.iter().map(one).collect());
        Ok(self.0.put_secrets(wire::PutSecrets { secrets, uid }).await?)
    }

    async fn ensure_user(&self, user: &core::GuestUser) -> Result<(), GuestError> {
        let sudo = match user.sudo {
            core::Sudo::Refused => false,
            core::Sudo::Allowed => true,
        };
        let (name, shell) = (user.name.clone(), user.shell.clone());
        let core::GuestOwner { uid, gid } = user.owner;
        Ok(self.0.ensure_user(wire::EnsureUser { name, uid, gid, shell, sudo }).await?)
    }

    async fn listeners(&self, following: core::Following) -> Result<Box<dyn core::ListenerSource>, GuestError> {
        let asked = wire::Listeners { follow: follows(following) };
        Ok(Box::new(Listening(self.0.listeners(asked).await?)))
    }

    fn services(&self) -> Arc<dyn GuestServices> {
        Arc::new(Kept(self.0.clone()))
    }
}

#[async_trait]
impl core::ListenerSource for Listening {
    async fn next(&mut self) -> Result<Option<core::ListenerNews>, GuestError> {
        Ok(self.0.next().await?.map(|news| {
            let all = |listeners: Vec<wire::Listener>| listeners.into_iter().map(to_listener).collect();
            core::ListenerNews { opened: all(news.opened), closed: all(news.closed) }
        }))
    }
}

pub(super) fn follows(following: core::Following) -> bool {
    match following {
        core::Following::No => false,
        core::Following::Yes => true,
    }
}

pub(crate) fn to_mount(mount: &core::GuestMount) -> wire::Mount {
    wire::Mount {
        tag: mount.tag.clone(),
        target: mount.target.as_str().into(),
        access: match mount.access {
            Access::ReadWrite => wire::MountAccess::ReadWrite,
            Access::ReadOnly => wire::MountAccess::ReadOnly,
        },
        excludes: mount.exclude.iter().map(|exclude| exclude.as_str().into()).collect(),
        owner: wire::Owner { uid: mount.owner.uid, gid: mount.owner.gid },
    }
}

fn to_change(change: &core::HostChange) -> wire::Change {
    let kind = match change.kind {
        core::HostChangeKind::Modified => wire::ChangeKind::Modified,
        core::HostChangeKind::Created => wire::ChangeKind::Created,
        core::HostChangeKind::Removed => wire::ChangeKind::Removed,
        core::HostChangeKind::Attributes => wire::ChangeKind::Attributes,
    };
    wire::Change { path: change.path.clone().into(), kind }
}

fn to_listener(listener: wire::Listener) -> core::Listener {
    core::Listener {
        port: listener.port,
        transport: match listener.transport {
            wire::Transport::Tcp => Transport::Tcp,
            wire::Transport::Udp => Transport::Udp,
        },
        address: match listener.address {
            wire::ListenAddress::Any => core::ListenAddress::Any,
            wire::ListenAddress::Loopback => core::ListenAddress::Loopback,
            wire::ListenAddress::Other => core::ListenAddress::Other,
        },
        uid: listener.uid,
        program: listener.program.map(|name| plain(&name, wire::Listeners::LONGEST_PROGRAM)),
    }
}

/// A guest's words are shown to people, so they are short and plain.
pub(super) fn plain(word: &str, longest: usize) -> String {
    word.chars().take(longest).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_name_is_short_and_plain() {
        let (address, program) = (wire::ListenAddress::Loopback, Some("\u{1b}[2J".repeat(100)));
        let said = wire::Listener { port: 80, transport: wire::Transport::Udp, address, uid: 7, program };
        let listener = to_listener(said);
        let name = listener.program.unwrap();
        assert!(name.chars().count() == 32 && !name.contains('\u{1b}'), "{name:?}");
        assert_eq!((listener.port, listener.transport), (80, Transport::Udp));
    }
}
