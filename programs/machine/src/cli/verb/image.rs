//! `image`: memory images, which machines are made of instead of booting: what is here, and removing it.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use machine_sdk::api::image::FitnessInfo;
use machine_sdk::api::{ImageInfo, MiB};

use super::each;
use crate::cli::Desk;
use crate::cli::arguments::Format;
use crate::cli::consent::{self, Deed};
use crate::cli::exit::Failure;
use crate::cli::paint::Paint;
use crate::cli::table::{Cell, Tone, table};
use crate::cli::word::{age, size};

/// As many digits of an id as people need to tell images apart.
const SHORT: usize = 12;

const AFTER_RM_HELP: &str = "\
Asks on a terminal, and needs --yes elsewhere. Machines of an image go on without it; the next
create of its shape boots once and makes it again.

Examples:
  machine image rm 3f2a9c01b7de
  machine image ls -q | xargs machine image rm --yes";

/// What to do with memory images.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageVerb {
    /// list the memory images that are here
    Ls,
    /// remove memory images; machines of them go on
    Rm(RemoveArguments),
    /// remove every memory image that no machine can be made of any more
    Prune(PruneArguments),
}

/// Which images.
#[derive(Debug, Args)]
#[command(after_help = AFTER_RM_HELP)]
pub(crate) struct RemoveArguments {
    /// do not ask
    #[arg(short, long)]
    yes: bool,

    /// images to remove, each by its id or the unique beginning of one
    #[arg(value_name = "ID", required = true)]
    images: Vec<String>,
}

/// Whether to ask.
#[derive(Debug, Args)]
#[command(after_help = "Asks on a terminal, and needs --yes elsewhere.")]
pub(crate) struct PruneArguments {
    /// do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Works on memory images.
pub(crate) async fn image(asked: ImageVerb, desk: &Desk) -> Result<u8, Failure> {
    match asked {
        ImageVerb::Ls => ls(desk).await,
        ImageVerb::Rm(asked) => remove(asked, desk).await,
        ImageVerb::Prune(asked) => prune(asked, desk).await,
    }
}

async fn ls(desk: &Desk) -> Result<u8, Failure> {
    let images = desk.link.ask(async |client| client.images().await).await?;
    let voice = &desk.voice;
    if voice.json() {
        voice.document(&images)?;
    } else if voice.bare() {
        voice.print(&images.iter().map(|image| format!("{}\n", image.id)).collect::<String>())?;
    } else {
        voice.print(&listing(&images, voice.format, Timestamp::now(), voice.out.paint))?;
    }
    Ok(0)
}

async fn remove(asked: RemoveArguments, desk: &Desk) -> Result<u8, Failure> {
    if !asked.yes {
        let names = asked.images.join(" ");
        let question = format!("remove {names}; machines of it go on");
        let deed = Deed { doing: "removing", question: &question, refused: "not removed", names: &names };
        consent::ask(deed, &desk.voice)?;
    }
    each(&asked.images, desk, async |image| {
        let gone = desk.link.ask(async |client| client.remove_image(image).await).await?;
        removed(&gone, desk);
        let voice = &desk.voice;
        if voice.json() {
            voice.line(&gone)
        } else if voice.bare() || !voice.out.terminal {
            voice.print(&gone.id)
        } else {
            Ok(())
        }
    })
    .await
}

async fn prune(asked: PruneArguments, desk: &Desk) -> Result<u8, Failure> {
    let images = desk.link.ask(async |client| client.images().await).await?;
    let unfit: Vec<&str> =
        images.iter().filter(|image| image.fitness != FitnessInfo::Fit).map(|image| short(&image.id)).collect();
    if !asked.yes && !unfit.is_empty() {
        let names = unfit.join(" ");
        let question = format!("remove {names}, which no machine can be made of any more");
        let deed = Deed { doing: "removing", question: &question, refused: "not removed", names: &names };
        consent::ask(deed, &desk.voice)?;
    }
    let gone = match unfit.as_slice() {
        // Nothing that was agreed to: what became unfit just now is told at the next time.
        [] => Vec::new(),
        [..] => desk.link.ask(async |client| client.prune_images().await).await?,
    };
    if gone.is_empty() {
        desk.voice.say("every memory image here can be used: nothing is removed");
    }
    gone.iter().for_each(|image| removed(image, desk));
    let voice = &desk.voice;
    if voice.json() {
        voice.document(&gone)?;
    } else if voice.bare() || !voice.out.terminal {
        voice.print(&gone.iter().map(|image| format!("{}\n", image.id)).collect::<String>())?;
    }
    Ok(0)
}

fn removed(image: &ImageInfo, desk: &Desk) {
    let go_on = match image.machines {
        0 => String::new(),
        1 => "; a machine of it goes on".to_owned(),
        many => format!("; {many} machines of it go on"),
    };
    desk.voice.say(&format!("removed {}{go_on}", short(&image.id)));
}

/// The beginning of an id, without `sha256:`.
pub(super) fn short(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..SHORT).unwrap_or(digits)
}

