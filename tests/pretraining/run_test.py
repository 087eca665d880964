"""What pretraining plans, writes and refuses, before and besides its steps."""

import json
import lzma
import re
import shutil
from pathlib import Path

import jax
import library_folders
import numpy as np
import pytest
import quiet_conversion
import tiny_checkpoint
import tiny_run

from amber_jax import config as settings
from amber_jax.errors import UserError
from amber_jax.inference.loading import load_model
from amber_jax.inference.model import Model
from amber_jax.model.sentence_vector import SentenceVector
from amber_jax.pretraining import run as pretrain
from amber_jax.pretraining.describe import describe, dry_run
from amber_jax.pretraining.preparation import parameters_to_begin_with, prepare
from amber_jax.tokenization import load_tokenizer
from amber_jax.training import checkpoint as checkpoints
from amber_jax.training.metrics import read_metrics
from amber_jax.training.profile import Window
from configs import amber_base

VOCABULARY = Path(__file__).parents[1] / "data" / "mbert_vocab.txt.xz"


def one_stage(corpus):
    config = tiny_run.get_config()
    config.corpus = str(corpus)
    config.stages = config.stages[:1]
    return config


@pytest.fixture
def config(corpus):
    """A run of one stage of three steps on monolingual rows."""
    return one_stage(corpus)


@pytest.fixture
def damaged(corpus, tmp_path):
    """A copy of the corpus that a test may damage."""
    return shutil.copytree(corpus, tmp_path / "damaged")


def refused(config, workdir, *words):
    """Asserts that the run is refused, with these words."""
    with pytest.raises(UserError) as caught:
        pretrain.pretrain(config, workdir)
    sentence = str(caught.value)
    assert "\n" not in sentence
    for word in words:
        assert str(word) in sentence
    return sentence


def test_a_corpus_that_is_not_there_is_refused(config, tmp_path):
    config.corpus = str(tmp_path / "none")
    refused(config, tmp_path / "run", config.corpus, "no manifest.json found")
    assert not (tmp_path / "run").exists()


def test_a_corpus_whose_rows_were_made_with_another_tokenizer_is_refused(
    config, damaged, tmp_path
):
    shutil.rmtree(damaged / "tokenizer")
    tiny_run.save_tokenizer(damaged / "tokenizer", words=40)
    config.corpus = str(damaged)
    refused(config, tmp_path, damaged, "its rows were made with", "build the corpus")


def test_a_corpus_whose_tokenizer_was_changed_is_refused(config, damaged, tmp_path):
    with (damaged / "tokenizer" / "vocab.txt").open("a") as file:
        file.write("another\n")
    config.corpus = str(damaged)
    refused(config, tmp_path, damaged / "tokenizer", "fingerprint")


def test_a_corpus_without_its_tokenizer_is_refused(config, damaged, tmp_path):
    shutil.rmtree(damaged / "tokenizer")
    config.corpus = str(damaged)
    refused(config, tmp_path, damaged / "tokenizer")


def test_a_truncated_shard_is_refused(config, damaged, tmp_path):
    shard = sorted(damaged.rglob("*.tfrecord"))[0]
    shard.write_bytes(shard.read_bytes()[:-4])
    config.corpus = str(damaged)
    refused(config, tmp_path, shard, "the manifest says")


def test_a_corrupt_shard_is_refused_unless_verification_is_off(
    config, damaged, tmp_path
):
    shard = sorted(damaged.rglob("*.tfrecord"))[0]
    data = bytearray(shard.read_bytes())
    data[99] ^= 8
    shard.write_bytes(data)
    config.corpus = str(damaged)
    refused(config, tmp_path, shard, "corrupt")
    config.verify_corpus = False
    prepare(config)


