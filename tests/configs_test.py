"""Every file of configs/ loads, is locked, and means what its name says."""

import importlib.util
from pathlib import Path

import pytest

from amber_jax import config as settings
from amber_jax.corpora.sources import ManyWaySource, TextSource
from amber_jax.errors import UserError
from amber_jax.objectives import LOSSES

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))
RUNS = ("amber_base", "amber_tiny", "amber_fifteen", "mbert_continue")


def load(name):
    path = next(path for path in CONFIGS if path.stem == name)
    spec = importlib.util.spec_from_file_location(f"configs_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_config(name, variant):
    config = load(name).get_config(variant)
    config.corpus = "somewhere"
    return config


@pytest.mark.parametrize("name", [path.stem for path in CONFIGS])
def test_every_config_loads_without_an_argument_and_is_locked(name):
    config = load(name).get_config()
    assert config.is_locked
    with pytest.raises((AttributeError, KeyError)):
        config.no_such_setting = 1


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("variant", settings.VARIANTS)
def test_every_variant_of_every_run_is_valid(name, variant):
    settings.validate(run_config(name, variant))


@pytest.mark.parametrize("name", RUNS)
def test_each_variant_adds_one_objective_to_the_one_before(name):
    def of(variant):
        last = run_config(name, variant).stages[-1]
        weights = tuple(last[loss].weight for loss in LOSSES)
        pairs = last.monolingual_pairs + last.translation_pairs
        return last.translation_pairs > 0, weights, pairs

    pairs = of("mlm")[2]
    assert of("mlm") == (False, (1.0, 0.0, 0.0), pairs)
    assert of("tlm") == (True, (1.0, 0.0, 0.0), pairs)
    assert of("wa") == (True, (1.0, 0.0, 1.0), pairs)
    assert of("sa") == (True, (1.0, 1.0, 1.0), pairs)


def test_the_base_config_is_the_papers_recipe():
    config = run_config("amber_base", "sa")
    first, second = config.stages
    assert (first.num_steps, second.num_steps) == (1_000_000, 1_000_000)
    assert first.monolingual_pairs + first.translation_pairs == 8192
    assert second.monolingual_pairs + second.translation_pairs == 2048
    model = config.model
    sizes = (model.num_layers, model.hidden_size, model.num_heads)
    assert sizes == (12, 768, 12)
    assert (model.intermediate_size, model.max_positions) == (3072, 512)
    alignment = config.sentence_alignment
    form = (alignment.symmetric, alignment.normalise, alignment.scale, alignment.margin)
    assert form == (False, False, 1.0, 0.0)


def test_an_unknown_variant_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match="mlm, tlm, wa, sa"):
        run_config("amber_base", "tml")


def test_a_typo_is_answered_with_a_suggestion():
    config = run_config("amber_base", "sa")
    with pytest.raises(AttributeError, match="num_layers"):
        config.model.num_layer = 3


MISTAKES = [
    ("corpus", "", "corpus is empty"),
    ("backend", "xmap", "not one of pmap, jit"),
    ("optimizer.name", "adam", "not one of adamw"),
    ("model.num_heads", 5, "not divisible"),
    ("model.hidden_dropout", 1.0, "probability"),
    ("model.dtype", "float16", "not float32 or bfloat16"),
    ("masking_rate", 0.0, "not between 0 and 1"),
    ("kernels.attention", "flash", "not one of written, cudnn, mosaic or empty"),
    ("kernels.layers", "in_turn", "not one of side_by_side, loop or empty"),
    ("keep_checkpoints", 1, "keep_checkpoints"),
    ("stages", (), "nothing would be trained"),
    ("stages.0.warmup_steps", 10**9, "exceeds num_steps"),
    ("stages.0.peak_learning_rate", float("nan"), "not between 0 and 1"),
    ("stages.0.monolingual_pairs", 0, "no data"),
    ("stages.1.translation_pairs", 0, "needs translation_pairs"),
    ("stages.1.word_alignment.weight", -1.0, "not be negative"),
]


@pytest.mark.parametrize(("key", "value", "reason"), MISTAKES)
def test_each_mistake_is_named(key, value, reason):
    config = run_config("amber_base", "sa")
    *path, last = key.split(".")
    place = config
    for part in path:
        place = place[int(part)] if part.isdigit() else place[part]
    with place.unlocked():
        place[last] = value
    with pytest.raises(UserError, match="config: ") as caught:
        settings.validate(config)
    assert reason in str(caught.value)


def test_all_mistakes_are_told_at_once():
    config = run_config("amber_base", "sa")
    config.backend, config.masking_rate = "xmap", 2.0
    with pytest.raises(UserError, match="xmap.*masking_rate"):
        settings.validate(config)


@pytest.mark.parametrize("languages", ["", ":en,fr"])
def test_the_corpus_and_the_vocabulary_of_a_folder_read_the_same_text(
    tmp_path, languages
):
    for name in (
        *("mono/fr.txt", "mono/sw.txt", "held_out/test.tsv"),
        *("parallel/x.en-fr.en", "parallel/x.en-fr.fr"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    table = tmp_path / "parallel" / "news.tsv"
    table.write_text("key\ten\tfr\tsw\n", encoding="utf-8")
    corpus = load("corpus_folder").get_config(f"{tmp_path}{languages}")
    vocabulary = load("tokenizer").get_config(f"{tmp_path}{languages}")
    texts = [one for one in corpus.sources if isinstance(one, TextSource)]
    moses = [(one, str(tmp_path / f"parallel/x.en-fr.{one}")) for one in ("en", "fr")]
    mono = [(one.language, str(one.path)) for one in texts]
    assert vocabulary.files == (*mono, *moses)
    assert vocabulary.many_way == (str(table),)
    assert vocabulary.languages == (("en", "fr") if languages else ())
    assert len(texts) == (1 if languages else 2)
    (many,) = (one for one in corpus.sources if isinstance(one, ManyWaySource))
    assert many.languages == (("fr",) if languages else ("fr", "sw"))
    assert corpus.evaluation_files == (tmp_path / "held_out" / "test.tsv",)
