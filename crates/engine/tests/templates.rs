//! Templates at the desk, against fakes.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use machine_core::promise::image_source::{
    BootParts, Freshness, Ground, ImageError, ImageSource, MadeOf, Removed, TemplateInfo, TemplateOrder,
};
use machine_core::{Code, Command, Digest, MiB, Owner, Progress, Recipe, TemplateName};
use machine_engine::desk::{NewTemplate, TemplateFrom};
use machine_engine::{Desk, NewImage};
use machine_testkit::crash::Tripwire;
use machine_testkit::memory_images::FakeMemoryImages;
use machine_testkit::world::{World, asked, small};

/// Templates that are there as soon as they are ordered.
#[derive(Default)]
struct Shelf(Mutex<Vec<TemplateInfo>>);

fn digest(letter: char) -> Digest {
    format!("sha256:{}", letter.to_string().repeat(64)).parse().expect("64 digits are a digest")
}

fn template(name: &str, letter: char) -> TemplateInfo {
    TemplateInfo {
        name: name.parse().expect("a name"),
        digest: digest(letter),
        created_at: Timestamp::UNIX_EPOCH,
        size_bytes: 1,
        kernel: "6.1".to_owned(),
        packages: 1,
        recipe: None,
        built_now: true,
    }
}

impl Shelf {
    fn all(&self) -> std::sync::MutexGuard<'_, Vec<TemplateInfo>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ImageSource for Shelf {
    async fn pin(&self, name: &TemplateName) -> Result<Digest, ImageError> {
        let all = self.all();
        let found = all.iter().find(|template| template.name == *name);
        found.map(|template| template.digest.clone()).ok_or_else(|| ImageError::Unknown { name: name.to_string() })
    }
    async fn build(&self, order: &TemplateOrder, _: &Progress) -> Result<TemplateInfo, ImageError> {
        let letter = match &order.from {
            MadeOf::Name => '5',
            MadeOf::Recipe(recipe) => {
                if recipe.is_plain() {
                    '5'
                } else {
                    '6'
                }
            }
            MadeOf::Disk(_) => '7',
        };
        let built = template(order.name.as_str(), letter);
        self.all().push(built.clone());
        Ok(built)
    }
    async fn remove(&self, name: &TemplateName) -> Result<Removed, ImageError> {
        let digest = self.pin(name).await?;
        let mut all = self.all();
        all.retain(|template| template.name != *name);
        let kept = all.iter().any(|template| template.digest == digest);
        Ok(if kept { Removed::NameOnly(digest) } else { Removed::Template(digest) })
    }
    async fn list(&self) -> Result<Vec<TemplateInfo>, ImageError> {
        Ok(self.all().clone())
    }
    async fn parts(&self, template: &Digest) -> Result<BootParts, ImageError> {
        Err(ImageError::Unknown { name: template.to_string() })
    }
    async fn lay_over(&self, _: Ground<'_>, _: &Path, _: Option<MiB>) -> Result<(), ImageError> {
        Ok(())
    }
}

struct Stage {
    desk: Desk,
}

impl Stage {
    async fn open() -> Self {
        let mut promises = World::new().promises(&Tripwire::never());
        promises.images = Arc::new(Shelf::default());
        promises.memory_images = Arc::new(FakeMemoryImages::default());
        Self { desk: Desk::open(promises).await.expect("the fake ledger can be read") }
    }

    async fn make(&self, name: &str, from: TemplateFrom) -> Result<TemplateInfo, machine_core::Refusal> {
        let name = name.parse().expect("a name");
        let new = NewTemplate { name, from, fresh: Freshness::Reuse };
        self.desk.build_template(&owner(), new, &Progress::silent()).await
    }

    async fn image(&self, name: &str, memory: u64) {
        let template = name.parse().expect("a name");
        let wish = NewImage { template, cpus: 1, memory: MiB(memory), warm_up: None, anew: false };
        let built = template_of(&self.desk, name).await;
        self.desk.image_of(&built, wish, &Progress::silent()).await.expect("made");
    }
}

