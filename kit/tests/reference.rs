//! docs/authors/reference.md, written from the contract.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a contract that the page cannot show fails the test"
)]

use keyward_kit::{Declarations, encode};
use std::collections::BTreeMap;
use std::fs;
use std::mem;
use std::path::{Path, PathBuf};
use wit_component::WitPrinter;
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{
    Docs, Function, Int, InterfaceId, Resolve, SizeAlign, Type, TypeDef, TypeDefKind, TypeId, WorldId, WorldItem,
};

const OPENING: &str = "\
# Contract reference

This page lists the functions and types of the contract as a core WebAssembly module sees them. It
is for authors whose language has no generated bindings, such as AssemblyScript, Zig or WebAssembly
text. `keyward build FILE` makes a component of such a module. The page is generated from
[`wit/`](../../wit/), which says more about each interface.

A module exports the functions of `token-handler`, of `session-handler`, or of both. It imports only
what it calls. The rules are those of the canonical ABI of the component model:

* A `string` is the address, at 0, and the length in bytes, at 4, of text in UTF-8. A `list` is the
  address of its elements, which follow one another, and their number. Both are 8 bytes, aligned
  to 4.
* Numbers are little-endian. A `bool` is a byte, 0 or 1. An `enum` is a byte, its discriminant.
* Each field of a record or tuple is at the next multiple of its alignment.
* An `option`, `result` or `variant` is a discriminant, a byte at 0, and a payload at an offset that
  is the same for all cases. An `option` is 0 `none` or 1 `some`, a `result` 0 `ok` or 1 `error`.
* Parameters are flat: a record is its fields, and each address, length, discriminant and number is
  one parameter, also of an absent value. A function with more than 16 would have them in memory;
  there is none.
* An export returns the address of its result. An import writes its result to the address that is
  its last parameter, `$result`. In both cases the memory is the guest's.
* The module exports `memory`, and a function `cabi_realloc` that returns the address of new memory.
  Its parameters are the address and size of memory to be replaced, both 0 here, and the alignment
  and size of the new memory. The host calls it for each string and list in the arguments of an
  export and in the result of an import.
* A function `cabi_post_NAME` may free the result of the export NAME, whose address it is given. It
  is not needed, because each call has a fresh instance; `keyward build` drops it.
* The call fails if an address is outside of memory or not aligned, a string is not UTF-8, or a
  discriminant is none of the type's.
";

/// Maximum width of prose and signatures, in characters.
const WIDTH: usize = 100;

