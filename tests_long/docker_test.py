"""The image's commands for CPUs, in a fresh folder and an environment of their own."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_commands_of_the_image_lead_to_the_command(tmp_path):
    text = (ROOT / "launch" / "Dockerfile").read_text("utf-8")
    base, _, cpu = text.partition("FROM base AS cpu")
    folder, venv = tmp_path / "amber", tmp_path / "venv"
    folder.mkdir()
    for line in re.findall(r"^COPY (.+)$", base, re.MULTILINE):
        *sources, target = line.split()
        for name in sources:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / target)
            else:
                shutil.copy(ROOT / name, folder / target)
    commands = re.findall(
        r"^RUN (.+)$", base.partition("FROM base AS gpu")[0] + cpu, re.MULTILINE
    )
    environment = {**os.environ, "PATH": f"{venv}/bin:{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    for command in commands:
        if command.startswith("useradd"):
            continue  # the machine's users are its own
        command = command.replace("/opt/amber", str(venv))
        command = command.replace("python -m", f"{sys.executable} -m")
        subprocess.run(["bash", "-c", command], cwd=folder, env=environment, check=True)
    (entry,) = re.findall(r'^ENTRYPOINT \["(.+)"\]$', text, re.MULTILINE)
    done = subprocess.run(
        [entry, "--help"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "pretrain" in done.stdout
