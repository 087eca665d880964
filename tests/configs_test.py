"""Every file of configs/ loads, is locked, and means what its name says."""

import importlib.util
import math
from pathlib import Path

import pytest

from amber_jax import config as settings
from amber_jax.config.evaluation import EVALUATION_RANGES, WORD_ALIGNMENT_RANGES
from amber_jax.config.finetuning import FINETUNING_RANGES
from amber_jax.config.pretraining import PRETRAINING_RANGES
from amber_jax.corpora.downloads import RecordSource
from amber_jax.corpora.recipe import BUILD_RANGES, build_options, check_options
from amber_jax.corpora.sources import ManyWaySource, TextSource
from amber_jax.corpora.vocabulary import VOCABULARY_RANGES
from amber_jax.errors import UserError
from amber_jax.losses import LOSSES
from amber_jax.ranges import Choice, Range, problems, refuse

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))
RUNS = ("amber_base", "amber_tiny", "amber_fifteen", "encoder_continue")


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


@pytest.mark.parametrize("variant", settings.VARIANTS)
def test_a_short_run_differs_in_its_length_alone(variant):
    long, short = (
        run_config("encoder_continue", name) for name in (variant, f"{variant},short")
    )
    settings.validate(short)
    of_losses = [[run.stages[0][loss] for loss in LOSSES] for run in (long, short)]
    assert of_losses[0] == of_losses[1]
    assert (long.optimizer, long.model) == (short.optimizer, short.model)
    assert short.stages[0].num_steps < long.stages[0].num_steps


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
    form = (alignment.symmetric, alignment.normalize, alignment.scale, alignment.margin)
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
    ("model.hidden_dropout", 1.0, "model.hidden_dropout is 1.0"),
    ("model.dtype", "float16", "not one of float32, bfloat16"),
    ("masking_rate", 0.0, "masking_rate is 0.0"),
    ("kernels.attention", "flash", "not one of"),
    ("kernels.layers", "in_turn", "not one of"),
    ("word_alignment.layer", 3, "attention is that of the last layer"),
    ("word_alignment", {"form": "similarity", "layer": 13}, "wanted 1 to 12, or -1"),
    ("word_alignment", {"form": "similarity", "layer": 0}, "wanted 1 to 12, or -1"),
    ("word_alignment", {"form": "similarity", "renormalize": True}, "of form"),
    ("keep_checkpoints", 1, "keep_checkpoints"),
    ("stages", (), "nothing would be trained"),
    ("stages.0.warmup_steps", 10**9, "exceed num_steps 1000000"),
    ("stages.0.num_steps", 2**31 - 1, "of all stages together"),
    ("stages.0.schedule", "wsd", "decay_steps is 0 and schedule is 'wsd'"),
    ("stages.1.decay_steps", 5, "decay_steps is 5 and schedule is 'linear'"),
    (
        "stages.0.peak_learning_rate",
        float("nan"),
        "stages[0].peak_learning_rate is nan",
    ),
    ("stages.0.monolingual_pairs", 0, "no data"),
    ("stages.1.translation_pairs", 0, "needs translation_pairs"),
    ("stages.1.word_alignment.weight", -1.0, "stages[1].word_alignment.weight is -1.0"),
]


@pytest.mark.parametrize(("key", "value", "reason"), MISTAKES)
def test_each_mistake_is_named(key, value, reason):
    config = run_config("amber_base", "sa")
    *path, last = key.split(".")
    place = config
    for part in path:
        place = place[int(part)] if part.isdigit() else place[part]
    with place.unlocked():
        if isinstance(value, dict):
            place[last].update(value)
        else:
            place[last] = value
    with pytest.raises(UserError, match="config: ") as caught:
        settings.validate(config)
    assert reason in str(caught.value)


def test_all_mistakes_are_told_at_once():
    config = run_config("amber_base", "sa")
    config.backend, config.masking_rate = "xmap", 2.0
    with pytest.raises(UserError, match="xmap.*masking_rate"):
        settings.validate(config)


def check_build(config):
    check_options(build_options(config), config.processes)


def check_finetuning(config):
    refuse("config", settings.finetuning_problems(config))


def check_word_alignment(config):
    refuse("config", settings.word_alignment_problems(config, 12))


