//! The shape of a component: its parts are counted and bounded, and its own declarations read,
//! before it is compiled.

use super::bound::{Total, bounded, damaged, too_complex};
use super::code::Code;
use super::imports::{self, Import};
use super::setting::{self, SettingType};
use crate::error::{LoadError, LoadErrorKind};
use crate::token_pattern::TokenPattern;
use std::collections::{BTreeMap, BTreeSet};
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef,
    CustomSectionReader, ElementItems, Encoding, Instance, Parser, Payload, SectionLimited,
};

/// Maximum number of instances that a component expands to, core instances and nested components
/// together.
///
/// Components from Rust have fewer than ten, those that embed a JavaScript or Python engine up to
/// 100. This must be bounded before compilation, since 1,470 bytes can expand to 10^8 instances.
const MAX_INSTANCES: u64 = 300;

/// Maximum depth of nested components.
const MAX_NESTING: usize = 8;
/// Maximum number of modules and components. The largest known components, which embed a JavaScript
/// or Python engine, have up to 36.
const MAX_MODULES: usize = 64;

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

/// The sums of the entries in sections. Each maximum is several times that of the largest known
/// components, which embed a JavaScript or Python engine.
struct Entries {
    types: Total,
    imports: Total,
    exports: Total,
    globals: Total,
    elements: Total,
    segments: Total,
    aliases: Total,
    canonical: Total,
}

impl Default for Entries {
    fn default() -> Self {
        Self {
            types: Total::new(50_000, "types", "remove unused types"),
            imports: Total::new(20_000, "imports", "remove unused imports"),
            exports: Total::new(30_000, "exports", "remove unused exports"),
            globals: Total::new(20_000, "globals", "move them into memory"),
            elements: Total::new(100_000, "elements of tables", "remove unused functions"),
            segments: Total::new(50_000, "data and element segments", "merge them"),
            aliases: Total::new(20_000, "aliases", "remove unused aliases"),
            canonical: Total::new(1_000, "lifted and lowered functions", "remove unused functions"),
        }
    }
}

/// A module or component whose end has not been read.
struct Open {
    is_component: bool,
    /// Number of instances that one instance of it expands to, itself not included.
    instances: u64,
    /// The same for each finished component in it, by index. There are no others, because passing
    /// components around is refused.
    components: Vec<u64>,
}

