"""Slices of TPUs that are only described."""

import importlib.util
import types

import pytest

from amber_jax.errors import UserError
from amber_jax.training import slices
from amber_jax.training.slices import CHIPS

HAS_LIBTPU = importlib.util.find_spec("libtpu") is not None
needs_libtpu = pytest.mark.skipif(not HAS_LIBTPU, reason="libtpu is not installed")


def test_slices_are_as_square_as_they_can_be():
    named = {
        "v5e": {1: "1x1", 4: "2x2", 8: "2x4", 16: "4x4", 128: "8x16", 256: "16x16"},
        "v5p": {4: "2x2x1", 8: "2x2x2", 32: "2x4x4", 128: "4x4x8"},
    }
    for chip, shapes in named.items():
        for count, shape in shapes.items():
            assert slices.squarest(chip, count) == f"{chip}:{shape}"
    with pytest.raises(UserError, match="power of two"):
        slices.squarest("v5e", 12)


def test_without_libtpu_the_user_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="libtpu"):
        slices.described("v5e:2x2")


def test_memory_bounds_below_some_hundred_flops_a_byte():
    intensities = {name: round(chip.intensity) for name, chip in CHIPS.items()}
    assert intensities == {"v4": 229, "v5e": 241, "v5p": 166, "v6e": 574}


def test_devices_are_known_by_their_kind():
    lite = types.SimpleNamespace(device_kind="TPU v5 lite")
    assert slices.chip_of(lite) == CHIPS["v5e"]
    assert slices.chip_of(types.SimpleNamespace(device_kind="cpu")) is None


@needs_libtpu
@pytest.mark.parametrize("name", ["v5e:3x3", "v9:2x2", "v5e", "v5e:axb"])
def test_a_slice_that_there_is_not_is_refused(name):
    with pytest.raises(UserError, match="slice"):
        slices.described(name)


@needs_libtpu
def test_slices_are_of_any_size_and_v4s_devices_are_half_a_chip():
    sizes = {"v5e:1x1": 1, "v5e:4x4": 16, "v6e:16x16": 256, "v5p:2x2x1": 4}
    for name, count in sizes.items():
        described = slices.described(name)
        assert len(described.devices) == count
        assert described.device == CHIPS[name.split(":")[0]]
    half = slices.described("v4:2x2x1")
    assert len(half.devices) == 8
    assert half.device.peak == CHIPS["v4"].peak / 2
