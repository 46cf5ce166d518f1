//! `limits = { … }` of a handler, and the limits that differ from their default.

use keyward_runtime::Limits;
use serde::Deserialize;
use std::time::Duration;

/// The table as written in the file. Omitted limits have their default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsTable {
    memory_mib: Option<u32>,
    table_elements: Option<u32>,
    cpu_ms: Option<u32>,
    wall_ms: Option<u32>,
    host_calls: Option<u32>,
    host_call_bytes: Option<u32>,
    host_work_bytes: Option<u32>,
    token_bytes: Option<u32>,
    actor_bytes: Option<u32>,
    actor_depth: Option<u32>,
    actor_id_bytes: Option<u32>,
    message_bytes: Option<u32>,
    log_lines: Option<u32>,
    component_bytes: Option<u32>,
    concurrent_calls: Option<u32>,
    verdict_cache_bytes: Option<u32>,
}

impl LimitsTable {
    /// Returns the runtime's limits. Both structs are destructured completely, so that a limit that
    /// the file cannot set does not compile.
    pub(crate) fn limits(self) -> Limits {
        let Self {
            memory_mib,
            table_elements,
            cpu_ms,
            wall_ms,
            host_calls,
            host_call_bytes,
            host_work_bytes,
            token_bytes,
            actor_bytes,
            actor_depth,
            actor_id_bytes,
            message_bytes,
            log_lines,
            component_bytes,
            concurrent_calls,
            verdict_cache_bytes,
        } = self;
        let default = Limits::default();
        Limits {
            memory_bytes: memory_mib.map_or(default.memory_bytes, |mib| size(mib).saturating_mul(1 << 20)),
            table_elements: table_elements.map_or(default.table_elements, size),
            cpu: cpu_ms.map_or(default.cpu, milliseconds),
            wall: wall_ms.map_or(default.wall, milliseconds),
            host_calls: host_calls.unwrap_or(default.host_calls),
            host_call_bytes: host_call_bytes.map_or(default.host_call_bytes, size),
            host_work_bytes: host_work_bytes.map_or(default.host_work_bytes, size),
            token_bytes: token_bytes.map_or(default.token_bytes, size),
            actor_bytes: actor_bytes.map_or(default.actor_bytes, size),
            actor_depth: actor_depth.map_or(default.actor_depth, size),
            actor_id_bytes: actor_id_bytes.map_or(default.actor_id_bytes, size),
            message_bytes: message_bytes.map_or(default.message_bytes, size),
            log_lines: log_lines.unwrap_or(default.log_lines),
            component_bytes: component_bytes.map_or(default.component_bytes, size),
            concurrent_calls: concurrent_calls.map(size).or(default.concurrent_calls),
            verdict_cache_bytes: verdict_cache_bytes.map_or(default.verdict_cache_bytes, size),
        }
    }
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn milliseconds(number: u32) -> Duration {
    Duration::from_millis(u64::from(number))
}

/// Returns the limits that differ from their default, each as setting, value and default. `None`
/// means that the value is chosen automatically.
pub(crate) fn changed(limits: &Limits) -> Vec<(&'static str, Option<u64>, Option<u64>)> {
    let (values, defaults) = (settings(limits), settings(&Limits::default()));
    let pairs = values.into_iter().zip(defaults);
    pairs
        .filter(|(value, default)| value != default)
        .map(|((name, value), (_, default))| (name, value, default))
        .collect()
}

fn settings(limits: &Limits) -> [(&'static str, Option<u64>); 16] {
    let Limits {
        memory_bytes,
        table_elements,
        cpu,
        wall,
        host_calls,
        host_call_bytes,
        host_work_bytes,
        token_bytes,
        actor_bytes,
        actor_depth,
        actor_id_bytes,
        message_bytes,
        log_lines,
        component_bytes,
        concurrent_calls,
        verdict_cache_bytes,
    } = limits;
    let number = |size: usize| u64::try_from(size).ok();
    let milliseconds = |time: &Duration| u64::try_from(time.as_millis()).ok();
    [
        ("memory_mib", number(*memory_bytes >> 20)),
        ("table_elements", number(*table_elements)),
        ("cpu_ms", milliseconds(cpu)),
        ("wall_ms", milliseconds(wall)),
        ("host_calls", Some(u64::from(*host_calls))),
        ("host_call_bytes", number(*host_call_bytes)),
        ("host_work_bytes", number(*host_work_bytes)),
        ("token_bytes", number(*token_bytes)),
        ("actor_bytes", number(*actor_bytes)),
        ("actor_depth", number(*actor_depth)),
        ("actor_id_bytes", number(*actor_id_bytes)),
        ("message_bytes", number(*message_bytes)),
        ("log_lines", Some(u64::from(*log_lines))),
        ("component_bytes", number(*component_bytes)),
        ("concurrent_calls", concurrent_calls.and_then(number)),
        ("verdict_cache_bytes", number(*verdict_cache_bytes)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_sets_its_own_limit() {
        assert_eq!(LimitsTable::default().limits(), Limits::default());
        assert_eq!(changed(&Limits::default()), []);
        for (name, _) in settings(&Limits::default()) {
            let table: LimitsTable = toml::from_str(&format!("{name} = 7")).unwrap();
            let changed: Vec<_> = changed(&table.limits()).into_iter().map(|(name, value, _)| (name, value)).collect();
            assert_eq!(changed, [(name, Some(7))]);
        }
    }
}
