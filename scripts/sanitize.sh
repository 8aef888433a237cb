#!/bin/sh
# The compiled engines under AddressSanitizer and UndefinedBehaviorSanitizer: builds them anew in
# build/sanitized and runs the contract suites on them. Leaves the installed ones alone.
#
# scripts/sanitize.sh [PYTEST-ARGUMENT...]     without arguments: what runs on a compiled engine
set -eu
cd "$(dirname "$0")/.."

PYTHON=$PWD/.venv/bin/python
OUT=build/sanitized
RUNTIME=$(cc -print-file-name=libasan.so)
[ -e "$RUNTIME" ] || {
	echo "sanitize: cc has no libasan; install gcc's (libasan8 on Debian 12)" >&2
	exit 1
}

if [ $# = 0 ]; then
	set -- tests/engines/test_reactor.py tests/pollers/test_native.py tests/_native tests/survive \
		tests/wire/test_lines.py -k 'native or Native or uring or Uring or ring or compiled'
fi

# Cython's own way to reach a field behind a NULL object is not what is looked for.
CFLAGS='-fsanitize=address,undefined -fno-sanitize=alignment -fno-omit-frame-pointer -g -O1' \
	"$PYTHON" setup.py --quiet build --build-lib "$OUT" --build-temp "$OUT/objects" >/dev/null

# PYTHONMALLOC: each object is an allocation that is watched. Leaks are CPython's own at its end;
# tests/_native counts ours.
exec env PYTHONPATH="$OUT" PYTHONMALLOC=malloc LD_PRELOAD="$RUNTIME" \
	ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	"$PYTHON" -m pytest -q "$@"
