//! Small files in the shared folder, beside the same in a folder of the guest's own disk.

use std::fs;
use std::path::Path;

use super::Project;
use crate::figures::Samples;
use crate::report::Report;

/// A repository of so many files, and an archive of so many.
const TRACKED: usize = 20_000;
const PACKED: usize = 5_000;

/// Files of a folder.
const TOGETHER: usize = 100;

/// Copies the tree that lies in the shared folder to the guest's own disk, makes a repository of it there, and copies
/// that back: both have the same. Packed, as it would be after a clone. Status is asked once, so that both indices
/// know their files.
const LAY: &str = "set -e; cd /workspace; cp -a tree own/; cd own; git config --global --add safe.directory '*'; \
    git config --global gc.auto 0; git -C tree init -q; git -C tree add -A; \
    git -C tree -c user.name=m -c user.email=m@example.com commit -q -m all; git -C tree gc -q --prune=now; \
    cp -a tree/.git ../tree/; git -C tree status --short; git -C ../tree status --short; mkdir packed; cd packed; \
    for n in $(seq PACKED); do printf 'file %s\\n' $n $n $n $n > $n.txt; done; cd ..; \
    tar -cf packed.tar packed; rm -rf packed; cp packed.tar ..";

pub(super) async fn measure(project: &Project<'_>, rounds: usize, report: &mut Report) -> anyhow::Result<()> {
    lay_tree(&project.folder().join("tree"))?;
    project.seconds(&LAY.replace("PACKED", &PACKED.to_string())).await?;
    let forget = "sync; echo 3 | sudo tee /proc/sys/vm/drop_caches";
    compare(project, rounds, report, "git status of 20,000 files, first", forget, "git -C tree status --short").await?;
    compare(project, rounds, report, "git status of 20,000 files, again", "true", "git -C tree status --short").await?;
    let clear = "rm -rf packed; sync";
    compare(project, rounds, report, "untar of 5,000 files", clear, "tar -xf packed.tar").await?;
    compare(project, rounds, report, "rm of 5,000 files", "rm -rf packed; tar -xf packed.tar; sync", "rm -rf packed")
        .await?;
    project.seconds("cd /workspace && rm -rf tree packed packed.tar own/tree own/packed own/packed.tar").await.map(drop)
}

/// On the host, where it takes no time.
fn lay_tree(tree: &Path) -> std::io::Result<()> {
    for number in 0..TRACKED {
        let folder = tree.join((number / TOGETHER).to_string());
        if number % TOGETHER == 0 {
            fs::create_dir_all(&folder)?;
        }
        fs::write(folder.join(format!("{number}.txt")), format!("file {number}\n").repeat(40))?;
    }
    Ok(())
}

/// Turn and turn about, so that both meet the same hour.
async fn compare(
    project: &Project<'_>,
    rounds: usize,
    report: &mut Report,
    what: &str,
    before: &str,
    line: &str,
) -> anyhow::Result<()> {
    let (mut shared, mut own) = (Samples::default(), Samples::default());
    for _ in 0..rounds {
        for (folder, samples) in [("/workspace", &mut shared), ("/workspace/own", &mut own)] {
            project.seconds(&format!("cd {folder} && {before}")).await?;
            samples.push(project.seconds(&format!("cd {folder} && {line}")).await?);
        }
    }
    let plain = own.figures();
    report.line(format!("project: {what}, the guest's own disk"), "s", plain, None);
    report.line(format!("project: {what}, the shared folder"), "s", shared.figures(), Some(plain.p50));
    Ok(())
}
