//! A create as it came over the wire becomes what the engine makes. Parsed here, true afterwards.
//! What the contract knows and we do not do yet is refused by name, never passed over.

use machine_api::CreateMachine;
use machine_core::spec::{Deadlines, FirstStart, RootLife};
use machine_core::{MiB, Refusal};
use machine_engine::NewMachine;
use machine_engine::desk::AfterCreate;
use serde_json::{Map, Value};
use std::time::Duration;

use crate::mount_wish;
use crate::network_wish;
use crate::read::typed;
use crate::refused::{invalid, later};

const TEMPLATE: &str = "base";
const CPUS: u32 = 1;
const MEMORY: MiB = MiB(256);
const DISK: MiB = MiB(10 << 10);
/// Far above any host's disk, far below an overflow in bytes.
const LARGEST_DISK: MiB = MiB(64 << 20);

/// The contract's fields that are not honoured yet. Saying "none of it" is fine.
const LATER: [&str; 10] = [
    "timeout_action",
    "lifecycle",
    "inactivity_timeout_ms",
    "auto_delete_after_ms",
    "ephemeral",
    "auto_resume",
    "volumes",
    "desktop",
    "warm_pool",
    "snapshot_id",
];

/// Reads a create.
pub(crate) fn read(mut object: Map<String, Value>) -> Result<NewMachine, Refusal> {
    refuse_later(&mut object)?;
    let wish: CreateMachine = typed(object)?;
    if wish.timeout_ms.is_some_and(|timeout| timeout > 0) {
        return Err(later("timeout_ms").hint("leave it out, or send 0: no timeout"));
    }
    let name = wish.name.map(|name| name.parse()).transpose();
    let template = wish.template.as_deref().unwrap_or(TEMPLATE).parse();
    let disk = wish.disk_mb.map_or(DISK, MiB);
    if disk > LARGEST_DISK {
        return Err(invalid(format!("disk_mb: out of range: {disk} (at most {LARGEST_DISK})")));
    }
    check_cwd(wish.cwd.as_deref())?;
    check_envs(wish.envs.keys())?;
    Ok(NewMachine {
        name: name.map_err(|error| invalid(format!("name: {error}")))?,
        template: template.map_err(|error| invalid(format!("template: {error}")))?,
        cpus: wish.vcpus.unwrap_or(CPUS),
        memory: wish.memory_mb.map_or(MEMORY, MiB),
        disk,
        envs: wish.envs,
        labels: wish.labels,
        metadata: Value::Object(wish.metadata.unwrap_or_default()).to_string(),
        cwd: wish.cwd,
        first_start: if wish.cold { FirstStart::Boot } else { FirstStart::Image },
        network: network_wish::network(wish.network, wish.internet_access)?,
        root: wish.root.map_or_else(RootLife::default, Into::into),
        mounts: mount_wish::mounts(&wish.mounts)?,
        deadlines: deadlines(wish.boot_timeout_ms, wish.stop_grace_ms)?,
        then: if wish.start.unwrap_or(true) { AfterCreate::Start } else { AfterCreate::Rest },
    })
}

/// The longest that may be asked for.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

fn deadlines(boot_ms: Option<u64>, stop_ms: Option<u64>) -> Result<Deadlines, Refusal> {
    let read = |field: &str, millis: Option<u64>, least: u64| match millis {
        Some(millis) if millis < least || Duration::from_millis(millis) > LONGEST_WAIT => {
            Err(invalid(format!("{field}: out of range: {millis} (at least {least}, at most a day)")))
        }
        other => Ok(other.map(Duration::from_millis)),
    };
    Ok(Deadlines { boot: read("boot_timeout_ms", boot_ms, 1)?, stop: read("stop_grace_ms", stop_ms, 0)? })
}

fn refuse_later(object: &mut Map<String, Value>) -> Result<(), Refusal> {
    for field in LATER {
        match object.remove(field) {
            None | Some(Value::Null | Value::Bool(false)) => {}
            Some(Value::Array(list)) if list.is_empty() => {}
            Some(_) => return Err(later(field)),
        }
    }
    Ok(())
}

