//! `template`: what machines are made from: what is here, and building what the server can build.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use machine_sdk::api::image::BuildImage;
use machine_sdk::api::template::BuildTemplate;
use machine_sdk::api::{MiB, TemplateInfo};

use super::image;
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

const AFTER_HELP: &str = "\
With --image, prints the image's id; else the template's name.

Examples:
  machine template build base
  machine template build base --image --cpus 2 --memory 512M
  machine template build base --image --warm-up 'python3 -c \"import json, ssl\"'";

/// Which template, and which memory image of it.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct BuildArguments {
    /// build it, and its image, although it is here and unchanged
    #[arg(long)]
    rebuild: bool,

    /// make a memory image of it, too, so that the first machine need not boot
    #[arg(long, help_heading = "Image")]
    image: bool,

    /// virtual processors of its machines
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(requires = "image", help_heading = "Image")]
    cpus: u32,

    /// memory of its machines: 512M, 4GiB, or a number of MiB
    #[arg(long, value_name = "SIZE", default_value = "512M", requires = "image", help_heading = "Image")]
    memory: MiB,

    /// shell line to run as root before the image is kept; an image that is there is made again
    #[arg(long, value_name = "CMD", requires = "image", help_heading = "Image")]
    warm_up: Option<String>,

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
    let how = asked.request();
    let mut progress = Progress::new(&desk.voice, Trace::Kept);
    let build = async |client: &machine_sdk::Client| {
        client.build_template(&asked.template, &how, &mut |report| progress.tell(&report)).await
    };
    let template = desk.link.ask(build).await?;
    progress.done(&outcome(&template));
    let voice = &desk.voice;
    if voice.json() {
        voice.document(&template)?;
    } else if voice.bare() || !voice.out.terminal {
        voice.print(template.image.as_ref().map_or(&template.name, |image| &image.id))?;
    }
    Ok(0)
}

impl BuildArguments {
    fn request(&self) -> BuildTemplate {
        let image = BuildImage {
            vcpus: self.cpus,
            memory_mb: self.memory.0,
            warm_up: self.warm_up.clone(),
            anew: self.rebuild,
        };
        BuildTemplate { rebuild: self.rebuild, image: self.image.then_some(image) }
    }
}

/// What became of a template and its image.
fn outcome(template: &TemplateInfo) -> String {
    let is = |built_now| if built_now { "is built" } else { "is here already" };
    let text = format!("{} {}", template.name, is(template.built_now));
    match &template.image {
        Some(image) => format!("{text}, its image {} {}", image::short(&image.id), is(image.built_now)),
        None => text,
    }
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

    fn asked(line: &str) -> Result<BuildTemplate, clap::Error> {
        #[derive(clap::Parser)]
        struct Words {
            #[command(flatten)]
            asked: BuildArguments,
        }
        <Words as clap::Parser>::try_parse_from(line.split(' ')).map(|words| words.asked.request())
    }

    #[test]
    fn an_image_has_a_size_and_without_one_sizes_are_refused() {
        let image = |line| asked(line).unwrap().image.map(|image| (image.vcpus, image.memory_mb, image.anew));
        assert_eq!(image("build base"), None);
        assert_eq!(image("build base --image"), Some((2, 512, false)));
        assert_eq!(image("build base --image --cpus 1 --memory 4GiB --rebuild"), Some((1, 4096, true)));
        for line in ["build base --cpus 2", "build base --memory 1G", "build base --warm-up true", "build --image"] {
            assert!(asked(line).is_err(), "{line}");
        }
    }
}
