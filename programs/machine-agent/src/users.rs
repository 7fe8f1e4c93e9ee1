//! Users of the guest, from /etc/passwd and /etc/group as text: glibc's own look-up would load
//! the guest's libraries into this static binary. Who was found is known until a file changes.

use crate::failure::failed;
use machine_agent_protocol::{Failed, FailureCode, User};
use std::cell::RefCell;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";
/// So many users are remembered; a guest rarely has more that run commands.
const REMEMBERED: usize = 32;
/// A file may change twice within one tick of the file system's clock and look the same after it. One that
/// changed so recently is not trusted to show its next change.
const YOUNG: Duration = Duration::from_secs(2);

/// Who a command or a file operation runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// All groups, the first one too.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
    pub(crate) shell: String,
}

/// What tells one state of a file from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Who was found in the files as they were then.
#[derive(Debug, Default)]
struct Known {
    stamps: Option<[Option<Stamp>; 2]>,
    accounts: Vec<(User, Account)>,
}

thread_local! {
    /// Reading and parsing both files costs an emulated processor as much as a tenth of a short command.
    static KNOWN: RefCell<Known> = RefCell::new(Known::default());
}

/// Finds a user; nobody said is root.
pub(crate) fn find(user: Option<&User>) -> Result<Account, Failed> {
    let user = user.unwrap_or(&User::Uid(0));
    KNOWN.with_borrow_mut(|known| known.find(user, [PASSWD, GROUP].map(Path::new), SystemTime::now))
}

impl Known {
    fn find(
        &mut self,
        user: &User,
        [passwd, group]: [&Path; 2],
        now: impl Fn() -> SystemTime,
    ) -> Result<Account, Failed> {
        // Before the files are read: what changes meanwhile has another stamp next time.
        let stamps = [stamp(passwd), stamp(group)];
        if self.stamps != Some(stamps) {
            *self = Self { stamps: Some(stamps), accounts: Vec::new() };
        }
        if let Some((_, account)) = self.accounts.iter().find(|(known, _)| known == user) {
            return Ok(account.clone());
        }
        let account = look_up(user, &read(passwd)?, &read(group)?)?;
        let now = now();
        if stamps.iter().flatten().all(|stamp| stamp.is_settled(now)) && self.accounts.len() < REMEMBERED {
            self.accounts.push((user.clone(), account.clone()));
        }
        Ok(account)
    }
}

impl Stamp {
    fn is_settled(&self, now: SystemTime) -> bool {
        // The guest's clock may be set at any time: a file of the future is as doubtful as one of just now.
        let seconds = u64::try_from(self.changed.0).unwrap_or_default();
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        now.duration_since(changed).is_ok_and(|age| age > YOUNG)
    }
}

/// `None` for a file that is not there.
fn stamp(path: &Path) -> Option<Stamp> {
    std::fs::metadata(path).ok().map(|metadata: Metadata| Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

fn read(path: &Path) -> Result<String, Failed> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(failed(format_args!("cannot read {}", path.display()), &error)),
    }
}

fn look_up(user: &User, passwd: &str, group: &str) -> Result<Account, Failed> {
    let mut accounts = passwd.lines().filter_map(parse_account);
    let found = match user {
        User::Name(name) => accounts.find(|account| account.name == *name),
        User::Uid(uid) => accounts.find(|account| account.uid == *uid),
    };
    let number = match user {
        User::Name(name) => name.parse().ok(),
        User::Uid(uid) => Some(*uid),
    };
    let mut account = match (found, number) {
        (Some(account), _) => account,
        (None, Some(uid)) => nameless(uid),
        (None, None) => {
            let User::Name(name) = user else { return Ok(nameless(0)) };
            return Err(Failed {
                code: FailureCode::UserUnknown,
                message: format!("no such user in the guest: {name}"),
            });
        }
    };
    account.groups = vec![account.gid];
    account.groups.extend(group.lines().filter_map(|line| group_of(line, &account.name)));
    account.groups.dedup();
    Ok(account)
}

/// A number that is not in /etc/passwd may be used all the same.
fn nameless(uid: u32) -> Account {
    let (name, home) = if uid == 0 { ("root".to_owned(), "/root") } else { (uid.to_string(), "/") };
    Account { name, uid, gid: uid, groups: vec![uid], home: home.to_owned(), shell: "/bin/sh".to_owned() }
}

