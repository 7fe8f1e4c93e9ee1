//! Templates over the socket: what a request must say, and what it must not.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod stage;

use machine_api::Code;
use machine_api::template::NewTemplate;
use serde_json::json;
use stage::Stage;

#[tokio::test]
async fn a_template_is_made_of_a_recipe() {
    let stage = Stage::open().await;
    let wish: NewTemplate =
        serde_json::from_value(json!({"name": "small", "recipe": {"apt": ["git"]}, "rebuild": true})).unwrap();
    let made = stage.client.create_template(&wish, &mut |_| ()).await.unwrap();
    assert_eq!((made.name.as_str(), made.built_now), ("small", true));
}

#[tokio::test]
async fn what_it_is_made_of_is_one_thing_and_valid() {
    let stage = Stage::open().await;
    for wrong in [
        json!({"name": "small"}),
        json!({"recipe": {}}),
        json!({"name": "Small", "recipe": {}}),
        json!({"name": "small", "recipe": {}, "from_machine": "web"}),
        json!({"name": "small", "recipe": {}, "key": "one"}),
        json!({"name": "small", "from_machine": "web", "key": ""}),
        json!({"name": "small", "recipe": {"apt": ["./x.deb"]}}),
        json!({"name": "small", "recipe": {"npm": ["git+ssh://x"]}}),
        json!({"name": "small", "recipe": {"user": {"name": "root", "uid": 0}}}),
        json!({"name": "small", "recipe": {"gem": []}}),
    ] {
        let answer = stage.post("/v1/templates", &wrong.to_string()).await;
        assert_eq!(answer.json()["error"]["code"], Code::InvalidRequest.word(), "{wrong}");
    }
    let nobody = json!({"name": "small", "from_machine": "nobody"});
    let answer = stage.post("/v1/templates", &nobody.to_string()).await;
    assert_eq!(answer.json()["error"]["code"], Code::MachineNotFound.word());
}

#[tokio::test]
async fn a_template_is_removed_by_its_name() {
    let stage = Stage::open().await;
    let gone = stage.client.remove_template("base").await.unwrap();
    assert_eq!((gone.name.as_str(), gone.kept, gone.images.len()), ("base", false, 0));
    let unknown = stage.client.remove_template("none").await.unwrap_err();
    assert_eq!(unknown.code(), Some(Code::TemplateNotFound));
}
