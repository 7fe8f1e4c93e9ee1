//! Users of the guest, from /etc/passwd and /etc/group as text: glibc's own look-up would load
//! the guest's libraries into this static binary.

use crate::failure::failed;
use machine_agent_protocol::{Failed, FailureCode, User};
use std::io;

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

/// Finds a user; nobody said is root.
pub(crate) fn find(user: Option<&User>) -> Result<Account, Failed> {
    let passwd = read("/etc/passwd")?;
    let group = read("/etc/group")?;
    look_up(user.unwrap_or(&User::Uid(0)), &passwd, &group)
}

fn read(path: &str) -> Result<String, Failed> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(failed(format_args!("cannot read {path}"), &error)),
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

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nnonsense\nann:x:1000:1001:Ann,,,:/home/ann:\n";
    const GROUP: &str = "root:x:0:\nann:x:1001:\nsudo:x:27:bob,ann\nplug:x:46:bob\n";

    #[test]
    fn a_user_is_found_by_name_and_number() {
        for user in [User::Name("ann".into()), User::Uid(1000), User::Name("1000".into())] {
            let account = look_up(&user, PASSWD, GROUP);
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
        assert_eq!(look_up(&User::Name("eve".into()), PASSWD, GROUP).unwrap_err().code, FailureCode::UserUnknown);
    }
}
