#!/bin/sh
# No object file of the library may be able to end or to speak for its host:
# forbidden_symbols.sh NM C++FILT ALLOWED OBJECT...
# ALLOWED holds lines of "<object file name> <symbol>  # reason"; each must be needed.
set -eu
nm=$1 filt=$2 allowed=$3
shift 3
forbidden='abort|_?_?exit|_Exit|quick_exit|__assert_fail|raise|kill|signal|sigaction|longjmp|__longjmp_chk|system'
forbidden="$forbidden"'|_?_?v?f?printf(_chk)?|puts|putchar|fputs|fputc|putc|fwrite|perror|syslog|psignal'
forbidden="$forbidden"'|stdout|stderr|stdin|std::(cout|cerr|clog|cin|wcout|wcerr|wclog)'
forbidden="$forbidden"'|std::terminate\(\)|absl::.*(RawLog|raw_logging_internal::RawLog).*'
found=$(
  "$nm" --print-file-name --undefined-only "$@" |
    sed -e 's|^.*/\([^/]*\):[[:space:]]*U \(.*\)$|\1 \2|' -e 's/@.*//' | "$filt" |
    grep -Ex "[^ ]+ ($forbidden)" | LC_ALL=C sort -u || true
)
# Clang refers to std::terminate itself, in every object file with a noexcept function; GCC does not.
if "$nm" "$@" | grep -q ' __clang_call_terminate$'; then
  compiler='std::terminate()'
else
  compiler='nothing of the compiler'
fi
found=$(printf '%s\n' "$found" | grep -Fv "$compiler" || true)
listed=$(sed -e 's/[[:space:]]*#.*//' -e '/^$/d' "$allowed" | grep -Fv "$compiler" | LC_ALL=C sort -u)
status=0
unlisted=$(printf '%s\n' "$found" | grep -Fxv -e "$listed" -e '' || true)
[ -z "$listed" ] && unlisted=$found
if [ -n "$unlisted" ]; then
  echo "object files refer to what may end or speak for the host:"
  printf '%s\n' "$unlisted"
  status=1
fi
unused=$(printf '%s\n' "$listed" | grep -Fxv -e "$found" -e '' || true)
if [ -n "$unused" ]; then
  echo "$allowed lists what is no longer there:"
  printf '%s\n' "$unused"
  status=1
fi
echo "looked at $# object files"
exit $status