/// The counts of a component's parts while it is read, and its own declarations.
#[derive(Default)]
pub(super) struct Shape {
    /// The open modules and components, outermost first.
    open: Vec<Open>,
    /// `false` if functions are not read.
    reads_functions: bool,
    modules: usize,
    code: Code,
    entries: Entries,
    sections: usize,
    name_bytes: usize,
    /// The interfaces of this project that it imports, such as `keys`.
    pub(super) imports: BTreeSet<String>,
    /// The interfaces of WASI that it imports, such as `wasi:cli/stdout`.
    pub(super) wasi: BTreeSet<String>,
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
        Self { reads_functions: true, ..Self::default() }.read_all(bytes)
    }

    /// Reads the sections of a component like [`read`](Self::read), but no function: they are most
    /// of its bytes, and were bounded before it was compiled.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub(super) fn read_declarations(bytes: &[u8]) -> Result<Self, LoadError> {
        Self::default().read_all(bytes)
    }

    fn read_all(self, bytes: &[u8]) -> Result<Self, LoadError> {
        let mut shape = self;
        for payload in Parser::new(0).parse_all(bytes) {
            shape.add(payload.map_err(damaged)?)?;
        }
        Ok(shape)
    }

    fn add(&mut self, payload: Payload<'_>) -> Result<(), LoadError> {
        let passes_components =
            || too_complex("passes components around as values: instantiate them where they are defined");
        match payload {
            Payload::Version { encoding, .. } => {
                let is_component = encoding == Encoding::Component;
                self.open.push(Open { is_component, instances: 0, components: Vec::new() });
                self.modules = self.modules.saturating_add(1);
                bounded(self.modules, MAX_MODULES, "modules and components", "merge them")?;
                bounded(self.open.len(), MAX_NESTING, "levels of nested components", "reduce the nesting")?;
            }
            Payload::End(_) => {
                if let Some(Open { is_component: true, instances, .. }) = self.open.pop()
                    && let Some(outer) = self.open.last_mut()
                {
                    outer.components.push(instances);
                }
            }
            Payload::CodeSectionStart { count, .. } => self.code.begin(count)?,
            Payload::CodeSectionEntry(body) if self.reads_functions => self.code.add(&body)?,
            Payload::TypeSection(section) => self.entries.types.add(entries(&section))?,
            Payload::CoreTypeSection(section) => self.entries.types.add(entries(&section))?,
            Payload::ComponentTypeSection(section) => self.entries.types.add(entries(&section))?,
            Payload::ImportSection(section) => self.entries.imports.add(entries(&section))?,
            Payload::ExportSection(section) => self.entries.exports.add(entries(&section))?,
            Payload::GlobalSection(section) => self.entries.globals.add(entries(&section))?,
            Payload::DataSection(section) => self.entries.segments.add(entries(&section))?,
            Payload::ElementSection(section) => {
                self.entries.segments.add(entries(&section))?;
                for segment in section {
                    let count = match segment.map_err(damaged)?.items {
                        ElementItems::Functions(functions) => functions.count(),
                        ElementItems::Expressions(_, expressions) => expressions.count(),
                    };
                    self.entries.elements.add(count.into())?;
                }
            }
            Payload::ComponentCanonicalSection(section) => self.entries.canonical.add(entries(&section))?,
            Payload::InstanceSection(section) => {
                for instance in section {
                    let is_new = matches!(instance.map_err(damaged)?, Instance::Instantiate { .. });
                    self.count(u64::from(is_new))?;
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section {
                    match instance.map_err(damaged)? {
                        ComponentInstance::Instantiate { component_index, args } => {
                            if args.iter().any(|arg| arg.kind == ComponentExternalKind::Component) {
                                return Err(passes_components());
                            }
                            self.count(self.instances_of(component_index).saturating_add(1))?;
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
                self.entries.aliases.add(entries(&section))?;
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
                self.entries.imports.add(entries(&section))?;
                for import in section {
                    let import = import.map_err(damaged)?;
                    if matches!(import.ty, ComponentTypeRef::Component(_)) {
                        return Err(passes_components());
                    }
                    // The imports of a nested component are provided by the component around it.
                    if self.open.len() == 1 {
                        match imports::interface(import.name.name)? {
                            Import::Own(interface) => self.imports.insert(interface.to_owned()),
                            Import::Wasi(interface) => self.wasi.insert(interface.to_owned()),
                        };
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                self.entries.exports.add(entries(&section))?;
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

    /// Returns the number of instances that a component expands to, or 0 if there is no such
    /// component, which the compiler refuses.
    fn instances_of(&self, index: u32) -> u64 {
        let finished = self.open.last().zip(usize::try_from(index).ok());
        finished.and_then(|(open, index)| open.components.get(index).copied()).unwrap_or_default()
    }

    /// Adds instances to the innermost open component.
    fn count(&mut self, instances: u64) -> Result<(), LoadError> {
        if let Some(open) = self.open.last_mut() {
            open.instances = open.instances.saturating_add(instances);
            bounded(open.instances, MAX_INSTANCES, "instances", "instantiate each part once")?;
        }
        Ok(())
    }
}

/// Returns the number of entries in a section. A damaged section can claim more entries than it has
/// bytes.
fn entries<T>(section: &SectionLimited<'_, T>) -> u64 {
    let bytes = u64::try_from(section.range().len()).unwrap_or(u64::MAX);
    bytes.min(section.count().into())
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
