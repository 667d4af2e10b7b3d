#!/bin/sh
# A layer includes only what stands below it (lib/README.md): check_layers.sh SOURCE_DIRECTORY
# Folders with one rank are siblings and may not include each other either.
set -eu
cd "$1"
# io stands above its siblings' row, since quantizing a checkpoint asks config what the model is.
ranks='base 0
tensor 1
backend 2
cpu 3
parallel 3
config 4
tokenizer 4
chat 4
io 5
ops 6
kv 7
memory 7
sampling 7
model 8
engine 9
session 10'
find lib capi cuda include examples benchmarks 2>/dev/null -name '*.h' -o -name '*.hpp' -o -name '*.cc' \
  -o -name '*.cpp' -o -name '*.c' -o -name '*.cu' -o -name '*.cuh' |
  LC_ALL=C sort | xargs grep -nHE '^[[:space:]]*#[[:space:]]*include' |
  awk -v ranks="$ranks" '
    BEGIN {
      count = split(ranks, lines, "\n")
      for (i = 1; i <= count; ++i) { split(lines[i], pair, " "); rank[pair[1]] = pair[2] }
    }
    function fail(why) { print file ":" number ": includes " included ": " why; ++failures }
    # What the C++ headers may include: themselves, the C headers and the standard library.
    function public_only() {
      if (included ~ /^llmcore\/[a-z_]+\.hp?p?$/) return
      if (file ~ /^include/ && included !~ /^[a-z_]+(\.h)?$/) fail("not of the public headers")
      if (included ~ /^(lib|capi|cuda|tests)\//) fail("not of the public headers")
    }
    {
      split($0, parts, ":"); file = parts[1]; number = parts[2]
      if (!match($0, /[<"][^>"]+[>"]/)) next
      included = substr($0, RSTART + 1, RLENGTH - 2)
      ++seen
      if (file ~ /^benchmarks\/(kernels|cuda)\//) next  # like unit tests, of the core
      if (file ~ /^(include|examples|benchmarks)\//) { public_only(); next }
      if (included ~ /^(tests|examples|benchmarks)\//) fail("the library does not use its users")
      if (file ~ /^(lib|cuda)\// && included ~ /^capi\//) fail("capi stands above")
      if (included ~ /\.hpp$/ && included !~ /^nlohmann\//) fail("the C++ API stands above the C ABI")
      if (file ~ /^lib\// && included ~ /^llmcore\//) fail("the C ABI stands above")
      if (file ~ /^lib\// && included ~ /^cuda\//) fail("lib does not know the CUDA backend")
      if (file !~ /^lib\// || included !~ /^lib\//) next
      split(file, from, "/"); split(included, to, "/")
      if (!(from[2] in rank)) { fail("lib/" from[2] " has no rank in this script"); next }
      if (!(to[2] in rank)) { fail("lib/" to[2] " has no rank in this script"); next }
      if (from[2] != to[2] && rank[to[2]] >= rank[from[2]])
        fail("lib/" to[2] " does not stand below lib/" from[2])
    }
    END {
      print seen " includes looked at, " failures + 0 " wrong"
      exit failures > 0 || seen == 0
    }'
