//! Consistency of the corpus of hostile handlers: each case is what it claims to be, and every
//! outcome has a case.

use std::{collections::BTreeSet, sync::LazyLock};

use keyward_tests::hostile::{self, CALL_CODES, Call, Case, DENIALS, LOAD_CODES, Outcome, REASONS};
use wasmparser::{Parser, Payload, Validator, WasmFeatures};
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Function, Resolve, SizeAlign, Type, TypeDefKind, WorldItem};

/// Outcomes that no file can cause by itself, and the reasons.
const WITHOUT_A_CASE: [(&str, &str); 2] = [
    ("busy", "requires other calls that occupy all slots"),
    (
        "limit-wall",
        "a waiting call waits for the store, which fails first, and a single computing call hits its CPU limit first; requires a loaded machine",
    ),
];

/// All cases, read once for all tests.
fn cases() -> &'static [Case] {
    static CASES: LazyLock<Vec<Case>> = LazyLock::new(hostile::cases);
    &CASES
}

/// Returns the features that the sandbox allows: WebAssembly 2.0 and multiple memories.
fn features() -> WasmFeatures {
    WasmFeatures::WASM2 | WasmFeatures::MULTI_MEMORY | WasmFeatures::COMPONENT_MODEL
}

#[test]
fn every_case_is_unique() {
    let mut sentences = BTreeSet::new();
    for case in cases() {
        assert!(case.name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')), "{}", case.name);
        assert!(sentences.insert(&case.what), "{}: duplicate description", case.what);
        assert!(case.what.ends_with('.'), "{}: {} is not a sentence", case.name, case.what);
    }
}

#[test]
fn a_case_is_valid_exactly_if_it_must_be() {
    let mut wrong = Vec::new();
    for case in cases() {
        let valid = Validator::new_with_features(features()).validate_all(&case.bytes).map(|_| ());
        let component = Parser::is_component(&case.bytes);
        let right = match &case.outcome {
            Outcome::Refused(code) => match code.as_str() {
                "not-a-component" => valid.is_err(),
                "precompiled" => case.bytes.starts_with(b"\x7fELF"),
                "core-module" => valid.is_ok() && Parser::is_core_wasm(&case.bytes),
                "invalid" => case.bytes.starts_with(b"\0asm") && valid.is_err(),
                _ => component && valid.is_ok(),
            },
            _ => component && valid.is_ok(),
        };
        if !right {
            wrong.push(format!("{} must be {}: {valid:?}", case.name, case.outcome));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_called_case_is_granted_its_imports_and_exports_the_calls() {
    for case in cases() {
        if matches!(case.outcome, Outcome::Refused(_)) {
            continue;
        }
        let (imports, exports) = interfaces(&case.bytes);
        let called = if case.call == Call::Identify { "session-handler" } else { "token-handler" };
        assert!(exports.contains(&format!("keyward:handler/{called}@0.1.0")), "{}: {exports:?}", case.name);
        for import in imports {
            let granted = match import.as_str() {
                "keyward:handler/keys@0.1.0" => case.grants.keys,
                "keyward:handler/public-keys@0.1.0" => case.grants.public_keys,
                "keyward:handler/secrets@0.1.0" => case.grants.secrets,
                "keyward:handler/store@0.1.0" => case.grants.store || case.grants.silent_store,
                "keyward:handler/queries@0.1.0" => case.grants.queries,
                "keyward:handler/http@0.1.0" => case.grants.http || case.grants.silent_http,
                "keyward:handler/types@0.1.0"
                | "keyward:handler/clock@0.1.0"
                | "keyward:handler/settings@0.1.0"
                | "keyward:handler/random@0.1.0"
                | "keyward:handler/digest@0.1.0"
                | "keyward:handler/log@0.1.0" => true,
                import => case.grants.wasi && import.starts_with("wasi:"),
            };
            assert!(granted, "{} imports {import}, and would not be loaded", case.name);
        }
    }
}

#[test]
fn every_outcome_has_a_case() {
    let mut missing: BTreeSet<String> =
        [CALL_CODES.as_slice(), LOAD_CODES].concat().into_iter().map(str::to_owned).collect();
    missing.extend(REASONS.iter().map(|reason| format!("rejected {reason}")));
    missing.extend(DENIALS.iter().map(|denial| format!("denied {denial}")));
    missing.extend(["ok".to_owned(), "not-mine".to_owned()]);
    for case in cases() {
        missing.remove(&case.outcome.to_string());
    }
    let excused: BTreeSet<String> = WITHOUT_A_CASE.iter().map(|(outcome, _)| (*outcome).to_owned()).collect();
    assert_eq!(missing, excused);
}

#[test]
fn the_cases_write_results_in_the_layout_of_the_contract() {
    let contract = Contract::read();
    let verify = contract.function("verify");
    let create = contract.function("create");
    assert_eq!(contract.signature(verify), (2, true));
    assert_eq!(contract.signature(create), (14, true));

    let result = contract.result(verify);
    assert_eq!(contract.size_and_align(&result), (96, 8));
    let (verdict, failure) = contract.payloads(&result);
    assert_eq!(contract.payload_offset(&result), 8);
    assert_eq!(contract.cases(&verdict), ["accepted", "not-mine", "rejected"]);
    let verdict_at = 8 + contract.payload_offset(&verdict);
    let acceptance = contract.fields(&contract.case(&verdict, "accepted"), verdict_at);
    assert_eq!(
        offsets(&acceptance),
        [("actor", 16), ("restrictions", 24), ("token-id", 52), ("issued-at", 64), ("expires-at", 80)]
    );
    let payload = |name: &str| {
        let (_, at, ty) = acceptance.iter().find(|(field, ..)| field == name).unwrap();
        at + contract.payload_offset(ty)
    };
    assert_eq!((payload("token-id"), payload("issued-at"), payload("expires-at")), (56, 72, 88));
    let restrictions = contract.case(&acceptance[1].2, "some");
    assert_eq!(
        offsets(&contract.fields(&restrictions, payload("restrictions"))),
        [("all", 28), ("database", 36), ("resource", 44)]
    );
    let rejection = contract.fields(&contract.case(&verdict, "rejected"), verdict_at);
    assert_eq!(offsets(&rejection), [("reason", 16), ("message", 20)]);
    assert_eq!(
        contract.cases(&rejection[0].2),
        ["malformed", "bad-signature", "expired", "not-yet-valid", "revoked", "disabled", "unknown"]
    );
    assert_eq!(contract.cases(&failure), ["unavailable", "internal"]);
    assert_eq!(8 + contract.payload_offset(&failure), 12);

    let result = contract.result(create);
    assert_eq!(contract.size_and_align(&result), (48, 8));
    let (created, error) = contract.payloads(&result);
    let created = contract.fields(&created, contract.payload_offset(&result));
    assert_eq!(offsets(&created), [("token", 8), ("token-id", 16), ("expires-at", 32)]);
    assert_eq!(16 + contract.payload_offset(&created[1].2), 20);
    assert_eq!(32 + contract.payload_offset(&created[2].2), 40);
    assert_eq!(contract.cases(&error), ["denied", "failed"]);
    let error_at = 8 + contract.payload_offset(&error);
    let denied = contract.fields(&contract.case(&error, "denied"), error_at);
    assert_eq!(offsets(&denied), [("denial", 12), ("message", 16)]);
    assert_eq!(contract.cases(&denied[0].2), ["disabled", "invalid-request", "not-permitted"]);
    assert_eq!(error_at + contract.payload_offset(&contract.case(&error, "failed")), 16);
}

fn offsets(fields: &[(String, usize, Type)]) -> Vec<(&str, usize)> {
    fields.iter().map(|(name, at, _)| (name.as_str(), *at)).collect()
}

/// Returns the names that a component imports and exports.
fn interfaces(component: &[u8]) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut imports, mut exports) = (BTreeSet::new(), BTreeSet::new());
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(component) {
        match payload.unwrap() {
            Payload::ComponentImportSection(section) if depth == 0 => {
                imports.extend(section.into_iter().map(|import| import.unwrap().name.name.to_owned()));
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                exports.extend(section.into_iter().map(|export| export.unwrap().name.name.to_owned()));
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            _ => {}
        }
    }
    (imports, exports)
}

/// The contract, and the sizes that the 32-bit canonical ABI assigns to its types.
struct Contract {
    resolve: Resolve,
    sizes: SizeAlign,
}

impl Contract {
    fn read() -> Self {
        let mut resolve = Resolve::default();
        resolve.push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit")).unwrap();
        let mut sizes = SizeAlign::default();
        sizes.fill(&resolve);
        Self { resolve, sizes }
    }

    /// Returns an export of the world `handler`.
    fn function(&self, name: &str) -> &Function {
        let (_, world) = self.resolve.worlds.iter().find(|(_, world)| world.name == "handler").unwrap();
        let interface = world.exports.values().find_map(|item| match item {
            WorldItem::Interface { id, .. } => Some(*id),
            _ => None,
        });
        &self.resolve.interfaces[interface.unwrap()].functions[name]
    }

    /// Returns the number of 32-bit parameters, and whether the function has a result.
    fn signature(&self, function: &Function) -> (usize, bool) {
        let signature = self.resolve.wasm_signature(AbiVariant::GuestExport, function);
        let narrow = |ty: &WasmType| matches!(ty, WasmType::I32 | WasmType::Pointer | WasmType::Length);
        assert!(signature.params.iter().all(narrow), "{:?}", signature.params);
        (signature.params.len(), signature.results == [WasmType::Pointer])
    }

    fn result(&self, function: &Function) -> Type {
        function.result.unwrap()
    }

    fn size_and_align(&self, ty: &Type) -> (usize, usize) {
        (self.sizes.size(ty).size_wasm32(), self.sizes.align(ty).align_wasm32())
    }

    fn kind(&self, ty: &Type) -> &TypeDefKind {
        let Type::Id(id) = ty else { panic!("{ty:?} is not a compound type") };
        match &self.resolve.types[*id].kind {
            TypeDefKind::Type(alias) => self.kind(alias),
            kind => kind,
        }
    }

    fn payloads(&self, ty: &Type) -> (Type, Type) {
        let TypeDefKind::Result(result) = self.kind(ty) else { panic!("{ty:?} is not a result") };
        (result.ok.unwrap(), result.err.unwrap())
    }

    /// Returns the offset of the payload of a variant, result or option. All have at most 256
    /// cases: one byte of discriminant.
    fn payload_offset(&self, ty: &Type) -> usize {
        let payloads: Vec<Type> = match self.kind(ty) {
            TypeDefKind::Variant(variant) => variant.cases.iter().filter_map(|case| case.ty).collect(),
            TypeDefKind::Result(result) => result.ok.into_iter().chain(result.err).collect(),
            TypeDefKind::Option(some) => vec![*some],
            other => panic!("{other:?} has no payload"),
        };
        payloads.iter().map(|ty| self.sizes.align(ty).align_wasm32()).max().unwrap()
    }

    fn cases(&self, ty: &Type) -> Vec<&str> {
        match self.kind(ty) {
            TypeDefKind::Variant(variant) => variant.cases.iter().map(|case| case.name.as_str()).collect(),
            TypeDefKind::Enum(cases) => cases.cases.iter().map(|case| case.name.as_str()).collect(),
            other => panic!("{other:?} has no cases"),
        }
    }

    /// Returns the payload type of a variant's case, or of `some` of an option.
    fn case(&self, ty: &Type, name: &str) -> Type {
        match self.kind(ty) {
            TypeDefKind::Variant(variant) => variant.cases.iter().find(|case| case.name == name).unwrap().ty.unwrap(),
            TypeDefKind::Option(some) => *some,
            other => panic!("{other:?} has no cases"),
        }
    }

    /// Returns the fields of a record at the offset `base`.
    fn fields(&self, ty: &Type, base: usize) -> Vec<(String, usize, Type)> {
        let TypeDefKind::Record(record) = self.kind(ty) else { panic!("{ty:?} is not a record") };
        let types: Vec<Type> = record.fields.iter().map(|field| field.ty).collect();
        let offsets = self.sizes.field_offsets(&types);
        let names = record.fields.iter().map(|field| field.name.clone());
        names.zip(offsets).map(|(name, (at, ty))| (name, base + at.size_wasm32(), *ty)).collect()
    }
}
