#!/bin/sh
# Builds and runs Chat.cs: sh run.sh MODEL_DIRECTORY [QUESTION]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
lib=${LLMCORE_LIB:-$here/../../../build/lib}
command -v mcs >/dev/null || { echo "mcs is not installed (Debian: mono-mcs)"; exit 77; }
command -v mono >/dev/null || { echo "mono is not installed (Debian: mono-runtime)"; exit 77; }
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
mcs -warnaserror -out:"$out/Chat.exe" "$here/Chat.cs"
LD_LIBRARY_PATH=$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} mono "$out/Chat.exe" "$@"
