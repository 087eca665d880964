#!/usr/bin/env bash
# Pretrains as a JobSet on a TPU node pool of a GKE cluster that kubectl is logged in to.
#
#   ./launch/gke.sh train  --name=NAME --image=IMAGE --accelerator=tpu-v5-lite-podslice --topology=4x4 --hosts=4
#       [--spot] [--restarts=20] [--secret=VARIABLE]... [--dry_run] -- FLAG...
#   ./launch/gke.sh log    --name=NAME          # of the first host
#   ./launch/gke.sh delete --name=NAME          # also what a failed start left behind
#
# IMAGE is the target tpu of launch/Dockerfile. FLAGs are those of `amber pretrain`; --workdir must be gs://BUCKET/RUN, or
# on storage that all hosts see. A pod that ends with 1 or 2 ends the JobSet, for it would end so again; after any other end, 75 and
# preemption among them, all pods start again. Secrets become a Secret of the JobSet's name.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/remote.sh"

action=${1:-}
[ $# -gt 0 ] && shift
name='' image='' accelerator='' topology='' hosts='' chips=4 restarts=20 spot='' secrets=() flags=()
while [ $# -gt 0 ]; do
  case $1 in
    --name=*) name=${1#*=} ;;
    --image=*) image=${1#*=} ;;
    --accelerator=*) accelerator=${1#*=} ;;
    --topology=*) topology=${1#*=} ;;
    --hosts=*) hosts=${1#*=} ;;
    --chips=*) chips=${1#*=} ;;  # of a host
    --restarts=*) restarts=${1#*=} ;;
    --secret=*) secrets+=("${1#*=}") ;;
    --spot) spot=yes ;;
    --dry_run) dry_run=yes ;;
    --) shift; flags=("$@"); break ;;
    *) fail "unknown flag $1; flags of amber pretrain stand behind --" ;;
  esac
  shift
done
require name

json() {  # WORD...: a JSON list of strings
  local word list=
  for word in "$@"; do
    [[ $word != *$'\n'* ]] || fail "a flag has several lines: $word"
    word=${word//\\/\\\\}
    list+=", \"${word//\"/\\\"}\""
  done
  printf '[%s]' "${list#, }"
}

manifest() {
  local spot_selector='' env_from=''
  [ -z "$spot" ] || spot_selector=$'\n                cloud.google.com/gke-spot: "true"'
  [ ${#secrets[@]} -eq 0 ] || env_from=$'\n'"                  envFrom: [{secretRef: {name: $name}}]"
  cat << MANIFEST
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: $name
  annotations:
    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool
spec:
  failurePolicy:
    maxRestarts: $restarts
    rules:
      - action: FailJobSet
        onJobFailureReasons: [PodFailurePolicy]
  replicatedJobs:
    - name: slice
      replicas: 1
      template:
        spec:
          completionMode: Indexed
          completions: $hosts
          parallelism: $hosts
          backoffLimit: 0
          podFailurePolicy:
            rules:
              - action: FailJob
                onExitCodes: {containerName: amber, operator: In, values: [1, 2]}
          template:
            spec:
              restartPolicy: Never
              terminationGracePeriodSeconds: 120
              nodeSelector:
                cloud.google.com/gke-tpu-accelerator: $accelerator
                cloud.google.com/gke-tpu-topology: $topology$spot_selector
              containers:
                - name: amber
                  image: $image
                  args: $(json pretrain --distributed=auto "${flags[@]}")$env_from
                  resources:
                    limits: {google.com/tpu: $chips}
MANIFEST
}

delete() {
  run kubectl delete jobset "$name" --ignore-not-found
  run kubectl delete secret "$name" --ignore-not-found
}

log() {
  run kubectl logs --follow --pod-running-timeout=1h \
    "--selector=jobset.sigs.k8s.io/jobset-name=$name,batch.kubernetes.io/job-completion-index=0"
}

train() {
  local text keys=
  require image accelerator topology hosts
  [ ${#flags[@]} -gt 0 ] || fail "no flags of amber pretrain; wanted them behind --"
  text=$(manifest)
  [ ${#secrets[@]} -eq 0 ] || keys=$(secret_lines %s "${secrets[@]}")
  if [ -n "$dry_run" ]; then
    [ ${#secrets[@]} -eq 0 ] || echo "kubectl create secret generic $name --from-env-file=FILE  # of ${secrets[*]}"
    printf 'kubectl apply --filename=- << MANIFEST\n%s\nMANIFEST\n' "$text"
  else
    delete
    if [ -n "$keys" ]; then
      kubectl create secret generic "$name" --from-env-file=<(printf '%s\n' "$keys")
    fi
    if ! kubectl apply --filename=- <<< "$text"; then
      delete
      fail "the JobSet was refused, see above; nothing of it is left"
    fi
  fi
  log
}

case $action in
  train) train ;;
  log) log ;;
  delete) delete ;;
  *) fail "unknown action '$action'; wanted train, log or delete" ;;
esac