def test_a_damaged_manifest_is_refused(config, damaged, tmp_path):
    manifest = damaged / "manifest.json"
    manifest.write_text(manifest.read_text()[:-40])
    config.corpus = str(damaged)
    refused(config, tmp_path, manifest, "damaged")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("model.vocab_size", 63, ["vocab_size is 63", "64 entries", "set it to 0"]),
        ("model.max_positions", 31, ["max_positions is 31", "rows of 32", "need 32"]),
        ("word_alignment.max_position_offset", 9, ["offsets up to 9 need 41"]),
        ("num_devices", -1, ["num_devices is -1"]),
        ("model.num_heads", 0, ["model.num_heads is 0"]),
        ("model.num_segments", 0, ["model.num_segments is 0"]),
        ("seed", 2**70, ["seed is about 2^70"]),
        ("optimizer.clip_norm", float("nan"), ["optimizer.clip_norm is nan"]),
        ("num_devices", 9, ["num_devices is 9 but 8 devices are visible"]),
        ("backend", "tpu", ["backend is 'tpu', not one of pmap, jit"]),
        ("max_skipped_in_a_row", 0, ["max_skipped_in_a_row is 0"]),
        ("peak_tflops", -1.0, ["peak_tflops is -1.0"]),
        ("init_checkpoint", "/nowhere", ["no complete checkpoint in /nowhere"]),
    ],
)
def test_a_setting_that_cannot_be_is_refused(config, key, value, words, tmp_path):
    with config.unlocked():
        config.update_from_flattened_dict({key: value})
    refused(config, tmp_path, *words)


def test_rows_that_the_devices_do_not_divide_are_refused(config, tmp_path):
    config.num_devices, config.row_multiple = 8, 4
    config.stages[0].monolingual_pairs = 20
    refused(config, tmp_path, "12 mono rows", "8 devices", "row_multiple")


def test_micro_batches_that_do_not_divide_the_rows_are_refused(config, tmp_path):
    config.num_devices = 8
    config.stages[0].micro_batches = 4
    refused(config, tmp_path, "mono rows", "(8 x 4)", "a multiple of 32")


def test_a_stage_without_its_kind_of_text_is_refused(tmp_path):
    streams = {"mono": {"en": 1}, "pair": {}}
    config = tiny_run.get_config()
    config.corpus = str(tiny_run.write_corpus(tmp_path / "mono", streams=streams))
    refused(config, tmp_path, "stage aligned wants pair rows", "has none")


def test_evaluation_sentences_that_are_not_there_are_refused(config, tmp_path):
    with config.unlocked():
        config.evaluations = (tiny_run.retrieval(tmp_path / "none.tsv"),)
    refused(config, tmp_path, "evaluation toy", tmp_path / "none.tsv", "does not exist")
    with pytest.raises(UserError, match=r"none\.tsv does not exist"):
        dry_run(config, lambda _: None)


def test_an_evaluation_of_a_pooler_is_refused_before_it_is_due(config, tmp_path):
    table = tmp_path / "pairs.tsv"
    table.write_text("en\tfr\n1\t2\n")
    with config.unlocked():
        config.evaluations = (tiny_run.retrieval(table),)
    config.evaluations[0].pooling = "pooler"
    refused_at_once(config, tmp_path / "run", "evaluation toy", "pooling is 'pooler'")


def test_a_tokenizer_of_one_segment_and_a_model_of_two_are_told(tmp_path):
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    library_folders.write_fairseq(folder, ["a b c"] * 9, vocab_size=30)
    tokenizer = load_tokenizer(folder)
    config = tiny_run.get_config()
    config.corpus = str(tiny_run.write_corpus(tmp_path / "c", tokenizer=tokenizer))
    sentence = "set model.second_segment to 0 if it is to be"
    assert sentence in describe(prepare(config)).splitlines()[0]
    config.model.second_segment = 0
    assert sentence not in describe(prepare(config))


def test_without_evaluations_in_between_there_are_none_at_the_ends(corpus, tmp_path):
    table = tmp_path / "pairs.tsv"
    table.write_text("en\tfr\n1\t2\n3\t4\n")
    config = one_stage(corpus)
    with config.unlocked():
        config.evaluations = (tiny_run.retrieval(table),)
    config.evaluate_every = 0
    for _ in ("run", "run again"):
        pretrain.pretrain(config, tmp_path / "run")
        lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
        assert [line["kind"] for line in lines] == ["train"] * 3


