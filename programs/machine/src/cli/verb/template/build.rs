//! `template build`: of a recipe, of a machine's disk, or of what the name stands for.

use clap::Args;
use machine_sdk::api::image::BuildImage;
use machine_sdk::api::recipe::{AptPackage, Base, CodingAgent, Containers, GuestUser, NpmSpec, PipSpec, Recipe, Sudo};
use machine_sdk::api::template::{BuildTemplate, NewTemplate};
use machine_sdk::api::{MiB, TemplateInfo};

use super::super::image;
use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::progress::{Progress, Trace};

const AFTER_HELP: &str = "\
With --image, prints the image's id; else the template's name.

A template is made of what its name stands for (base, or what it was built of before), of a recipe
(any of the recipe's options), or of a stopped machine's disk. Packages come through this host's own
apt, npm and pip; of npm and pip packages, no code runs on this host.

Examples:
  machine template build base
  machine template build tools --apt git,ripgrep --pip requests==2.32.3 --agent claude-code
  machine template build docker --containers docker --user ann:1001
  machine template build mine --from-machine web
  machine template build base --image --cpus 2 --memory 512M
  machine template build base --image --warm-up 'python3 -c \"import json, ssl\"'";

/// Which template, and which memory image of it.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct BuildArguments {
    /// build it, and its image, although it is here and unchanged
    #[arg(long)]
    rebuild: bool,

    #[command(flatten)]
    recipe: RecipeArguments,

    /// keep the disk of this stopped machine as the template
    #[arg(long, value_name = "MACHINE", conflicts_with = "recipe", help_heading = "Machine")]
    from_machine: Option<String>,

    /// what tells this state of its disk from others; the same one is kept once
    #[arg(long, value_name = "TEXT", requires = "from_machine", help_heading = "Machine")]
    key: Option<String>,

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

/// What it is made of.
#[derive(Debug, Args)]
#[group(id = "recipe", multiple = true)]
#[command(next_help_heading = "Recipe")]
pub(crate) struct RecipeArguments {
    /// distribution, as debian:12: this host's own release
    #[arg(long, value_name = "BASE")]
    base: Option<Base>,

    /// Debian packages, may be repeated
    #[arg(long, value_name = "PACKAGES", value_delimiter = ',')]
    apt: Vec<AptPackage>,

    /// package of the npm registry, may be repeated: cowsay, @scope/name@^1.2
    #[arg(long, value_name = "PACKAGE")]
    npm: Vec<NpmSpec>,

    /// Python package, may be repeated: requests, requests==2.32.3
    #[arg(long, value_name = "PACKAGE")]
    pip: Vec<PipSpec>,

    /// what runs containers: docker
    #[arg(long, value_name = "NAME", value_parser = containers)]
    containers: Option<Containers>,

    /// coding agents, may be repeated: claude-code, codex
    #[arg(long, value_name = "AGENT", value_delimiter = ',')]
    agent: Vec<CodingAgent>,

    /// user in place of the usual one if it has that one's name or id, else beside it
    #[arg(long, value_name = "NAME:UID", value_parser = user)]
    user: Option<(String, u32)>,

    /// let that user become root without a password
    #[arg(long, requires = "user")]
    sudo: bool,
}

pub(super) async fn build(asked: BuildArguments, desk: &Desk) -> Result<u8, Failure> {
    let wish = asked.wish()?;
    let mut progress = Progress::new(&desk.voice, Trace::Kept);
    let build = async |client: &machine_sdk::Client| match &wish {
        Wish::Known(how) => client.build_template(&asked.template, how, &mut |report| progress.tell(&report)).await,
        Wish::New(new) => client.create_template(new, &mut |report| progress.tell(&report)).await,
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

/// What the server is asked for.
#[derive(Debug)]
enum Wish {
    /// What the name stands for.
    Known(BuildTemplate),
    /// Something that the request says.
    New(Box<NewTemplate>),
}

impl BuildArguments {
    fn wish(&self) -> Result<Wish, Failure> {
        let image = BuildImage {
            vcpus: self.cpus,
            memory_mb: self.memory.0,
            warm_up: self.warm_up.clone(),
            anew: self.rebuild,
        };
        let (image, rebuild) = (self.image.then_some(image), self.rebuild);
        let recipe = self.recipe.read()?;
        if recipe.is_none() && self.from_machine.is_none() {
            return Ok(Wish::Known(BuildTemplate { rebuild, image }));
        }
        let (name, from_machine, key) = (self.template.clone(), self.from_machine.clone(), self.key.clone());
        Ok(Wish::New(Box::new(NewTemplate { name, recipe, from_machine, key, rebuild, image })))
    }
}

impl RecipeArguments {
    /// The recipe; none where nothing was said.
    fn read(&self) -> Result<Option<Recipe>, Failure> {
        let rights = if self.sudo { Sudo::Free } else { Sudo::Refused };
        let user = self.user.as_ref().map(|(name, uid)| GuestUser::new(name, *uid, rights)).transpose();
        let recipe = Recipe {
            base: self.base,
            apt: self.apt.iter().cloned().collect(),
            npm: self.npm.iter().cloned().collect(),
            pip: self.pip.iter().cloned().collect(),
            containers: self.containers.unwrap_or_default(),
            agents: self.agent.iter().copied().collect(),
            user: user.map_err(|error| Failure::usage(format!("--user: {error}")))?,
        };
        Ok(Some(recipe).filter(|recipe| *recipe != Recipe::default()))
    }
}

fn containers(text: &str) -> Result<Containers, String> {
    match text {
        "docker" => Ok(Containers::Docker),
        "none" => Ok(Containers::None),
        other => Err(format!("not known: {other} (docker)")),
    }
}

fn user(text: &str) -> Result<(String, u32), String> {
    let (name, uid) = text.split_once(':').ok_or("a name and an id: ann:1001")?;
    Ok((name.to_owned(), uid.parse().map_err(|_| format!("not an id: {uid}"))?))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Wish, clap::Error> {
        #[derive(clap::Parser)]
        struct Words {
            #[command(flatten)]
            asked: BuildArguments,
        }
        <Words as clap::Parser>::try_parse_from(line.split(' ')).map(|words| words.asked.wish().unwrap())
    }

    fn known(line: &str) -> BuildTemplate {
        match asked(line).unwrap() {
            Wish::Known(how) => how,
            Wish::New(new) => panic!("{new:?}"),
        }
    }

    fn new(line: &str) -> NewTemplate {
        match asked(line).unwrap() {
            Wish::New(new) => *new,
            Wish::Known(how) => panic!("{how:?}"),
        }
    }

    #[test]
    fn a_recipe_is_read_from_its_options() {
        let line = "build t --apt git,vim --apt curl --npm cowsay@^1 --pip x[a]==1 --containers docker --agent claude-code,codex --user ann:1001 --sudo";
        let recipe = new(line).recipe.unwrap();
        assert_eq!((recipe.apt.len(), recipe.npm.len(), recipe.pip.len(), recipe.agents.len()), (3, 1, 1, 2));
        assert_eq!(recipe.user.unwrap(), GuestUser::new("ann", 1001, Sudo::Free).unwrap());
        let disk = new("build t --from-machine web --key one");
        assert_eq!((disk.recipe, disk.from_machine.as_deref(), disk.key.as_deref()), (None, Some("web"), Some("one")));
        for line in [
            "build t --apt ./x.deb",
            "build t --npm git+ssh://x",
            "build t --pip ./x",
            "build t --agent emacs",
            "build t --user ann",
            "build t --sudo",
            "build t --key one",
            "build t --from-machine web --apt git",
        ] {
            assert!(asked(line).is_err(), "{line}");
        }
    }

    #[test]
    fn an_image_has_a_size_and_without_one_sizes_are_refused() {
        let image = |line| known(line).image.map(|image| (image.vcpus, image.memory_mb, image.anew));
        assert_eq!(image("build base"), None);
        assert_eq!(image("build base --image"), Some((2, 512, false)));
        assert_eq!(image("build base --image --cpus 1 --memory 4GiB --rebuild"), Some((1, 4096, true)));
        for line in ["build base --cpus 2", "build base --memory 1G", "build base --warm-up true", "build --image"] {
            assert!(asked(line).is_err(), "{line}");
        }
    }
}
