#!/usr/bin/env bash
# Pretrains on a slice of TPU VMs, asked for as a queued resource, and starts again.
#
#   ./launch/tpu_vm.sh train  --name=NAME --zone=ZONE --type=v5litepod-16 [--spot] [--runtime=VERSION]
#       [--restarts=20] [--secret=VARIABLE]... [--fetch=DIR] [--keep] [--dry_run] -- FLAG...
#   ./launch/tpu_vm.sh log    --name=NAME --zone=ZONE              # of the first worker
#   ./launch/tpu_vm.sh fetch  --name=NAME --zone=ZONE --fetch=DIR --from=PATH
#   ./launch/tpu_vm.sh delete --name=NAME --zone=ZONE
#
# FLAGs are those of `amber pretrain`; --workdir must outlive the slice: gs://BUCKET/RUN, or storage that all hosts see.
# A preempted slice is deleted and asked for anew, a run that ends with 75 is started again, both --restarts times in
# all. What ends with 0 is fetched (--fetch) and deleted (unless --keep); after another status the slice stays, and the
# last line says how to delete it. A start that fails, or is interrupted, leaves nothing behind.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/remote.sh"
cd "$(dirname "${BASH_SOURCE[0]}")/.."

action=${1:-}
[ $# -gt 0 ] && shift
name='' zone='' type='' runtime=v2-alpha-tpuv5-lite restarts=20 fetch='' from='' keep='' spot=() secrets=() flags=()
while [ $# -gt 0 ]; do
  case $1 in
    --name=*) name=${1#*=} ;;
    --zone=*) zone=${1#*=} ;;
    --type=*) type=${1#*=} ;;
    --runtime=*) runtime=${1#*=} ;;
    --restarts=*) restarts=${1#*=} ;;
    --fetch=*) fetch=${1#*=} ;;
    --from=*) from=${1#*=} ;;
    --secret=*) secrets+=("${1#*=}") ;;
    --spot) spot=(--spot) ;;
    --keep) keep=yes ;;
    --dry_run) dry_run=yes ;;
    --) shift; flags=("$@"); break ;;
    *) fail "unknown flag $1; flags of amber pretrain stand behind --" ;;
  esac
  shift
done
require name zone
poll=${AMBER_POLL_SECONDS:-30}
again=75

queued() { run gcloud compute tpus queued-resources "$1" "$name" "--zone=$zone" "${@:2}"; }
on() { run gcloud compute tpus tpu-vm ssh "$name" "--zone=$zone" "--worker=$1" "--command=$2"; }
copy() { run gcloud compute tpus tpu-vm scp "$1" "$2" "--zone=$zone" "${@:3}"; }
state() {  # of the queued resource; NONE if there is none
  gcloud compute tpus queued-resources describe "$name" "--zone=$zone" '--format=value(state.state)' 2> /dev/null || echo NONE
}
delete() { queued delete --force --quiet; }

wait_active() {  # 0 when the slice is there, 1 when it will not be
  local found
  while true; do
    found=$(state)
    case $found in
      ACTIVE) return 0 ;;
      FAILED | SUSPENDED | SUSPENDING | NONE) echo "$name: $found" >&2; return 1 ;;
    esac
    echo "$name: $found; waiting"
    sleep "$poll"
  done
}

start() {  # a slice with the program on it; 1 if it was lost meanwhile
  if [ -z "$dry_run" ] && [ "$(state)" != NONE ]; then
    delete || return  # what was preempted, or an earlier start left behind
  fi
  # A request that is refused would be refused again.
  queued create "--node-id=$name" "--accelerator-type=$type" "--runtime-version=$runtime" "${spot[@]}" || exit
  if [ -z "$dry_run" ]; then
    wait_active || return
  fi
  copy "$folder/amber.tar.gz" "$name:" --worker=all || return
  if [ ${#secrets[@]} -gt 0 ]; then
    copy "$folder/secrets" "$name:.amber_secrets" --worker=all || return
  fi
  on all 'mkdir -p amber && tar -xzf amber.tar.gz -C amber && cd amber && python3 -m venv .venv && .venv/bin/pip install --quiet ".[tpu,train,gcs]"'
}

train() {  # runs on all workers, shows the first one's log; the status of the run, 255 if the slice is gone
  local command tail_process='' status
  command="cd amber && { set -a; [ ! -f ~/.amber_secrets ] || . ~/.amber_secrets; set +a; rm -f status;"
  command+=" .venv/bin/amber pretrain --distributed=auto $(quoted "${flags[@]}") > amber.log 2>&1; echo \$? > status; }"
  if [ -n "$dry_run" ]; then
    on all "$command"
    on 0 'tail -n +1 -F amber/amber.log'
    on 0 'cat amber/status'
    return 0
  fi
  on 0 'tail -n +1 -F amber/amber.log' &
  tail_process=$!
  on all "$command" || true  # which worker's status this is nobody knows
  kill "$tail_process" 2> /dev/null || true
  wait "$tail_process" 2> /dev/null || true
  status=$(on 0 'cat amber/status' 2> /dev/null) || status=255
  [[ $status =~ ^[0-9]+$ ]] || status=255
  return "$status"
}

clean_up() {
  rm -rf "$folder"
  if [ -n "$starting" ] && [ -z "$dry_run" ]; then
    echo "the start did not succeed; deleting $name" >&2
    delete || echo "error: $name may still be there: ./launch/tpu_vm.sh delete --name=$name --zone=$zone" >&2
  fi
}

train_to_the_end() {
  local left=$restarts status running='' keys=
  require type
  [ ${#flags[@]} -gt 0 ] || fail "no flags of amber pretrain; wanted them behind --"
  folder=$(umask 077 && mktemp -d)
  starting=
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  if [ ${#secrets[@]} -gt 0 ]; then
    keys=$(secret_lines %q "${secrets[@]}")  # first, so that a missing one ends the script
    (umask 077 && printf '%s\n' "$keys" > "$folder/secrets")
  fi
  git archive --format=tar.gz --output="$folder/amber.tar.gz" HEAD
  while true; do
    status=255
    starting=yes
    if [ -n "$running" ] || start; then
      starting=
      status=0
      train || status=$?
    fi
    case $status in
      0) break ;;
      "$again" | 255) ;;
      *) echo "$name: ended with $status and stays; ./launch/tpu_vm.sh delete --name=$name --zone=$zone" >&2; exit "$status" ;;
    esac
    [ "$left" -gt 0 ] || { echo "error: started again $restarts times; raise --restarts" >&2; exit "$again"; }
    left=$((left - 1))
    running=
    sleep "$poll"
    if [ "$status" = "$again" ] && [ "$(state)" = ACTIVE ]; then
      running=yes
    fi
    echo "$name: status $status; starting again, $left times left"
  done
  [ -z "$fetch" ] || copy "$name:${from:-amber/amber.log}" "$fetch" --worker=0 --recurse
  [ -n "$keep" ] || delete
}

case $action in
  train) train_to_the_end ;;
  log) on 0 'tail -n +1 -F amber/amber.log' ;;
  fetch) require fetch from; copy "$name:$from" "$fetch" --worker=0 --recurse ;;
  delete) delete ;;
  *) fail "unknown action '$action'; wanted train, log, fetch or delete" ;;
esac