fn listing(images: &[ImageInfo], format: Format, now: Timestamp, paint: Paint) -> String {
    let wide = format == Format::Wide;
    let mut headings = vec!["ID", "TEMPLATE", "CPUS", "MEMORY", "SIZE", "MACHINES", "AGE", "FIT"];
    if wide {
        headings.extend(["HYPERVISOR", "DIGEST"]);
    }
    let row = |image: &ImageInfo| {
        let mut cells = vec![
            Cell::from(short(&image.id)),
            image.template.as_deref().unwrap_or_else(|| short(&image.template_digest)).into(),
            image.vcpus.to_string().into(),
            MiB(image.memory_mb).to_string().into(),
            size::bytes(image.size_bytes).into(),
            image.machines.to_string().into(),
            age::show(image.created_at, now).into(),
            fit(&image.fitness),
        ];
        if wide {
            cells.push(image.hypervisor.as_str().into());
            cells.push(image.id.as_str().into());
        }
        cells
    };
    table(&headings, &images.iter().map(row).collect::<Vec<_>>(), paint)
}

fn fit(fitness: &FitnessInfo) -> Cell {
    match fitness {
        FitnessInfo::Fit => Cell::toned("fit", Tone::Good),
        FitnessInfo::Stale { differs } => Cell::toned(format!("stale: {}", differs.join(", ")), Tone::Quiet),
        FitnessInfo::Damaged { what } => Cell::toned(format!("damaged: {what}"), Tone::Bad),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images() -> Vec<ImageInfo> {
        let image = |fitness, template: Option<&str>, machines: u64| {
            serde_json::json!({
                "id": format!("sha256:{}", "0123456789abcdef".repeat(4)), "template": template,
                "template_digest": format!("sha256:{}", "fedcba9876543210".repeat(4)), "vcpus": 2, "memory_mb": 512,
                "created_at": "2026-01-02T03:04:05Z", "size_bytes": 70 << 20, "hypervisor": "qemu 10.0.2, tcg",
                "machines": machines, "fitness": fitness, "built_now": false,
            })
        };
        let list = serde_json::json!([
            image(serde_json::json!({"is": "fit"}), Some("base"), 3),
            image(serde_json::json!({"is": "stale", "differs": ["kernel", "agent"]}), None, 0),
            image(serde_json::json!({"is": "damaged", "what": "ram: cut short"}), Some("base"), 0),
        ]);
        serde_json::from_value(list).unwrap()
    }

    #[test]
    fn images_are_listed_with_what_they_are_fit_for() {
        let text = listing(&images(), Format::Table, "2026-01-02T03:04:15Z".parse().unwrap(), Paint::Plain);
        let expected = "\
ID            TEMPLATE      CPUS  MEMORY   SIZE       MACHINES  AGE  FIT
0123456789ab  base          2     512 MiB  70.00 MiB  3         10s  fit
0123456789ab  fedcba987654  2     512 MiB  70.00 MiB  0         10s  stale: kernel, agent
0123456789ab  base          2     512 MiB  70.00 MiB  0         10s  damaged: ram: cut short
";
        assert_eq!(text, expected);
    }

    #[test]
    fn an_id_that_is_none_is_shown_as_it_is() {
        for (id, shown) in [("sha256:abc", "abc"), ("", ""), ("sha256:", "")] {
            assert_eq!(short(id), shown);
        }
    }
}
