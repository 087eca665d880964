"""Which records bring about events, and that a run that goes on finds the same."""

import math

import pytest

from amber_jax.training.events import EventRules


def train(step, loss=2.0, *, stage="aligned", skipped=0, **more):
    return {
        "kind": "train",
        "stage": stage,
        "step": step,
        "loss": loss,
        "skipped_steps": skipped,
        **more,
    }


def losses(count):
    """Losses that move by 0.1 up and down around 2."""
    return [2.0 + 0.1 * (-1) ** step for step in range(count)]


def events_of(records, before=()):
    rules = EventRules(before)
    return [event for record in records for event in rules.of(record)]


def test_a_spike_is_an_event_where_it_begins():
    values = [*losses(64), 5.0, 5.0, 2.0, 5.0]
    events = events_of([train(step, loss) for step, loss in enumerate(values, start=1)])
    assert [(event["event"], event["step"]) for event in events] == [
        ("loss_spike", 65),
        ("loss_spike", 68),
    ]
    # Half of the losses are 1.9: the median is 2.0, the median deviation 0.1.
    first = events[0]
    assert first["loss_spike"] == pytest.approx(3.0 / (0.1 * 1.4826))
    assert "the loss is 5, 20.2 deviations over the median 2 of the" in first["text"]
    assert (first["kind"], first["stage"]) == ("event", "aligned")


@pytest.mark.parametrize(
    "values",
    [
        [*losses(63), 5.0],  # too few to compare with
        [*losses(64), 2.88],  # under six deviations
        [*losses(64), 0.1],  # a fall
        [*[2.0] * 64, 2.1],  # constant: within six hundredths of the median
        [*losses(64), math.nan, None],  # skipped, not spiking
    ],
)
def test_what_is_no_spike(values):
    records = [train(step, loss) for step, loss in enumerate(values, start=1)]
    assert events_of(records) == []


def test_one_spike_does_not_hide_the_next_nor_widen_what_is_usual():
    values = [*losses(60), *[50.0, 2.0] * 4, *losses(40), 5.0]
    events = events_of([train(step, loss) for step, loss in enumerate(values, start=1)])
    assert events[-1]["step"] == len(values)


def test_a_stage_has_losses_of_its_own():
    records = [train(step, loss) for step, loss in enumerate(losses(70), start=1)]
    records += [train(step, 7.0, stage="next") for step in range(71, 80)]
    assert events_of(records) == []


def test_skipped_updates_are_counted_since_the_record_before():
    events = events_of([train(10), train(20, skipped=3), train(30, skipped=3)])
    assert [(event["step"], event["skipped"]) for event in events] == [(20, 3)]
    assert events[0]["text"] == "3 updates were not finite and not applied, 3 in all"
    (event,) = events_of([train(30, skipped=4)], before=[train(20, skipped=3)])
    assert event["text"] == "1 update was not finite and not applied, 4 in all"


def test_the_process_that_keeps_the_others_waiting_is_named_once():
    def record(step, process, device):
        return train(
            step,
            slowest_process=process,
            slowest_data_wait_share=0.4,
            slowest_device_share=device,
            median_device_share=0.95,
        )

    events = events_of(
        [
            record(1, 3, 0.9),  # usual
            record(2, 3, 0.5),
            record(3, 3, 0.5),  # told already
            record(4, 1, 0.5),
            record(5, 1, 0.94),
            record(6, 1, 0.5),
        ]
    )
    assert [(event["step"], event["straggler"]) for event in events] == [
        (2, 3),
        (4, 1),
        (6, 1),
    ]
    assert events[0]["text"] == (
        "process 3 keeps the others waiting: it waits 40% of the time for data and "
        "50% for devices, the median process 95% for devices"
    )


@pytest.mark.parametrize("cut", [1, 63, 64, 65, 66, 68])
def test_a_run_that_goes_on_finds_what_an_undisturbed_one_finds(cut):
    values = [*losses(64), 5.0, 5.0, 2.0, 5.0]
    records = [
        train(step, loss, skipped=int(step > 60))
        for step, loss in enumerate(values, start=1)
    ]
    whole = events_of(records)
    before = events_of(records[:cut])
    log = [*records[:cut], *before, {"kind": "eval", "step": cut, "average": 0.5}]
    assert before + events_of(records[cut:], before=log) == whole
    assert len(whole) == 3
