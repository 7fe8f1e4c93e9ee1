//! Folders of the host in the guest: put one in place, take it away, say what the host changed in it. Who serves
//! them is not known here.

use crate::path::GuestPath;
use minicbor::{Decode, Encode};

/// What the guest may do to a folder of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(index_only)]
pub enum MountAccess {
    /// Everything that its owner may.
    #[default]
    #[n(0)]
    ReadWrite,
    /// Read it.
    #[n(1)]
    ReadOnly,
}

/// Who owns what the agent makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Owner {
    /// The user.
    #[n(0)]
    pub uid: u32,
    /// The group.
    #[n(1)]
    pub gid: u32,
}

/// Mount the virtiofs folder with this tag. Answered by `Done`; a repeat is success.
///
/// The device may be on its way: the agent waits some seconds for it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Mount {
    /// What the device calls itself.
    #[n(0)]
    pub tag: String,
    /// Where: absolute, and no folder of the system.
    #[n(1)]
    pub target: GuestPath,
    /// What may be done to it.
    #[n(2)]
    #[cbor(default)]
    pub access: MountAccess,
    /// Folders below it, relative, that are the guest's own.
    #[n(3)]
    #[cbor(default)]
    pub excludes: Vec<GuestPath>,
    /// Who owns the folders that are made on the way, and the guest's own.
    #[n(4)]
    #[cbor(default)]
    pub owner: Owner,
}

/// Take a mounted folder away, even if it is in use or its server is gone. Answered by `Done`; a repeat is success.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Unmount {
    /// Where it was mounted.
    #[n(0)]
    pub target: GuestPath,
}

/// The host changed these: let those who watch them in the guest know. Answered by `Done`. Nothing is changed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Touch {
    /// Where the folder is mounted.
    #[n(0)]
    pub target: GuestPath,
    /// What changed, relative to it; at most [`Touch::MOST`].
    #[n(1)]
    #[cbor(default)]
    pub changes: Vec<Change>,
}

impl Touch {
    /// No batch has more changes.
    pub const MOST: usize = 1024;
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Change {
    /// Relative to the mounted folder.
    #[n(0)]
    pub path: GuestPath,
    /// What happened.
    #[n(1)]
    pub kind: ChangeKind,
}

/// What the host did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ChangeKind {
    /// It has another content.
    #[n(0)]
    Modified,
    /// It is new.
    #[n(1)]
    Created,
    /// It is gone.
    #[n(2)]
    Removed,
    /// It has other rights or another owner.
    #[n(3)]
    Attributes,
}
