#!/bin/sh
# The tests under other Pythons than .venv's: each in a copy of the sources and a fresh environment,
# both gone afterwards, so that nothing compiled for one is found by another.
#
# scripts/other-pythons.sh PYTHON... [-- PYTEST-ARGUMENT...]
#     scripts/other-pythons.sh python3.12 python3.13
#     scripts/other-pythons.sh python3.13 -- tests/wire -x
#
# Without arguments for pytest: the engines, transports, pollers and parsers. All of it, with style and
# types, is `make test PYTHON=python3.13` in a checkout of its own.
set -eu
cd "$(dirname "$0")/.."

PYTHONS=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
	PYTHONS="$PYTHONS $1"
	shift
done
[ $# = 0 ] || shift
[ -n "$PYTHONS" ] || {
	echo "usage: $0 PYTHON... [-- PYTEST-ARGUMENT...]" >&2
	exit 2
}
[ $# -gt 0 ] || set -- tests/engines/test_reactor.py tests/engines/test_uring.py tests/_native \
	tests/pollers tests/wire tests/transports

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT INT TERM

for python in $PYTHONS; do
	echo "== $("$python" --version)"
	rm -rf "$WORK/tree" "$WORK/venv"
	mkdir "$WORK/tree"
	tar -cf - --exclude=./.venv --exclude=./build --exclude=./.git --exclude='*.so' \
		--exclude='*.egg-info' --exclude=__pycache__ . | tar -xf - -C "$WORK/tree"
	"$python" -m venv "$WORK/venv"
	"$WORK/venv/bin/pip" install --quiet "$WORK/tree[test]"
	rm -r "$WORK/tree/src" # the tests are to find what was installed
	"$WORK/venv/bin/jackfield" engines
	(cd "$WORK/tree" && "$WORK/venv/bin/python" -m pytest -q "$@")
done
