#!/bin/sh
# The programs that README.md shows are the files that are built: each block behind a line
# <!-- include: FILE --> equals FILE.
set -eu
cd "$1"
files=$(sed -n 's/^<!-- include: \(.*\) -->$/\1/p' README.md)
[ -n "$files" ] || { echo "README.md includes no file" >&2; exit 1; }
for file in $files; do
  awk -v marker="<!-- include: $file -->" '
    $0 == marker { wanted = 1; next }
    wanted && /^```/ { if (inside) exit; inside = 1; next }
    inside { print }' README.md | cmp - "$file"
  echo "README.md shows $file as it is"
done
