#!/bin/sh
# Generates the bindings in this folder again, after a change of wit/. Needs a network, Rust, and
# minutes. The generator's module and its runtime become packages of this module, so that a build
# needs no module proxy.
set -eu
cd "$(dirname "$0")"
version=0.63.0
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
cargo install --locked --root "$tools" "wit-bindgen-cli@$version" --no-default-features --features go
rm -rf keyward_handler_* wit
"$tools/bin/wit-bindgen" go ../wit --world handler --out-dir .
rm go.mod
runtime=$(echo "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/wit-bindgen-go-"$version"/src/pkg)
mkdir -p wit/types
cp "$runtime/LICENSE" wit/
cp -R "$runtime/wit/runtime" wit/
cp "$runtime"/wit/types/option.go "$runtime"/wit/types/result.go "$runtime"/wit/types/tuple.go "$runtime"/wit/types/unit.go wit/types/
find . -name '*.go' -exec sed -i \
  -e 's,"go\.bytecodealliance\.org/pkg/wit/,"my-handler/gen/wit/,' \
  -e 's,"wit_component/export_keyward_handler_token_handler","my-handler/component",' \
  -e 's,"wit_component/,"my-handler/gen/,' \
  -e 's,export_keyward_handler_token_handler\.,component.,' {} +
gofmt -w .
