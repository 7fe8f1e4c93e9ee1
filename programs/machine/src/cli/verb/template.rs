//! `template`: what machines are made from: what is here, and removing it. Building is in `build.rs`.

mod build;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use machine_sdk::api::TemplateInfo;
use machine_sdk::api::template::RemovedTemplate;

use super::{each, image};
use crate::cli::Desk;
use crate::cli::arguments::Format;
use crate::cli::consent::{self, Deed};
use crate::cli::exit::Failure;
use crate::cli::paint::Paint;
use crate::cli::table::{Cell, table};
use crate::cli::word::{age, size};

pub(crate) use build::BuildArguments;

/// What to do with templates.
#[derive(Debug, Subcommand)]
pub(crate) enum TemplateVerb {
    /// list the templates that are here
    Ls,
    /// build a template; one whose ingredients are unchanged is not built again
    Build(Box<BuildArguments>),
    /// remove templates that no machine stands on
    Rm(RemoveArguments),
}

const AFTER_RM_HELP: &str = "\
Asks on a terminal, and needs --yes elsewhere. Refused while machines of it exist; its memory images
go with it. Where another name stands for the same template, only the name goes.

Examples:
  machine template rm tools
  machine template rm --yes tools old-tools";

/// Which templates.
#[derive(Debug, Args)]
#[command(after_help = AFTER_RM_HELP)]
pub(crate) struct RemoveArguments {
    /// do not ask
    #[arg(short, long)]
    yes: bool,

    /// templates to remove
    #[arg(value_name = "NAME", required = true)]
    templates: Vec<String>,
}

/// Works on templates.
pub(crate) async fn template(asked: TemplateVerb, desk: &Desk) -> Result<u8, Failure> {
    match asked {
        TemplateVerb::Ls => ls(desk).await,
        TemplateVerb::Build(asked) => build::build(*asked, desk).await,
        TemplateVerb::Rm(asked) => remove(asked, desk).await,
    }
}

async fn ls(desk: &Desk) -> Result<u8, Failure> {
    let templates = desk.link.ask(async |client| client.templates().await).await?;
    let voice = &desk.voice;
    if voice.json() {
        voice.document(&templates)?;
    } else if voice.bare() {
        voice.print(&templates.iter().map(|template| format!("{}\n", template.name)).collect::<String>())?;
    } else {
        voice.print(&listing(&templates, voice.format, Timestamp::now(), voice.out.paint))?;
    }
    Ok(0)
}

async fn remove(asked: RemoveArguments, desk: &Desk) -> Result<u8, Failure> {
    if !asked.yes {
        let names = asked.templates.join(" ");
        let question = format!("remove {names} and the memory images of it");
        let deed = Deed { doing: "removing", question: &question, refused: "not removed", names: &names };
        consent::ask(deed, &desk.voice)?;
    }
    each(&asked.templates, desk, async |template| {
        let gone = desk.link.ask(async |client| client.remove_template(template).await).await?;
        let voice = &desk.voice;
        voice.say(&removed(&gone));
        if voice.json() {
            voice.line(&gone)
        } else if voice.bare() || !voice.out.terminal {
            voice.print(&gone.name)
        } else {
            Ok(())
        }
    })
    .await
}

fn removed(gone: &RemovedTemplate) -> String {
    match (gone.kept, gone.images.len()) {
        (true, _) => format!("removed the name {}; another one stands for the template", gone.name),
        (false, 0) => format!("removed {}", gone.name),
        (false, 1) => format!("removed {} and a memory image of it", gone.name),
        (false, many) => format!("removed {} and {many} memory images of it", gone.name),
    }
}

fn listing(templates: &[TemplateInfo], format: Format, now: Timestamp, paint: Paint) -> String {
    let wide = format == Format::Wide;
    let mut headings = vec!["NAME", "KERNEL", "PACKAGES", "SIZE", "AGE"];
    if wide {
        headings.extend(["RECIPE", "DIGEST"]);
    }
    let row = |template: &TemplateInfo| {
        let mut cells = vec![
            Cell::from(template.name.as_str()),
            template.kernel.as_str().into(),
            template.packages.to_string().into(),
            size::bytes(template.size_bytes).into(),
            age::show(template.created_at, now).into(),
        ];
        if wide {
            // What was made of a machine's disk has none.
            cells.push(template.recipe.as_deref().map_or("-", image::short).into());
            cells.push(template.digest.as_str().into());
        }
        cells
    };
    table(&headings, &templates.iter().map(row).collect::<Vec<_>>(), paint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_listed() {
        let text = serde_json::json!([{
            "name": "base", "digest": "sha256:00", "created_at": "2026-01-02T03:04:05Z", "size_bytes": 300 << 20,
            "kernel": "6.1.0", "packages": 120, "built_now": false, "recipe": "sha256:0123456789abcdef",
        }]);
        let templates: Vec<TemplateInfo> = serde_json::from_value(text).unwrap();
        let now = "2026-01-02T03:04:15Z".parse().unwrap();
        assert_eq!(
            listing(&templates, Format::Wide, now, Paint::Plain),
            "NAME  KERNEL  PACKAGES  SIZE        AGE  RECIPE        DIGEST\nbase  6.1.0   120       300.00 MiB  10s  0123456789ab  sha256:00\n"
        );
    }
}
