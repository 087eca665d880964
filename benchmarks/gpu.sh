#!/usr/bin/env bash
# Every figure that wants a GPU, in one call of under ten minutes on an H200.
#
#   benchmarks/gpu.sh PEER_PYTHON
#   DEVICE=cpu SIZE=tiny ROWS=8 SHRINK=64 STEPS=2 benchmarks/gpu.sh PEER_PYTHON    # in miniature
#
# The python on the PATH runs ours, PEER_PYTHON is one with torch and transformers.
set -uo pipefail
peer=$(realpath -s "$1")
cd "$(dirname "$0")/.."
device=${DEVICE:-gpu} size=${SIZE:-base} rows=${ROWS:-256} steps=${STEPS:-12}
compare() {
  python -m benchmarks.compare --device="$device" --size="$size" --rows="$rows" \
    --steps="$steps" --warmup=3 --rounds=1 "$@"
}
echo "masked_lm, full rows of 128, against the reference library"
failed=0
compare --work=full --peer_python="$peer" || failed=1
echo "all losses against masked_lm alone, packed pairs"
compare --work=losses || failed=1
echo "every work, and each form of the step exchanged in turn"
python -m benchmarks.gpu_step --size="$size" --shrink="${SHRINK:-1}" --steps="$steps" || failed=1
echo "exact nearest neighbors"
python -m benchmarks.retrieval --noone_core || failed=1
exit $failed