def whole_run():
    config = run_config("amber_base", "sa")
    with config.unlocked():
        config.evaluations = (settings.retrieval("held out"),)
    config.evaluations[0].path = "somewhere"
    return config


def whole_evaluation():
    return load("sample_retrieval").get_config()


def whole_finetuning():
    config = load("xnli").get_config()
    config.data = "somewhere"
    return config


def whole_word_alignment():
    config = settings.word_alignment_evaluation()
    config.data = "somewhere"
    return config


# Every kind of config, with all that it may hold: how it is made, its ranges, the check
# that stands before its use.
KINDS = {
    "pretraining": (whole_run, PRETRAINING_RANGES, settings.validate),
    "finetuning": (whole_finetuning, FINETUNING_RANGES, check_finetuning),
    "retrieval": (
        whole_evaluation,
        EVALUATION_RANGES,
        lambda config: refuse("config", settings.evaluation_problems(config)),
    ),
    "word alignment": (
        whole_word_alignment,
        WORD_ALIGNMENT_RANGES,
        check_word_alignment,
    ),
    "corpus": (lambda: load("corpus_sample").get_config(), BUILD_RANGES, check_build),
    "vocabulary": (
        lambda: load("tokenizer").get_config(),
        VOCABULARY_RANGES,
        lambda config: refuse("config", problems(config, VOCABULARY_RANGES)),
    ),
}
# Settings of text preparation that are no numbers, words or flags.
INPUTS = {
    "sources",
    "evaluation_files",
    "left_files",
    "licenses",
    "tokenizer",
    "files",
    "many_way",
}


def leaves(config, ranges, name="", inside=()):
    """Yields (name, keys, declared range or None) of every setting."""
    if hasattr(config, "keys"):
        for key in sorted(config):
            inner = ranges.get(key) if isinstance(ranges, dict) else None
            place = f"{name}.{key}" if name else key
            yield from leaves(config[key], inner, place, (*inside, key))
    elif isinstance(config, tuple) and isinstance(ranges, list):
        for index, item in enumerate(config):
            place = f"{name}[{index}]"
            yield from leaves(item, ranges[0], place, (*inside, index))
    elif name not in INPUTS:
        yield name, inside, ranges


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_says_what_it_may_hold(kind):
    build, ranges, check = KINDS[kind]
    config = build()
    check(config)
    declared = {name: entry for name, _, entry in leaves(config, ranges)}
    assert [name for name, entry in declared.items() if entry is None] == []
    for name, inside, entry in leaves(config, ranges):
        value = at(config, inside)
        number = isinstance(value, int | float | None) and not isinstance(value, bool)
        number &= entry != str | None
        assert isinstance(entry, Range) == number, name
        if number:
            assert math.isfinite(entry.low) and math.isfinite(entry.high), name


def at(config, keys):
    for key in keys:
        config = config[key]
    return config


def put(config, keys, value):
    """Sets a setting to anything at all, also within a sequence."""
    if isinstance(keys[-1], int):
        items = list(at(config, keys[:-1]))
        items[keys[-1]] = value
        put(config, keys[:-1], tuple(items))
        return
    place = at(config, keys[:-1])
    with place.ignore_type(), place.unlocked():
        place[keys[-1]] = value


NEVER = (None, "many", (1,), math.nan, math.inf, -math.inf, 10**400, -(10**5000))
PERHAPS = (-1, 0, 1, 0.5, -0.5, 1e30, 2**31, 2**64, True)


