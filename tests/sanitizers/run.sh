#!/bin/sh
# Builds the compiled units with AddressSanitizer and UndefinedBehaviorSanitizer into a temporary place and runs the
# frame tests and the guarded buffers with it; then runs the guarded buffers with the ordinary build under valgrind.
# Usage: tests/sanitizers/run.sh [PYTHON]     Exit status: 0 when nothing was found, 2 when a tool is missing.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
python=$(command -v "${1:-$root/.venv/bin/python}")
case $python in /*) ;; *) python=$(pwd)/$python ;; esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for tool in gcc valgrind; do
    command -v $tool >/dev/null || { echo "sanitize: $tool is missing (apt-get install -y gcc valgrind)" >&2; exit 2; }
done
asan=$(gcc -print-file-name=libasan.so)
ubsan=$(gcc -print-file-name=libubsan.so)
[ -e "$asan" ] && [ -e "$ubsan" ] || { echo "sanitize: gcc has no libasan and libubsan" >&2; exit 2; }

include=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
suffix=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')

build() {  # build DIRECTORY FLAGS...: a copy of the package there, with the unit compiled with FLAGS
    place=$1
    shift
    mkdir -p "$place"
    cp -r "$root/src/autobahn" "$place/autobahn"
    for unit in websocket/_frames rawsocket/_frames router/_lane wamp/_cbor; do
        rm -f "$place/autobahn/$unit"*.so "$place/autobahn/$unit.c"
        (cd "$place" && "$python" -m cython -3 -o "autobahn/$unit.c" "autobahn/$unit.pyx")
        gcc -shared -fPIC -Wall -Wextra -Wno-unused-function -Wno-unused-parameter -Wno-cast-function-type \
            -I"$include" -I"$place/autobahn/websocket" "$@" "$place/autobahn/$unit.c" -o "$place/autobahn/$unit$suffix"
    done
}

echo "== AddressSanitizer and UndefinedBehaviorSanitizer"
build "$work/asan" -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
under_asan() {
    # No leak check: CPython itself keeps memory until the end. PYTHONMALLOC=malloc: each bytes object has its own red zones.
    LD_PRELOAD="$asan $ubsan" PYTHONMALLOC=malloc PYTHONPATH="$work/asan" PYTHONDONTWRITEBYTECODE=1 \
        ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=1:strict_string_checks=1:abort_on_error=0 \
        UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 "$python" "$@"
}
under_asan -c 'import autobahn.websocket._frames as f; assert "asan" in f.__file__, f.__file__'
under_asan -c 'import autobahn.rawsocket._frames as f; assert "asan" in f.__file__, f.__file__'
under_asan -c 'import autobahn.router._lane as f; assert "asan" in f.__file__, f.__file__'
under_asan -c 'import autobahn.wamp._cbor as f; assert "asan" in f.__file__, f.__file__'
under_asan "$root/tests/sanitizers/guarded.py"
(cd "$root" && under_asan -m pytest -q -p no:cacheprovider tests/websocket/test_frames.py tests/websocket/test_frames_limits.py tests/websocket/test_frames_writer.py tests/websocket/test_utf8_blocks.py tests/websocket/test_writer_flush.py tests/websocket/test_direct_writer.py tests/websocket/test_direct_pump.py tests/rawsocket/test_frames.py tests/rawsocket/test_direct_units.py tests/asyncio/test_lane.py tests/asyncio/test_poller.py tests/wamp/test_cbor_unit.py)

gcc -O1 -g -Wall -Wextra -fsanitize=address,undefined -fno-sanitize-recover=undefined \
    -I"$root/src/autobahn/websocket" "$root/tests/sanitizers/utf8.c" -o "$work/utf8"
"$work/utf8"

echo "== the sanitizer is awake"
cat >"$work/overrun.c" <<'C'
#include <stdlib.h>
int main(int argc, char **argv) { char *p = malloc(8); int x = p[8 * argc]; free(p); return x & 0; }
C
gcc -g -fsanitize=address "$work/overrun.c" -o "$work/overrun"
if "$work/overrun" 2>/dev/null; then echo "sanitize: an overrun was not found" >&2; exit 1; fi

echo "== valgrind"
build "$work/plain" -O2 -g
PYTHONMALLOC=malloc PYTHONPATH="$work/plain" PYTHONDONTWRITEBYTECODE=1 \
    valgrind --log-file="$work/valgrind.log" --leak-check=no --track-origins=yes --num-callers=20 --error-limit=no \
    "$python" "$root/tests/sanitizers/guarded.py" --quick
# CPython reads octets it does not use (the digits of a zero); an error counts when our unit is among the nearest frames.
awk -v RS='\n==[0-9]+== *\n' '{
    split($0, lines, "\n"); near = ""
    for (at = 1; at <= 6; at++) near = near lines[at]
    if (near ~ /_frames|_lane|_cbor[.]/ && $0 ~ /(Invalid|ninitialised|overlap)/) { print; found = 1 }
} END { exit found }' "$work/valgrind.log" || { echo "sanitize: valgrind found the above" >&2; exit 1; }
grep -q "ERROR SUMMARY" "$work/valgrind.log" || { echo "sanitize: valgrind did not run to its end" >&2; exit 1; }
echo "sanitize: nothing found"