def test_the_schedule_of_each_stage_is_told(corpus):
    config = tiny_run.get_config()
    config.corpus = str(corpus)
    for stage, name in zip(config.stages, ("wsd", "cosine"), strict=True):
        stage.schedule = name
    config.stages[0].decay_steps = 2
    *_, first, second = describe(prepare(config)).split("\n")
    assert first.endswith(
        "0.01 after 1 steps, then constant, in the last 2 steps linear to 0"
    )
    assert second.endswith("0.01 after 1 steps, then a cosine to 0")


def test_a_workdir_that_is_a_file_is_refused(config, tmp_path):
    (tmp_path / "run").write_text("mine")
    refused(config, tmp_path / "run", tmp_path / "run", "wanted a folder")
    assert (tmp_path / "run").read_text() == "mine"


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory):
    """The workdir of `config`, run to its end, and the state it ended with."""
    workdir = tmp_path_factory.mktemp("finished")
    return workdir, pretrain.pretrain(one_stage(corpus), workdir)


def test_a_run_leaves_its_config_its_metrics_and_whole_checkpoints(
    config, corpus, finished
):
    workdir, _ = finished
    assert sorted(path.name for path in workdir.iterdir()) == [
        "checkpoints",
        "config.json",
        "metrics.jsonl",
    ]
    assert json.loads((workdir / "config.json").read_text())["corpus"] == str(corpus)
    lines = read_metrics(workdir / "metrics.jsonl")
    assert [(line["kind"], line["stage"], line["step"]) for line in lines] == [
        ("train", "monolingual", 1),
        ("train", "monolingual", 2),
        ("train", "monolingual", 3),
    ]
    names = {"loss", "masked_lm", "mlm", "learning_rate", "grad_norm", "tokens"}
    assert names | {"tokens_per_second", "skipped_steps"} <= lines[1].keys()
    rates = [line["learning_rate"] for line in lines]
    assert rates == pytest.approx([1e-2, 1e-2, 5e-3])
    checkpoint = checkpoints.find_checkpoint(workdir)
    assert checkpoint.step == 3
    assert checkpoint.run["stage"] == "monolingual"
    assert checkpoint.run["versions"]["jax"] == jax.__version__
    tokenizer = load_tokenizer(checkpoint.path / "tokenizer")
    assert tokenizer.fingerprint == checkpoint.run["tokenizer_fingerprint"]


def test_a_resumed_run_with_another_config_is_refused_with_every_difference(
    config, finished
):
    workdir, _ = finished
    config.seed = 5
    config.model.num_layers = 3
    config.stages[0].peak_learning_rate = 0.5
    config.log_every = 7  # free to change
    sentence = refused(
        config,
        workdir,
        workdir / "checkpoints" / "3",
        "seed was 0 and is 5",
        "model.num_layers was 2 and is 3",
        "stages[0].peak_learning_rate was 0.01 and is 0.5",
        "use another --workdir",
    )
    assert "log_every" not in sentence


def test_a_resumed_run_on_another_corpus_is_refused(config, finished, tmp_path):
    workdir, _ = finished
    config.corpus = str(tiny_run.write_corpus(tmp_path / "other", seed=1))
    refused(config, workdir, "the corpus is another one")


def test_a_run_may_be_resumed_on_other_devices_and_from_a_moved_corpus(
    config, corpus, finished, tmp_path
):
    workdir = shutil.copytree(finished[0], tmp_path / "run")
    config.corpus = str(shutil.copytree(corpus, tmp_path / "moved"))
    config.backend, config.num_devices = "jit", 2
    state = pretrain.pretrain(config, workdir)
    for leaf, other in zip(
        jax.tree.leaves(state.params),
        jax.tree.leaves(finished[1].params),
        strict=True,
    ):
        np.testing.assert_array_equal(leaf, other)
        assert len(leaf.sharding.device_set) == 2


def first_state(run, note=print):
    return pretrain._new_state(run, parameters_to_begin_with(run, note))


