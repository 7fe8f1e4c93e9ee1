//! `template`: what machines are made from: what is here, and building what the server can build.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use machine_sdk::api::TemplateInfo;
use machine_sdk::api::template::BuildTemplate;

use crate::cli::Desk;
use crate::cli::arguments::Format;
use crate::cli::exit::Failure;
use crate::cli::paint::Paint;
use crate::cli::progress::{Progress, Trace};
use crate::cli::table::{Cell, table};
use crate::cli::word::{age, size};

/// What to do with templates.
#[derive(Debug, Subcommand)]
pub(crate) enum TemplateVerb {
    /// list the templates that are here
    Ls,
    /// build a template; one whose ingredients are unchanged is not built again
    Build(BuildArguments),
}

/// Which template.
#[derive(Debug, Args)]
pub(crate) struct BuildArguments {
    /// build it although it is here and unchanged
    #[arg(long)]
    rebuild: bool,

    /// template to build
    #[arg(value_name = "NAME")]
    template: String,
}

/// Works on templates.
pub(crate) async fn template(asked: TemplateVerb, desk: &Desk) -> Result<u8, Failure> {
    match asked {
        TemplateVerb::Ls => ls(desk).await,
        TemplateVerb::Build(asked) => build(asked, desk).await,
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

async fn build(asked: BuildArguments, desk: &Desk) -> Result<u8, Failure> {
    let how = BuildTemplate { rebuild: asked.rebuild };
    let mut progress = Progress::new(&desk.voice, Trace::Kept);
    let build = async |client: &machine_sdk::Client| {
        client.build_template(&asked.template, how, &mut |report| progress.tell(&report)).await
    };
    let template = desk.link.ask(build).await?;
    let what = if template.built_now { "is built" } else { "is here already" };
    progress.done(&format!("{} {what}", template.name));
    let voice = &desk.voice;
    if voice.json() {
        voice.document(&template)?;
    } else if voice.bare() || !voice.out.terminal {
        voice.print(&template.name)?;
    }
    Ok(0)
}

fn listing(templates: &[TemplateInfo], format: Format, now: Timestamp, paint: Paint) -> String {
    let wide = format == Format::Wide;
    let mut headings = vec!["NAME", "KERNEL", "PACKAGES", "SIZE", "AGE"];
    if wide {
        headings.push("DIGEST");
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
            "kernel": "6.1.0", "packages": 120, "built_now": false,
        }]);
        let templates: Vec<TemplateInfo> = serde_json::from_value(text).unwrap();
        let now = "2026-01-02T03:04:15Z".parse().unwrap();
        assert_eq!(
            listing(&templates, Format::Wide, now, Paint::Plain),
            "NAME  KERNEL  PACKAGES  SIZE        AGE  DIGEST\nbase  6.1.0   120       300.00 MiB  10s  sha256:00\n"
        );
    }
}
