//! Limits on the resources of calls and of the runtime: finite by default, and all enforced.

use std::time::Duration;

/// Maximum length of a token's id in bytes. [`Limits::actor_id_bytes`] is that of an actor's id.
pub const MAX_TOKEN_ID_BYTES: usize = 256;

const NANOS_PER_MS: u32 = 1_000_000;

macro_rules! limits {
    ($(
        $(#[doc = $doc:literal])*
        $field:ident: $type:ty = $default:expr,
        $setting:literal $(from $min:literal)? $(in $scale:expr)?
        $(, $kind:ident = $code:literal, $what:literal in $unit:literal)?;
    )*) => {
        /// The resources that one handler may use.
        ///
        /// Every field is enforced: the code that enforces them destructures this struct without
        /// `..`, so an unenforced field does not compile.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[expect(clippy::exhaustive_structs, reason = "written with `..Limits::default()`, and enforced in full")]
        pub struct Limits { $($(#[doc = $doc])* pub $field: $type,)* }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl Limits {
            /// The names of the settings in configuration files, one for each field.
            pub const SETTINGS: &[&str] = &[$($setting),*];

            /// The settings with another minimum than 1.
            const MINIMUMS: &[(&str, u32)] = &[$($(($setting, $min),)?)*];

            /// Returns the description of a setting in [`Limits::SETTINGS`], as Markdown. `None`
            /// means that there is no such setting.
            pub fn description(name: &str) -> Option<&'static str> {
                match name {
                    $($setting => Some(concat!($($doc),*).trim_ascii()),)*
                    _ => None,
                }
            }

            /// Returns a setting that is 0 although its [minimum](Self::min) is not.
            pub(crate) fn zero(&self) -> Option<&'static str> {
                let zeros = [$(($setting, self.$field.is_zero())),*];
                let zero = zeros.into_iter().find(|(setting, is_zero)| *is_zero && Self::min(setting) > 0);
                zero.map(|(setting, _)| setting)
            }

            /// Returns the value of a setting in [`Limits::SETTINGS`], in the unit that ends its
            /// name. `None` means that there is no such setting, or that the runtime chooses the
            /// value.
            pub fn setting(&self, name: &str) -> Option<u64> {
                match name {
                    $($setting => self.$field.to_setting(1 $(* ($scale))?),)*
                    _ => None,
                }
            }

            /// Changes a setting in [`Limits::SETTINGS`], in the unit that ends its name. Returns
            /// `false` if there is no such setting.
            #[must_use]
            pub fn set(&mut self, name: &str, value: u32) -> bool {
                match name {
                    $($setting => self.$field = Limit::from_setting(value, 1 $(* ($scale))?),)*
                    _ => return false,
                }
                true
            }
        }

        /// The limits that a call can exceed. Each is a field of [`Limits`] or of
        /// [`RuntimeLimits`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum LimitKind {
            $($(
                #[doc = concat!("The limit [`Limits::", stringify!($field), "`].")]
                $kind,
            )?)*
            /// The limit [`RuntimeLimits::wasm_stack_bytes`].
            Stack,
        }

        impl LimitKind {
            /// All limits that a call can exceed.
            pub const ALL: &[Self] = &[$($(Self::$kind,)?)* Self::Stack];

            /// Returns a stable code for metrics and scripts.
            pub fn code(self) -> &'static str {
                match self {
                    $($(Self::$kind => $code,)?)*
                    Self::Stack => "limit-stack",
                }
            }

            /// Returns the setting for the operator to change.
            pub fn setting(self) -> &'static str {
                match self {
                    $($(Self::$kind => concat!("limits.", $setting),)?)*
                    Self::Stack => "RuntimeLimits::wasm_stack_bytes",
                }
            }

            /// Returns the limited resource and its unit, for error messages.
            pub(crate) fn resource(self) -> (&'static str, &'static str) {
                match self {
                    $($(Self::$kind => ($what, $unit),)?)*
                    Self::Stack => ("stack", "bytes"),
                }
            }
        }
    };
}

impl Limits {
    /// Returns the minimum of a setting in [`Limits::SETTINGS`]: 1, or 0 where that means none.
    #[must_use]
    pub fn min(setting: &str) -> u32 {
        Self::MINIMUMS.iter().find(|(name, _)| *name == setting).map_or(1, |(_, min)| *min)
    }
}