def test_a_run_may_begin_with_the_parameters_of_another(config, finished, tmp_path):
    workdir, state = finished
    config.init_checkpoint = str(workdir)
    config.seed = 1
    run = prepare(config)
    first = first_state(run)
    assert int(first.step) == 0
    for leaf, other in zip(
        jax.tree.leaves(first.params), jax.tree.leaves(state.params), strict=True
    ):
        np.testing.assert_array_equal(leaf, other)
    assert not any(leaf.any() for leaf in jax.tree.leaves(first.opt_state))


@pytest.fixture
def unsized(config):
    """The run with sizes that nobody set, on one device."""
    config.num_devices = 1
    with config.unlocked():
        config.model = settings.pretraining().model
    return config


@pytest.fixture(scope="module")
def folders(finished, tmp_path_factory):
    """The finished model in other formats: {format: folder}."""
    root = tmp_path_factory.mktemp("folders")
    for name in ("hf", "sentence-transformers"):
        quiet_conversion.convert(f"amber:{finished[0]}", f"{name}:{root / name}")
    library = root / "sentence-transformers" / "config_sentence_transformers.json"
    prompts = {"prompts": {"query": "7 "}, "default_prompt_name": "query"}
    library.write_text(json.dumps(prompts))
    return {"hf": root / "hf", "sentence-transformers": root / "sentence-transformers"}


def test_the_model_that_a_run_begins_with_decides_its_sizes(
    unsized, finished, tmp_path
):
    init = shutil.copytree(finished[0], tmp_path / "init")
    unsized.init_checkpoint = str(init)
    unsized.model.hidden_dropout = 0.25
    said = []
    dry_run(unsized, said.append)
    assert said[0].startswith(f"sizes from {init}: vocab_size 64, num_layers 2, ")
    workdir = tmp_path / "run"
    pretrain.pretrain(unsized, workdir)
    stored = json.loads((workdir / "config.json").read_text())["model"]
    assert (stored["num_layers"], stored["hidden_size"]) == (2, 16)
    assert stored["hidden_dropout"] == 0.25
    shutil.rmtree(init)  # what has begun goes on without it
    shutil.rmtree(workdir / "checkpoints" / "3")
    assert int(pretrain.pretrain(unsized, workdir).step) == 3


def test_a_run_without_a_checkpoint_begins_with_the_model_named_now(
    unsized, finished, tmp_path
):
    unsized.init_checkpoint = str(finished[0])
    sizes = {"num_layers": 7, "vocab_size": 9}
    workdir = tmp_path / "run"
    (workdir / "checkpoints" / "0.partial").mkdir(parents=True)
    (workdir / "config.json").write_text(json.dumps({"model": sizes}))
    assert prepare(unsized, workdir=workdir).encoder.num_layers == 2
    (workdir / "checkpoints" / "0").mkdir()
    with pytest.raises(UserError, match="vocab_size is 9"):
        prepare(unsized, workdir=workdir)
    (workdir / "config.json").write_text(json.dumps({"task": "udpos"}))
    refused(unsized, workdir, workdir, "no pretraining")


@pytest.mark.parametrize("name", ["hf", "sentence-transformers"])
def test_a_run_may_begin_with_a_folder_of_another_format(
    name, unsized, folders, finished, tmp_path
):
    unsized.init_checkpoint, unsized.num_devices = str(folders[name]), 8
    run = prepare(unsized)
    state = first_state(run)
    device_counts = {len(x.sharding.device_set) for x in jax.tree.leaves(state.params)}
    assert device_counts == {8}
    jax.tree.map(
        np.testing.assert_array_equal,
        state.params["encoder"],
        jax.device_get(finished[1].params["encoder"]),
    )


def test_a_model_without_an_mlm_head_gets_one(unsized, folders):
    unsized.init_checkpoint = str(folders["sentence-transformers"])
    said = []
    run = prepare(unsized)
    head = first_state(run, said.append).params["mlm_head"]
    assert (
        f"{unsized.init_checkpoint} has no MLM head; the run gives it one" in said[-1]
    )
    np.testing.assert_array_equal(head["transform"]["kernel"], np.eye(16))
    np.testing.assert_array_equal(head["norm"]["scale"], np.ones(16))
    assert not head["transform"]["bias"].any() and not head["bias"].any()


