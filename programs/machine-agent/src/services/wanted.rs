//! What a service is, read from what the host said or found in the image. Pure.

use crate::failure::invalid;
use machine_agent_protocol::{Command, Exec, Failed, Restart, Service, ServiceOrigin, SetServices};
use std::collections::BTreeSet;
use std::path::PathBuf;

const LONGEST_NAME: usize = 64;

/// A program to keep running. Two that are equal are the same service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) program: Program,
    pub(super) restart: Restart,
}

/// How it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Program {
    /// As the image's programs are.
    Image(PathBuf),
    /// As a command is.
    Project(Box<Exec>),
}

impl Wanted {
    pub(super) fn of_image(program: PathBuf) -> Self {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { name, program: Program::Image(program), restart: Restart::OnFailure }
    }

    pub(super) fn origin(&self) -> ServiceOrigin {
        match self.program {
            Program::Image(_) => ServiceOrigin::Image,
            Program::Project(_) => ServiceOrigin::Project,
        }
    }
}

/// Reads what the host said.
pub(super) fn parse(set: SetServices) -> Result<Vec<Wanted>, Failed> {
    if set.services.len() > SetServices::MOST {
        return Err(invalid(format!("at most {} services", SetServices::MOST)));
    }
    let mut names = BTreeSet::new();
    set.services
        .into_iter()
        .map(|service| {
            check_name(&service.name)?;
            if !names.insert(service.name.clone()) {
                return Err(invalid(format!("two services are called {}", service.name)));
            }
            one(service)
        })
        .collect()
}

/// The name is a file's, too.
fn check_name(name: &str) -> Result<(), Failed> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > LONGEST_NAME || name.starts_with(['.', '-']) || !name.bytes().all(plain) {
        return Err(invalid(format!("not a service's name: {name:.64?}")));
    }
    Ok(())
}

fn one(service: Service) -> Result<Wanted, Failed> {
    let Service { name, command, user, cwd, env, restart } = service;
    let nothing = match &command {
        Command::Argv(argv) => argv.first().is_none_or(String::is_empty),
        Command::Shell(line) => line.trim().is_empty(),
    };
    if nothing {
        return Err(invalid(format!("the service {name} has no program")));
    }
    let strange =
        |(name, value): (&String, &String)| name.is_empty() || name.contains(['=', '\0']) || value.contains('\0');
    if env.iter().any(strange) {
        return Err(invalid(format!("the environment of the service {name} is none")));
    }
    let exec = Exec { user, cwd, env, detach: true, ..Exec::new(command) };
    Ok(Wanted { name, program: Program::Project(Box::new(exec)), restart })
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine_agent_protocol::FailureCode;

    fn service(name: &str) -> Service {
        let command = Command::Shell("true".to_owned());
        let restart = Restart::Always;
        Service { name: name.to_owned(), command, user: None, cwd: None, env: [].into(), restart }
    }

    fn refused(services: Vec<Service>) {
        let said = format!("{services:?}");
        let refused = parse(SetServices { services }).unwrap_err();
        assert_eq!(refused.code, FailureCode::Invalid, "{said}");
    }

    #[test]
    fn what_is_no_service_is_refused() {
        for name in ["", ".", "../x", "-a", "A", "a b", "a\n", &"x".repeat(65)] {
            refused(vec![service(name)]);
        }
        refused(vec![service("a"), service("a")]);
        refused((0..100).map(|number| service(&number.to_string())).collect());
        refused(vec![Service { command: Command::Argv(Vec::new()), ..service("a") }]);
        refused(vec![Service { command: Command::Shell(" ".into()), ..service("a") }]);
        refused(vec![Service { env: [("A=".into(), String::new())].into(), ..service("a") }]);
    }

    #[test]
    fn the_same_words_are_the_same_service() {
        let read = || parse(SetServices { services: vec![service("web-1.x")] }).unwrap();
        assert_eq!(read(), read());
        let other = Service { restart: Restart::No, ..service("web-1.x") };
        assert_ne!(parse(SetServices { services: vec![other] }).unwrap(), read());
    }
}
