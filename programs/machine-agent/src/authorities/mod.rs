//! Certificate authorities that the host passes on: trusted in the guest beside its own, until the host says others.
//!
//! ```text
//! /usr/local/share/ca-certificates/machine-host-N.crt   each that the guest did not trust by itself
//!                                  machine-host.pem     all of them, for programs with a list of their own
//! /etc/ssl/certs/ca-certificates.crt                    all that the guest trusts: ours at the end
//!                HASH.N ─▶ machine-host-N.crt           where OpenSSL looks
//! ```
//! The guest's own tool for this takes an emulated guest seconds. What it would do is done here, and it does the same
//! when somebody runs it later. A guest without a list of authorities only gets the first two.

mod bundle;
mod subject;

use crate::content;
use crate::failure::failed;
use crate::house::DefaultEnv;
use machine_agent_protocol::Failed;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

pub(crate) use bundle::certificate;

/// What a file of ours is called: this, and more.
const OURS: &str = "machine-host";
const MODE: u32 = 0o644;
/// So many subjects of one hash are no accident.
const MOST_LINKS: u32 = 16;
/// Variables that lead programs with lists of their own to ours.
const LISTS: [&str; 3] = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"];
/// Beside its own list.
const MORE: &str = "NODE_EXTRA_CA_CERTS";

/// What a guest trusts of a host's.
#[derive(Debug, Clone)]
pub(crate) struct Trusted {
    trust: Trust,
    /// Those that were added to its own.
    held: Vec<String>,
    /// Those that it was told of; unknown what, before anybody told it.
    told: Option<Vec<String>>,
    /// Where programs are told to look.
    variables: DefaultEnv,
}

impl Trusted {
    /// As its disk says.
    pub(crate) fn of_guest() -> Self {
        Self::of(Trust::below(Path::new("/")))
    }

    fn of(trust: Trust) -> Self {
        Self { held: trust.held(), trust, told: None, variables: DefaultEnv::new() }
    }

    /// Whether these are trusted, and no others.
    pub(crate) fn is(&self, wanted: &[String]) -> bool {
        match &self.told {
            Some(told) => told == wanted,
            None => self.held.is_empty() && wanted.is_empty(),
        }
    }

    /// Where programs are told to look.
    pub(crate) fn variables(&self) -> &DefaultEnv {
        &self.variables
    }

    /// Trusts these in place of those before.
    pub(crate) fn become_these(&mut self, wanted: Vec<String>) -> Result<(), Failed> {
        if self.is(&wanted) {
            return Ok(());
        }
        self.told = None;
        let replaced = self.trust.replace(&self.held, &wanted);
        replaced.map_err(|error| failed("cannot trust the host's certificate authorities", &error))?;
        (self.held, self.variables) = (self.trust.held(), self.trust.environment(&wanted));
        self.told = Some(wanted);
        Ok(())
    }
}

/// Where a guest keeps what it trusts.
#[derive(Debug, Clone)]
struct Trust {
    local: PathBuf,
    certs: PathBuf,
}

impl Trust {
    fn below(root: &Path) -> Self {
        Self { local: root.join("usr/local/share/ca-certificates"), certs: root.join("etc/ssl/certs") }
    }

    /// The authorities of the host that were added before.
    fn held(&self) -> Vec<String> {
        (1..).map_while(|number| fs::read_to_string(self.file(number)).ok()).collect()
    }

