//! How the guest's own programs start: services and hooks. As root, in `/`, with the machine's environment.

use crate::exec::sys::{Launch, Terminal, UMASK};
use crate::house::DefaultEnv;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

const OWN: [(&str, &str); 3] =
    [("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", "/root"), ("LANG", "C.UTF-8")];

/// The executables of a folder, in the order of their names. None if there is no such folder.
pub(crate) fn of_folder(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let executable = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    let mut programs: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(executable).collect();
    programs.sort();
    programs
}

/// Everything to start `program`.
pub(crate) fn launch(program: &Path, machines: &DefaultEnv, stdio: [OwnedFd; 3]) -> io::Result<Launch> {
    let mut env: DefaultEnv = OWN.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    env.extend(machines.clone());
    let env = env.into_iter().map(|(name, value)| CString::new(format!("{name}={value}")));
    let program = CString::new(program.as_os_str().as_encoded_bytes())?;
    Ok(Launch {
        argv: vec![program.clone()],
        program,
        env: env.collect::<Result<_, _>>()?,
        cwd: c"/".to_owned(),
        uid: 0,
        gid: 0,
        groups: vec![0],
        stdio,
        terminal: Terminal::None,
        umask: UMASK,
    })
}
