# Sourced by tpu_vm.sh, gke.sh and slurm.sh, never run: flags, printed commands, secrets.
#
# shellcheck shell=bash

dry_run=
fail() { echo "error: $*" >&2; exit 2; }

run() {  # COMMAND...: runs it, or under --dry_run prints it as a shell takes it
  if [ -n "$dry_run" ]; then
    printf '%q ' "$@"
    printf '\n'
  else
    "$@"
  fi
}

require() {  # NAME...: of variables that flags must have set
  local name
  for name in "$@"; do
    [ -n "${!name:-}" ] || fail "--$name is missing; the head of this script says what it is"
  done
}

secret_lines() {  # FORMAT NAME...: NAME=VALUE of each, from the environment; never to a log
  local name format=$1
  for name in "${@:2}"; do
    [ -n "${!name:-}" ] || fail "--secret=$name: the environment has no $name; export it"
    [[ ${!name} != *$'\n'* ]] || fail "--secret=$name: its value has several lines"
    # shellcheck disable=SC2059  # %s as it is, %q for a shell
    printf "%s=$format\n" "$name" "${!name}"
  done
}

quoted() {  # WORD...: one line that a shell reads as these words
  local line
  printf -v line '%q ' "$@"
  printf '%s' "${line% }"
}