/// `KEYWARD_BLESS=1` updates the page.
#[test]
fn the_page_describes_the_contract() {
    let path = root().join("docs/authors/reference.md");
    let page = Contract::parse().page();
    if std::env::var_os("KEYWARD_BLESS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let copy = fs::read_to_string(&path).unwrap_or_default();
    assert!(copy == page, "KEYWARD_BLESS=1 updates docs/authors/reference.md");
}

/// The encoder compares the names and types of a module's imports and exports with the contract.
#[test]
fn the_signatures_of_the_page_are_those_of_a_handler() {
    let page = Contract::parse().page();
    let blocks = page.split("```wat\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let (imports, exports): (Vec<_>, Vec<_>) = blocks.partition(|block| block.contains("(import"));
    assert_eq!(imports.len() + exports.len(), page.matches("\n#### ").count());
    let module = format!(
        "(module {} (memory (export \"memory\") 1)
         (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) unreachable) {})",
        imports.concat(),
        exports.concat()
    );
    encode(module.as_bytes(), &Declarations::default()).unwrap();
}

/// The host rejects the results of these handlers for one wrong discriminant.
#[test]
fn offsets_are_those_of_hostile_handlers() {
    let contract = Contract::parse();
    for (handler, function, path) in [
        ("abi-case-verdict", "verify", "`ok`"),
        ("abi-case-restrictions", "verify", "`ok.accepted.restrictions`"),
        ("abi-case-token-id", "verify", "`ok.accepted.token-id`"),
        ("abi-case-issued-at", "verify", "`ok.accepted.issued-at`"),
        ("abi-case-expires-at", "verify", "`ok.accepted.expires-at`"),
        ("abi-case-created-id", "create", "`ok.token-id`"),
        ("abi-case-created-expiry", "create", "`ok.expires-at`"),
        ("abi-case-failure-create", "create", "`error.failed`"),
    ] {
        let text = fs::read_to_string(root().join(format!("tests/hostile/{handler}.wat"))).unwrap();
        let written = text.rsplit("i32.store8 offset=").next().unwrap().split(' ').next().unwrap();
        let result = contract.exports().find(|export| export.name == function).unwrap().result.unwrap();
        let [offset, ..] = contract.cells(&result, 0, "").into_iter().find(|cell| cell[2] == path).unwrap();
        assert_eq!(offset, written, "{handler}");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

struct Contract {
    resolve: Resolve,
    sizes: SizeAlign,
    /// The world with every import and export.
    world: WorldId,
}

/// A field of a record or tuple, or a case of a variant, enum, option or result.
struct Part<'a> {
    /// The offset of the field, or of the payload.
    offset: usize,
    name: &'a str,
    /// `None` for a case without payload.
    ty: Option<&'a Type>,
    docs: &'a str,
}

impl Contract {
    fn parse() -> Self {
        let (mut resolve, mut sizes) = (Resolve::default(), SizeAlign::default());
        let (package, _) = resolve.push_dir(root().join("wit")).unwrap();
        let world = resolve.select_world(&[package], Some("token-and-session")).unwrap();
        sizes.fill(&resolve);
        Self { resolve, sizes, world }
    }

    fn interfaces(&self, is_export: bool) -> impl Iterator<Item = InterfaceId> {
        let world = &self.resolve.worlds[self.world];
        let items = if is_export { &world.exports } else { &world.imports };
        items.values().map(|item| match item {
            WorldItem::Interface { id, .. } => *id,
            _ => panic!("the contract has functions or types outside of interfaces"),
        })
    }

    fn exports(&self) -> impl Iterator<Item = &Function> {
        self.interfaces(true).flat_map(|id| self.resolve.interfaces[id].functions.values())
    }

    fn page(&self) -> String {
        let mut page = OPENING.to_owned();
        for (title, is_export) in [("Exports", true), ("Imports", false)] {
            page += &format!("\n## {title}\n");
            self.interfaces(is_export).for_each(|id| page += &self.interface(id, is_export));
        }
        page += "\n## Types\n";
        let types = self.interfaces(false).chain(self.interfaces(true));
        let types: Vec<_> = types.flat_map(|id| self.resolve.interfaces[id].types.values()).copied().collect();
        types.iter().for_each(|id| page += &self.record_or_variant(*id));
        page + &self.enums(&types) + &self.options_and_tuples()
    }

    /// Returns the section of an interface, or nothing if it has only types.
    fn interface(&self, id: InterfaceId, is_export: bool) -> String {
        let interface = &self.resolve.interfaces[id];
        if interface.functions.is_empty() {
            return String::new();
        }
        let docs = text(&interface.docs).split("\n\n").next().unwrap();
        let mut section = format!("\n### `{}`\n\n{}", interface.name.as_ref().unwrap(), wrap(docs));
        for function in interface.functions.values() {
            section += &format!("\n#### `{}`\n\n{}\n", function.name, wrap(text(&function.docs)));
            section += &self.signatures(&self.resolve.id_of(id).unwrap(), function, is_export);
            section += &self.values(function, is_export);
        }
        section
    }

    /// Returns the signature of a function in WIT and in core WebAssembly.
    fn signatures(&self, interface: &str, function: &Function, is_export: bool) -> String {
        let Function { name, params, result, .. } = function;
        let variant = if is_export { AbiVariant::GuestExport } else { AbiVariant::GuestImport };
        let signature = self.resolve.wasm_signature(variant, function);
        assert!(!signature.indirect_params, "{name}: describe parameters in memory");
        assert_eq!(signature.retptr, result.is_some(), "{name}: describe a flat result");

        let mut names = match params.as_slice() {
            [only] if matches!(self.kind(&only.ty), Some(TypeDefKind::Record(_))) => self.flat(&only.ty, ""),
            params => params.iter().flat_map(|param| self.flat(&param.ty, &param.name)).collect(),
        };
        names.extend((signature.retptr && !is_export).then(|| "result".to_owned()));
        assert_eq!(names.len(), signature.params.len(), "{name}");
        let (head, end) = if is_export {
            (format!("(func (export \"{interface}#{name}\")"), "\n  unreachable)")
        } else {
            (format!("(import \"{interface}\" \"{name}\" (func"), "))")
        };
        let mut core = vec![head];
        core.extend(names.iter().zip(signature.params).map(|(name, ty)| format!("(param ${name} {})", core_type(ty))));
        core.extend(signature.results.into_iter().map(|ty| format!("(result {})", core_type(ty))));
        let core = fill(core, "  ");

        let params: Vec<_> = params.iter().map(|param| format!("{}: {}", param.name, self.name(&param.ty))).collect();
        let result = result.map(|ty| format!(" -> {}", self.name(&ty))).unwrap_or_default();
        let wit = format!(";; {name}: func({}){result}", params.join(", "));
        let wit = fill(wit.split(' ').map(str::to_owned), ";;   ");
        format!("```wat\n{wit}\n{core}{end}\n```\n")
    }

    /// Returns the names of the parameters that a value becomes.
    fn flat(&self, ty: &Type, name: &str) -> Vec<String> {
        match self.kind(ty) {
            Some(TypeDefKind::Record(record)) => {
                record.fields.iter().flat_map(|field| self.flat(&field.ty, &join(name, &field.name))).collect()
            }
            Some(TypeDefKind::Option(inner)) => {
                let mut names = self.flat(inner, name);
                if names == [name] {
                    names = vec![format!("{name}.value")];
                }
                names.insert(0, format!("{name}.is-some"));
                names
            }
            Some(TypeDefKind::List(_)) => vec![format!("{name}.ptr"), format!("{name}.len")],
            None if *ty == Type::String => vec![format!("{name}.ptr"), format!("{name}.len")],
            Some(TypeDefKind::Enum(_)) | None => vec![name.to_owned()],
            Some(other) => panic!("{name}: name the parameters of a {}", other.as_str()),
        }
    }

    /// Links the types of a function's parameters, and describes its result in memory.
    fn values(&self, function: &Function, is_export: bool) -> String {
        let (mut text, mut cells) = (Vec::new(), String::new());
        let types = function.params.iter().filter_map(|param| self.first_named(&param.ty));
        let types: Vec<_> = types.map(|id| self.link(&Type::Id(id))).collect();
        if !types.is_empty() {
            text.push(format!("Parameters: {}.", types.join(", ")));
        }
        if let Some(ty) = &function.result {
            let size = self.size(ty);
            let is_same = |other: &&Function| other.result.map(|ty| self.name(&ty)) == Some(self.name(ty));
            match self.exports().find(is_same) {
                Some(first) if first.name != function.name => {
                    text.push(format!("The result is that of [`{0}`](#{0}).", first.name));
                }
                _ if is_export => {
                    text.push(format!("The result is {size}:"));
                    cells = format!("\n{}", table(["offset", "type", "value", "cases"], self.cells(ty, 0, "")));
                }
                _ => text.push(format!("`$result` is {size}: {}.", self.layout(ty))),
            }
        }
        if text.is_empty() { cells } else { format!("\n{}{cells}", wrap(&text.join(" "))) }
    }

    /// Returns the numbers, strings and lists in a value and its payloads: offset, type, path, such
    /// as `ok.accepted.actor`, and the cases of a discriminant.
    fn cells(&self, ty: &Type, offset: usize, path: &str) -> Vec<[String; 4]> {
        let parts = self.kind(ty).map(|kind| self.parts(kind)).unwrap_or_default();
        let shown = if path.is_empty() { "the result".to_owned() } else { code(path) };
        let mut cells = match self.kind(ty) {
            Some(TypeDefKind::Record(_)) => Vec::new(),
            Some(TypeDefKind::Option(_) | TypeDefKind::Result(_) | TypeDefKind::Variant(_)) => {
                let cases = parts.iter().enumerate().map(|(value, case)| format!("{value} `{}`", case.name));
                vec![[offset.to_string(), code("u8"), shown, cases.collect::<Vec<_>>().join(", ")]]
            }
            _ => return vec![[offset.to_string(), self.link(ty), shown, String::new()]],
        };
        for part in parts {
            // The value of an option has no name of its own.
            let path = if part.name == "some" { path.to_owned() } else { join(path, part.name) };
            cells.extend(part.ty.iter().flat_map(|ty| self.cells(ty, offset + part.offset, &path)));
        }
        cells
    }

    /// Describes the parts of a value, without those of its payloads.
    fn layout(&self, ty: &Type) -> String {
        match self.kind(ty) {
            Some(kind @ (TypeDefKind::Tuple(_) | TypeDefKind::Option(_) | TypeDefKind::Result(_))) => {
                let parts = self.parts(kind).into_iter().filter_map(|part| {
                    let case = if part.name.is_empty() { String::new() } else { format!(" if `{}`", part.name) };
                    Some(format!("{} at {}{case}", self.link(part.ty?), part.offset))
                });
                parts.collect::<Vec<_>>().join(", ")
            }
            _ => self.link(ty),
        }
    }

    /// Returns the section of a record or variant, or nothing for another type.
    fn record_or_variant(&self, id: TypeId) -> String {
        let TypeDef { kind, docs, .. } = &self.resolve.types[id];
        let is_record = matches!(kind, TypeDefKind::Record(_));
        if !is_record && !matches!(kind, TypeDefKind::Variant(_)) {
            return String::new();
        }
        let parts = self.parts(kind);
        let payload = format!("payload at {}", parts[0].offset);
        let header = if is_record {
            ["offset", "field", "type", "description"]
        } else {
            ["discriminant", "case", &payload, "description"]
        };
        let rows = parts.into_iter().enumerate().map(|(index, part)| {
            let first = if is_record { part.offset } else { index };
            let mut ty = part.ty.map(|ty| self.link(ty)).unwrap_or_default();
            if let Some(option @ TypeDefKind::Option(_)) = part.ty.and_then(|ty| self.kind(ty)) {
                ty += &format!(", value at {}", part.offset + self.parts(option)[0].offset);
            }
            [first.to_string(), code(part.name), ty, part.docs.to_owned()]
        });
        let rows = table(header, rows.collect());
        let ty = Type::Id(id);
        let docs = wrap(&format!("{} {}.", text(docs), self.size(&ty)));
        format!("\n### `{}` ({})\n\n{docs}\n{rows}", self.name(&ty), kind.as_str())
    }

    fn enums(&self, types: &[TypeId]) -> String {
        let mut rows = Vec::new();
        for id in types {
            let TypeDef { kind, docs, .. } = &self.resolve.types[*id];
            if matches!(kind, TypeDefKind::Enum(_)) {
                let mut name = code(&self.name(&Type::Id(*id)));
                if !text(docs).is_empty() {
                    rows.push([mem::take(&mut name), String::new(), String::new(), text(docs).to_owned()]);
                }
                for (value, case) in self.parts(kind).into_iter().enumerate() {
                    rows.push([mem::take(&mut name), value.to_string(), code(case.name), case.docs.to_owned()]);
                }
            }
        }
        format!("\n### Enums\n\nEach is 1 byte.\n\n{}", table(["type", "discriminant", "case", "description"], rows))
    }

    fn options_and_tuples(&self) -> String {
        let mut rows = BTreeMap::new();
        for (id, definition) in self.resolve.types.iter() {
            if definition.name.is_none() && matches!(definition.kind, TypeDefKind::Option(_) | TypeDefKind::Tuple(_)) {
                let ty = Type::Id(id);
                rows.insert(self.name(&ty), [code(&self.name(&ty)), self.size(&ty), self.layout(&ty)]);
            }
        }
        let rows = table(["type", "size", "contents"], rows.into_values().collect());
        format!("\n### Options and tuples\n\n{rows}")
    }

    /// Returns the name of a type in WIT.
    fn name(&self, ty: &Type) -> String {
        let mut printer = WitPrinter::default();
        printer.print_type_name(&self.resolve, ty).unwrap();
        printer.output.into()
    }

    /// Returns the name of a type, as a link to the first type in it that has a section.
    fn link(&self, ty: &Type) -> String {
        let name = code(&self.name(ty));
        match self.first_named(ty) {
            Some(id) => match self.resolve.types[id].kind.as_str() {
                "enum" => format!("[{name}](#enums)"),
                kind => format!("[{name}](#{}-{kind})", self.name(&Type::Id(id))),
            },
            None if name.contains("tuple") => format!("[{name}](#options-and-tuples)"),
            None => name,
        }
    }

    /// Returns the first type with a name of its own in a type.
    fn first_named(&self, ty: &Type) -> Option<TypeId> {
        let id = self.definition(ty)?;
        match &self.resolve.types[id] {
            TypeDef { name: Some(_), .. } => Some(id),
            TypeDef { kind: TypeDefKind::List(item), .. } => self.first_named(item),
            TypeDef { kind, .. } => self.parts(kind).iter().find_map(|part| self.first_named(part.ty?)),
        }
    }

    /// Returns the definition of a type that is not primitive.
    fn definition(&self, ty: &Type) -> Option<TypeId> {
        let Type::Id(id) = ty else { return None };
        match &self.resolve.types[*id].kind {
            TypeDefKind::Type(other) => self.definition(other),
            _ => Some(*id),
        }
    }

    fn kind(&self, ty: &Type) -> Option<&TypeDefKind> {
        self.definition(ty).map(|id| &self.resolve.types[id].kind)
    }

    fn size(&self, ty: &Type) -> String {
        match (self.sizes.size(ty).size_wasm32(), self.sizes.align(ty).align_wasm32()) {
            (1, _) => "1 byte".to_owned(),
            (size, align) => format!("{size} bytes, aligned to {align}"),
        }
    }

    /// Returns the fields or cases of a type; of a list there are none.
    fn parts<'a>(&self, kind: &'a TypeDefKind) -> Vec<Part<'a>> {
        let part = |name: &'a str, ty, docs| Part { offset: 0, name, ty, docs };
        let mut parts: Vec<_> = match kind {
            TypeDefKind::Record(record) => {
                record.fields.iter().map(|field| part(&field.name, Some(&field.ty), text(&field.docs))).collect()
            }
            TypeDefKind::Tuple(tuple) => tuple.types.iter().map(|ty| part("", Some(ty), "")).collect(),
            TypeDefKind::Variant(variant) => {
                variant.cases.iter().map(|case| part(&case.name, case.ty.as_ref(), text(&case.docs))).collect()
            }
            TypeDefKind::Enum(cases) => {
                cases.cases.iter().map(|case| part(&case.name, None, text(&case.docs))).collect()
            }
            TypeDefKind::Option(ty) => vec![part("none", None, ""), part("some", Some(ty), "")],
            TypeDefKind::Result(result) => {
                vec![part("ok", result.ok.as_ref(), ""), part("error", result.err.as_ref(), "")]
            }
            _ => Vec::new(),
        };
        let types: Vec<_> = parts.iter().map(|part| part.ty).collect();
        let offsets = match kind {
            TypeDefKind::Record(_) | TypeDefKind::Tuple(_) => {
                self.sizes.field_offsets(types.into_iter().flatten()).into_iter().map(|(offset, _)| offset).collect()
            }
            // The discriminant is a byte, because no type has more than 256 cases.
            _ => vec![self.sizes.payload_offset(Int::U8, types); parts.len()],
        };
        parts.iter_mut().zip(offsets).for_each(|(part, offset)| part.offset = offset.size_wasm32());
        parts
    }
}

