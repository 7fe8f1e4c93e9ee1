//! The template that a project's machine is made of: its packages, and, where the root disk does not outlive a stop,
//! all that is provisioned once. Built when it is not there; found again by what goes into it.
//!
//! ```text
//! recipe ──▶ p-HASH ──nothing to provision, or the root is kept──▶ (the machine's template)
//!              └──▶ a machine of it is provisioned, stopped, kept ──▶ p-ID-HASH ──▶ (the machine's template)
//! ```

use std::pin::pin;

use machine_machinefile::model::{Base, ProvisionWhen, Root};
use machine_sdk::Client;
use machine_sdk::api::template::NewTemplate;
use machine_sdk::api::{CreateMachine, MachineInfo};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Project, copies, environment, lock, means, provision, user, wish};
use crate::cli::Desk;
use crate::cli::exit::Failure;
use crate::cli::progress::Progress;
use crate::cli::session::Signals;
use crate::cli::throwaway::remove_while_made;
use crate::cli::verb::create;

/// In the metadata of a machine that is provisioned to become a template.
const BUILDS: &str = "builds_template_of";

/// The name of the template that the project's machine is made of. Pure: the same file has the same name.
pub(super) fn name(project: &Project) -> Result<String, Failure> {
    let ground = ground(project)?;
    if !provisions(project) {
        return Ok(ground);
    }
    let wanted = format!("{ground}\n{}", provision::digest(project)?);
    Ok(format!("p-{}-{}", project.id, short(&wanted)))
}

/// The template is there afterwards.
pub(super) async fn ensure(project: &Project, name: &str, desk: &Desk, progress: &mut Progress) -> Result<(), Failure> {
    if is_there(name, desk).await? {
        return lock::check(project, desk).await;
    }
    ensure_ground(project, desk, progress).await?;
    lock::check(project, desk).await?;
    if provisions(project) {
        provisioned(project, name, &ground(project)?, desk, progress).await?;
    }
    Ok(())
}

/// What is built of packages alone is there afterwards.
pub(crate) async fn ensure_ground(project: &Project, desk: &Desk, progress: &mut Progress) -> Result<(), Failure> {
    let ground = ground(project)?;
    match project.file.base {
        Base::Template(_) => Ok(()),
        Base::Debian12 if is_there(&ground, desk).await? => Ok(()),
        Base::Debian12 => {
            let recipe = Some(wish::recipe(&project.file)?);
            create_template(&NewTemplate { name: ground, recipe, ..NewTemplate::default() }, desk, progress).await
        }
    }
}

/// What is built of packages alone.
pub(super) fn ground(project: &Project) -> Result<String, Failure> {
    match &project.file.base {
        Base::Template(name) => Ok(name.to_string()),
        Base::Debian12 => Ok(format!("p-{}", short(&wish::recipe(&project.file)?.canonical()))),
    }
}

/// Whether something is provisioned once for all machines.
fn provisions(project: &Project) -> bool {
    let once = project.file.provision.iter().any(|entry| entry.when == ProvisionWhen::Create);
    once && project.file.root != Root::Persistent
}

async fn is_there(name: &str, desk: &Desk) -> Result<bool, Failure> {
    let templates = desk.link.ask(async |client| client.templates().await).await?;
    Ok(templates.iter().any(|template| template.name == name))
}

/// Makes a machine of the packages, provisions it, and keeps its disk as a template. Nothing is left of the machine.
async fn provisioned(
    project: &Project,
    name: &str,
    ground: &str,
    desk: &Desk,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let mut signals = Signals::catch()?;
    let builder = format!("build-{}", project.id);
    remove(&builder, desk).await?;
    let mut building = pin!(build(project, name, ground, &builder, desk, progress));
    let built = tokio::select! {
        built = &mut building => built,
        caught = signals.next() => {
            remove_while_made(&builder, building, desk).await?;
            return Err(Failure::quiet(caught.exit()));
        }
    };
    remove(&builder, desk).await?;
    built
}

async fn build(
    project: &Project,
    name: &str,
    ground: &str,
    builder: &str,
    desk: &Desk,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let envs = environment::of(project, desk)?;
    let means = means::here(&project.file, desk).await?;
    let request = wish::create(project, ground, envs, &means);
    let builds = std::iter::once((BUILDS.to_owned(), Value::String(project.id.clone())));
    let copied = means::record(&project.file, &means).map(|record| (means::COPIES.to_owned(), record));
    let request = CreateMachine {
        name: Some(builder.to_owned()),
        metadata: Some(builds.chain(copied).collect()),
        root: Some(wish::root(Root::Persistent)),
        start: Some(true),
        network: request.network.map(|network| machine_sdk::api::NetworkWish { forwards: None, ..network }),
        ..request
    };
    let machine = create::ask(desk, &request, progress).await?;
    user::ensure(project, &machine, desk).await?;
    copies::bring(project, &machine, desk).await?;
    if !project.file.secrets.is_empty() {
        environment::give_secrets(project, &machine, desk).await?;
    }
    provision::run(project, &machine, ProvisionWhen::Create, desk, progress).await?;
    copies::take_out(project, &machine, desk).await?;
    keep(&machine, name, desk, progress).await
}

async fn keep(machine: &MachineInfo, name: &str, desk: &Desk, progress: &mut Progress) -> Result<(), Failure> {
    let id = &machine.id;
    desk.link.ask(async |client| client.stop(id, &mut |report| progress.tell(&report)).await).await?;
    // The name says all that went into it.
    let (from_machine, key) = (Some(id.clone()), Some(name.to_owned()));
    let kept = NewTemplate { name: name.to_owned(), from_machine, key, ..NewTemplate::default() };
    create_template(&kept, desk, progress).await
}

async fn create_template(wish: &NewTemplate, desk: &Desk, progress: &mut Progress) -> Result<(), Failure> {
    let made = async |client: &Client| client.create_template(wish, &mut |report| progress.tell(&report)).await;
    desk.link.ask(made).await.map(drop)
}

async fn remove(builder: &str, desk: &Desk) -> Result<(), Failure> {
    match desk.link.ask(async |client| client.destroy(builder, &mut |_| ()).await).await {
        Err(failure) if !failure.is_machine_not_found() => Err(failure),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Enough of a digest to tell what is made of what.
fn short(text: &str) -> String {
    wish::hex(&Sha256::digest(text.as_bytes())[..8])
}
