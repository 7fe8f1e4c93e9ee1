//! Memory images at the desk, against fakes.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use machine_core::promise::image_source::{
    BootParts, Freshness, Ground, ImageError, ImageSource, Removed, TemplateInfo, TemplateOrder,
};
use machine_core::promise::memory_image::{Fitness, MemoryImage};
use machine_core::{Code, Digest, MiB, Progress, Refusal, TemplateName};
use machine_engine::{Desk, NewImage};
use machine_testkit::crash::Tripwire;
use machine_testkit::images::FakeImages;
use machine_testkit::memory_images::FakeMemoryImages;
use machine_testkit::world::World;

/// The testkit's templates, of which `base` can be built.
struct Buildable(FakeImages);

#[async_trait]
impl ImageSource for Buildable {
    async fn pin(&self, name: &TemplateName) -> Result<Digest, ImageError> {
        self.0.pin(name).await
    }
    async fn remove(&self, name: &TemplateName) -> Result<Removed, ImageError> {
        self.0.remove(name).await
    }
    async fn build(&self, order: &TemplateOrder, _: &Progress) -> Result<TemplateInfo, ImageError> {
        let TemplateOrder { name, fresh, .. } = order;
        Ok(TemplateInfo {
            name: name.clone(),
            digest: self.0.pin(name).await?,
            created_at: Timestamp::UNIX_EPOCH,
            size_bytes: 1,
            kernel: "6.1".to_owned(),
            packages: 1,
            recipe: None,
            built_now: *fresh == Freshness::Rebuild,
        })
    }
    async fn list(&self) -> Result<Vec<TemplateInfo>, ImageError> {
        self.0.list().await
    }
    async fn parts(&self, template: &Digest) -> Result<BootParts, ImageError> {
        self.0.parts(template).await
    }
    async fn lay_over(&self, ground: Ground<'_>, path: &Path, size: Option<MiB>) -> Result<(), ImageError> {
        self.0.lay_over(ground, path, size).await
    }
}

struct Stage {
    desk: Desk,
    images: Arc<FakeMemoryImages>,
}

impl Stage {
    async fn open() -> Self {
        let images = Arc::new(FakeMemoryImages::default());
        let mut promises = World::new().promises(&Tripwire::never());
        promises.images = Arc::new(Buildable(FakeImages));
        promises.memory_images = images.clone();
        Self { desk: Desk::open(promises).await.expect("the fake ledger can be read"), images }
    }

    async fn build(&self, wish: NewImage) -> Result<MemoryImage, Refusal> {
        let built = self.desk.build_image(wish, Freshness::Reuse, &Progress::silent()).await?;
        assert_eq!(built.0.digest, built.1.shape.template);
        Ok(built.1)
    }
}

fn wish(cpus: u32, memory: u64) -> NewImage {
    let template = "base".parse().expect("base is a template's name");
    NewImage { template, cpus, memory: MiB(memory), warm_up: None, anew: false }
}

#[tokio::test]
async fn an_image_is_made_once_unless_it_is_asked_anew_or_warmed_up() {
    let stage = Stage::open().await;
    let first = stage.build(wish(1, 256)).await.expect("made");
    assert_eq!((first.built_now, first.shape.cpus, first.shape.memory), (true, 1, MiB(256)));
    assert!(!stage.build(wish(1, 256)).await.expect("found").built_now);
    assert!(stage.build(NewImage { anew: true, ..wish(1, 256) }).await.expect("made").built_now);
    let warm = NewImage { warm_up: Some("python3 -c 1".to_owned()), ..wish(1, 256) };
    assert!(stage.build(warm).await.expect("made").built_now, "what is there was warmed up with who knows what");
    assert_eq!(stage.desk.images().await.expect("listed").len(), 1);
}

#[tokio::test]
async fn a_size_that_no_machine_is_given_has_no_image() {
    let stage = Stage::open().await;
    for (cpus, memory, code) in [
        (0, 256, Code::InvalidRequest),
        (65, 256, Code::InvalidRequest),
        (1, 64, Code::InvalidRequest),
        (1, 1 << 20, Code::CapacityExceeded),
        (3, 256, Code::CapacityExceeded),
    ] {
        assert_eq!(stage.build(wish(cpus, memory)).await.expect_err("refused").code, code, "{cpus} {memory}");
    }
    let unknown = NewImage { template: "none".parse().expect("a name"), ..wish(1, 256) };
    assert_eq!(stage.build(unknown).await.expect_err("unknown").code, Code::TemplateNotFound);
    assert_eq!(stage.desk.images().await.expect("listed"), []);
}

#[tokio::test]
async fn an_image_is_removed_by_its_id_or_a_beginning_that_is_its_own() {
    let stage = Stage::open().await;
    for memory in [256, 512] {
        stage.build(wish(1, memory)).await.expect("made");
    }
    let images = stage.desk.images().await.expect("listed");
    let ids: Vec<String> = images.iter().map(|image| image.id.hex().to_owned()).collect();
    let code = async |reference: &str| stage.desk.remove_image(reference).await.expect_err(reference).code;
    for none in ["", "sha256:", "abc", "../x", &format!("{}0", ids[0])] {
        assert_eq!(code(none).await, Code::ImageNotFound, "{none}");
    }
    assert_eq!(code("000").await, Code::InvalidRequest);
    assert_eq!(code("sha256:000").await, Code::InvalidRequest);
    assert_eq!(stage.desk.remove_image(&ids[0]).await.expect("removed").id, images[0].id);
    assert_eq!(code(&ids[0]).await, Code::ImageNotFound);
    assert_eq!(stage.desk.remove_image("sha256:000").await.expect("the only one now").id, images[1].id);
}

#[tokio::test]
async fn prune_takes_what_cannot_be_used() {
    let stage = Stage::open().await;
    for memory in [256, 512, 1024] {
        stage.build(wish(1, memory)).await.expect("made");
    }
    stage.images.kept()[0].fitness = Fitness::Stale(vec!["agent".to_owned()]);
    stage.images.kept()[2].fitness = Fitness::Damaged("ram: cut short".to_owned());
    let gone = stage.desk.prune_images().await.expect("pruned");
    assert_eq!(gone.iter().map(|image| image.shape.memory).collect::<Vec<_>>(), [MiB(256), MiB(1024)]);
    assert_eq!(stage.desk.prune_images().await.expect("nothing is left to prune"), []);
    assert_eq!(stage.desk.images().await.expect("listed").len(), 1);
}
