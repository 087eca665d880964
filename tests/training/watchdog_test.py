"""A step that hangs ends the process, says where, and with what status."""

import subprocess
import sys

import pytest

PROGRAM = """
import time
from amber_jax.training.watchdog import Watchdog

watchdog = Watchdog({seconds}, 4)
with watchdog.watched():
    {before}
    watchdog.finish_step(5)
    def hangs():
        time.sleep({sleeps})
    {block}
print("went on")
"""


def run(seconds, sleeps, *, before="pass", block="hangs()"):
    return subprocess.run(
        [
            *(sys.executable, "-c"),
            PROGRAM.format(seconds=seconds, sleeps=sleeps, before=before, block=block),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_step_that_hangs_ends_with_stacks_a_sentence_and_the_status_of_a_restart():
    ended = run(0.3, 50)
    assert ended.returncode == 75
    assert "went on" not in ended.stdout
    *stacks, sentence = ended.stderr.strip().splitlines()
    assert sum(" in hangs" in line for line in stacks) == 1
    assert sentence.startswith("error: step 6 hangs")
    assert "start the run again" in sentence


@pytest.mark.parametrize(
    "may_take_its_time",
    [
        {"seconds": 0, "sleeps": 0.5},
        {"seconds": 0.3, "sleeps": 1.0, "before": "time.sleep(0.25)"},
        {
            "seconds": 0.3,
            "sleeps": 1.0,
            "block": "\n    with watchdog.apart():\n        hangs()",
        },
    ],
    ids=["without a limit", "steps are long", "an evaluation"],
)
def test_what_takes_its_time_is_left_alone(may_take_its_time):
    ended = run(**may_take_its_time)
    assert (ended.returncode, ended.stdout) == (0, "went on\n"), ended.stderr
