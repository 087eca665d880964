"""The launchers against a gcloud, a kubectl and an sbatch that are none."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "launch"
VALUE = "s3cr3t $(touch stolen)"
FLAGS = ("--config=amber_base.py:sa", "--workdir=gs://bucket/a run")

# Notes its arguments and standard input; a gcloud acts as told by the file `plan`: a
# line a training, its status, or what became of the slice.
FAKE = """\
import json, os, pathlib, sys
here = pathlib.Path(os.environ["FAKE"])
arguments = sys.argv[1:]
held = {}
for word in arguments:
    path = pathlib.Path(word)
    if path.is_file():
        held[word] = path.read_bytes().decode("utf-8", "replace")
    elif "=/dev/fd/" in word:
        held["given"] = pathlib.Path(word.partition("=")[2]).read_text()
name = pathlib.Path(sys.argv[0]).name
if name == "sbatch" or "--filename=-" in arguments:
    held["stdin"] = sys.stdin.read()
with (here / "calls").open("a") as file:
    file.write(json.dumps([name, arguments, held]) + "\\n")
state, plan, status = here / "state", here / "plan", here / "status"
told = plan.read_text().split("\\n")
steps = list(told)
if name == "gcloud" and "create" in arguments:
    if steps[0] == "refused":
        sys.exit("no such type")
    state.write_text(steps.pop(0) if steps[0] in ("FAILED", "WAITING") else "ACTIVE")
elif name == "gcloud" and "delete" in arguments:
    state.unlink(missing_ok=True)
elif name == "gcloud" and "describe" in arguments:
    if not state.exists():
        sys.exit(1)
    print(state.read_text())
    if state.read_text() == "WAITING":
        state.write_text("ACTIVE")
elif any("amber pretrain" in word for word in arguments):
    outcome = steps.pop(0)
    if outcome == "preempted":
        state.write_text("SUSPENDED")
        status.unlink(missing_ok=True)
    else:
        status.write_text(outcome)
elif "--command=cat amber/status" in arguments:
    if not status.exists():
        sys.exit(255)
    print(status.read_text())
elif "--command=tail -n +1 -F amber/amber.log" in arguments:
    print("step 1/9", flush=True)
elif name == "kubectl" and arguments[0] == "apply" and steps == ["refused"]:
    sys.exit("not of this cluster")
if steps != told:
    plan.write_text("\\n".join(steps))