def test_how_sentences_are_given_stays_with_what_is_trained(unsized, folders, tmp_path):
    unsized.init_checkpoint = str(folders["sentence-transformers"])
    for _ in ("begins", "goes on"):
        pretrain.pretrain(unsized, tmp_path)
        run = checkpoints.find_checkpoint(tmp_path).run
        assert run.keys() >= {"sentence_vector", "encoding"}
        assert run["encoding"]["prompts"] == {"query": "7 "}
        shutil.rmtree(tmp_path / "checkpoints" / "3")


@pytest.fixture
def with_pooler(unsized, tmp_path):
    """A checkpoint whose sentence vectors are its pooler's, with a prompt."""
    return tiny_checkpoint.write(
        tmp_path / "amber",
        load_tokenizer(Path(unsized.corpus) / "tokenizer"),
        extra_parts=("pooler",),
        sentence_vector=SentenceVector(-1, "pooler", True)._asdict(),
        encoding={"prompts": {"query": "7 "}},
    )


@pytest.mark.parametrize("name", ["amber", "sentence-transformers"])
def test_a_pooler_that_makes_the_vectors_stays_beside_what_is_trained(
    name, unsized, with_pooler, tmp_path
):
    wanted = load_model(with_pooler).params["pooler"]
    if name != "amber":
        quiet_conversion.convert(f"amber:{with_pooler}", f"{name}:{tmp_path / name}")
    unsized.init_checkpoint = str(tmp_path / name)
    workdir = tmp_path / "run"
    for _ in ("begins", "goes on"):
        pretrain.pretrain(unsized, workdir)
        trained = Model(load_model(workdir))
        jax.tree.map(np.testing.assert_array_equal, trained.params["pooler"], wanted)
        assert np.abs(trained.encode(["1 2 3"])).max() < 1  # of a tanh
        shutil.rmtree(workdir / "checkpoints" / "3")
    quiet_conversion.convert(
        f"amber:{workdir}", f"sentence-transformers:{tmp_path / 'out'}"
    )
    np.testing.assert_array_equal(
        Model(load_model(tmp_path / "out")).encode(["1 2 3"]),
        Model(load_model(workdir)).encode(["1 2 3"]),
    )


def test_a_pooler_is_dropped_where_the_sentence_loss_trains_another_vector(
    unsized, with_pooler, tmp_path
):
    (stage,) = unsized.stages
    stage.monolingual_pairs, stage.translation_pairs = 0, 16
    stage.sentence_alignment.weight = 1.0
    unsized.init_checkpoint = str(with_pooler)
    workdir = tmp_path / "run"
    for _ in ("begins", "goes on"):
        pretrain.pretrain(unsized, workdir)
        trained = load_model(workdir)
        assert "pooler" not in trained.params
        assert "sentence_vector" not in trained.checkpoint.run
        assert trained.checkpoint.run["encoding"]["prompts"] == {"query": "7 "}
        shutil.rmtree(workdir / "checkpoints" / "3")


def test_what_is_not_taken_over_is_told(unsized, tmp_path):
    init = tiny_checkpoint.write(
        tmp_path / "init",
        load_tokenizer(Path(unsized.corpus) / "tokenizer"),
        extra_parts=("pooler", "next_sentence"),
    )
    unsized.init_checkpoint, said = str(init), []
    dry_run(unsized, said.append)
    assert said[0].startswith(f"{init}: left behind, as no loss here trains them: ")
    assert said[0].endswith(("pooler, next_sentence", "next_sentence, pooler"))


@pytest.fixture
def continued(config, finished):
    """A run that begins with the parameters of another one."""
    config.init_checkpoint = str(finished[0])
    return config


def refused_at_once(config, workdir, *words):
    """Asserts that neither the run nor its dry run begins."""
    refused(config, workdir, *words)
    assert not workdir.exists()
    with pytest.raises(UserError) as caught:
        dry_run(config, lambda _: None)
    for word in words:
        assert str(word) in str(caught.value)


