"""Which steps are traced, and that a trace is whole whatever happens."""

import jax
import pytest

from amber_jax.errors import UserError
from amber_jax.training.profile import Profiler, Window, parse_window, part


@pytest.mark.parametrize("text", ["15:10", "0:3", "ten:15", "10", "10:", "", "-1:4"])
def test_a_window_that_is_none_is_refused(text):
    with pytest.raises(UserError) as caught:
        parse_window(text)
    assert f"--profile is {text!r}; wanted FIRST:LAST" in str(caught.value)


def test_a_window_is_two_numbers():
    assert parse_window("10:15") == Window(10, 15)
    assert parse_window("3:3") == Window(3, 3)


def run(window, folder, *, steps=6, first=100, fail_at=None):
    """Runs steps first, first + 1, ...; returns where the device was drained."""
    drained, number = [], first
    with Profiler(window, folder) as profiler:
        for number in range(first, first + steps):
            with profiler.step(number, drain=lambda n=number: drained.append(n)):
                if number == fail_at:
                    raise ValueError
                with part("dispatch"):
                    jax.block_until_ready(jax.numpy.ones(3) + number)
    return profiler.outcome(), drained


def traced(folder):
    return sorted(folder.rglob("*.xplane.pb"))


def steps_in(folder):
    """Returns the numbers of the steps that the trace holds, and its named parts."""
    (path,) = traced(folder)
    data = jax.profiler.ProfileData.from_file(str(path))
    events = [e for plane in data.planes for line in plane.lines for e in line.events]
    numbers = {
        dict(event.stats)["step_num"] for event in events if event.name == "train"
    }
    return sorted(numbers), {event.name for event in events}


def test_the_windows_steps_are_traced_and_no_others(tmp_path):
    outcome, drained = run(Window(3, 4), tmp_path / "profile")
    numbers, names = steps_in(tmp_path)
    assert numbers == [102, 103]
    assert "dispatch" in names
    assert drained == [102, 103]
    assert outcome == f"the trace of 2 steps is in {tmp_path / 'profile'}"


def test_without_a_window_nothing_is_written(tmp_path):
    assert run(None, tmp_path / "profile") == (None, [])
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_ends_inside_the_window_leaves_a_whole_trace(tmp_path):
    outcome, _ = run(Window(5, 90), tmp_path)
    assert steps_in(tmp_path)[0] == [104, 105]
    assert "2 steps" in outcome


def test_a_run_that_fails_inside_the_window_leaves_a_whole_trace(tmp_path):
    with pytest.raises(ValueError):
        run(Window(1, 90), tmp_path, fail_at=102)
    assert steps_in(tmp_path)[0] == [100, 101, 102]


def test_a_window_that_was_not_reached_is_told(tmp_path):
    outcome, _ = run(Window(7, 9), tmp_path / "profile")
    assert outcome == (
        "nothing was traced: this start ended after 6 steps, before step 7 of its own"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "profile").write_text("mine")
    with pytest.raises(UserError, match="profile cannot be written"):
        run(Window(1, 2), tmp_path / "profile")


def test_a_trace_that_cannot_be_written_ends_no_run(tmp_path):
    (tmp_path / "plugins").write_text("mine")
    outcome, _ = run(Window(2, 3), tmp_path)
    # JAX keeps a trace that it could not write, and would not begin another test's.
    (tmp_path / "plugins").unlink()
    jax.profiler.stop_trace()
    assert outcome.startswith(f"the trace could not be written to {tmp_path}: ")
    assert "\n" not in outcome
