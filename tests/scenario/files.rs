//! Files in and out, byte for byte.

use std::fs;

use crate::home::Home;

/// Bytes that do not repeat soon, from a small generator.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn files_and_folders_go_in_and_come_back_byte_for_byte() {
    let home = Home::new("files");
    home.ok(&["create", "--name", "a"]);
    let (sent, back) = (home.folder().join("sent"), home.folder().join("back"));
    fs::write(&sent, noise(200 << 20)).expect("the tests' folder can be written");
    home.ok(&["cp", "./sent", "a:/workspace/"]);
    home.ok(&["cp", "a:/workspace/sent", "./back"]);
    assert!(fs::read(&sent).expect("sent") == fs::read(&back).expect("back"), "200 MiB came back changed");

    let tree = home.folder().join("tree/inner");
    fs::create_dir_all(&tree).expect("the tests' folder can be written");
    fs::write(tree.join("script"), "#!/bin/sh\necho ran\n").expect("the tests' folder can be written");
    fs::set_permissions(tree.join("script"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it is ours");
    std::os::unix::fs::symlink("script", tree.join("link")).expect("a link can be made");
    home.ok(&["cp", "./tree", "a:/workspace/"]);
    assert_eq!(home.ok(&["exec", "a", "--", "/workspace/tree/inner/link"]), "ran");
    home.ok(&["cp", "a:/workspace/tree", "./returned"]);
    assert_eq!(
        fs::read_link(home.folder().join("returned/inner/link")).expect("a link"),
        fs::canonicalize("script").unwrap_or("script".into())
    );

    assert!(home.refused(&["cp", "./missing", "a:/workspace/"], 3).contains("missing"));
    assert!(home.refused(&["cp", "a:/missing", "./x"], 3).contains("/missing"));
    assert!(!home.folder().join("x").exists(), "a copy that failed leaves nothing");
}
