#!/usr/bin/env bash
# The whole test suite in its own environment. Arguments go to pytest.
set -euo pipefail
source "$(dirname "$0")/environment.sh" test
# All of it is shared by two processes, file by file; a part of it starts quicker alone.
[ $# -gt 0 ] || set -- --numprocesses=2 --dist=loadfile
exec python -m pytest "$@"
