#!/bin/sh
# Installs into a folder of its own, then uses that as a stranger would, through find_package and
# through pkg-config: run.sh CMAKE BUILD_DIRECTORY SOURCE_DIRECTORY CC CXX
set -eu
cmake=$1 build=$2 source=$3 cc=$4 cxx=$5
model=$source/examples/models/abacus
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix

answers() {  # runs a program, which is to say 3.4
  echo "== $*"
  "$@" >"$work/output" || { cat "$work/output"; exit 1; }
  tail -n 1 "$work/output" | grep -q '3\.4$' || { cat "$work/output"; exit 1; }
}

"$cmake" --install "$build" --prefix "$prefix" >"$work/log" || { cat "$work/log"; exit 1; }
# Nothing of the build or source tree may be left in what is installed.
if grep -rIl -e "$build" -e "$source" "$prefix"; then
  echo "the files above name the tree they were built in"
  exit 1
fi
lib=$(dirname "$(find "$prefix" -name libllmcore.so)")

echo "== find_package"
"$cmake" -G Ninja -S "$source/tests/install/consumer" -B "$work/consumer" \
  -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" >"$work/log" 2>&1 &&
  "$cmake" --build "$work/consumer" >>"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
answers "$work/consumer/use_c" "$model"
answers "$work/consumer/use_cpp" "$model"
if [ -x "$work/consumer/use_static" ]; then
  answers "$work/consumer/use_static" "$model"
  if ldd "$work/consumer/use_static" | grep llmcore; then
    echo "the static program needs the shared library"
    exit 1
  fi
fi

if command -v pkg-config >/dev/null; then
  echo "== pkg-config $(PKG_CONFIG_PATH=$lib/pkgconfig pkg-config --modversion llmcore)"
  # The paths hold no spaces: mktemp made them.
  flags=$(PKG_CONFIG_PATH=$lib/pkgconfig pkg-config --cflags --libs llmcore)
  "$cc" -std=c11 "$source/tests/install/consumer/use.c" -o "$work/pc_c" $flags
  "$cxx" -std=c++17 "$source/tests/install/consumer/use.cpp" -o "$work/pc_cpp" $flags
  export LD_LIBRARY_PATH="$lib"
  answers "$work/pc_c" "$model"
  answers "$work/pc_cpp" "$model"
  if [ -x "$work/consumer/use_static" ]; then
    flags=$(PKG_CONFIG_PATH=$lib/pkgconfig pkg-config --static --cflags --libs llmcore |
      sed "s|-lllmcore|$lib/libllmcore.a|")
    "$cc" -std=c11 "$source/tests/install/consumer/use.c" -o "$work/pc_static" $flags
    answers "$work/pc_static" "$model"
  fi
fi
