//! In which order modules are loaded, from depmod's own index. Pure.

use std::collections::BTreeMap;

/// Why there is no order.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// The kernel neither has the module nor contains it.
    #[error("the kernel has no module {0}")]
    Unknown(String),
}

/// The files to load, dependencies first, each once; what the kernel contains is left out.
pub(super) fn of(wanted: &[&str], modules_dep: &str, modules_builtin: &str) -> Result<Vec<String>, OrderError> {
    let index: BTreeMap<String, (&str, Vec<&str>)> = modules_dep.lines().filter_map(indexed).collect();
    let mut order: Vec<String> = Vec::new();
    for name in wanted {
        let name = canonical(name);
        let Some((path, needs)) = index.get(&name) else {
            if modules_builtin.lines().any(|line| canonical(line) == name) {
                continue;
            }
            return Err(OrderError::Unknown(name));
        };
        // depmod lists what is needed from the nearest to the farthest.
        for file in needs.iter().rev().chain([path]) {
            if !order.iter().any(|known| known == file) {
                order.push((*file).to_owned());
            }
        }
    }
    Ok(order)
}

fn indexed(line: &str) -> Option<(String, (&str, Vec<&str>))> {
    let (path, needs) = line.split_once(':')?;
    Some((canonical(path), (path, needs.split_whitespace().collect())))
}

/// A module's name from its path: no folder, no ending, and `-` is `_`.
fn canonical(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/drivers/block/virtio_blk.ko.xz:
kernel/net/core/failover.ko.xz:
kernel/drivers/net/net_failover.ko.xz: kernel/net/core/failover.ko.xz
kernel/drivers/net/virtio_net.ko.xz: kernel/drivers/net/net_failover.ko.xz kernel/net/core/failover.ko.xz
kernel/drivers/char/hw_random/virtio-rng.ko.xz:
";

    fn names(wanted: &[&str]) -> Result<Vec<String>, OrderError> {
        Ok(of(wanted, DEP, "kernel/fs/ext4/ext4.ko\n")?.iter().map(|path| canonical(path)).collect())
    }

    #[test]
    fn what_a_module_needs_comes_before_it_and_once() {
        let order = names(&["virtio_blk", "virtio_net", "net_failover"]).unwrap();
        assert_eq!(order, ["virtio_blk", "failover", "net_failover", "virtio_net"]);
    }

    #[test]
    fn a_dash_in_a_file_name_is_an_underscore_in_the_modules() {
        assert_eq!(names(&["virtio_rng"]).unwrap(), ["virtio_rng"]);
    }

    #[test]
    fn what_the_kernel_contains_is_not_loaded() {
        assert_eq!(names(&["ext4"]).unwrap(), [""; 0]);
    }

    #[test]
    fn a_module_that_is_nowhere_is_named() {
        assert_eq!(names(&["nvme"]), Err(OrderError::Unknown("nvme".to_owned())));
    }
}
