#!/usr/bin/env bash
# Conversions against PyTorch, transformers and sentence-transformers themselves, in an
# environment of their own (3.5 GB). Arguments go to pytest.
set -euo pipefail
source "$(dirname "$0")/environment.sh" live .venv-live
exec python -m pytest tests_live "$@"
