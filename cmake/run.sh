#!/bin/sh
# One command from a clone to a running program, on Debian and its relatives:
#
#   sh cmake/run.sh chat [options of chat]      talk to the built-in model, or to --model DIR
#   sh cmake/run.sh test [options of ctest]     build everything and run the tests
#   sh cmake/run.sh bench [options]             build and run benchmarks/llmcore_bench
#   sh cmake/run.sh format [--fix]              check the format of the sources, or apply it
#   sh cmake/run.sh setup [--ci]                install the packages and configure, nothing else
#
# A whole test run that passed stands until something that the tests read changes: until then a call
# without options repeats its result, and with any option of ctest (say -j 2) the tests run again.
#
# Missing Debian packages (cmake/debian-packages.txt) are installed as root or through sudo; where
# neither works the line to run is printed. What is there is not done again: a second call takes
# seconds. Progress goes to stderr, a line a phase; stdout belongs to the program.
#
# LLMCORE_PACKAGES=skip leaves packages alone (CMake then fetches the libraries that it misses).
set -eu

source_dir=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
build_dir="$source_dir/build"
log="$build_dir/run.log"
began="$build_dir/tests-began"    # as old as the beginning of the last whole run of the tests,
passed="$build_dir/tests-passed"  # and what it printed, when it passed

say() { printf 'llmcore: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# Runs a phase with its output in the log, which is shown only when the phase fails.
phase() {
  title=$1; shift
  say "$title"
  mkdir -p "$build_dir"
  if ! "$@" >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    fail "$title failed; all of its output is in $log"
  fi
}

packages_of() { sed -e 's/#.*//' "$source_dir/cmake/$1" | tr -s ' \t\n' ' '; }

# Prints those of the given packages that are not installed.
missing_packages() {
  for package in "$@"; do
    # ${Status}: `install ok installed`, or `deinstall ok config-files` for one that was removed.
    status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) || status=
    case $status in *' installed') ;; *) printf '%s ' "$package" ;; esac
  done
}

# Package lists are absent in fresh containers and stale on machines that were off for long.
apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  if ! $elevate apt-get install -y --no-install-recommends "$@" || [ -n "$(missing_packages "$@")" ]
  then
    $elevate apt-get update &&
      $elevate apt-get install -y --no-install-recommends "$@"
  fi
}

install_packages() {
  [ "${LLMCORE_PACKAGES:-}" != skip ] || return 0
  if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
    for tool in cmake ninja c++; do
      command -v "$tool" >/dev/null 2>&1 ||
        fail "this is no Debian system: install cmake 3.25, ninja and a C++20 compiler first"
    done
    return 0
  fi
  # shellcheck disable=SC2046  # package names are words
  missing=$(missing_packages $(for list in "$@"; do packages_of "$list"; done))
  missing=${missing% }
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" = 0 ]; then
    elevate=
  elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    elevate='sudo -n'
  else
    say "packages are missing, and installing them takes root; run this, then call again:"
    printf 'sudo apt-get update && sudo apt-get install -y --no-install-recommends %s\n' \
      "$missing" >&2
    exit 1
  fi
  # shellcheck disable=SC2086  # package names are words
  phase "installing $missing" apt_install $missing
  rm -f "$build_dir/build.ninja"  # what was just installed is to be found
}

configure() {
  # Ninja itself configures again when a CMake file changes.
  [ -f "$build_dir/build.ninja" ] ||
    phase "configuring" cmake -S "$source_dir" --preset cpu-release
}

build() {
  configure
  what=$*
  [ "$what" = all ] && what='everything'
  if [ -t 2 ]; then  # the first build takes minutes: show how far it is
    say "building $what"
    ninja -C "$build_dir" "$@" >&2 || fail "the build failed"
  else
    phase "building $what" ninja -C "$build_dir" "$@"
  fi
}

