#!/bin/sh
# Make .venv with jackfield in it; with the argument "test", also what the tests need.
#
# Does nothing when that stands already, for this Python, this directory and these sources of what
# is installed or compiled (their checksum is kept in .venv). Debian packages are installed only when something they bring is
# missing, through apt-get as root or by a sudo that asks for no password; otherwise this says
# which to install. Leaves no service running or enabled.
#
# PYTHON   the Python to use (python3)
# CI=true  what a test needs and cannot be installed is an error, not a test skipped
set -eu
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
VENV=.venv
WHAT=${1:-}

say() { echo "setup: $*" >&2; }
fail() {
	say "$*"
	exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

# --- Debian packages ---------------------------------------------------------------------------

as_root() {
	if [ "$(id -u)" = 0 ]; then
		env DEBIAN_FRONTEND=noninteractive "$@"
	else
		sudo -n env DEBIAN_FRONTEND=noninteractive "$@"
	fi
}

may_install() { has apt-get && { [ "$(id -u)" = 0 ] || { has sudo && sudo -n true 2>/dev/null; }; }; }

install() { # PACKAGE...: true if they are there now
	may_install || return 1
	say "installing with apt-get: $*"
	log=$(mktemp)
	# A machine that never ran "apt-get update" finds no package, one with an old list not every.
	if as_root apt-get install -y --no-install-recommends "$@" >"$log" 2>&1 ||
		{ as_root apt-get update >"$log" 2>&1 &&
			as_root apt-get install -y --no-install-recommends "$@" >"$log" 2>&1; }; then
		rm -f "$log"
	else
		tail -n 5 "$log" >&2
		rm -f "$log"
		return 1
	fi
}

# --- what the tests call -----------------------------------------------------------------------

missing_packages() {
	nc -h 2>&1 | grep -q OpenBSD || echo netcat-openbsd
	has ncat || echo ncat
	has telnet || echo telnet
	has socat || echo socat
	has lsof || echo lsof
	has curl || echo curl
	has openssl || echo openssl
	has ss || echo iproute2
	has ps || echo procps
	has strace || echo strace
	has tshark || echo tshark
	# redis-server without its package, which would start and enable a daemon: it is the same
	# program as redis-check-rdb, and looks at the name it is called by.
	has redis-server || has redis-check-rdb || echo redis-tools
	has haproxy || [ -x /usr/sbin/haproxy ] || echo haproxy
	has nats-server || [ -x /usr/sbin/nats-server ] || echo nats-server
	has ngircd || [ -x /usr/sbin/ngircd ] || echo ngircd
	has systemd-socket-activate || echo systemd
	has_headers || { [ "$PYTHON" = python3 ] && echo python3-dev; } || true
	has cc || echo gcc
	echo '#include <stdio.h>' | cc -E - >/dev/null 2>&1 || echo libc6-dev
}

# Python.h, for the compiled engines. Debian keeps its own Python's in a package.
has_headers() {
	"$PYTHON" -c 'import os, sysconfig; os.stat(os.path.join(sysconfig.get_path("include"), "Python.h"))' \
		2>/dev/null
}

disable() { # SERVICE, which its package has just enabled and, under systemd, started
	if has systemctl; then
		as_root systemctl disable --now "$1" >/dev/null 2>&1 || true
	fi
}

install_tools() {
	packages=$(missing_packages | tr '\n' ' ')
	if [ -n "$packages" ]; then
		# shellcheck disable=SC2086  # one word each
		install $packages || without "of these Debian packages: $packages"
		for service in haproxy nats-server ngircd; do
			case " $packages" in *" $service "*) disable "$service" ;; esac
		done
	fi
	if ! has redis-server && has redis-check-rdb; then
		ln -sf "$(command -v redis-check-rdb)" "$VENV/bin/redis-server"
	fi
}

without() {
	if [ "${CI:-}" = true ]; then
		fail "the tests need all $*"
	fi
	say "tests that need one are skipped: install all $*"
}

# --- .venv -------------------------------------------------------------------------------------

check_python() {
	has "$PYTHON" || fail "there is no $PYTHON; install Python 3.11 or later, or name one: make PYTHON=..."
	"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
		fail "$("$PYTHON" --version) is too old; name a Python 3.11 or later: make PYTHON=..."
}

make_venv() {
	if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
		package=$("$PYTHON" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
		install "$package" ||
			fail "$PYTHON cannot make virtual environments; install the package $package"
	fi
	say "making $VENV with $("$PYTHON" --version)"
	"$PYTHON" -m venv --clear "$VENV"
}

pip_install() { "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }

install_jackfield() {
	say "installing jackfield and what it needs in $VENV"
	if [ "$WHAT" = test ]; then
		pip_install --editable '.[test,see]'
		# Peers to measure against; not every Python has them all.
		pip_install --editable '.[bench]' || without "of jackfield's bench extra (uvloop, gevent, twisted, matplotlib)"
	else
		pip_install --editable .
	fi
	if ! "$VENV/bin/python" -m jackfield._native && [ "${CI:-}$WHAT" = truetest ]; then
		fail "the tests need the compiled engines"
	fi
	echo "$wanted" >"$VENV/.installed-${WHAT:-serve}"
}

# True if .venv was made by this Python, in this directory: neither may be exchanged below it.
venv_stands() {
	grep -q "^command = .* $(pwd -P)/$VENV\$" "$VENV/pyvenv.cfg" 2>/dev/null &&
		[ "$(describe "$VENV/bin/python" 2>/dev/null)" = "$(describe "$PYTHON")" ]
}
describe() { "$1" -c 'import sys; print(sys.base_prefix, sys.version)'; }

wanted=$(cat pyproject.toml setup.py src/jackfield/_native/*.p[xy]* src/jackfield/_native/*.h | cksum)
installed() { [ "$(cat "$VENV/.installed-$1" 2>/dev/null)" = "$wanted" ]; }

check_python
venv_stands || make_venv
if [ "$WHAT" = test ]; then
	install_tools
fi
installed test || { [ "$WHAT" != test ] && installed serve; } || install_jackfield
