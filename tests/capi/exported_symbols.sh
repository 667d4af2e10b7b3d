#!/bin/sh
# Compares what the shared library exports with the golden list: exported_symbols.sh NM LIBRARY GOLDEN
# A difference is a decision about the ABI; write it into the commit that changes the list:
#   nm -D --defined-only --with-symbol-versions libllmcore.so | awk '$2 != "A" {print $3}' | LC_ALL=C sort
set -eu
exported=$("$1" -D --defined-only --with-symbol-versions "$2" | awk '$2 != "A" {print $3}' | LC_ALL=C sort)
printf '%s\n' "$exported" | diff -u "$3" - || {
  echo "the exported symbols differ from $3 (- listed, + exported)"
  exit 1
}