fn check_cwd(cwd: Option<&str>) -> Result<(), Refusal> {
    match cwd {
        Some(path) if !path.starts_with('/') => Err(invalid(format!("cwd: not an absolute path: {path}"))),
        Some(path) if path.contains('\0') => Err(invalid("cwd: a path has no NUL byte")),
        Some(_) | None => Ok(()),
    }
}

/// Refuses names that no environment can hold.
pub(crate) fn check_envs<'a>(mut names: impl Iterator<Item = &'a String>) -> Result<(), Refusal> {
    match names.find(|name| name.is_empty() || name.contains(['=', '\0'])) {
        Some(name) => Err(invalid(format!("envs: not a variable's name: '{name}'"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine_core::Code;
    use serde_json::json;

    fn parse(body: &Value) -> Result<NewMachine, Refusal> {
        read(body.as_object().cloned().unwrap_or_default())
    }

    fn refused(body: &Value, code: Code, names: &str) {
        let refusal = parse(body).expect_err(names);
        assert_eq!(refusal.code, code, "{body}");
        assert!(refusal.message.contains(names), "{body}: {}", refusal.message);
    }

    #[test]
    fn what_is_left_out_is_the_contracts_default() {
        let wish = parse(&json!({})).unwrap();
        assert_eq!((wish.template.as_str(), wish.cpus, wish.memory), ("base", 1, MiB(256)));
        assert_eq!((wish.metadata.as_str(), wish.then), ("{}", AfterCreate::Start));
        assert_eq!(wish.first_start, FirstStart::Image);
    }

    #[test]
    fn a_cold_machine_boots() {
        assert_eq!(parse(&json!({"cold": true})).unwrap().first_start, FirstStart::Boot);
    }

    #[test]
    fn a_root_lives_as_long_as_was_asked() {
        for (word, life) in [
            (json!({}), RootLife::Persistent),
            (json!({"root": "persistent"}), RootLife::Persistent),
            (json!({"root": "ephemeral"}), RootLife::Ephemeral),
            (json!({"root": "readonly"}), RootLife::ReadOnly),
        ] {
            assert_eq!(parse(&word).unwrap().root, life);
        }
    }

    #[test]
    fn saying_none_of_it_is_fine() {
        assert!(parse(&json!({"volumes": [], "auto_resume": false, "timeout_ms": 0})).is_ok());
    }

    #[test]
    fn what_we_do_not_do_is_refused_by_name() {
        for (field, value) in [
            ("timeout_ms", json!(300_000)),
            ("snapshot_id", json!("s")),
            ("network", json!({"mask_request_host": "x"})),
        ] {
            refused(&json!({field: value}), Code::NotImplemented, field);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (field, value) in [
            ("vcpus", json!(-1)),
            ("vcpus", json!(1.5)),
            ("memory_mb", json!("much")),
            ("disk_mb", json!(u64::MAX)),
            ("name", json!("Web!")),
            ("template", json!("../base")),
            ("cwd", json!("here")),
            ("envs", json!({"A=B": "c"})),
            ("envs", json!({"A": 1})),
            ("metadata", json!([])),
            ("start", json!("yes")),
            ("cold", json!("very")),
            ("colour", json!("red")),
            ("internet_access", json!("no")),
            ("network.egress.allow[0]", json!({"egress": {"allow": ["*"]}})),
            ("network.mode", json!({"mode": "tap"})),
            ("network.egress.allow", json!({"egress": {"allow": "a.example"}})),
            ("network.forwards[1]", json!({"forwards": ["80", 80]})),
            ("network.egres", json!({"egres": {}})),
            ("root", json!("disposable")),
            ("mounts", json!("/srv")),
            ("mounts[0].source", json!([{"source": "srv", "target": "/work"}])),
            ("mounts[0].access", json!([{"source": "/", "target": "/work", "access": "rw"}])),
            ("mounts[0].mode", json!([{"source": "/", "target": "/work", "mode": "rw"}])),
        ] {
            let whole = field.split(['.', '[']).next().unwrap_or(field);
            refused(&json!({whole: value}), Code::InvalidRequest, field);
        }
    }
}
