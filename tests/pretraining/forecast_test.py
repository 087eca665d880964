"""What a dry run says of a slice of TPUs."""

import importlib.util
import json
import re

import jax
import pytest
import tiny_run

from amber_jax.errors import UserError
from amber_jax.pretraining import budget, forecast, stand_in
from amber_jax.pretraining.describe import dry_run
from amber_jax.pretraining.forecast import Target, parse_mfu
from amber_jax.training.slices import CHIPS

TARGET = Target(chip="v5e", chips=8, mfu=0.5, price=2.0, compiled=False)
HAS_LIBTPU = importlib.util.find_spec("libtpu") is not None


def config_without_corpus(**changes):
    config = tiny_run.get_config("sa")
    config.backend = "jit"
    config.model.vocab_size = 500
    config.model.dtype = "bfloat16"
    config.model.max_positions = 128
    config.update(changes)
    return config


def test_a_dry_run_for_a_slice_lowers_and_counts_without_a_corpus(
    monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    said = []
    dry_run(config_without_corpus(row_multiple=8), said.append, target=TARGET)
    assert said[0].startswith("no corpus: rows of 128 tokens")
    lowered = [line for line in said if "the train step lowers" in line]
    assert len(lowered) == 2
    assert sum("so it fits" in line for line in said) == 2
    hours, chip_hours, money = re.search(
        r"all stages: (\S+) hours at 50% of the peak, (\S+) chip-hours, \$(\S+)",
        said[-1],
    ).groups()
    assert float(hours) > 0
    assert (chip_hours, money) == ("0", "0")
    assert list(tmp_path.iterdir()) == []


def test_hours_chip_hours_and_money_follow_from_the_work():
    run = stand_in.prepare(config_without_corpus(), stand_in.Rows(), jax.devices())
    cheap, dear = (
        list(forecast.forecast(run, TARGET._replace(mfu=mfu, price=1e9)))[-1]
        for mfu in (0.5, 0.25)
    )
    planned = [budget.schedule(run, s, CHIPS["v5e"], 0.5) for s in run.stages]
    hours = sum(stage.hours for stage in planned)
    assert f"{hours:,.3g} hours at 50%" in cheap
    assert f"{2 * hours:,.3g} hours at 25%" in dear
    assert f"${8 * hours * 1e9:,.0f}" in cheap


def test_what_does_not_fit_gets_the_first_change_that_helps(monkeypatch):
    config = config_without_corpus()
    config.stages = config.stages[:1]
    config.model.num_layers = 1
    run = stand_in.prepare(config, stand_in.Rows(), jax.devices()[:2])
    (stage,) = run.stages
    changes = {
        flags: budget.memory(*of).peak for flags, *of in budget.smaller(run, stage)
    }
    least = min(changes.values())
    first = next(flags for flags, peak in changes.items() if peak == least)
    for limit, wanted in (
        (least, f"change first {first},"),
        (least - 1, "no micro-batches"),
    ):
        chip = CHIPS["v5e"]._replace(memory=limit)
        monkeypatch.setitem(forecast.CHIPS, "v5e", chip)
        said = list(forecast.forecast(run, TARGET))
        assert "does not fit" in said[0]
        assert wanted in said[1]


def test_a_step_under_pmap_is_not_lowered_for_another_machine():
    config = config_without_corpus(backend="pmap")
    with pytest.raises(UserError, match="backend=jit"):
        dry_run(config, lambda _: None, target=TARGET)


def test_mfu_is_a_number_or_what_a_run_measured(tmp_path):
    assert parse_mfu("0.4") == 0.4
    lines = [{"step": step, "mfu": mfu} for step, mfu in enumerate((0.1, 0.3, 0.2))]
    text = "".join(json.dumps(line) + "\n" for line in [*lines, {"step": 9}])
    (tmp_path / "metrics.jsonl").write_text(text, "utf-8")
    assert parse_mfu(str(tmp_path)) == 0.2
    for wrong in ("0", "1.5", "nan"):
        with pytest.raises(UserError, match="share"):
            parse_mfu(wrong)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n', "utf-8")
    with pytest.raises(UserError, match="peak_tflops"):
        parse_mfu(str(tmp_path))


@pytest.mark.skipif(not HAS_LIBTPU, reason="libtpu is not installed")
def test_the_compiler_says_what_it_wants():
    config = config_without_corpus()
    config.stages = config.stages[:1]
    config.model.num_layers = 1
    said = []
    forecast.ask_compiler(config, TARGET._replace(chips=4), said.append)
    (line,) = said
    wanted, peak = re.search(
        r"wants (\S+) GB of a device, at most (\S+) GB in use", line
    ).groups()
    assert 0 <= float(peak) <= float(wanted)
