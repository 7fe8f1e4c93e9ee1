//! From what the host asked to what the kernel needs: user, folder, environment, program.

use super::login;
use super::sys::{Launch, Terminal, UMASK};
use crate::failure::{failed, invalid};
use crate::house::DefaultEnv;
use crate::users::{self, Account};
use crate::{rights, share};
use machine_agent_protocol::{Command, Exec, Failed, FailureCode, LoginShell};
use std::ffi::{CString, OsStr};
use std::fs::Metadata;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

const WORKSPACE: &str = "/workspace";
const ROOT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const USER_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games";
const SHELL: &str = "/bin/sh";

/// Whoever serves a folder of the host answers within this, or is dead.
const FOLDERS_ANSWER: Duration = Duration::from_secs(5);

/// Everything but the start itself. Where folders of the host are mounted it may have to wait for who serves them,
/// which the agent's one thread must not.
pub(crate) async fn launch(exec: &Exec, default_env: DefaultEnv, stdio: [OwnedFd; 3]) -> Result<Launch, Failed> {
    if !share::is_any() {
        return launch_at_once(exec, &default_env, stdio);
    }
    let exec = exec.clone();
    let prepared = rights::with(None, move || launch_at_once(&exec, &default_env, stdio));
    let late = |_| Err(Failed { code: FailureCode::Io, message: "a folder of the host does not answer".to_owned() });
    tokio::time::timeout(FOLDERS_ANSWER, prepared).await.unwrap_or_else(late)
}

fn launch_at_once(exec: &Exec, default_env: &DefaultEnv, stdio: [OwnedFd; 3]) -> Result<Launch, Failed> {
    let account = users::find(exec.user.as_ref())?;
    let cwd = folder(exec, &account)?;
    let env = environment(exec, &account, default_env);
    let login = exec.login.unwrap_or_default();
    let mut argv = match (&exec.command, login) {
        (Command::Argv(argv), LoginShell::Yes) if argv.is_empty() => vec![account.shell.clone()],
        (Command::Argv(argv), LoginShell::Yes | LoginShell::No) => argv.clone(),
        (Command::Shell(line), LoginShell::No) => vec![SHELL.to_owned(), "-c".to_owned(), line.clone()],
        (Command::Shell(line), LoginShell::Yes) => vec![account.shell.clone(), "-c".to_owned(), line.clone()],
    };
    let umask = exec.umask.unwrap_or(UMASK);
    if umask > 0o777 {
        return Err(invalid(format!("not a umask: {umask:o}")));
    }
    let name = argv.first_mut().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| invalid("no program was named"))?;
    let program = find_program(name, &cwd, env.get("PATH").map_or("", String::as_str))?;
    if login == LoginShell::Yes {
        *name = login::called(name);
    }
    let env = env.into_iter().map(|(name, value)| format!("{name}={value}"));
    Ok(Launch {
        program: c_string(program.into_os_string().into_vec())?,
        argv: argv.into_iter().map(c_string).collect::<Result<_, _>>()?,
        env: env.map(c_string).collect::<Result<_, _>>()?,
        cwd: c_string(cwd.into_os_string().into_vec())?,
        uid: account.uid,
        gid: account.gid,
        groups: account.groups,
        stdio,
        terminal: if exec.tty.is_some() { Terminal::Controlling } else { Terminal::None },
        umask,
    })
}

fn folder(exec: &Exec, account: &Account) -> Result<PathBuf, Failed> {
    if let Some(cwd) = &exec.cwd {
        let cwd = Path::new(OsStr::from_bytes(cwd.as_bytes()));
        let tried = || format!("cannot enter the folder {}", cwd.display());
        return match std::fs::metadata(cwd) {
            Ok(found) if found.is_dir() => Ok(cwd.to_owned()),
            Ok(_) => Err(Failed { code: FailureCode::NotADirectory, message: format!("{}: not a folder", tried()) }),
            Err(error) => Err(failed(tried(), &error)),
        };
    }
    let usable = [WORKSPACE, &account.home].into_iter().find(|folder| Path::new(folder).is_dir());
    Ok(PathBuf::from(usable.unwrap_or("/")))
}

fn environment(exec: &Exec, account: &Account, default_env: &DefaultEnv) -> DefaultEnv {
    let path = if account.uid == 0 { ROOT_PATH } else { USER_PATH };
    let own = [
        ("PATH", path),
        ("HOME", &account.home),
        ("USER", &account.name),
        ("LOGNAME", &account.name),
        ("SHELL", &account.shell),
        ("LANG", "C.UTF-8"),
    ];
    let mut env: DefaultEnv = own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    if exec.login == Some(LoginShell::Yes) {
        env.extend(login::environment());
    }
    env.extend(default_env.clone());
    if let Some(tty) = &exec.tty {
        env.insert("TERM".to_owned(), tty.term.clone());
    }
    env.extend(exec.env.clone());
    env
}

/// Finds the program as a shell would, to tell "not found" from "may not be executed". Whether
/// the user may is the kernel's to say.
fn find_program(name: &str, cwd: &Path, path: &str) -> Result<PathBuf, Failed> {
    let candidates: Vec<PathBuf> = if name.contains('/') {
        vec![cwd.join(name)]
    } else {
        path.split(':').map(|folder| cwd.join(folder).join(name)).collect()
    };
    let mut found = None;
    for candidate in candidates {
        match std::fs::metadata(&candidate) {
            Ok(metadata) if is_executable(&metadata) => return Ok(candidate),
            Ok(_) => found = Some(candidate),
            Err(_) => {}
        }
    }
    match found {
        Some(file) => Err(Failed {
            code: FailureCode::NotExecutable,
            message: format!("cannot execute {}: it is not an executable file", file.display()),
        }),
        None => {
            Err(Failed { code: FailureCode::ProgramNotFound, message: format!("no such program in the guest: {name}") })
        }
    }
}

fn is_executable(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
}

fn c_string(text: impl Into<Vec<u8>>) -> Result<CString, Failed> {
    CString::new(text).map_err(|_| invalid("a command, its folder and environment may not hold a zero byte"))
}