/// Returns a type in the text format.
fn core_type(ty: WasmType) -> &'static str {
    match ty {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
    }
}

fn text(docs: &Docs) -> &str {
    docs.contents.as_deref().unwrap_or_default().trim()
}

fn code(name: &str) -> String {
    format!("`{name}`")
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Fills lines with the words of each paragraph.
fn wrap(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|text| fill(text.split_whitespace().map(str::to_owned), "") + "\n");
    paragraphs.collect::<Vec<_>>().join("\n")
}

/// Fills lines with words, each but the first after `indent`.
fn fill(words: impl IntoIterator<Item = String>, indent: &str) -> String {
    let mut lines = vec![String::new()];
    for word in words {
        let line = lines.last_mut().unwrap();
        if line.is_empty() {
            *line = word;
        } else if line.chars().count() + 1 + word.chars().count() <= WIDTH {
            *line += &format!(" {word}");
        } else {
            lines.push(format!("{indent}{word}"));
        }
    }
    lines.join("\n")
}

/// Returns a table without the columns that are empty.
fn table<const N: usize>(header: [&str; N], rows: Vec<[String; N]>) -> String {
    let used: Vec<_> = (0..N).filter(|column| rows.iter().any(|row| !row[*column].is_empty())).collect();
    let line = |cells: [String; N]| {
        let cells = used.iter().map(|column| cells[*column].split_whitespace().collect::<Vec<_>>().join(" "));
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    [header.map(str::to_owned), [(); N].map(|()| "---".to_owned())].into_iter().chain(rows).map(line).collect()
}
