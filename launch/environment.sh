# Sourced by demo.sh, test.sh and test_long.sh, never run: makes .venv once, keeps it up to date.
#
#   source launch/environment.sh EXTRAS [FOLDER]   # of setup.py, as in train,report
#
# shellcheck shell=bash
#
# PYTHON names the interpreter to make it from (default python3, at least 3.11).

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
extras=$1 venv=${2:-.venv}
if ! "${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "error: ${PYTHON:-python3} is not Python 3.11 or newer; set PYTHON to one" >&2
  exit 2
fi
# Also when an earlier attempt was cut short and left no pip behind.
"$venv/bin/python" -m pip --version > /dev/null 2>&1 ||
  "${PYTHON:-python3}" -m venv --clear "$venv"
stamp=$venv/installed-${extras}
if ! cmp -s setup.py "$stamp"; then
  echo "installing into $venv (about a minute; once)"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --editable ".[$extras]"
  cp setup.py "$stamp"
fi
export PATH="$PWD/$venv/bin:$PATH"
export TF_CPP_MIN_LOG_LEVEL=2 TF_ENABLE_ONEDNN_OPTS=0
# Compiled programs are kept: the second start of anything is quick.
export JAX_COMPILATION_CACHE_DIR="${JAX_COMPILATION_CACHE_DIR:-$PWD/.cache/jax}"
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0
