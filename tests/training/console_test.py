import io
import re

import pytest

from amber_jax.training.console import Console


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def train_record(step, **more):
    return {
        "kind": "train",
        "step": step,
        "stage": "align",
        "loss": 7.25,
        "sentence_alignment": 0.5,
        "word_alignment_column_share": 0.125,
        "learning_rate": 1e-3,
        "grad_norm": 2.5,
        "tokens": 3000,
        "tokens_per_second": 12_345.6,
        "data_wait_share": 0.25,
        "host_share": 0.125,
        "device_share": 0.625,
        "model_flops_per_second": 1e12,
        "mfu": 0.4321,
        "forecast_share": 0.876,
        "peak_resident_bytes": 4_512_345_678,
        "open_descriptors": 40,
        "slowest_process": 3,
        "slowest_data_wait_share": 0.5,
        "slowest_device_share": 0.25,
        "median_device_share": 0.75,
        "skipped_steps": 0,
    } | more


EVALUATION = {
    "kind": "eval",
    "step": 20,
    "stage": "align",
    "evaluation": "tico_heldout",
    "es/es_to_en": 0.50,
    "es/en_to_es": 0.60,
    "ru/ru_to_en": 0.25,
    "ru/en_to_ru": 0.25,
    "average": 0.4,
}


def shown(stream):
    """Returns what a stream holds without escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())


def test_without_a_terminal_a_step_is_one_plain_line():
    stream = io.StringIO()
    with Console(600, stream=stream) as console:
        console.train(train_record(12))
    assert stream.getvalue() == (
        "align  12/600  loss 7.250  sentence_alignment 0.5000  lr 0.001  grad 2.5  "
        "12.3k tokens/s  data wait 25%  MFU 43.2%  88% of the forecast  4.5 GB  eta ?\n"
    )


def test_every_record_is_a_plain_line():
    stream = io.StringIO()
    with Console(3, stream=stream) as console:
        for step in range(1, 4):
            console.train(train_record(step))
    assert re.findall(r"align +(\d+)/3", stream.getvalue()) == ["1", "2", "3"]


def test_the_time_left_follows_the_speed(monkeypatch):
    now = iter(range(0, 1000, 2))
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    stream = io.StringIO()
    with Console(100, stream=stream) as console:
        for step in (10, 11, 12):
            console.train(train_record(step))
    assert "12/100" in stream.getvalue() and stream.getvalue().endswith("eta 2m56s\n")


def test_an_evaluation_shows_the_average_and_each_language_in_percent():
    stream = io.StringIO()
    with Console(600, stream=stream) as console:
        console.evaluation(EVALUATION)
    assert stream.getvalue() == (
        "tico_heldout at step 20  average 40.0%  es 55.0%  ru 25.0%\n"
    )


def test_text_is_printed_as_it_is_and_on_one_line():
    stream = io.StringIO()
    note = "saved [bold]runs/x[/] " + "long " * 60
    with Console(600, stream=stream) as console:
        console.note(note)
    assert stream.getvalue() == note + "\n"


@pytest.mark.parametrize("stream_class", [io.StringIO, Terminal])
def test_records_without_speed_or_with_nan_are_shown_too(stream_class, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = stream_class()
    record = {"kind": "train", "step": 1, "stage": "mono", "loss": float("nan")}
    with Console(10, stream=stream) as console:
        console.train(record)
    assert "nan" in shown(stream)


def test_skipped_steps_are_shown_once_there_are_any():
    stream = io.StringIO()
    with Console(10, stream=stream) as console:
        console.train(train_record(1, skipped_steps=3))
    assert "skipped 3" in stream.getvalue()


def test_a_terminal_has_the_same_lines_and_a_bar(terminal):
    with Console(600, stream=terminal) as console:
        console.train(train_record(12))
        console.checkpoint(10)
        console.note("a note")
        console.evaluation(EVALUATION)
    text = shown(terminal)
    for part in [
        "align  12/600  loss 7.250  sentence_alignment 0.5000", "MFU 43.2%",
        "a note", "average 40.0%", " 12/600 eta ?", "checkpoint 10",
    ]:  # fmt: skip
        assert part in text


def test_the_cursor_comes_back_when_a_run_fails(terminal):
    with pytest.raises(ValueError), Console(600, stream=terminal) as console:
        console.train(train_record(12))
        raise ValueError
    codes = terminal.getvalue()
    assert codes.rindex("\x1b[?25h") > codes.rindex("\x1b[?25l")


@pytest.mark.parametrize(("no_color", "colored"), [("", True), ("1", False)])
def test_no_color_is_honored(terminal, monkeypatch, no_color, colored):
    monkeypatch.setenv("NO_COLOR", no_color)
    with Console(600, stream=terminal) as console:
        console.train(train_record(300))
        console.evaluation(EVALUATION)
    assert bool(re.search(r"\x1b\[3[0-9]", terminal.getvalue())) == colored


def test_a_dumb_terminal_gets_plain_lines(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    with Console(600, stream=terminal) as console:
        console.train(train_record(12))
    assert terminal.getvalue().startswith("align  12/600")


def test_an_event_is_a_line_with_its_sentence():
    stream = io.StringIO()
    with Console(600, stream=stream) as console:
        event = {"kind": "event", "event": "loss_spike", "step": 7, "text": "it rose"}
        console.event(event)
    assert stream.getvalue() == "loss spike at step 7: it rose\n"