@pytest.mark.parametrize("words", [40, 59])  # fewer, and as many others
def test_parameters_of_another_tokenizer_are_refused(words, continued, tmp_path):
    other = tmp_path / "words" / "vocab.txt"
    tiny_run.save_tokenizer(other.parent, words=words)
    other.write_text(other.read_text("utf-8").replace("\n9\n", "\nnine\n"), "utf-8")
    continued.corpus = str(
        tiny_run.write_corpus(tmp_path / "corpus", tokenizer=load_tokenizer(other))
    )
    refused_at_once(continued, tmp_path / "run", "another tokenizer")


@pytest.mark.parametrize(
    ("size", "value"),
    [
        *(("num_heads", 4), ("num_layers", 3), ("hidden_size", 32)),
        *(("intermediate_size", 16), ("max_positions", 64), ("num_segments", 3)),
        ("vocab_size", 100),
    ],
)
def test_parameters_of_an_encoder_of_another_size_are_refused(
    size, value, continued, tmp_path
):
    continued.model[size] = value
    refused_at_once(continued, tmp_path / "run", size, value)


def test_what_parameters_do_not_depend_on_may_change(continued, finished):
    continued.model.hidden_dropout = 0.25
    continued.model.attention_dropout = 0.25
    continued.model.initializer_range = 0.5
    continued.model.dtype = "bfloat16"
    continued.model.remat = True
    assert parameters_to_begin_with(prepare(continued)).run["step"] == 3


def test_a_damaged_newest_checkpoint_is_told_and_the_one_before_is_used(
    config, finished, tmp_path, capsys
):
    workdir = shutil.copytree(finished[0], tmp_path / "run")
    (workdir / "checkpoints" / "3" / "run.json").write_text("{}")
    state = pretrain.pretrain(config, workdir)
    said = capsys.readouterr().out
    assert f"checkpoint {workdir}/checkpoints/3 is not used: run.json has 2" in said
    assert f"resuming from {workdir}/checkpoints/2" in said
    for leaf, other in zip(
        jax.tree.leaves(state), jax.tree.leaves(finished[1]), strict=True
    ):
        np.testing.assert_array_equal(leaf, other)


def test_the_memory_of_a_step_is_told_before_the_first(config, tmp_path, capsys):
    pretrain.pretrain(config, tmp_path)
    said = capsys.readouterr().out.splitlines()
    (place,) = [n for n, line in enumerate(said) if "besides the state" in line]
    number = re.fullmatch(
        r"stage monolingual: besides the state, a step takes ([\d,]+) bytes per device"
        r"(; with it this process has ([\d,]+))?",  # on Linux
        said[place],
    )
    step, process = (int((number[i] or "0").replace(",", "")) for i in (1, 3))
    assert step > 0
    assert not process or process > step
    assert said[place + 1].startswith("monolingual 1/3  loss ")


def test_the_work_of_a_step_is_that_of_its_losses(corpus, tmp_path):
    config = tiny_run.get_config("sa")
    config.corpus, config.peak_tflops, config.num_devices = str(corpus), 0.5, 2
    pretrain.pretrain(config, tmp_path, forecast_mfu=0.25)
    lines = read_metrics(tmp_path / "metrics.jsonl")
    # The first step of a stage waits for the compiler and has no speed.
    timed = [line for line in lines if "mfu" in line]
    assert [line["step"] for line in timed] == [2, 3, 5, 6]
    for line in timed:
        per_second = line["model_flops_per_second"]
        assert line["mfu"] == pytest.approx(per_second / 1e12)
        assert line["forecast_share"] == pytest.approx(line["mfu"] / 0.25)
        line["per_token"] = per_second / line["tokens_per_second"]
    alone, aligned = timed[1]["per_token"], timed[3]["per_token"]
    assert 2 < aligned / alone < 4


def test_a_forecast_without_a_peak_is_refused_before_anything_is_written(
    config, tmp_path
):
    with pytest.raises(UserError, match="peak that is not known here; set --config.pe"):
        pretrain.pretrain(config, tmp_path / "run", forecast_mfu=0.4)
    assert not (tmp_path / "run").exists()


