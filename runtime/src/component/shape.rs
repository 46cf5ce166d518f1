//! The shape of a component: what is counted, bounded and read before anything compiles it.

use crate::error::LoadError;
use crate::form::Form;
use crate::text::{MAX_NAME, printable};
use std::collections::BTreeSet;
use std::fmt;
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef,
    CustomSectionReader, Instance, Parser, Payload,
};

/// Instances that a component may come to when it is taken apart, core instances and nested components together. Those that
/// tools make have fewer than ten. It must be bounded before compiling: 1,470 bytes can ask for 10^8.
const MAX_INSTANCES: u64 = 100;

/// How deep components may nest, and how many modules and functions there may be in all. The largest that are known, with a
/// JavaScript or Python engine in them, have some ten modules and 30,000 functions.
const MAX_NESTING: usize = 8;
const MAX_MODULES: usize = 64;
const MAX_FUNCTIONS: u64 = 100_000;

/// Custom sections of a component and of all modules in it. A debug build has a dozen for each module. Their bytes cost
/// nothing beyond the file's, except those of `name` sections, which the engine takes apart into names of functions.
const MAX_SECTIONS: usize = 1_000;
const NAME_SECTION: &str = "name";
const MAX_NAME_BYTES: usize = 8 << 20;

/// The section in which a component names the settings that it knows, one a line.
const SETTINGS_SECTION: &str = "keyward:settings";
const MAX_SETTINGS: usize = 256;
const MAX_SETTINGS_BYTES: usize = 16 << 10;
const MAX_SETTING: usize = 64;

/// The section in which a component states the forms of its tokens, one a line. A token is read once for each form.
const FORM_SECTION: &str = "keyward:form";
const MAX_FORMS: usize = 16;
const MAX_FORM_BYTES: usize = 4_096;

/// Counts of a component's parts while it is read, and what the component says of itself.
#[derive(Default)]
pub(super) struct Shape {
    /// Instances of each open component, outermost first; modules count too, as zero.
    open: Vec<u64>,
    /// The most that any finished component comes to. An instance of a component costs no more than that, because a
    /// component can only name those that are defined before it: passing them around is refused.
    largest: u64,
    modules: usize,
    functions: u64,
    sections: usize,
    name_bytes: usize,
    /// The settings that it knows. None: it has not stated any.
    pub(super) settings: Option<BTreeSet<String>>,
    /// The forms of its tokens. None: it has not stated any.
    pub(super) forms: Option<Vec<Form>>,
}

impl Shape {
    /// Reads the sections of a component in order, and refuses what would be too much to take apart.
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
                bounded(self.open.len(), MAX_NESTING, "levels of nested components", "compose it in fewer")?;
            }
            Payload::End(_) => {
                self.largest = self.largest.max(self.open.pop().unwrap_or_default());
            }
            Payload::CodeSectionStart { count, .. } => {
                self.functions = self.functions.saturating_add(count.into());
                bounded(self.functions, MAX_FUNCTIONS, "functions", "remove those that nothing calls")?;
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
            SETTINGS_SECTION => {
                let stated = Stated { section: SETTINGS_SECTION, what: "settings" };
                let settings = stated.lines(data, MAX_SETTINGS_BYTES, MAX_SETTINGS)?.map(setting);
                let settings = settings.collect::<Result<_, _>>()?;
                stated.once(self.settings.replace(settings))?;
            }
            FORM_SECTION => {
                let stated = Stated { section: FORM_SECTION, what: "forms" };
                let forms = stated.lines(data, MAX_FORM_BYTES, MAX_FORMS)?.map(Form::parse);
                let forms = forms.collect::<Result<_, _>>().map_err(|what| stated.invalid(what))?;
                stated.once(self.forms.replace(forms))?;
            }
            NAME_SECTION => {
                self.name_bytes = self.name_bytes.saturating_add(data.len());
                bounded(self.name_bytes, MAX_NAME_BYTES, "bytes in `name` sections", STRIP)?;
            }
            _ => {}
        }
        bounded(self.sections, MAX_SECTIONS, "custom sections", STRIP)
    }

    /// Counts instances for the component that is open.
    fn count(&mut self, instances: u64) -> Result<(), LoadError> {
        if let Some(known) = self.open.last_mut() {
            *known = known.saturating_add(instances);
            bounded(*known, MAX_INSTANCES, "instances", "instantiate each part once")?;
        }
        Ok(())
    }
}

/// Returns the name of a setting, if it has only characters that no other could be taken for.
fn setting(name: &str) -> Result<String, LoadError> {
    let fine = name.len() <= MAX_SETTING
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if fine {
        return Ok(name.to_owned());
    }
    let text = format!(
        "the section `{SETTINGS_SECTION}` names the setting `{}`: rename it to 1 to {MAX_SETTING} of `A-Z a-z 0-9 . _ -`",
        printable(name, MAX_NAME)
    );
    Err(LoadError::new("invalid", text))
}

/// A section of lines in which a component says something of itself.
#[derive(Clone, Copy)]
struct Stated {
    section: &'static str,
    what: &'static str,
}

impl Stated {
    /// Returns the lines that are not empty, if there are few enough to keep.
    fn lines(self, data: &[u8], max_bytes: usize, max: usize) -> Result<impl Iterator<Item = &str>, LoadError> {
        let Self { section, what } = self;
        let too_many = |has: usize, unit: &str, of: usize| {
            let text = format!("the section `{section}` has {has} {unit} of {of} allowed: state fewer {what}");
            Err(LoadError::new("too-complex", text))
        };
        if data.len() > max_bytes {
            return too_many(data.len(), "bytes", max_bytes);
        }
        let text = str::from_utf8(data).map_err(|_| self.invalid("is not text"))?;
        let lines = text.lines().filter(|line| !line.is_empty());
        let count = lines.clone().count();
        if count > max { too_many(count, what, max) } else { Ok(lines) }
    }

    /// Refuses a second section of the kind, which could only add to the first or contradict it.
    fn once<T>(self, before: Option<T>) -> Result<(), LoadError> {
        if before.is_none() { Ok(()) } else { Err(self.invalid("is there more than once: keep one")) }
    }

    fn invalid(self, what: &str) -> LoadError {
        LoadError::new("invalid", format!("the section `{}` {what}", self.section))
    }
}

/// Refuses a component that has more of something than is allowed.
fn bounded<T: PartialOrd + fmt::Display>(has: T, of: T, unit: &str, remedy: &str) -> Result<(), LoadError> {
    if has > of { Err(too_complex(&format!("has {has} {unit} of {of} allowed: {remedy}"))) } else { Ok(()) }
}

fn damaged(error: wasmparser::BinaryReaderError) -> LoadError {
    LoadError::new("invalid", format!("the component is damaged: {}", printable(&error.to_string(), 300)))
}

fn too_complex(what: &str) -> LoadError {
    LoadError::new("too-complex", format!("the component {what}"))
}
