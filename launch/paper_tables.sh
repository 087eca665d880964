#!/usr/bin/env bash
# The paper's tables from a real encoder: as it comes, and after a short stage 2 with
# TLM, with word alignment in two forms, and with sentence alignment beside each of them.
#
#   ./launch/paper_tables.sh ENCODER DATA [FOLDER]    # FOLDER: tables
#
# PROMPT, if set, stands before each side of a pair whose words are aligned ("query: " of
# E5). ENCODER is a folder of Hugging Face or sentence-transformers. DATA holds parallel/,
# mono/wikipedia/, tatoeba/, align/xl-wa/, ud/, pawsx/ and xnli/, as docs/results.md tells.
# Hours on two cores; running it again goes on where it stopped, a fine-tuning from its
# last dev score.
set -euo pipefail

if [ $# -lt 2 ] || [ $# -gt 3 ]; then
  echo "error: wanted ENCODER DATA [FOLDER], got $# arguments" >&2
  exit 2
fi
for folder in "$1" "$2"; do
  [ -d "$folder" ] || { echo "error: $folder: there is no such folder" >&2; exit 2; }
done
encoder=$(realpath "$1") data=$(realpath "$2") folder=$(realpath -m "${3:-tables}")
source "$(dirname "$0")/environment.sh" train,report

languages=ar,bg,de,el,en,es,fr,hi,ru,sw,th,tr,ur,vi,zh
heading() { printf '\n[%s] %s\n' "$(date +%H:%M)" "$1"; }
once() {  # OUT COMMAND...: makes OUT or goes on with it, never what another command began
  local out=$1 record=$1.command
  shift
  if [ -e "$out" ] && [ "$(cat "$record" 2> /dev/null)" != "$*" ]; then
    echo "error: $out is of another command than \"$*\"; remove it, or name another FOLDER" >&2
    exit 2
  fi
  mkdir -p "$(dirname "$out")"
  printf '%s\n' "$*" > "$record"
  [ -e "$out/results.json" ] || "$@"
}

corpus() {
  local text=$folder/text file
  rm -rf "$text"
  mkdir -p "$text"/{mono,parallel,held_out}
  for file in "$data"/mono/wikipedia/*; do ln -s "$file" "$text/mono/"; done
  for file in "$data"/parallel/*; do ln -s "$file" "$text/parallel/"; done
  for file in "$data"/tatoeba/*; do ln -s "$file" "$text/held_out/"; done
  python launch/build_corpus.py --config="configs/corpus_folder.py:$text:$languages" \
    --config.tokenizer="$encoder" --output="$folder/corpus" --config.row_length=128 \
    --config.max_side_tokens=60 --config.rows_per_shard=64 --config.alpha=0.5
}

judge() {  # NAME CHECKPOINT LABEL
  local out=$folder/$1
  heading "$3: Tatoeba"
  once "$out/tatoeba" \
    python launch/evaluate.py --config=configs/tatoeba.py --checkpoint="$2" --config.label="$3" \
    --config.retrievals[0].path="$data/tatoeba" --config.retrievals[0].layer_curve=True \
    --output="$out/tatoeba"
  heading "$3: word alignment"
  once "$out/alignment" \
    python launch/evaluate.py --config=configs/word_alignment.py:deep --checkpoint="$2" \
    --config.label="$3" --config.data="$data/align/xl-wa" --output="$out/alignment" \
    --config.dev='{language}/dev.tsv' --config.prompt="${PROMPT-}"
  heading "$3: part of speech"
  once "$out/udpos" \
    python launch/finetune.py --config=configs/udpos.py:treebanks --config.data="$data/ud" \
    --checkpoint="$2" --config.label="$3" --workdir="$out/udpos" \
    --config.max_train_examples=6000 --config.num_epochs=1 --config.peak_learning_rate=1e-4
  heading "$3: PAWS-X"
  once "$out/pawsx" \
    python launch/finetune.py --config=configs/pawsx.py:dev_en --config.data="$data/pawsx" \
    --checkpoint="$2" --config.label="$3" --workdir="$out/pawsx" --config.evaluate_every=57 \
    --config.max_test_examples=1000 --config.num_epochs=8 --config.peak_learning_rate=1e-4
  heading "$3: XNLI"
  once "$out/xnli" \
    python launch/finetune.py --config=configs/xnli.py:dev_en --config.data="$data/xnli" \
    --config.languages="('en','zh','es','de','ar','ru','bg','el','fr','hi','tr','vi')" \
    --checkpoint="$2" --config.label="$3" --workdir="$out/xnli" --config.evaluate_every=71 \
    --config.max_test_examples=500 --config.num_epochs=2 --config.peak_learning_rate=1e-4
}

row() {  # NAME LABEL VARIANT FLAG...: trains a row, and judges it
  local run=$folder/runs/$1
  heading "$2: stage 2"
  once "$run" \
    python launch/pretrain.py --config="configs/encoder_continue.py:$3,short" \
    --config.corpus="$folder/corpus" --config.init_checkpoint="$encoder" --workdir="$run" \
    --config.keep_every=60 "${@:4}"
  judge "$1" "$run" "$2"
}

mkdir -p "$folder"
heading "corpus"
corpus
judge start "$encoder" "as it comes"
row tlm "TLM" tlm
row wa "TLM+WA" wa
mutual=(--config.word_alignment.form=similarity --config.word_alignment.layer=8)
row matches "TLM+WA of mutual matches" wa "${mutual[@]}"
row sa "AMBER (TLM+WA+SA)" sa
row sa_matches "TLM+WA+SA, mutual matches" sa "${mutual[@]}"

results=()
for file in "$folder"/{start,tlm,wa,matches,sa,sa_matches}/*/results.json; do results+=("--results=$file"); done
python launch/report.py "${results[@]}" --output="$folder/report"