"""


@pytest.fixture
def launch(tmp_path):
    """A function: the outcome of a launcher, and the calls that it made."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("gcloud", "kubectl", "sbatch"):
        path = programs / name
        path.write_text(f"#!{sys.executable}\n{FAKE}", "utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def launch(script, *arguments, plan=(), **environment):
        (tmp_path / "calls").write_text("", "utf-8")
        (tmp_path / "plan").write_text("\n".join(plan), "utf-8")
        done = subprocess.run(
            [LAUNCH / script, *arguments],
            cwd=tmp_path,
            env={
                **os.environ,
                "PATH": f"{programs}:{os.environ['PATH']}",
                "FAKE": str(tmp_path),
                "AMBER_POLL_SECONDS": "0",
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "s3cr3t" not in done.stdout + done.stderr
        calls = (tmp_path / "calls").read_text("utf-8").splitlines()
        return done, [json.loads(call) for call in calls]

    yield launch
    assert not (tmp_path / "stolen").exists()


def train(launch, *flags, plan=("0",), **environment):
    slice_flags = ("--name=run", "--zone=here", "--type=v5litepod-16")
    return launch(
        *("tpu_vm.sh", "train", *slice_flags, *flags, "--", *FLAGS),
        plan=plan,
        **environment,
    )


def actions(calls):
    """What a gcloud was asked to do, without questions and the log's tail."""
    named = {
        "create": lambda words: "create" in words,
        "delete": lambda words: "delete" in words,
        "train": lambda words: any("amber pretrain" in word for word in words),
        "install": lambda words: any("pip install" in word for word in words),
        "copy": lambda words: "scp" in words,
    }
    return [
        name for _, words, _ in calls for name, is_it in named.items() if is_it(words)
    ]


def test_a_slice_is_made_trained_on_and_deleted(launch):
    done, calls = train(launch, "--spot")
    assert done.returncode == 0, done.stderr
    assert actions(calls) == ["create", "copy", "install", "train", "delete"]
    (create,) = [words for _, words, _ in calls if "create" in words]
    assert create == [
        *("compute", "tpus", "queued-resources", "create", "run", "--zone=here"),
        *("--node-id=run", "--accelerator-type=v5litepod-16"),
        *("--runtime-version=v2-alpha-tpuv5-lite", "--spot"),
    ]
    (command,) = [
        words for _, words, _ in calls if any("amber pretrain" in w for w in words)
    ]
    assert "--worker=all" in command
    assert r"--workdir=gs://bucket/a\ run" in command[-1]
    assert "--distributed=auto" in command[-1]
    tails = [words for _, words, _ in calls if any("tail" in word for word in words)]
    assert all("--worker=0" in words for words in tails)
    assert "step 1/9" in done.stdout


def test_a_preempted_slice_is_made_anew_and_a_run_that_is_not_over_goes_on(launch):
    done, calls = train(launch, plan=("preempted", "75", "0"))
    assert done.returncode == 0, done.stderr
    made = ["create", "copy", "install", "train"]
    assert actions(calls) == [*made, "delete", *made, "train", "delete"]


def test_a_request_that_waits_or_fails_is_waited_for_or_made_anew(launch):
    done, calls = train(launch, plan=("FAILED", "WAITING", "0"))
    assert done.returncode == 0, done.stderr
    made = ["create", "copy", "install", "train", "delete"]
    assert actions(calls) == ["create", "delete", *made]


def test_restarts_are_counted(launch):
    done, calls = train(launch, "--restarts=1", plan=("75", "75", "0"))
    assert done.returncode == 75
    assert actions(calls).count("train") == 2
    assert "raise --restarts" in done.stderr


def test_a_mistake_is_not_repeated_and_the_slice_stays(launch):
    done, calls = train(launch, plan=("2",))
    assert done.returncode == 2
    assert actions(calls) == ["create", "copy", "install", "train"]
    assert "delete --name=run --zone=here" in done.stderr


def test_a_start_that_fails_leaves_nothing_behind(launch):
    done, calls = train(launch, plan=("refused",))
    assert done.returncode == 1
    assert actions(calls) == ["create", "delete"]


def test_what_is_asked_for_is_fetched(launch):
    done, calls = train(launch, "--fetch=results", "--from=amber/amber.log", "--keep")
    assert done.returncode == 0, done.stderr
    assert actions(calls)[-1] == "copy"
    assert calls[-1][1][-5:-1] == [
        *("run:amber/amber.log", "results", "--zone=here", "--worker=0"),
    ]


def test_secrets_go_to_a_file_of_the_workers_and_nowhere_else(launch):
    done, calls = train(launch, "--secret=WANDB_API_KEY", WANDB_API_KEY=VALUE)
    assert done.returncode == 0, done.stderr
    holding = [
        held for _, _, held in calls if any("s3cr3t" in v for v in held.values())
    ]
    assert len(holding) == 1
    (line,) = next(iter(holding[0].values())).splitlines()
    read = subprocess.run(
        ["bash", "-c", f'{line}; printf %s "$WANDB_API_KEY"'],
        capture_output=True,
        text=True,
    )
    assert read.stdout == VALUE
    assert not any("s3cr3t" in word for _, words, _ in calls for word in words)


@pytest.mark.parametrize("script", ["tpu_vm.sh", "gke.sh"])
def test_a_secret_that_is_not_there_ends_it_before_anything_is_made(script, launch):
    flags = {
        "tpu_vm.sh": ("--zone=here", "--type=v5litepod-16"),
        "gke.sh": ("--image=i", "--accelerator=a", "--topology=4x4", "--hosts=4"),
    }
    done, calls = launch(
        *(script, "train", "--name=run", *flags[script]),
        *("--secret=NO_SUCH_VARIABLE", "--", *FLAGS),
    )
    assert done.returncode == 2
    assert "NO_SUCH_VARIABLE" in done.stderr
    assert calls == []


def cluster(launch, *flags, **options):
    of_pool = ("--accelerator=tpu-v5-lite-podslice", "--topology=4x4", "--hosts=4")
    return launch(
        *("gke.sh", "train", "--name=run", "--image=amber:tpu", *of_pool),
        *(*flags, "--", *FLAGS),
        **options,
    )


def test_a_jobset_is_indexed_and_restarts_but_for_mistakes(launch):
    done, calls = cluster(launch, "--spot", "--restarts=7")
    assert done.returncode == 0, done.stderr
    (applied,) = [held["stdin"] for _, words, held in calls if words[0] == "apply"]
    spec = yaml.safe_load(applied)["spec"]
    assert spec["failurePolicy"]["maxRestarts"] == 7
    job = spec["replicatedJobs"][0]["template"]["spec"]
    assert (job["completionMode"], job["completions"], job["parallelism"]) == (
        *("Indexed", 4, 4),
    )
    (rule,) = job["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"]["values"] == [1, 2]
    pod = job["template"]["spec"]
    assert pod["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
        "cloud.google.com/gke-tpu-topology": "4x4",
        "cloud.google.com/gke-spot": "true",
    }
    (container,) = pod["containers"]
    assert container["args"] == ["pretrain", "--distributed=auto", *FLAGS]
    assert container["resources"]["limits"] == {"google.com/tpu": 4}
    logs = calls[-1][1]
    assert logs[0] == "logs"
    assert any("job-completion-index=0" in word for word in logs)


def test_secrets_of_a_cluster_come_by_a_file_that_is_none(launch):
    done, calls = cluster(launch, "--secret=TOKEN", TOKEN=VALUE)
    assert done.returncode == 0, done.stderr
    (given,) = [held["given"] for _, words, held in calls if words[0] == "create"]
    assert given == f"TOKEN={VALUE}\n"
    (applied,) = [held["stdin"] for _, words, held in calls if words[0] == "apply"]
    assert "s3cr3t" not in applied
    assert yaml.safe_load(applied)["spec"]["replicatedJobs"][0]["template"]["spec"][
        "template"
    ]["spec"]["containers"][0]["envFrom"] == [{"secretRef": {"name": "run"}}]


def test_a_refused_jobset_leaves_nothing_behind(launch):
    done, calls = cluster(launch, "--secret=TOKEN", plan=("refused",), TOKEN=VALUE)
    assert done.returncode == 2
    assert [words[:3] for _, words, _ in calls[-2:]] == [
        ["delete", "jobset", "run"],
        ["delete", "secret", "run"],
    ]


def slurm_job(launch, tmp_path):
    done, calls = launch(
        *("slurm.sh", "--name=run", "--nodes=2", "--sbatch=--time=24:00:00"),
        *("--restarts=2", "--", *FLAGS),
    )
    assert done.returncode == 0, done.stderr
    ((_, words, held),) = calls
    assert {"--nodes=2", "--requeue", "--signal=TERM@120", "--time=24:00:00"} <= set(
        words
    )
    job = tmp_path / "job"
    job.write_text(held["stdin"], "utf-8")
    return job


@pytest.mark.parametrize(
    ("status", "before", "requeued"),
    [(0, 0, False), (75, 0, True), (75, 1, True), (75, 2, False), (2, 0, False)],
)
def test_a_job_is_requeued_while_its_run_is_not_over(
    status, before, requeued, launch, tmp_path
):
    job = slurm_job(launch, tmp_path)
    programs = tmp_path / "slurm"
    programs.mkdir()
    for name, end in {"srun": status, "scontrol": 0}.items():
        path = programs / name
        path.write_text(f'#!/bin/sh\necho {name} "$@"\nexit {end}\n', "utf-8")
        path.chmod(0o755)
    done = subprocess.run(
        ["bash", job],
        env={
            "PATH": f"{programs}:{os.environ['PATH']}",
            "SLURM_JOB_ID": "7",
            "SLURM_RESTART_COUNT": str(before),
        },
        capture_output=True,
        text=True,
    )
    assert "srun --kill-on-bad-exit=0 amber pretrain --distributed=auto" in done.stdout
    assert ("scontrol requeue 7" in done.stdout) == requeued
    assert done.returncode == (0 if requeued else status)


@pytest.mark.parametrize(
    "arguments",
    [
        ("tpu_vm.sh", "train", "--name=run", "--zone=here", "--type=v5litepod-16"),
        (
            *("gke.sh", "train", "--name=run", "--image=i", "--accelerator=a"),
            *("--topology=4x4", "--hosts=4"),
        ),
        ("slurm.sh", "--name=run", "--nodes=2"),
    ],
)
def test_a_dry_run_prints_and_calls_nothing(arguments, launch):
    done, calls = launch(*arguments, "--dry_run", "--", *FLAGS)
    assert done.returncode == 0, done.stderr
    assert calls == []
    assert "amber_base.py:sa" in done.stdout
    assert re.search(r"^(gcloud|kubectl|sbatch) ", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("script", ["tpu_vm.sh", "gke.sh", "slurm.sh"])
def test_what_is_not_understood_is_one_sentence(script, launch):
    done, calls = launch(
        script, *(["train"] if script != "slurm.sh" else []), "--nmae=x"
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown flag --nmae=x")
    assert calls == []


def test_shell_scripts_are_clean():
    shellcheck = shutil.which(
        "shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    )
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    scripts = [
        *LAUNCH.glob("*.sh"),
        ROOT / ".ci" / "run",
        *(ROOT / "benchmarks").glob("*.sh"),
    ]
    done = subprocess.run(
        [shellcheck, *scripts], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_an_image_is_made_of_files_and_extras_that_are_there():
    text = (LAUNCH / "Dockerfile").read_text("utf-8")
    ignored = (LAUNCH / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    for line in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
        for name in line.split():
            assert (ROOT / name).exists()
            assert f"!{name}" in ignored
    targets = re.findall(r"^FROM base AS (\w+)$", text, re.MULTILINE)
    assert sorted(targets) == ["cpu", "gpu", "tpu"]
    extras = (ROOT / "setup.py").read_text("utf-8")
    for names in re.findall(r'pip install "\.\[(.+)\]"', text):
        for name in names.split(","):
            assert f'"{name}": ' in extras


def test_the_config_of_skypilot_starts_again_what_is_not_over():
    config = yaml.safe_load((LAUNCH / "skypilot.yaml").read_text("utf-8"))
    assert config["resources"]["job_recovery"]["recover_on_exit_codes"] == [75]
    assert "--distributed=" in config["run"]