    /// Trusts these in place of those that were added before.
    fn replace(&self, held: &[String], wanted: &[String]) -> io::Result<()> {
        let list = self.list();
        let has = match fs::read_to_string(&list) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let own = has.as_deref().map(|text| bundle::without(text, held));
        let added = bundle::strangers(own.as_deref().unwrap_or_default(), wanted);
        let differ = added != held;
        // What was added is known by its file: first it leaves the list, then its file goes.
        if let Some(own) = own.as_ref().filter(|_| differ && !held.is_empty()) {
            self.unlink(held)?;
            content::replace(&list, own, MODE)?;
        }
        if differ {
            self.write_files(held.len(), &added)?;
        }
        self.write_all(wanted)?;
        let Some(own) = own else { return Ok(()) };
        let now = if differ { &own } else { has.as_ref().unwrap_or(&own) };
        let all = bundle::with(own.clone(), &added);
        match all.strip_prefix(now.as_str()) {
            // The list is long, and the disk cold.
            Some(more) => File::options().append(true).open(&list)?.write_all(more.as_bytes())?,
            None => content::replace(&list, &all, MODE)?,
        }
        self.link(&added)
    }

    /// What programs are told that do not look where the guest's own do.
    fn environment(&self, wanted: &[String]) -> DefaultEnv {
        if wanted.is_empty() {
            return DefaultEnv::new();
        }
        let list = self.list();
        let lists = LISTS.into_iter().filter(|_| list.exists()).map(|name| (name, list.clone()));
        let all = lists.chain([(MORE, self.all())]);
        all.map(|(name, path)| (name.to_owned(), path.display().to_string())).collect()
    }

    fn list(&self) -> PathBuf {
        self.certs.join("ca-certificates.crt")
    }

    fn all(&self) -> PathBuf {
        self.local.join(format!("{OURS}.pem"))
    }

    fn file(&self, number: usize) -> PathBuf {
        self.local.join(format!("{OURS}-{number}.crt"))
    }

    fn write_files(&self, before: usize, added: &[String]) -> io::Result<()> {
        fs::create_dir_all(&self.local)?;
        for (number, text) in (1..).zip(added) {
            content::replace(&self.file(number), text, MODE)?;
        }
        // From the last on: what is left is what `held` finds.
        (added.len() + 1..=before).rev().try_for_each(|number| content::remove(&self.file(number)))
    }

    fn write_all(&self, wanted: &[String]) -> io::Result<()> {
        if wanted.is_empty() {
            return content::remove(&self.all());
        }
        fs::create_dir_all(&self.local)?;
        content::replace(&self.all(), &wanted.concat(), MODE)
    }

