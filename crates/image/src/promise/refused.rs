//! This crate's errors in core's words.

use std::io;

use machine_core::MiB;
use machine_core::promise::image_source::ImageError;

use crate::apt::AptError;
use crate::build::BuildError;
use crate::overlay::OverlayError;
use crate::registry::RegistryError;
use crate::template::TemplateError;
use crate::tool::ToolError;

/// What stands behind an error, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

pub(super) fn failed(tried: &str, error: &dyn std::error::Error) -> ImageError {
    ImageError::Failed { tried: tried.to_owned(), detail: chain(error) }
}

pub(super) fn of_io(tried: &str, error: &io::Error) -> ImageError {
    match error.kind() {
        io::ErrorKind::StorageFull => ImageError::DiskFull { tried: tried.to_owned() },
        _ => failed(tried, error),
    }
}

pub(super) fn of_overlay(error: &OverlayError, least: MiB) -> ImageError {
    match error {
        OverlayError::TooSmall { wanted, .. } => ImageError::DiskTooSmall { asked: MiB(wanted >> 20), least },
        OverlayError::Write { source, .. } => of_io("make the root disk", source),
        OverlayError::Base { .. }
        | OverlayError::NotQcow2 { .. }
        | OverlayError::BasePath { .. }
        | OverlayError::TooLarge { .. } => failed("make the root disk", error),
    }
}

impl From<TemplateError> for ImageError {
    fn from(error: TemplateError) -> Self {
        match error {
            TemplateError::Unknown { name } | TemplateError::BadName { name } => Self::Unknown { name },
            TemplateError::Damaged { name, part, reason } => Self::Damaged { name, part: format!("{part}: {reason}") },
            TemplateError::Io { .. } => failed("read the templates", &error),
        }
    }
}

/// What is wrong with the recipe, where that is why nothing was built.
fn asked_amiss(error: &BuildError) -> Option<String> {
    match error {
        BuildError::Apt(AptError::NoPackage { .. })
        | BuildError::OtherRelease { .. }
        | BuildError::Registry(RegistryError::NoPackage { .. } | RegistryError::NoWheel { .. }) => {
            Some(error.to_string())
        }
        BuildError::Apt(AptError::Tool(_) | AptError::Prepare { .. } | AptError::NoFile { .. })
        | BuildError::Registry(RegistryError::Tool(_) | RegistryError::Layout { .. } | RegistryError::File { .. })
        | BuildError::Sources(_)
        | BuildError::Tool(_)
        | BuildError::Kernel(_)
        | BuildError::Rootfs(_)
        | BuildError::Disk(_)
        | BuildError::Template(_)
        | BuildError::Io { .. }
        | BuildError::Restless { .. }
        | BuildError::DiskFull { .. } => None,
    }
}

impl From<BuildError> for ImageError {
    fn from(error: BuildError) -> Self {
        if error.is_disk_full() {
            return Self::DiskFull { tried: "build a template".to_owned() };
        }
        if let BuildError::Restless { .. } = error {
            return Self::Restless;
        }
        if let Some(what) = asked_amiss(&error) {
            return Self::Invalid { what, hint: error.hint().unwrap_or_default() };
        }
        match error.tool() {
            Some(ToolError::Missing { tool, package }) => {
                Self::ToolMissing { tool: (*tool).to_owned(), package: (*package).to_owned() }
            }
            Some(
                ToolError::Start { .. }
                | ToolError::DiskFull { .. }
                | ToolError::MirrorUnreachable { .. }
                | ToolError::Failed { .. },
            )
            | None => {
                let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
                Self::Failed { tried: "build a template".to_owned(), detail: format!("{}{hint}", chain(&error)) }
            }
        }
    }
}
