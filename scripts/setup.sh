#!/usr/bin/env bash
# Set up everything that `make demo` and `make test` need; what is there already is reused.
#   scripts/setup.sh          Debian packages, Python environment, broker jars, device base, example model
# Every step says what it does and how long it took; a failure ends with one line that holds the mend.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
VENV=.venv
STAMPS=.cache/setup
LOG=.cache/setup.log
PACKAGES=(systemd-container mmdebstrap iproute2 openssh-client openssh-server)

fail() { echo "setup: $*" >&2; exit 1; }
step() { printf 'setup: %s ... ' "$1"; STARTED=$SECONDS; }
done_() { echo "${1:-done} ($((SECONDS - STARTED)) s)"; }
logged() { "$@" >>"$LOG" 2>&1 || { echo failed; tail -n 15 "$LOG" >&2; fail "'$*' failed; the whole output is in $LOG"; }; }
# a step is done when its stamp holds the hash of its inputs
fresh() { [ -e "$STAMPS/$1" ] && [ "$(cat "$STAMPS/$1")" = "$2" ]; }
stamp() { echo "$2" >"$STAMPS/$1"; }
hash_of() { cat "$@" | sha256sum | cut -c1-16; }

[ "$(id -u)" = 0 ] || fail "needs root, for network namespaces and systemd-nspawn: run it again with sudo"
command -v apt-get >/dev/null || fail "needs a Debian 12 machine (no apt-get here)"
command -v "$PYTHON" >/dev/null || fail "no $PYTHON: apt-get install python3 python3-venv"
"$PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' ||
  fail "needs Python 3.11 to 3.13, $PYTHON is $("$PYTHON" -V 2>&1): PYTHON=/path/to/python3.11 make ..."
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || PACKAGES+=(python3-venv)
command -v java >/dev/null || fail "no Java: apt-get install openjdk-17-jre-headless"
command -v mvn >/dev/null || fail "no Maven: apt-get install maven"
mkdir -p "$STAMPS"

missing=()
for package in "${PACKAGES[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  step "installing Debian packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  logged apt-get update -q
  logged apt-get install -y -q --no-install-recommends "${missing[@]}"
  done_
fi

inputs=$(hash_of pyproject.toml fogverse/pyproject.toml constraints.txt <("$PYTHON" -V 2>&1))
if ! fresh venv "$inputs" || [ ! -x $VENV/bin/python ]; then
  step "making the Python environment in $VENV (about a minute)"
  rm -rf $VENV
  logged "$PYTHON" -m venv $VENV
  logged $VENV/bin/pip install --disable-pip-version-check -c constraints.txt -e './fogverse' -e '.[dev]'
  stamp venv "$inputs"
  done_
fi

step "building the broker and the devices' root file system (a minute the first time)"
logged $VENV/bin/orchestrator lab build
done_

example=examples/incident_detection
inputs=$(hash_of $example/incident_detection/*.py $example/incident_detection/corpus.csv)
if ! fresh model "$inputs" || [ ! -e $example/incident_detection/model.json ]; then
  step "training the example's classifier on its own corpus"
  PYTHONPATH=$example logged $VENV/bin/python -m incident_detection.train
  stamp model "$inputs"
  done_
fi
