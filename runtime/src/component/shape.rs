//! The shape of a component: its parts are counted and bounded, and its own declarations read,
//! before it is compiled.

use super::setting::{self, SettingType};
use crate::error::{LoadError, LoadErrorKind};
use crate::sanitize::escape_untrusted;
use crate::token_pattern::TokenPattern;
use std::collections::BTreeMap;
use std::fmt;
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef,
    CustomSectionReader, Instance, Parser, Payload,
};

/// Maximum number of instances that a component expands to, core instances and nested components
/// together.
///
/// Components from the usual tools have fewer than ten. This must be bounded before compilation,
/// since 1,470 bytes can expand to 10^8 instances.
const MAX_INSTANCES: u64 = 100;

/// Maximum depth of nested components.
const MAX_NESTING: usize = 8;
/// Maximum number of modules and components. The largest known components, which embed a JavaScript
/// or Python engine, have about ten modules.
const MAX_MODULES: usize = 64;
/// Maximum number of functions in all modules. The largest known components have about 30,000.
const MAX_FUNCTIONS: u64 = 100_000;

/// Maximum number of custom sections in a component and all of its modules. A debug build has a
/// dozen for each module.
const MAX_SECTIONS: usize = 1_000;
/// The section of function names.
const NAME_SECTION: &str = "name";
/// Maximum total size of `name` sections. Other custom sections cost nothing beyond the file's
/// size, but the engine parses these into function names.
const MAX_NAME_BYTES: usize = 8 << 20;

const MAX_SETTINGS: usize = 256;
const MAX_SETTINGS_BYTES: usize = 16 << 10;

/// The section in which a component declares its [`TokenPattern`]s, one on each line. A token is
/// scanned once for each pattern.
const PATTERN_SECTION: &str = "keyward:token-patterns";
const MAX_PATTERNS: usize = 16;
const MAX_PATTERN_BYTES: usize = 4_096;

/// The counts of a component's parts while it is read, and its own declarations.
#[derive(Default)]
pub(super) struct Shape {
    /// Number of instances in each open component, outermost first. Open modules are entries with
    /// zero.
    open: Vec<u64>,
    /// Maximum number of instances in any finished component. It bounds every component instance,
    /// because a component can only instantiate those that are defined before it: passing
    /// components around is refused.
    largest: u64,
    modules: usize,
    functions: u64,
    sections: usize,
    name_bytes: usize,
    /// Its settings and their types; `None` if it declares none.
    pub(super) settings: Option<BTreeMap<String, SettingType>>,
    /// The patterns of its tokens; `None` if it declares none.
    pub(super) patterns: Option<Vec<TokenPattern>>,
}

