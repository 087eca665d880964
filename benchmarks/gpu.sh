#!/usr/bin/env bash
# Every figure that wants a GPU, in one call of under eight minutes on an H100.
#
#   benchmarks/gpu.sh [PEER_PYTHON] [flags of benchmarks.gpu_step]
#   SMALL=1 benchmarks/gpu.sh                    # in miniature, on a CPU
#
# The python on the PATH runs ours and has pytest, pytest-xdist and hypothesis;
# PEER_PYTHON is one with torch and transformers.
set -uo pipefail
peer=""
if [ $# -gt 0 ] && [[ $1 != --* ]]; then
  peer=$(realpath -s "$1")
  shift
fi
cd "$(dirname "$0")/.." || exit
step=() search=()
tests=(tests/model tests/losses tests/training/{step,parallel,optimizer}_test.py --numprocesses=8)
if [ -n "${SMALL:-}" ]; then
  export JAX_PLATFORMS=cpu
  step=(--size=tiny --shrink=128 --steps=2)
  search=(--queries=20 --candidates=500 --width=16)
  tests=(tests/model/sentence_vector_test.py)
fi
memory=()
if [ -n "$peer" ]; then # it needs its own share of the memory
  memory=("XLA_PYTHON_CLIENT_MEM_FRACTION=${XLA_PYTHON_CLIENT_MEM_FRACTION:-.7}")
fi
failed=0
env "${memory[@]}" python -m benchmarks.gpu_step --peer_python="$peer" "${step[@]}" "$@" || failed=1
echo "exact nearest neighbors"
python -m benchmarks.retrieval --noone_core "${search[@]}" || failed=1
echo "the tests of model, losses and step, which need no TensorFlow, under this machine's jax"
JAX_PLATFORMS=cpu python -m pytest "${tests[@]}" || failed=1
exit $failed
