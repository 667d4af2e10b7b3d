#!/bin/sh
# Builds and runs chat.go: sh run.sh MODEL_DIRECTORY [QUESTION]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
lib=${LLMCORE_LIB:-$here/../../../build/lib}
include=${LLMCORE_INCLUDE:-$here/../../../include}
command -v go >/dev/null || { echo "go is not installed (Debian: golang-go)"; exit 77; }
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
CGO_ENABLED=1 CGO_CFLAGS="-I$include" CGO_LDFLAGS="-L$lib" GOCACHE="${GOCACHE:-$out/cache}" \
  GO111MODULE=off go build -o "$out/chat" "$here/chat.go"
LD_LIBRARY_PATH=$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} "$out/chat" "$@"
