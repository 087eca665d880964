#!/usr/bin/env bash
# A tiny AMBER and its MLM-only twin on real text: train, compare, report.
#
#   ./launch/demo.sh [--quick] [FOLDER]    # FOLDER: demo, or demo-quick
#
# Running it again goes on where it stopped: training resumes, the rest takes seconds.
set -euo pipefail

quick='' folder=''
for argument in "$@"; do
  case $argument in
    --quick) quick=yes ;;
    -*) echo "error: unknown option $argument; wanted --quick or a folder" >&2; exit 2 ;;
    /*) folder=$argument ;;
    *) folder=$PWD/$argument ;;
  esac
done
source "$(dirname "$0")/environment.sh" train,report
folder=${folder:-$PWD/demo${quick:+-quick}}

settings=() sample=()
minutes=10
SECONDS=0  # what follows is what the promise is about; installing came before
if [ -n "$quick" ]; then
  minutes=3
  sample=(--config.sentences=10000)
  settings=(
    "--config.stages[0].num_steps=30" "--config.stages[0].warmup_steps=10"
    --config.evaluate_every=30
  )
fi
cores=$(python -c 'import os; print(os.cpu_count())')
echo "AMBER on $cores CPU cores: at most $minutes minutes on two idle cores, into $folder"

heading() { printf '\n[%d/6] %s (%d s so far)\n' "$1" "$2" "$SECONDS"; }
pretrain() {  # NAME VARIANT
  python launch/pretrain.py "--config=configs/amber_tiny.py:$2" \
    --config.corpus="$folder/corpus" --workdir="$folder/$1" ${settings[@]+"${settings[@]}"}
}
evaluate() {  # NAME RUN LABEL VARIANT FLAG...
  python launch/evaluate.py "--config=configs/sample_retrieval.py:$4" \
    --checkpoint="$folder/$2" --output="$folder/results/$1" \
    --config.label="$3" "${@:5}" > "$folder/results/$1.txt"
}

mkdir -p "$folder/results"
heading 1 "tokenizer: one SentencePiece vocabulary for nine languages"
python launch/train_tokenizer.py --config=configs/tokenizer.py \
  --output="$folder/tokenizer" ${sample[@]+"${sample[@]}"}
heading 2 "corpus: TICO-19 translations and Common Voice sentences, packed into rows"
python launch/build_corpus.py --config=configs/corpus_sample.py \
  --config.tokenizer="$folder/tokenizer" --output="$folder/corpus"
heading 3 "pretraining: masked language modeling alone"
pretrain mlm mlm
heading 4 "pretraining: AMBER, the same seed and number of steps"
pretrain amber sa
heading 5 "retrieval: rows never trained on, and Tatoeba"
evaluate untrained amber untrained plain --config.untrained
evaluate mlm mlm MLM centered
evaluate amber amber AMBER plain --config.probe.language=es
heading 6 "report"
python launch/report.py --workdir="$folder/mlm" --label=MLM \
  --workdir="$folder/amber" --label=AMBER \
  --results="$folder/results/untrained/results.json" \
  --results="$folder/results/mlm/results.json" \
  --results="$folder/results/amber/results.json" \
  --probe="$folder/results/amber/probe.npz" --output="$folder/report"
echo "done in $SECONDS s; the report with its pictures: $folder/report/report.md"
