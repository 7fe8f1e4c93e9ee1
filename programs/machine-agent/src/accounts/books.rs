//! What /etc/passwd and its kin say with a user in them. Pure: text to text.

use machine_agent_protocol::{EnsureUser, Failed, FailureCode};

/// One who starts containers.
const DOCKER: &str = "docker";

/// The files that know users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Book {
    Passwd,
    Group,
    Shadow,
    SubUid,
    SubGid,
}

impl Book {
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Passwd => "etc/passwd",
            Self::Group => "etc/group",
            Self::Shadow => "etc/shadow",
            Self::SubUid => "etc/subuid",
            Self::SubGid => "etc/subgid",
        }
    }

    /// Of one that is new.
    pub(super) fn mode(self) -> u32 {
        match self {
            Self::Passwd | Self::Group | Self::SubUid | Self::SubGid => 0o644,
            Self::Shadow => 0o640,
        }
    }
}

/// All of them; what is not there is `None` and stays away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Books {
    passwd: String,
    group: String,
    shadow: Option<String>,
    subuid: Option<String>,
    subgid: Option<String>,
}

impl Books {
    pub(super) fn put(&mut self, book: Book, text: Option<String>) {
        match book {
            Book::Passwd => self.passwd = text.unwrap_or_default(),
            Book::Group => self.group = text.unwrap_or_default(),
            Book::Shadow => self.shadow = text,
            Book::SubUid => self.subuid = text,
            Book::SubGid => self.subgid = text,
        }
    }

    pub(super) fn get(&self, book: Book) -> &str {
        match book {
            Book::Passwd => &self.passwd,
            Book::Group => &self.group,
            Book::Shadow => self.shadow.as_deref().unwrap_or_default(),
            Book::SubUid => self.subuid.as_deref().unwrap_or_default(),
            Book::SubGid => self.subgid.as_deref().unwrap_or_default(),
        }
    }

    /// The user comes last: whoever finds the line finds all the rest.
    pub(super) fn all(&self) -> impl Iterator<Item = (Book, &str)> {
        [Book::SubUid, Book::SubGid, Book::Shadow, Book::Group, Book::Passwd]
            .map(|book| (book, self.get(book)))
            .into_iter()
    }
}

/// Where the user's home was and is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Homes {
    /// Of the name before, if it is another.
    pub(super) old: Option<String>,
    pub(super) new: String,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) books: Books,
    pub(super) homes: Homes,
}

/// A line of a user.
struct Line<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    comment: &'a str,
    home: &'a str,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let (comment, home) = (fields.next()?, fields.next()?);
        Some(Self { name, uid, gid, comment, home })
    }
}

/// Puts the user in.
pub(super) fn plan(before: &Books, user: &EnsureUser, shell: &str) -> Result<Planned, Failed> {
    let lines = || before.passwd.lines().filter_map(Line::parse);
    if let Some(other) = lines().find(|line| line.name == user.name && line.uid != user.uid) {
        let message = format!("the guest's user {} has the number {}, not {}", user.name, other.uid, user.uid);
        return Err(Failed { code: FailureCode::AlreadyExists, message });
    }
    let found = lines().find(|line| line.uid == user.uid);
    let usual = format!("/home/{}", user.name);
    let homes = match &found {
        Some(line) if line.name == user.name => Homes { old: None, new: line.home.to_owned() },
        Some(line) => Homes { old: Some(line.home.to_owned()).filter(|old| *old != usual), new: usual },
        None => Homes { old: None, new: usual },
    };
    let comment = found.as_ref().map_or("", |line| line.comment);
    let (name, uid, gid) = (&user.name, user.uid, user.gid);
    let own = format!("{name}:x:{uid}:{gid}:{comment}:{}:{shell}", homes.new);
    let is_theirs = |line: &str| Line::parse(line).is_some_and(|line| line.uid == uid);
    let was = found.as_ref().map_or(name.as_str(), |line| line.name);
    let group = groups(&before.group, user, was, found.as_ref().map(|line| line.gid));
    let renamed = |text: &Option<String>| text.as_ref().map(|text| rename(text, was, name));
    let books = Books {
        passwd: with_line(&before.passwd, is_theirs, &own),
        group,
        shadow: renamed(&before.shadow).map(|text| shadow(&text, name)),
        subuid: renamed(&before.subuid),
        subgid: renamed(&before.subgid),
    };
    Ok(Planned { books, homes })
}

/// With `own` in place of the first line that is theirs, or at the end.
fn with_line(text: &str, is_theirs: impl Fn(&str) -> bool, own: &str) -> String {
    let mut there = false;
    let mut all = String::with_capacity(text.len() + own.len() + 1);
    for line in text.lines() {
        let this = !there && is_theirs(line);
        there |= this;
        all += if this { own } else { line };
        all.push('\n');
    }
    if !there {
        all += own;
        all.push('\n');
    }
    all
}

/// The lines that begin with a name begin with the other.
fn rename(text: &str, was: &str, name: &str) -> String {
    let mut all = String::with_capacity(text.len());
    for line in text.lines() {
        match line.split_once(':') {
            Some((first, rest)) if first == was => all += &format!("{name}:{rest}\n"),
            Some(_) | None => all += &format!("{line}\n"),
        }
    }
    all
}

/// One who has no password, and comes in otherwise.
fn shadow(text: &str, name: &str) -> String {
    if text.lines().any(|line| line.split(':').next() == Some(name)) {
        return text.to_owned();
    }
    format!("{text}{name}:!:::::::\n")
}