impl Shape {
    /// Reads the sections of a component in order.
    ///
    /// # Errors
    /// Returns a [`LoadError`] if the component is damaged or too complex to compile.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, LoadError> {
        let mut shape = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            shape.add(payload.map_err(damaged)?)?;
        }
        Ok(shape)
    }

    fn add(&mut self, payload: Payload<'_>) -> Result<(), LoadError> {
        let passes_components =
            || too_complex("passes components around as values: instantiate them where they are defined");
        match payload {
            Payload::Version { .. } => {
                self.open.push(0);
                self.modules = self.modules.saturating_add(1);
                bounded(self.modules, MAX_MODULES, "modules and components", "merge them")?;
                bounded(self.open.len(), MAX_NESTING, "levels of nested components", "reduce the nesting")?;
            }
            Payload::End(_) => {
                self.largest = self.largest.max(self.open.pop().unwrap_or_default());
            }
            Payload::CodeSectionStart { count, .. } => {
                self.functions = self.functions.saturating_add(count.into());
                bounded(self.functions, MAX_FUNCTIONS, "functions", "remove unused functions")?;
            }
            Payload::InstanceSection(section) => {
                for instance in section {
                    let is_new = matches!(instance.map_err(damaged)?, Instance::Instantiate { .. });
                    self.count(u64::from(is_new))?;
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section {
                    match instance.map_err(damaged)? {
                        ComponentInstance::Instantiate { args, .. } => {
                            if args.iter().any(|arg| arg.kind == ComponentExternalKind::Component) {
                                return Err(passes_components());
                            }
                            self.count(self.largest.saturating_add(1))?;
                        }
                        ComponentInstance::FromExports(exports) => {
                            if exports.iter().any(|export| export.kind == ComponentExternalKind::Component) {
                                return Err(passes_components());
                            }
                        }
                    }
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section {
                    if let ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. }
                    | ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, .. } =
                        alias.map_err(damaged)?
                    {
                        return Err(passes_components());
                    }
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section {
                    if matches!(import.map_err(damaged)?.ty, ComponentTypeRef::Component(_)) {
                        return Err(passes_components());
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    if export.map_err(damaged)?.kind == ComponentExternalKind::Component {
                        return Err(passes_components());
                    }
                }
            }
            Payload::CustomSection(section) => self.add_custom(&section)?,
            _ => {}
        }
        Ok(())
    }

    fn add_custom(&mut self, section: &CustomSectionReader<'_>) -> Result<(), LoadError> {
        const STRIP: &str = "strip it, for example with `wasm-tools strip`";
        let data = section.data();
        self.sections = self.sections.saturating_add(1);
        match section.name() {
            setting::SECTION => {
                let stated = Stated { section: setting::SECTION, what: "settings" };
                let settings = stated.lines(data, MAX_SETTINGS_BYTES, MAX_SETTINGS)?.map(setting::parse);
                let settings = settings.collect::<Result<_, _>>()?;
                stated.once(self.settings.replace(settings))?;
            }
            PATTERN_SECTION => {
                let stated = Stated { section: PATTERN_SECTION, what: "patterns" };
                let patterns = stated.lines(data, MAX_PATTERN_BYTES, MAX_PATTERNS)?.map(TokenPattern::parse);
                let patterns = patterns.collect::<Result<_, _>>().map_err(|what| stated.invalid(what))?;
                stated.once(self.patterns.replace(patterns))?;
            }
            NAME_SECTION => {
                self.name_bytes = self.name_bytes.saturating_add(data.len());
                bounded(self.name_bytes, MAX_NAME_BYTES, "bytes in `name` sections", STRIP)?;
            }
            _ => {}
        }
        bounded(self.sections, MAX_SECTIONS, "custom sections", STRIP)
    }

    /// Adds instances to the innermost open component.
    fn count(&mut self, instances: u64) -> Result<(), LoadError> {
        if let Some(known) = self.open.last_mut() {
            *known = known.saturating_add(instances);
            bounded(*known, MAX_INSTANCES, "instances", "instantiate each part once")?;
        }
        Ok(())
    }
}

/// A section of lines in which a component declares something about itself.
#[derive(Clone, Copy)]
struct Stated {
    section: &'static str,
    what: &'static str,
}

impl Stated {
    /// Returns the lines that are not empty.
    ///
    /// # Errors
    /// Returns a [`LoadError`] if the section is not UTF-8, or has more than `max_bytes` bytes or
    /// `max` lines.
    fn lines(self, data: &[u8], max_bytes: usize, max: usize) -> Result<impl Iterator<Item = &str>, LoadError> {
        let Self { section, what } = self;
        let too_many = |has: usize, unit: &str, of: usize| {
            let text =
                format!("the section `{section}` has {has} {unit}, more than the {of} allowed: declare fewer {what}");
            Err(LoadError::new(LoadErrorKind::TooComplex, text))
        };
        if data.len() > max_bytes {
            return too_many(data.len(), "bytes", max_bytes);
        }
        let text = str::from_utf8(data).map_err(|_| self.invalid("is not UTF-8 text"))?;
        let lines = text.lines().filter(|line| !line.is_empty());
        let count = lines.clone().count();
        if count > max { too_many(count, what, max) } else { Ok(lines) }
    }

    /// Refuses a second section of this kind, which could extend or contradict the first.
    fn once<T>(self, before: Option<T>) -> Result<(), LoadError> {
        if before.is_none() { Ok(()) } else { Err(self.invalid("appears more than once: keep one")) }
    }

    fn invalid(self, what: &str) -> LoadError {
        LoadError::new(LoadErrorKind::Invalid, format!("the section `{}` {what}", self.section))
    }
}

/// Returns a [`LoadError`] if `has` exceeds `of`.
fn bounded<T: PartialOrd + fmt::Display>(has: T, of: T, unit: &str, remedy: &str) -> Result<(), LoadError> {
    if has > of { Err(too_complex(&format!("has {has} {unit}, more than the {of} allowed: {remedy}"))) } else { Ok(()) }
}

fn damaged(error: wasmparser::BinaryReaderError) -> LoadError {
    LoadError::new(
        LoadErrorKind::Invalid,
        format!("the component is damaged: {}", escape_untrusted(&error.to_string(), 300)),
    )
}

fn too_complex(what: &str) -> LoadError {
    LoadError::new(LoadErrorKind::TooComplex, format!("the component {what}"))
}
