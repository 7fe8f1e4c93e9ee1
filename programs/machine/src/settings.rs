//! Every setting, resolved once. Nobody else reads the environment.

use std::ffi::OsString;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use machine_provider::Proxies;
use serde::Deserialize;
use sha2::{Digest, Sha256};

const DEFAULTS: &str = include_str!("defaults.toml");
const CONFIG: &str = "config.toml";
const SEARCH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What holds for this process.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// All state of this installation.
    pub(crate) home: PathBuf,
    /// The short folder of its sockets.
    pub(crate) runtime: PathBuf,
    /// Our own program.
    pub(crate) program: PathBuf,
    /// Where programs are looked for.
    pub(crate) search: Vec<PathBuf>,
    /// The folder in which we were called.
    pub(crate) cwd: PathBuf,
    /// Whether talk may be coloured.
    pub(crate) color: bool,
    /// Whether a machine and not a person reads.
    pub(crate) ci: bool,
    /// What is logged.
    pub(crate) log: Option<String>,
    /// The terminal's kind.
    pub(crate) term: Option<String>,
    /// The host's proxies, for machines that shall have them.
    pub(crate) proxies: Proxies,
    /// The person's own folder.
    pub(crate) personal: Option<PathBuf>,
    /// What a Machinefile may ask of the environment.
    pub(crate) environment: Environment,
}

/// Our environment, for those of a Machinefile's values that ask for a variable by its name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Environment;

impl Environment {
    /// The value of a variable; nothing, if it is not set or no text.
    #[expect(clippy::unused_self, reason = "whoever holds this may ask; nobody else reads the environment")]
    pub(crate) fn get(self, name: &str) -> Option<String> {
        variable(name).and_then(|value| value.into_string().ok())
    }
}

/// The server's own settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deadlines {
    boot_timeout: Option<u64>,
    stop_grace: Option<u64>,
}

/// The server's deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServerSettings {
    /// How long a boot may take until the agent answers.
    pub(crate) boot_timeout: Duration,
    /// How long a guest's processes have to end.
    pub(crate) stop_grace: Duration,
}

/// Why the settings cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// Neither MACHINE_HOME nor HOME nor XDG_DATA_HOME is set.
    #[error("no home for machines: set MACHINE_HOME to a folder")]
    NoHome,
    /// A folder cannot be made or is not ours.
    #[error("cannot use the folder {}: {why}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The settings file is wrong.
    #[error("cannot read {}: {why}", path.display())]
    Config {
        /// Which.
        path: PathBuf,
        /// Where and why.
        why: String,
    },
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// If there is no home.
    pub(crate) fn resolve() -> Result<Self, SettingsError> {
        let home = home().ok_or(SettingsError::NoHome)?;
        let home =
            std::path::absolute(&home).map_err(|error| SettingsError::Folder { path: home, why: error.to_string() })?;
        let search = variable("PATH").unwrap_or_else(|| SEARCH.into());
        let search = std::env::split_paths(&search).collect();
        Ok(Self {
            runtime: runtime_folder(&home),
            home,
            program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe")),
            search,
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            color: variable("NO_COLOR").is_none_or(|value| value.is_empty()),
            ci: variable("CI").is_some_and(|value| !value.is_empty()),
            log: variable("MACHINE_LOG").and_then(|value| value.into_string().ok()),
            term: variable("TERM").and_then(|value| value.into_string().ok()),
            proxies: Proxies { http: proxy("http_proxy"), https: proxy("https_proxy"), none: proxy("no_proxy") },
            personal: set("HOME"),
            environment: Environment,
        })
    }

    /// The server's socket.
    #[must_use]
    pub(crate) fn socket(&self) -> PathBuf {
        self.runtime.join("api.sock")
    }

    /// Where the server writes its log.
    #[must_use]
    pub(crate) fn server_log(&self) -> PathBuf {
        self.home.join("server.log")
    }

    /// The server's deadlines: `defaults.toml` of ours, then `config.toml` of the home.
    ///
    /// # Errors
    /// If the file cannot be read or says something we do not know.
    pub(crate) fn server(&self) -> Result<ServerSettings, SettingsError> {
        let path = self.home.join(CONFIG);
        let config = |why: String| SettingsError::Config { path: path.clone(), why };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(config(error.to_string())),
        };
        merge(&text).map_err(config)
    }

    /// Makes a folder that only we may look into; one that others own is refused.
    ///
    /// # Errors
    /// If it cannot be made or is another's.
    pub(crate) fn make_private(path: &Path) -> Result<(), SettingsError> {
        let failed = |why: String| SettingsError::Folder { path: path.to_owned(), why };
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|error| failed(error.to_string()))?;
        let owner = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.uid();
        if owner == rustix::process::geteuid().as_raw() {
            Ok(())
        } else {
            Err(failed("it belongs to another".to_owned()))
        }
    }
}