async fn template_of(desk: &Desk, name: &str) -> TemplateInfo {
    let all = desk.templates().await.expect("listed");
    all.into_iter().find(|template| template.name.as_str() == name).expect("it is there")
}

fn owner() -> Owner {
    Owner::local_user(0)
}

fn recipe() -> TemplateFrom {
    let apt = ["git".parse().expect("a package")].into();
    TemplateFrom::Recipe(Recipe { apt, ..Recipe::default() })
}

#[tokio::test]
async fn a_template_goes_with_its_memory_images_and_others_stay() {
    let stage = Stage::open().await;
    stage.make("tools", recipe()).await.expect("made");
    stage.make("plain", TemplateFrom::Recipe(Recipe::default())).await.expect("made");
    stage.image("tools", 256).await;
    stage.image("plain", 512).await;
    let gone = stage.desk.remove_template(&"tools".parse().expect("a name")).await.expect("removed");
    assert_eq!((gone.kept, gone.images.len()), (false, 1));
    let left = stage.desk.images().await.expect("listed");
    assert_eq!(left.iter().map(|image| image.shape.template.clone()).collect::<Vec<_>>(), [digest('5')]);
    let again = stage.desk.remove_template(&"tools".parse().expect("a name")).await.expect_err("it is gone");
    assert_eq!(again.code, Code::TemplateNotFound);
}

#[tokio::test]
async fn of_two_names_the_first_takes_nothing_with_it() {
    let stage = Stage::open().await;
    stage.make("one", recipe()).await.expect("made");
    stage.make("two", recipe()).await.expect("made");
    stage.image("one", 256).await;
    let name = |text: &str| text.parse::<TemplateName>().expect("a name");
    let first = stage.desk.remove_template(&name("one")).await.expect("removed");
    assert_eq!((first.kept, first.images), (true, Vec::new()));
    assert_eq!(stage.desk.images().await.expect("listed").len(), 1);
    let last = stage.desk.remove_template(&name("two")).await.expect("removed");
    assert_eq!((last.kept, last.images.len()), (false, 1));
}

#[tokio::test]
async fn a_machine_that_is_not_there_has_no_disk_to_keep() {
    let stage = Stage::open().await;
    let from = TemplateFrom::Machine { reference: "web".to_owned(), key: None };
    assert_eq!(stage.make("mine", from).await.expect_err("refused").code, Code::MachineNotFound);
}

#[tokio::test]
async fn a_template_that_a_machine_stands_on_stays() {
    let stage = Stage::open().await;
    stage.make("base", TemplateFrom::Name).await.expect("made");
    stage.desk.create(&asked("first"), small("web")).await.expect("made");
    let name: TemplateName = "base".parse().expect("a name");
    let refused = stage.desk.remove_template(&name).await.expect_err("it is stood on");
    assert_eq!((refused.code, refused.message.as_str()), (Code::TemplateInUse, "template base is in use: machine web"));
    stage.desk.command(&asked("second"), "web", Command::Destroy).await.expect("destroyed");
    assert!(!stage.desk.remove_template(&name).await.expect("removed").kept);
}

#[tokio::test]
async fn the_disk_of_a_machine_that_runs_is_not_kept() {
    let stage = Stage::open().await;
    stage.make("base", TemplateFrom::Name).await.expect("made");
    let machine = stage.desk.create(&asked("first"), small("web")).await.expect("made");
    let from = TemplateFrom::Machine { reference: "web".to_owned(), key: None };
    let name = "mine".parse().expect("a name");
    let new = NewTemplate { name, from, fresh: Freshness::Reuse };
    let refused = stage.desk.build_template(&machine.owner, new, &Progress::silent()).await.expect_err("it runs");
    assert_eq!((refused.code, refused.reason.as_deref()), (Code::MachineNotReady, Some("not_stopped")));
}