// The names of fields and settings have the units, so the descriptions apply to both: they are also
// those of docs/configuration.md.
limits! {
    /// Maximum linear memory of one call, summed over all memories of the component. A handler
    /// built with the SDK fits one page of 64 KiB; 16 MiB leave room for a language with a garbage
    /// collector. A call that needs more has no verdict (`limit-memory`). It also bounds latency:
    /// filling memory cannot be interrupted.
    memory_bytes: usize = 16 << 20, "memory_mib" in 1 << 20,
        Memory = "limit-memory", "memory" in "bytes";
    /// Maximum number of table elements of one call, summed over all tables of the component. Large
    /// Go or JavaScript programs have about ten thousand functions. More: no verdict
    /// (`limit-table`).
    table_elements: usize = 20_000, "table_elements",
        Table = "limit-table", "table" in "elements";
    /// Maximum CPU time of one call, counted on the threads that run it; time spent waiting for a
    /// processor is not charged. A call that needs more is stopped, without a verdict
    /// (`limit-cpu`). Protects other handlers from a costly one.
    cpu: Duration = Duration::from_millis(50), "cpu_ms" in NANOS_PER_MS,
        Cpu = "limit-cpu", "CPU time" in "µs";
    /// Maximum wall-clock time of one call, including host calls and waiting: after that it is
    /// stopped, without a verdict (`limit-wall`). Keep it above the deadlines of the handler's
    /// queries.
    wall: Duration = Duration::from_millis(250), "wall_ms" in NANOS_PER_MS,
        Wall = "limit-wall", "wall time" in "µs";
    /// Maximum number of host calls in one call. More: no verdict (`limit-host-calls`).
    host_calls: u32 = 2_000, "host_calls",
        HostCalls = "limit-host-calls", "host call" in "calls";
    /// Maximum number of bytes that the handler may pass to the host in one host call, or return as
    /// its result. More: no verdict (`limit-host-bytes`).
    host_call_bytes: usize = 256 << 10, "host_call_bytes",
        HostBytes = "limit-host-bytes", "host call data" in "bytes";
    /// Maximum number of bytes that the host processes for the handler in one call: every byte that
    /// host functions hash, sign, compare, copy and log, counted once per operation. A signed token
    /// of 8 KiB needs less than a hundredth of the default. More: no verdict (`limit-host-work`).
    host_work_bytes: usize = 4 << 20, "host_work_bytes",
        HostWork = "limit-host-work", "host work" in "bytes";
    /// Maximum length of a token. A longer one is rejected as malformed without a call, and a
    /// request that would issue one is denied. Most servers accept a header of 8 KiB.
    token_bytes: usize = 8_192, "token_bytes";
    /// Maximum length of the actor's JSON, including the restrictions and other members that the
    /// host adds. A token with more is rejected, and a request for one is denied. A compressed
    /// token of 8 KiB holds restrictions of up to 64 KiB.
    actor_bytes: usize = 64 << 10, "actor_bytes";
    /// Maximum nesting depth of the actor's JSON: `{}` has depth 1. A token with more is rejected.
    actor_depth: usize = 32, "actor_depth";
    /// Maximum length of an actor's id. Longer ones are refused when a token is requested, listed
    /// or revoked (400), and a token with one has no verdict (`limit-actor-id`). Every node
    /// remembers the ids that are revoked. `builtin:signed` accepts at most 1,024, whatever the
    /// limit is.
    actor_id_bytes: usize = 1_024, "actor_id_bytes",
        ActorId = "limit-actor-id", "actor id" in "bytes";
    /// Maximum length of a message to the caller and of a log line; longer ones are truncated.
    message_bytes: usize = 1_024, "message_bytes";
    /// Maximum number of log lines of one call; more are counted and dropped. 0 means none.
    log_lines: u32 = 50, "log_lines" from 0;
    /// Maximum length of the component's file. A larger one does not load.
    component_bytes: usize = 32 << 20, "component_bytes";
    /// Maximum number of concurrent calls of this handler; more have no verdict (`busy`). By
    /// default, half of the runtime's slots. It gets fewer while other handlers need them: each
    /// handler owns a part of half of the slots.
    concurrent_calls: Option<usize> = None, "concurrent_calls";
    /// Size of the verdict cache. A cached verdict is valid for the rest of its second, so
    /// that a token presented again within it costs no call. 0 disables the cache.
    verdict_cache_bytes: usize = 4 << 20, "verdict_cache_bytes" from 0;
}

