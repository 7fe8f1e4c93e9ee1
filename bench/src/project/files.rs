//! Small files in the shared folder, beside the same in a folder of the guest's own disk.

use super::Project;
use crate::figures::Samples;
use crate::report::Report;

/// A repository of so many files, and an archive of so many.
const TRACKED: usize = 20_000;
const PACKED: usize = 5_000;

/// Makes both on the guest's own disk, then copies the repository to the other side: both have the same.
const LAY: &str = "set -e; cd /workspace/own; git config --global --add safe.directory '*'; \
    git config --global gc.auto 0; mkdir tree packed; \
    python3 - <<'PY'\n\
import os\n\
for tree, count in (('tree', TRACKED), ('packed', PACKED)):\n\
\x20   for n in range(count):\n\
\x20       folder = f'{tree}/{n // 100}'\n\
\x20       os.makedirs(folder, exist_ok=True)\n\
\x20       open(f'{folder}/{n}.txt', 'w').write(f'file {n}\\n' * 40)\n\
PY\n\
    git -C tree init -q; git -C tree add -A; \
    git -C tree -c user.name=m -c user.email=m@example.com commit -q -m all; \
    tar -cf packed.tar packed; rm -rf packed; cp packed.tar ..; cp -a tree ..";

pub(super) async fn measure(project: &Project<'_>, rounds: usize, report: &mut Report) -> anyhow::Result<()> {
    let lay = LAY.replace("TRACKED", &TRACKED.to_string()).replace("PACKED", &PACKED.to_string());
    project.seconds(&lay).await?;
    let forget = "sync; echo 3 | sudo tee /proc/sys/vm/drop_caches";
    compare(project, rounds, report, "git status of 20,000 files, first", forget, "git -C tree status --short").await?;
    compare(project, rounds, report, "git status of 20,000 files, again", "true", "git -C tree status --short").await?;
    let clear = "rm -rf packed; sync";
    compare(project, rounds, report, "untar of 5,000 files", clear, "tar -xf packed.tar").await?;
    compare(project, rounds, report, "rm of 5,000 files", "rm -rf packed; tar -xf packed.tar; sync", "rm -rf packed")
        .await?;
    project.seconds("cd /workspace && rm -rf tree packed packed.tar own/tree own/packed own/packed.tar").await.map(drop)
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