    fn link(&self, added: &[String]) -> io::Result<()> {
        for (number, text) in (1..).zip(added) {
            let Some(hash) = subject::hash(text) else { continue };
            let target = self.file(number);
            // One that is there already, ours or somebody's of the same subject, is passed by.
            for path in self.links(hash) {
                match symlink(&target, &path) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        if fs::read_link(&path).is_ok_and(|leads| leads == target) {
                            break;
                        }
                    }
                    linked => {
                        linked?;
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    fn unlink(&self, held: &[String]) -> io::Result<()> {
        for (number, text) in (1_usize..).zip(held) {
            // What the guest's own tool made of our files goes, too.
            let made = self.certs.join(format!("{OURS}-{number}.pem"));
            for path in subject::hash(text).into_iter().flat_map(|hash| self.links(hash)).chain([made]) {
                if fs::read_link(&path).is_ok_and(|leads| is_ours(&leads)) {
                    content::remove(&path)?;
                }
            }
        }
        Ok(())
    }

    fn links(&self, hash: u32) -> impl Iterator<Item = PathBuf> {
        (0..MOST_LINKS).map(move |number| self.certs.join(format!("{hash:08x}.{number}")))
    }
}

fn is_ours(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(OURS))
}

#[cfg(test)]
mod tests {
    use super::subject::tests::{ODD, ODD_HASH, PLAIN, PLAIN_HASH};
    use super::*;
    use tempfile::TempDir;

    const OWN: &str = "-----BEGIN CERTIFICATE-----\nb3du\n-----END CERTIFICATE-----\n";

    fn guest() -> (TempDir, Trust) {
        let folder = tempfile::tempdir().unwrap();
        let trust = Trust::below(folder.path());
        fs::create_dir_all(&trust.certs).unwrap();
        fs::write(trust.list(), OWN).unwrap();
        (folder, trust)
    }

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|text| certificate(text).unwrap()).collect()
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_trusted_already_is_not_looked_at_again() {
        let (folder, trust) = guest();
        let mut trusted = Trusted::of(trust);
        assert!(trusted.is(&[]), "nothing was added to its own");
        let wanted = texts(&[PLAIN]);
        assert!(!trusted.is(&wanted));
        trusted.become_these(wanted.clone()).unwrap();
        assert!(trusted.is(&wanted) && !trusted.is(&[]));
        assert!(trusted.variables().contains_key(MORE));
        let list = folder.path().join("etc/ssl/certs/ca-certificates.crt");
        fs::write(&list, "changed since").unwrap();
        trusted.become_these(wanted).unwrap();
        assert_eq!(fs::read_to_string(&list).unwrap(), "changed since");
        trusted.become_these(Vec::new()).unwrap();
        assert!(trusted.is(&[]) && trusted.variables().is_empty());
    }

    fn check(trust: &Trust, wanted: &[&str]) {
        let wanted = texts(wanted);
        trust.replace(&trust.held(), &wanted).unwrap();
        assert_eq!(fs::read_to_string(trust.list()).unwrap(), [&[OWN.to_owned()], &wanted[..]].concat().concat());
        assert_eq!(trust.held(), wanted);
    }

    #[test]
    fn what_the_host_trusts_is_trusted_until_it_says_otherwise() {
        let (_folder, trust) = guest();
        for wanted in [&[PLAIN, ODD][..], &[PLAIN, ODD], &[ODD], &[PLAIN], &[]] {
            check(&trust, wanted);
        }
        assert_eq!(names(&trust.certs), ["ca-certificates.crt"]);
        assert!(names(&trust.local).is_empty());
    }

    #[test]
    fn openssl_finds_each_by_its_subject() {
        let (_folder, trust) = guest();
        check(&trust, &[PLAIN, ODD]);
        for (hash, number) in [(PLAIN_HASH, 1), (ODD_HASH, 2)] {
            let link = trust.certs.join(format!("{hash:08x}.0"));
            assert_eq!(fs::read_link(link).unwrap(), trust.file(number));
        }
    }

    #[test]
    fn what_the_guest_trusts_by_itself_stays_its_own() {
        let (_folder, trust) = guest();
        trust.replace(&[], &texts(&[OWN, PLAIN])).unwrap();
        assert_eq!(trust.held(), texts(&[PLAIN]));
        assert_eq!(fs::read_to_string(trust.all()).unwrap(), texts(&[OWN, PLAIN]).concat());
        check(&trust, &[]);
    }

    #[test]
    fn ours_leave_a_list_that_the_guests_tool_made_anew() {
        let (_folder, trust) = guest();
        check(&trust, &[PLAIN]);
        let [plain] = &texts(&[PLAIN])[..] else { panic!("one") };
        fs::write(trust.list(), [plain, OWN].concat()).unwrap();
        symlink(trust.file(1), trust.certs.join("machine-host-1.pem")).unwrap();
        check(&trust, &[]);
        assert_eq!(names(&trust.certs), ["ca-certificates.crt"]);
    }

    #[test]
    fn a_guest_without_a_list_keeps_them_for_one_that_comes() {
        let folder = tempfile::tempdir().unwrap();
        let trust = Trust::below(folder.path());
        trust.replace(&[], &texts(&[PLAIN])).unwrap();
        assert_eq!(trust.held(), texts(&[PLAIN]));
        assert!(!trust.certs.exists());
        assert_eq!(trust.environment(&texts(&[PLAIN])).into_keys().collect::<Vec<_>>(), [MORE]);
        trust.replace(&trust.held(), &[]).unwrap();
        assert!(names(&trust.local).is_empty());
        assert!(trust.environment(&[]).is_empty());
    }
}
