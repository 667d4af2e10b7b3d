#!/bin/sh
# Builds and runs chat.rs: sh run.sh MODEL_DIRECTORY [QUESTION]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
lib=${LLMCORE_LIB:-$here/../../../build/lib}
command -v rustc >/dev/null || { echo "rustc is not installed (Debian: rustc)"; exit 77; }
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
rustc --edition 2021 -O -D warnings -L "native=$lib" -o "$out/chat" "$here/chat.rs"
LD_LIBRARY_PATH=$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} "$out/chat" "$@"
