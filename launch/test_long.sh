#!/usr/bin/env bash
# What takes long, at most 45 minutes on two cores: the wheel in a fresh environment,
# corpora killed twenty times, by tasks and by Apache Beam in another, and
# conversions against PyTorch, transformers and sentence-transformers themselves.
# In an environment of its own (4 GB). Arguments go to pytest.
set -euo pipefail
source "$(dirname "$0")/environment.sh" test,live .venv-long
exec python -m pytest tests_long "$@"