fn merge(config: &str) -> Result<ServerSettings, String> {
    let parse = |text: &str| toml::from_str::<Deadlines>(text).map_err(|error| error.to_string());
    let (ours, theirs) = (parse(DEFAULTS)?, parse(config)?);
    let seconds = |name: &str, theirs: Option<u64>, ours: Option<u64>| {
        let value = theirs.or(ours).ok_or_else(|| format!("{name} is not set"))?;
        if (1..=86_400).contains(&value) {
            Ok(Duration::from_secs(value))
        } else {
            Err(format!("{name} out of range: {value} (1 to 86400 seconds)"))
        }
    };
    Ok(ServerSettings {
        boot_timeout: seconds("boot_timeout", theirs.boot_timeout, ours.boot_timeout)?,
        stop_grace: seconds("stop_grace", theirs.stop_grace, ours.stop_grace)?,
    })
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

fn set(name: &str) -> Option<PathBuf> {
    variable(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Both spellings are in use; the small one is the older.
fn proxy(name: &str) -> Option<String> {
    let said = |name: &str| variable(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty());
    said(name).or_else(|| said(&name.to_ascii_uppercase()))
}

fn home() -> Option<PathBuf> {
    set("MACHINE_HOME")
        .or_else(|| set("XDG_DATA_HOME").map(|data| data.join("machine")))
        .or_else(|| set("HOME").map(|home| home.join(".local/share/machine")))
}

/// A folder per home, short since a socket's path has at most 107 bytes.
fn runtime_folder(home: &Path) -> PathBuf {
    let uid = rustix::process::geteuid().as_raw();
    let base = match set("XDG_RUNTIME_DIR") {
        Some(folder) if folder.is_dir() && folder.as_os_str().len() < 40 => folder.join("machine"),
        Some(_) | None if uid == 0 => PathBuf::from("/run/machine"),
        Some(_) | None => PathBuf::from(format!("/tmp/machine-{uid}")),
    };
    let hash = Sha256::digest(home.as_os_str().as_encoded_bytes());
    base.join(hash.iter().take(5).map(|byte| format!("{byte:02x}")).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_whole_and_a_file_of_the_home_wins() {
        let ours = merge("").unwrap();
        assert_eq!(ours.boot_timeout, Duration::from_secs(150));
        assert_eq!(merge("boot_timeout = 5").unwrap(), ServerSettings { boot_timeout: Duration::from_secs(5), ..ours });
    }

    #[test]
    fn an_unknown_key_or_a_senseless_value_is_refused_by_name() {
        assert!(merge("boot_timeuot = 5").unwrap_err().contains("boot_timeuot"));
        assert!(merge("stop_grace = 0").unwrap_err().contains("stop_grace"));
    }

    #[test]
    fn two_homes_never_share_sockets() {
        assert_ne!(runtime_folder(Path::new("/a")), runtime_folder(Path::new("/b")));
    }
}