@pytest.mark.parametrize("kind", KINDS)
def test_nonsense_in_any_setting_is_refused_by_name(kind):
    build, ranges, check = KINDS[kind]
    refused = 0
    for name, keys, entry in leaves(build(), ranges):
        for nonsense in (*NEVER, *PERHAPS):
            config = build()
            try:
                put(config, keys, nonsense)
            except OverflowError:  # refused on the way in: no float is as large
                continue
            value = at(config, keys)  # True may have become 1.0
            if isinstance(entry, Range | Choice):
                good = entry.holds(value)
            else:
                good = isinstance(value, entry)
            if isinstance(entry, Range) and nonsense in NEVER:
                assert good == (value is None and entry.or_none), (name, value)
            try:
                check(config)
            except UserError as error:
                refused += 1
                # In its range it may yet contradict another setting.
                assert good or f"{name} is " in str(error), (name, value)
            else:
                assert good, (name, value)
    assert refused > 10


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
    texts = [source for source in corpus.sources if isinstance(source, TextSource)]
    moses = [
        (language, str(tmp_path / f"parallel/x.en-fr.{language}"))
        for language in ("en", "fr")
    ]
    mono = [(source.language, str(source.path)) for source in texts]
    assert vocabulary.files == (*mono, *moses)
    assert vocabulary.many_way == (str(table),)
    assert vocabulary.languages == (("en", "fr") if languages else ())
    assert len(texts) == (1 if languages else 2)
    (many,) = (source for source in corpus.sources if isinstance(source, ManyWaySource))
    assert many.languages == (("fr",) if languages else ("fr", "sw"))
    assert corpus.evaluation_files == (tmp_path / "held_out" / "test.tsv",)


def test_a_vocabulary_reads_texts_of_every_format(tmp_path):
    for name in ("mono/fr.jsonl", "mono/sw.txt", "parallel/en-fr.txt.zip"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    files = load("tokenizer").get_config(str(tmp_path)).files
    assert files == (
        RecordSource("fr", tmp_path / "mono" / "fr.jsonl"),
        ("sw", str(tmp_path / "mono" / "sw.txt")),
    )


def test_the_corpus_of_a_kit_takes_all_text_and_leaves_out_every_test_set(tmp_path):
    tests = (
        *("tatoeba/tatoeba.fra-eng.fra", "ud/UD_French-GSD/fr_gsd-ud-test.conllu.xz"),
        *("udpos_xtreme/test-el.tsv.xz", "xnli/test-fr.tsv.xz"),
        *("pawsx/fr/test_2k.tsv.xz", "align/xl-wa/bg/test.tsv"),
    )
    texts = ("mono/commonvoice/fr.txt.xz", "mono/wikipedia/fr.txt.xz")
    others = ("xnli/dev-fr.tsv.xz", "align/xl-wa/bg/train.tsv.xz", "README.md")
    for name in (*tests, *texts, "parallel/news.tsv.xz", *others):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    config = load("corpus_kit").get_config(str(tmp_path))
    assert {*config.evaluation_files} == {tmp_path / name for name in tests}
    assert config.sources == (
        *(TextSource("fr", tmp_path / name) for name in texts),
        ManyWaySource(tmp_path / "parallel" / "news.tsv.xz", "en"),
    )


def test_the_corpus_of_the_paper_takes_its_lists_and_names_what_is_missing(tmp_path):
    paper = load("corpus_paper")
    assert len({*paper.LANGUAGES}) == len(paper.LANGUAGES) == 103
    assert {"en", *paper.PARALLEL} <= {*paper.LANGUAGES}
    corpora = (
        *("MultiUN_v1_moses_ar-en.txt.zip", "EUbookshop.bg-en.txt.zip"),
        *("Europarl.bg-en.tmx.gz", "OPUS-100.bg-en.txt.zip", "MultiUN.de-en.tsv"),
        "README",
    )
    dump = "{}wiki-20240101-pages-articles.xml.bz2"
    for name in (
        *(f"mono/{dump.format(language)}" for language in ("en", "ar", "bg", "tlh")),
        *(f"parallel/{name}" for name in corpora),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    config = paper.get_config(f"{tmp_path}:en,ar,bg")
    assert sorted(source.path.name for source in config.sources) == [
        *sorted(
            (*corpora[:3], *(dump.format(language) for language in ("ar", "bg", "en")))
        ),
    ]
    assert {*config} == {*load("corpus_folder").get_config(str(tmp_path))}
    left = [path.name for path in config.left_files]
    assert sorted(left) == sorted((*corpora[3:], dump.format("tlh")))
    with pytest.raises(
        UserError, match=r"holds no text of af .*MultiUN of es fr ru zh, .*; add"
    ):
        paper.get_config(str(tmp_path))
    with pytest.raises(UserError, match="holds no text of ur, Tanzil of ur; add"):
        paper.get_config(f"{tmp_path}:en,ur")