/// The groups: the user's own by its number, in every list the user by the new name, and docker's.
fn groups(text: &str, user: &EnsureUser, was: &str, had: Option<u32>) -> String {
    let number = |line: &str| line.split(':').nth(2).and_then(|gid| gid.parse::<u32>().ok());
    let taken = text.lines().any(|line| number(line) == Some(user.gid));
    let mut all = String::with_capacity(text.len());
    let (mut has_name, mut has_number) = (false, false);
    for line in text.lines() {
        let mut fields: Vec<String> = line.split(':').map(str::to_owned).collect();
        if let [name, _, gid, members] = fields.as_mut_slice() {
            // Their own group, of the same name, goes with them.
            if *name == was && (number(line) == Some(user.gid) || (number(line) == had && !taken)) {
                (*name, *gid) = (user.name.clone(), user.gid.to_string());
            }
            let mut names: Vec<&str> = members.split(',').filter(|member| !member.is_empty()).collect();
            names.iter_mut().filter(|member| **member == was).for_each(|member| *member = &user.name);
            if name == DOCKER && !names.contains(&user.name.as_str()) {
                names.push(&user.name);
            }
            *members = names.join(",");
            has_name |= *name == user.name;
            has_number |= *gid == user.gid.to_string();
        }
        all += &fields.join(":");
        all.push('\n');
    }
    if !has_number {
        // A name that another group has is not taken away from it.
        let name = if has_name { format!("g{}", user.gid) } else { user.name.clone() };
        all += &format!("{name}:x:{}:\n", user.gid);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nuser:x:1000:1000:The user:/home/user:/bin/sh\n";
    const GROUP: &str = "root:x:0:\ndialout:x:20:user\ndocker:x:998:\nuser:x:1000:\n";

    fn books() -> Books {
        Books {
            passwd: PASSWD.into(),
            group: GROUP.into(),
            shadow: Some("root:*:1::::::\nuser:!:1::::::\n".into()),
            subuid: Some("user:100000:65536\n".into()),
            subgid: None,
        }
    }

    fn ann(uid: u32, gid: u32) -> EnsureUser {
        EnsureUser { name: "ann".into(), uid, gid, shell: None, sudo: false }
    }

    #[test]
    fn the_templates_user_is_renamed_and_not_doubled() {
        let planned = plan(&books(), &ann(1000, 1000), "/bin/bash").unwrap();
        assert!(planned.books.passwd.ends_with("\nann:x:1000:1000:The user:/home/ann:/bin/bash\n"));
        assert_eq!(planned.books.passwd.lines().count(), 2);
        assert_eq!(planned.books.group, "root:x:0:\ndialout:x:20:ann\ndocker:x:998:ann\nann:x:1000:\n");
        assert_eq!(planned.books.shadow.as_deref(), Some("root:*:1::::::\nann:!:1::::::\n"));
        assert_eq!(planned.books.subuid.as_deref(), Some("ann:100000:65536\n"));
        assert_eq!(planned.books.subgid, None);
        assert_eq!(planned.homes, Homes { old: Some("/home/user".into()), new: "/home/ann".into() });
        let again = plan(&planned.books, &ann(1000, 1000), "/bin/bash").unwrap();
        assert_eq!(again.books, planned.books);
        assert_eq!(again.homes, Homes { old: None, new: "/home/ann".into() });
    }

    #[test]
    fn a_new_user_comes_beside_the_others() {
        let planned = plan(&books(), &ann(1001, 1001), "/bin/sh").unwrap();
        assert!(planned.books.passwd.ends_with("user:/home/user:/bin/sh\nann:x:1001:1001::/home/ann:/bin/sh\n"));
        assert!(planned.books.group.ends_with("user:x:1000:\nann:x:1001:\n"));
        assert!(planned.books.shadow.unwrap().ends_with("\nann:!:::::::\n"));
    }

    #[test]
    fn a_group_of_the_number_is_used_whatever_its_name() {
        let planned = plan(&books(), &ann(501, 20), "/bin/sh").unwrap();
        assert!(planned.books.passwd.ends_with("ann:x:501:20::/home/ann:/bin/sh\n"));
        assert_eq!(planned.books.group, GROUP.replace("998:", "998:ann"));
        let moved = plan(&books(), &ann(1000, 20), "/bin/sh").unwrap();
        assert!(moved.books.group.contains("\nuser:x:1000:"), "the group that was theirs stays for what it owns");
    }

    #[test]
    fn the_number_of_their_own_group_may_change() {
        let planned = plan(&books(), &ann(1000, 1234), "/bin/sh").unwrap();
        assert!(planned.books.group.ends_with("ann:x:1234:\n"), "{}", planned.books.group);
    }

    #[test]
    fn a_name_of_somebody_else_is_refused() {
        let mut user = ann(1001, 1001);
        user.name = "user".into();
        assert_eq!(plan(&books(), &user, "/bin/sh").unwrap_err().code, FailureCode::AlreadyExists);
    }

    #[test]
    fn a_book_with_nonsense_in_it_keeps_it() {
        let mut strange = books();
        strange.passwd += "nonsense\n::::::\n";
        strange.group += "nonsense\n";
        let planned = plan(&strange, &ann(1001, 1001), "/bin/sh").unwrap();
        assert!(planned.books.passwd.contains("nonsense\n::::::\n"));
        assert!(planned.books.group.contains("\nnonsense\n"));
    }
}
