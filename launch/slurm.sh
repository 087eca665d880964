#!/usr/bin/env bash
# Pretrains under Slurm: one process a node with all its devices, requeued until the run is over.
#
#   ./launch/slurm.sh --name=NAME --nodes=2 [--sbatch=FLAG]... [--restarts=20] [--dry_run] -- FLAG...
#
# FLAGs are those of `amber pretrain`; --workdir must be gs://BUCKET/RUN, or on a file system that all nodes see. --sbatch takes what the
# site wants, as --sbatch=--gpus-per-node=8 --sbatch=--time=24:00:00. Two minutes before the time is over the run gets
# SIGTERM, saves, ends with 75 and is requeued, as Slurm itself does with what it preempts. The log is NAME.log.
# Secrets are in the environment, which sbatch hands on.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/remote.sh"

name='' nodes='' restarts=20 given=() flags=()
while [ $# -gt 0 ]; do
  case $1 in
    --name=*) name=${1#*=} ;;
    --nodes=*) nodes=${1#*=} ;;
    --sbatch=*) given+=("${1#*=}") ;;
    --restarts=*) restarts=${1#*=} ;;
    --dry_run) dry_run=yes ;;
    --) shift; flags=("$@"); break ;;
    *) fail "unknown flag $1; flags of amber pretrain stand behind --" ;;
  esac
  shift
done
require name nodes
[ ${#flags[@]} -gt 0 ] || fail "no flags of amber pretrain; wanted them behind --"

job=$(
  cat << JOB
#!/usr/bin/env bash
status=0
srun --kill-on-bad-exit=0 amber pretrain --distributed=auto $(quoted "${flags[@]}") || status=\$?
if [ "\$status" = 75 ] && [ "\${SLURM_RESTART_COUNT:-0}" -lt $restarts ]; then
  exec scontrol requeue "\$SLURM_JOB_ID"
fi
exit "\$status"
JOB
)
command=(
  sbatch "--job-name=$name" "--nodes=$nodes" --ntasks-per-node=1 --requeue --signal=TERM@120
  --open-mode=append "--output=$name.log" "${given[@]}"
)
if [ -n "$dry_run" ]; then
  run "${command[@]}"
  printf '%s\n' "$job"
else
  "${command[@]}" <<< "$job"
fi
