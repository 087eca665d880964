from benchmarks import schedule
from configs import amber_base


def test_the_schedule_is_that_of_the_config():
    config = amber_base.get_config("sa")
    stages = [
        (stage.num_steps, stage.monolingual_pairs, stage.translation_pairs)
        for stage in config.stages
    ]
    assert stages == list(schedule.STAGES.values())
    sizes = schedule.base()
    for name in ("num_layers", "hidden_size", "num_heads", "intermediate_size"):
        assert getattr(sizes, name) == config.model[name]


def test_padding_heads_everywhere_and_a_fourth_pass_cost_several_times_as_much():
    needed = list(schedule.schedules(schedule.base(), 63).values())
    assert needed == sorted(needed)
    # A masked pair of 63 tokens, by hand: 12 layers, then the head on 9 of 60 words.
    dense = 12 * 63 * (4 * 768**2 + 2 * 768 * 3072)
    attention = 12 * 63 * 63 * 2 * 768
    head = 9 * (768**2 + 768 * 119_547)
    pair = 3 * 2 * (dense + attention + head)
    # All pairs are masked once; what is left are the directed passes of 1,024 pairs:
    # two without a head, and in the last layer little of the second sides.
    directed = (needed[0] / 1e6 - (8192 + 2048) * pair) / 1024
    assert 1.4 < directed / pair < 2.0