# Whether the last whole run passed, no build has compiled anything since, and no file of the sources
# or of the reference data, which some tests read where it is, was written since it began.
passed_as_it_is() {
  [ -s "$passed" ] || return 1
  reference=$(sed -n 's/^LLMCORE_REFERENCE_DIR:PATH=//p' "$build_dir/CMakeCache.txt")
  newer=$(
    find "$build_dir" -newer "$passed" -name '*.o' -print
    find "$source_dir" "$reference" \( -path "$source_dir/.git" -o -path "$source_dir/build*" \
      -o -name __pycache__ \) -prune -o -newer "$began" -type f -print 2>/dev/null
  )
  [ -z "$newer" ]
}

run_tests() {
  if [ $# = 0 ] && passed_as_it_is; then
    cat "$passed"
    say "nothing has changed since these tests passed; run them again with any option, as in: test -j 2"
    return
  fi
  say "testing"
  jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
  started=$(date +%s)
  rm -f "$passed"
  [ $# != 0 ] || touch "$began"
  if ctest --test-dir "$build_dir" --output-on-failure -j "$jobs" "$@" >"$log" 2>&1; then
    # What did not run is part of the answer.
    summary=$(sed -n '/tests passed/p; /did not run/,$p' "$log")
    printf '%s\n' "$summary"
    [ $# != 0 ] || printf '%s\n' "$summary" >"$passed"
    say "took $(($(date +%s) - started)) s; all of the output is in $log"
  else
    status=$?
    cat "$log"
    exit "$status"
  fi
}

# The sources that clang-format looks after.
list_sources() {
  cd "$source_dir"
  if git rev-parse --git-dir >/dev/null 2>&1; then
    git ls-files --cached --others --exclude-standard -- '*.h' '*.hpp' '*.c' '*.cc' '*.cpp' '*.cu' '*.cuh'
  else
    find capi cuda benchmarks examples include lib tests -type f \
      \( -name '*.h' -o -name '*.hpp' -o -name '*.c' -o -name '*.cc' -o -name '*.cpp' \
      -o -name '*.cu' -o -name '*.cuh' \) 2>/dev/null
  fi
}

# Versions of clang-format differ in their opinion; 14 is the one that decides here.
format_sources() {
  formatter=$(command -v clang-format-14 || command -v clang-format) ||
    fail "clang-format is not installed: apt-get install clang-format"
  case ${1:-} in
    '') set -- --dry-run -Werror ;;
    --fix) set -- -i ;;
    *) fail "format takes nothing or --fix" ;;
  esac
  cd "$source_dir"
  # Not xargs -d: names with spaces do not exist here, and POSIX has no -d.
  if ! report=$(list_sources | xargs "$formatter" --style=file "$@" 2>&1); then
    printf '%s\n' "$report" | sed -n 's/:.*: error: .*//p' | sort -u >&2
    fail "the format of these files differs; sh cmake/run.sh format --fix applies it"
  fi
}

usage() {
  sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p;}' "$0"
}

[ $# -gt 0 ] || { usage >&2; exit 2; }
command=$1; shift
case $command in
  chat)
    install_packages debian-packages.txt
    build chat
    exec "$build_dir/examples/chat" "$@"
    ;;
  bench)
    install_packages debian-packages.txt
    build llmcore_bench
    exec "$build_dir/benchmarks/llmcore_bench" "$@"
    ;;
  test)
    install_packages debian-packages.txt
    build all
    run_tests "$@"
    ;;
  format)
    command -v clang-format-14 >/dev/null 2>&1 || install_packages debian-packages-ci.txt
    format_sources "$@"
    ;;
  setup)
    case ${1:-} in
      '') install_packages debian-packages.txt ;;
      --ci) install_packages debian-packages.txt debian-packages-ci.txt ;;
      *) fail "setup takes nothing or --ci" ;;
    esac
    configure
    ;;
  -h | --help | help) usage ;;
  *) usage >&2; exit 2 ;;
esac