/// A limit that a setting without fractions can express.
trait Limit {
    /// Converts a setting, of which one unit is `scale` units of the limit.
    fn from_setting(value: u32, scale: u32) -> Self;

    /// Returns the setting, or `None` if the runtime chooses the value.
    fn to_setting(&self, scale: u32) -> Option<u64>;

    /// Returns whether the limit is 0, also if the setting would be rounded.
    fn is_zero(&self) -> bool {
        self.to_setting(1) == Some(0)
    }
}

impl Limit for u32 {
    fn from_setting(value: u32, scale: u32) -> Self {
        value.saturating_mul(scale)
    }

    fn to_setting(&self, scale: u32) -> Option<u64> {
        Some(u64::from(self / scale))
    }
}

impl Limit for usize {
    fn from_setting(value: u32, scale: u32) -> Self {
        usize::try_from(u64::from(value) * u64::from(scale)).unwrap_or(usize::MAX)
    }

    fn to_setting(&self, scale: u32) -> Option<u64> {
        u64::try_from(*self).ok().map(|value| value / u64::from(scale))
    }
}

impl Limit for Option<usize> {
    fn from_setting(value: u32, scale: u32) -> Self {
        Some(usize::from_setting(value, scale))
    }

    fn to_setting(&self, scale: u32) -> Option<u64> {
        self.as_ref().and_then(|value| value.to_setting(scale))
    }
}

/// In nanoseconds.
impl Limit for Duration {
    fn from_setting(value: u32, scale: u32) -> Self {
        Duration::from_nanos(u64::from(value) * u64::from(scale))
    }

    fn to_setting(&self, scale: u32) -> Option<u64> {
        u64::try_from(self.as_nanos() / u128::from(scale)).ok()
    }
}

/// The resources that all handlers of one [`Runtime`](crate::Runtime) share. They configure the
/// engine and are fixed when the runtime is created.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "written with `..RuntimeLimits::default()`")]
pub struct RuntimeLimits {
    /// Maximum number of concurrent calls of all handlers. Each slot reserves address space, not
    /// memory.
    pub slots: usize,
    /// Upper bound for [`Limits::memory_bytes`].
    pub memory_bytes: usize,
    /// Upper bound for [`Limits::table_elements`].
    pub table_elements: usize,
    /// Stack size of WebAssembly code in one call, in bytes. A quick call runs on its caller's
    /// stack if the thread has this much and 512 KiB left, otherwise on a separate stack, which
    /// is slower.
    pub wasm_stack_bytes: usize,
    /// Number of threads in each of the two lanes for calls that outlast their first slice. The
    /// threads of the steady lane share a fifth of one core on a busy machine; those of the spare
    /// lane run handlers whose last call had to be stopped.
    pub slow_threads: usize,
}

impl RuntimeLimits {
    /// Returns the maximum of a setting in [`Limits::SETTINGS`].
    #[must_use]
    pub fn max(&self, setting: &str) -> u32 {
        let max = match setting {
            "memory_mib" => self.memory_bytes >> 20,
            "table_elements" => self.table_elements,
            "concurrent_calls" => self.slots,
            _ => return u32::MAX,
        };
        u32::try_from(max).unwrap_or(u32::MAX)
    }
}

impl Default for RuntimeLimits {
    fn default() -> Self {
        Self { slots: 64, memory_bytes: 64 << 20, table_elements: 20_000, wasm_stack_bytes: 256 << 10, slow_threads: 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_sets_its_own_limit() {
        let default = Limits::default();
        for changed in Limits::SETTINGS {
            let mut limits = Limits::default();
            assert!(limits.set(changed, 7));
            for name in Limits::SETTINGS {
                let wanted = if name == changed { Some(7) } else { default.setting(name) };
                assert_eq!(limits.setting(name), wanted, "{name} after {changed} = 7");
            }
        }
    }
}