def test_a_profiled_run_is_the_same_run_with_a_trace(config, finished, tmp_path):
    state = pretrain.pretrain(config, tmp_path, profile=Window(2, 3))
    for leaf, other in zip(
        jax.tree.leaves(state), jax.tree.leaves(finished[1]), strict=True
    ):
        np.testing.assert_array_equal(leaf, other)
    (trace,) = (tmp_path / "profile").rglob("*.xplane.pb")
    planes = jax.profiler.ProfileData.from_file(str(trace)).planes
    names = {e.name for plane in planes for line in plane.lines for e in line.events}
    parts = {"train", "wait for data", "put", "dispatch", "wait for the device"}
    assert parts <= names
    assert not list(finished[0].rglob("*.xplane.pb"))


@pytest.fixture(scope="module")
def mbert_corpus(tmp_path_factory):
    """Rows of 256 tokens of the vocabulary of multilingual BERT."""
    folder = tmp_path_factory.mktemp("mbert")
    (folder / "vocab.txt").write_bytes(lzma.decompress(VOCABULARY.read_bytes()))
    return tiny_run.write_corpus(
        folder / "corpus",
        tokenizer=load_tokenizer(folder / "vocab.txt"),
        row_length=256,
        max_pairs=4,
    )


def parameters_of_base(vocabulary=119_547, hidden=768, inner=3072, layers=12):
    """Returns how many numbers a BERT of these sizes and its MLM head have."""
    norm = 2 * hidden
    square = hidden * hidden + hidden
    embeddings = (vocabulary + 512 + 2) * hidden + norm
    layer = 4 * square + 2 * hidden * inner + inner + hidden + 2 * norm
    return embeddings + layers * layer + square + norm + vocabulary


def test_the_base_config_lowers_for_eight_devices_under_both_back_ends(mbert_corpus):
    assert parameters_of_base() == 177_974_523
    for backend in ("pmap", "jit"):
        config = amber_base.get_config()
        config.corpus, config.backend = str(mbert_corpus), backend
        said = []
        dry_run(config, said.append)
        lines = "\n".join(said).split("\n")
        assert lines[0] == (
            "parameters 177,974,523; 12 layers of 768, vocabulary 119,547"
        )
        # Parameters and two moments, the counters of the state and of Adam.
        size = 3 * 4 * parameters_of_base() + 4 * 4
        assert f"state per device {size:,} bytes" in lines[1]
        assert f"8 devices, backend {backend}" in lines[1]
        assert lines[2].startswith("kernels: attention written, layers side_by_side")
        assert "stage monolingual: steps 1-1,000,000; a batch is " in lines[3]
        assert "stage aligned: steps 1,000,001-2,000,000" in lines[4]
        for word in ("mono rows of 256", "pair rows of 256", "pairs", "real tokens"):
            assert word in lines[4]
        assert "masked_lm x1, sentence_alignment x1, word_alignment x1" in lines[4]
        assert "learning rate 0.0001 after 10,000 steps, then linear to 0" in lines[4]
        assert [line.split(" (")[0] for line in lines[5:]] == [
            "stage monolingual: the train step lowers",
            "stage aligned: the train step lowers",
        ]


def test_the_base_config_spreads_its_state_under_fsdp(mbert_corpus):
    config = amber_base.get_config()
    config.corpus, config.backend, config.fsdp = str(mbert_corpus), "jit", True
    said = describe(prepare(config))
    # All but the vocabulary's bias, which 8 does not divide, and the counters.
    whole = 3 * 4 * parameters_of_base()
    share = (whole - 3 * 4 * 119_547) // 8 + 3 * 4 * 119_547 + 4 * 4
    assert f"state per device {share:,} bytes" in said
    assert "with fsdp" in said


def test_a_dry_run_writes_nothing(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = []
    dry_run(config, said.append)
    assert said[0].startswith("parameters ")
    assert list(tmp_path.iterdir()) == []
