#!/usr/bin/env bash
# The whole test suite in its own environment. Arguments go to pytest.
set -euo pipefail
source "$(dirname "$0")/environment.sh" test
exec python -m pytest "$@"