fn parse_account(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let or = |text: Option<&str>, other: &str| match text {
        None | Some("") => other.to_owned(),
        Some(text) => text.to_owned(),
    };
    let home = or(fields.nth(1), "/");
    let shell = or(fields.next(), "/bin/sh");
    Some(Account { name, uid, gid, groups: Vec::new(), home, shell })
}

fn group_of(line: &str, user: &str) -> Option<u32> {
    let mut fields = line.split(':');
    let gid = fields.nth(2)?.parse().ok()?;
    fields.next()?.split(',').any(|member| member == user).then_some(gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/bash\nnonsense\nann:x:1000:1001:Ann,,,:/home/ann:\n";
    const GROUPS: &str = "root:x:0:\nann:x:1001:\nsudo:x:27:bob,ann\nplug:x:46:bob\n";

    #[test]
    fn a_user_is_found_by_name_and_number() {
        for user in [User::Name("ann".into()), User::Uid(1000), User::Name("1000".into())] {
            let account = look_up(&user, USERS, GROUPS);
            match user {
                User::Name(name) if name == "1000" => assert_eq!(account.unwrap().uid, 1000),
                User::Name(_) | User::Uid(_) => {
                    let account = account.unwrap();
                    assert_eq!((account.uid, account.gid, account.groups), (1000, 1001, vec![1001, 27]));
                    assert_eq!((account.home.as_str(), account.shell.as_str()), ("/home/ann", "/bin/sh"));
                }
            }
        }
    }

    #[test]
    fn root_needs_no_passwd_and_nobody_else_is_invented() {
        assert_eq!(look_up(&User::Uid(0), "", "").unwrap().home, "/root");
        assert_eq!(look_up(&User::Name("eve".into()), USERS, GROUPS).unwrap_err().code, FailureCode::UserUnknown);
    }

    #[test]
    fn a_changed_file_is_noticed_however_it_was_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (passwd, group) = (folder.path().join("passwd"), folder.path().join("group"));
        let mut known = Known::default();
        let ann = User::Name("ann".into());
        assert_eq!(known.find(&ann, [&passwd, &group], SystemTime::now).unwrap_err().code, FailureCode::UserUnknown);
        for uid in 1000..1020 {
            // Same length, same inode, within one tick of the clock.
            std::fs::write(&passwd, format!("ann:x:{uid}:1001:Ann:/home/ann:\n")).unwrap();
            assert_eq!(known.find(&ann, [&passwd, &group], SystemTime::now).unwrap().uid, uid);
        }
        std::fs::write(&group, GROUPS).unwrap();
        assert_eq!(known.find(&ann, [&passwd, &group], SystemTime::now).unwrap().groups, vec![1001, 27]);
        std::fs::remove_file(&passwd).unwrap();
        assert_eq!(known.find(&ann, [&passwd, &group], SystemTime::now).unwrap_err().code, FailureCode::UserUnknown);
    }

    #[test]
    fn only_a_file_that_rested_is_remembered() {
        let at = |seconds| Stamp { device: 1, inode: 1, size: 1, modified: (0, 0), changed: (seconds, 999) };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        assert!(at(990).is_settled(now));
        assert!(!at(999).is_settled(now));
        assert!(!at(1001).is_settled(now));
    }

    #[test]
    fn a_settled_file_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let (passwd, group) = (folder.path().join("passwd"), folder.path().join("group"));
        std::fs::write(&passwd, USERS).unwrap();
        let mut known = Known::default();
        let later = || SystemTime::now() + YOUNG * 2;
        let account = known.find(&User::Uid(1000), [&passwd, &group], later).unwrap();
        assert_eq!(known.accounts, [(User::Uid(1000), account.clone())]);
        assert_eq!(known.find(&User::Uid(1000), [&passwd, &group], later).unwrap(), account);
        std::fs::write(&passwd, "ann:x:1000:7::/:\n").unwrap();
        assert_eq!(known.find(&User::Uid(1000), [&passwd, &group], later).unwrap().gid, 7);
    }
}
