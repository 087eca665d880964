"""`amber_jax.load`: vectors, word links and masked words of a tiny model."""

import dataclasses
import json
import subprocess
import sys
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest
import quiet_conversion
import tiny_checkpoint
import tiny_run
from hypothesis import given, settings
from hypothesis import strategies as st

import amber_jax
from amber_jax import progress
from amber_jax.corpora import records
from amber_jax.errors import UserError
from amber_jax.inference import model as library
from amber_jax.inference.fill_mask import masked_ids
from amber_jax.inference.loading import load_model
from amber_jax.inference.model import Model
from amber_jax.inference.word_links import Alignment, build_word_aligner
from amber_jax.model import rows
from amber_jax.model.encoder import Encoder
from amber_jax.model.heads import PretrainingModel
from amber_jax.model.sentence_vector import SentenceVector
from amber_jax.tokenization import load_tokenizer, sentencepiece

ROOT = Path(__file__).parents[2]
POSITIONS = tiny_checkpoint.POSITIONS
SENTENCES = ["1 2 3", "4", "5 6 , 7 8 9 10 11 12 13", "3 2 1", "4"]
WITH_SPECIALS = {"seed": 0, "sentence_alignment": {"special_tokens": True}}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return tiny_run.save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, tokenizer):
    workdir = tmp_path_factory.mktemp("run")
    return tiny_checkpoint.write(workdir / "checkpoints" / "7", tokenizer)


@pytest.fixture(scope="module")
def loaded(checkpoint):
    return load_model(checkpoint)


@pytest.fixture(scope="module")
def model(checkpoint):
    return amber_jax.load(checkpoint.parents[1])


@pytest.fixture(scope="module")
def directly(loaded):
    """A function: ids with specials to (hidden states of all layers, MLM logits)."""
    whole = PretrainingModel(loaded.config)
    params = {part: loaded.params[part] for part in ("encoder", "mlm_head")}

    @jax.jit
    def run_all(token_ids):
        length = token_ids.shape[1]
        place = rows.layout(np.array([[[length, 0]]]), length)
        inputs = (token_ids, place.sides, place.position_ids)
        inputs = (*inputs, rows.full_attention(place))
        states = (
            Encoder(loaded.config)
            .apply({"params": params["encoder"]}, *inputs, readout=lambda x: x)
            .readouts
        )
        slots = np.arange(length)[None]
        _, logits = whole.apply({"params": params}, *inputs, slots)
        return states[:, 0], logits[0]

    return lambda ids: jax.device_get(run_all(np.array([ids], np.int32)))


def framed(model, text):
    special = model.tokenizer.special
    return [special.cls, *model.tokenizer.encode(text), special.sep]


def with_run(loaded, **run):
    checkpoint = dataclasses.replace(
        loaded.checkpoint, run={**loaded.checkpoint.run, **run}
    )
    return Model(dataclasses.replace(loaded, checkpoint=checkpoint))


def test_vectors_are_the_words_mean_in_the_last_layer_unless_told_otherwise(
    model, directly
):
    text = SENTENCES[2]
    states, _ = directly(framed(model, text))
    wanted = {
        "words": (states[-1][1:-1].mean(0), {}),
        "last": (states[2][1:-1].mean(0), {"layer": -1}),
        "embeddings": (states[0][1:-1].mean(0), {"layer": 0}),
        "all": (states[1].mean(0), {"layer": 1, "special_tokens": True}),
        "first": (states[2][0], {"pooling": "first"}),
    }
    for vector, options in wanted.values():
        vectors = model.encode([text], **options)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, vector[None], atol=1e-5)


def test_a_model_says_how_its_vectors_were_made_in_training(loaded, model):
    trained = with_run(loaded, config=WITH_SPECIALS)
    converted = with_run(
        loaded, sentence_vector={"pooling": "first", "special_tokens": True}
    )
    assert model.sentence_vector == SentenceVector(2, "mean", False)
    assert trained.sentence_vector == SentenceVector(2, "mean", True)
    assert converted.sentence_vector == SentenceVector(2, "first", True)
    for variant, options in [
        (trained, {"special_tokens": True}),
        (converted, {"pooling": "first"}),
    ]:
        np.testing.assert_array_equal(
            variant.encode(SENTENCES), model.encode(SENTENCES, **options)
        )


@settings(max_examples=20)
@given(
    lengths=st.lists(st.integers(1, 13), min_size=1, max_size=8),
    batch_size=st.sampled_from([1, 3]),
)
def test_neither_order_nor_company_nor_batches_change_a_vector(
    model, lengths, batch_size
):
    texts = [" ".join(map(str, range(n, n + n))) for n in lengths]
    together = model.encode(texts, batch_size=batch_size)
    alone = np.concatenate([model.encode([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_no_sentences_give_no_vectors(model):
    assert model.encode([]).shape == (0, 16)
    assert model.encode(np.array([], str), normalize=True).dtype == np.float32


def test_empty_sentences_are_zero_or_the_special_tokens_and_counted(model, directly):
    with pytest.warns(UserWarning, match="without any piece: 2"):
        vectors = model.encode(["", "1", " \t"], normalize=True)
    assert not vectors[[0, 2]].any()
    with pytest.warns(UserWarning, match="without any piece: 1"):
        (vector,) = model.encode([""], special_tokens=True)
    states, _ = directly(framed(model, ""))
    np.testing.assert_allclose(vector, states[-1].mean(0), atol=1e-5)


def test_long_sentences_are_cut_and_counted_once(model):
    words = ["1", "2", "3"] * POSITIONS
    fits = " ".join(words[: POSITIONS - 2])
    with pytest.warns(UserWarning) as warned:
        vectors = model.encode([" ".join(words), fits, f"{fits} 4"])
    sentence = f"sentences cut at the model's {POSITIONS} positions: 2"
    assert [str(warning.message) for warning in warned] == [sentence]
    assert warned[0].filename == __file__
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)
    np.testing.assert_allclose(vectors[2], vectors[1], atol=1e-5)


def test_normalized_vectors_have_length_one(model):
    vectors = model.encode(SENTENCES, normalize=True)
    plain = model.encode(SENTENCES)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    lengths = np.linalg.norm(plain, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors * lengths, plain, atol=1e-5)


def test_an_embedder_is_compiled_once_for_each_way_of_pooling(
    loaded, model, monkeypatch
):
    built = []
    build = library.build_embedder

    def counting(config, vector):
        built.append(vector)
        return build(config, vector)

    monkeypatch.setattr(library, "build_embedder", counting)
    fresh = Model(loaded)
    for layer in (None, -1, 2, 1, 1):
        fresh.encode(["1"], layer=layer)
    assert [vector.layer for vector in built] == [2, 1]


@pytest.mark.parametrize(
    ("sentences", "options", "sentence"),
    [
        ("1 2", {}, r"encode got one string; wanted a list .* encode\(\[text\]\)"),
        (["1", None], {}, "encode got a NoneType as sentence 1"),
        (None, {}, "encode got None"),
        (3, {}, "encode got 3"),
        (b"1", {}, "encode got b'1'"),
        ({"1": "2"}, {}, "encode got {'1': '2'}"),
        (["1"], {"layer": 3}, "layer is 3; the model has 2"),
        (["1"], {"layer": -2}, "layer is -2"),
        (["1"], {"pooling": "max"}, "pooling is 'max', not one of mean, first"),
        (["1"], {"pooling": "pooler"}, "pooling is 'pooler', but the model has none"),
        (["1"], {"batch_size": 0}, "batch_size is 0"),
        (["1"], {"prompt": 3}, "prompt is 3, not text"),
    ],
)
def test_what_cannot_be_encoded_is_refused(model, sentences, options, sentence):
    with pytest.raises(UserError, match=sentence):
        model.encode(sentences, **options)


def test_a_bar_is_shown_to_whoever_watches_many_sentences(model, monkeypatch, capsys):
    shown = []
    bar = progress.progress_bar

    def watched(title, total, *, shown: bool, log=shown):
        log.append((total, shown))
        return bar(title, total, shown=shown)

    monkeypatch.setattr(library, "progress_bar", watched)
    monkeypatch.setattr(library, "_LONG_INPUT", 3)
    vectors = model.encode(SENTENCES)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(library, "is_watched", lambda: True)
    np.testing.assert_array_equal(model.encode(SENTENCES), vectors)
    model.encode(SENTENCES[:2])
    model.encode(SENTENCES, progress=False)
    assert shown == [(5, False), (5, True), (2, False), (5, False)]


def test_words_are_linked_as_by_the_aligner(model, loaded):
    pairs = [(("1", "2", "3"), ("4", "5", "6", "7")), (("8",), ("9", "10"))]
    how = Alignment("similarity", 1, "union", 0.0)
    links = build_word_aligner(model.config, model.tokenizer, how)
    wanted = [sorted(pair_links) for pair_links in links(loaded.params, pairs).links]
    sides = list(zip(*pairs, strict=True))
    texts = [[" ".join(words) for words in side] for side in sides]
    options = {"layer": 1, "symmetrization": "union"}
    assert model.align(*texts, **options) == wanted
    assert model.align(*sides, **options) == wanted
    assert model.align("1  2 3", " 4 5 6 7", **options) == wanted[0]
    assert model.align("", "1") == []
    assert model.align([], []) == []
    assert model.align("1 2", "1 2", method="attention", symmetrization="union")


def test_generators_are_read_as_lists_are(model):
    vectors = model.encode(sentence for sentence in SENTENCES)
    np.testing.assert_array_equal(vectors, model.encode(SENTENCES))
    links = model.align((text for text in SENTENCES), iter(SENTENCES))
    assert links == model.align(SENTENCES, SENTENCES)
    words = (word for word in ("1", "2"))
    assert model.align([words], ["1 2"]) == model.align(["1 2"], ["1 2"])


def test_long_pairs_are_said_to_be_cut(model):
    with pytest.warns(UserWarning, match="1 pairs are longer than the model's 64"):
        model.align("1 " * POSITIONS, "2")


@pytest.mark.parametrize(
    ("src", "tgt", "options", "sentence"),
    [
        ("1", ["2"], {}, "a string and no string"),
        ("1", None, {}, "a string and no string"),
        (["1"], ["2", "3"], {}, "lists of 1 and 2 sentences"),
        (None, None, {}, "align got None"),
        (["1"], 7, {}, "align got 7"),
        ([None], ["2"], {}, "align, as a sentence, got None"),
        ([[1, 2]], ["2"], {}, "neither text nor a list of words"),
        ("1", "2", {"method": "magic"}, "method is 'magic'"),
        ("1", "2", {"threshold": 1.5}, "threshold is 1.5"),
        ("1", "2", {"layer": 9}, "layer is 9"),
        ("1", "2", {"prompt": "1 " * (POSITIONS - 2)}, "have room for 61 before"),
    ],
)
def test_what_cannot_be_aligned_is_refused(model, src, tgt, options, sentence):
    with pytest.raises(UserError, match=sentence):
        model.align(src, tgt, **options)


def test_the_longest_prompt_leaves_a_side_one_piece(model):
    prompt = "1 " * (POSITIONS - 3)
    with pytest.warns(UserWarning, match="1 pairs are longer than the model's 64"):
        links = model.align("1 2", "3", prompt=prompt)
    assert links == [(0, 0)]


def test_masks_are_filled_with_what_the_head_says(model, directly):
    special = model.tokenizer.special
    ids = [*framed(model, "1 2")[:-1], special.mask, *model.tokenizer.encode("3")]
    ids += [special.mask, special.sep]
    _, logits = directly(ids)
    filled = model.fill_mask("1 2 [MASK] 3[MASK]", top_k=3)
    assert [len(pieces) for pieces in filled] == [3, 3]
    places = np.flatnonzero(np.array(ids) == special.mask)
    for place, pieces in zip(places, filled, strict=True):
        wanted = np.asarray(jax.nn.softmax(logits[place]))
        best = np.argsort(-wanted)[:3]
        assert [piece for piece, _ in pieces] == model.tokenizer.pieces(best)
        shares = [share for _, share in pieces]
        np.testing.assert_allclose(shares, wanted[best], rtol=1e-4)
    (everything,) = model.fill_mask("[MASK]", top_k=10**6)
    assert len(everything) == model.tokenizer.vocab_size
    assert sum(share for _, share in everything) == pytest.approx(1, abs=1e-5)


def test_entries_without_a_piece_fill_no_mask(tmp_path, tokenizer):
    folder = tiny_checkpoint.write(tmp_path / "model", tokenizer, padding=40)
    model = amber_jax.load(folder)
    size = model.config.vocab_size
    assert size == tokenizer.vocab_size + 40
    (everything,) = model.fill_mask("1 [MASK]", top_k=size)
    pieces = [piece for piece, _ in everything]
    assert sorted(pieces) == sorted(tokenizer.pieces(range(tokenizer.vocab_size)))
    shares = [share for _, share in everything]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) < 1 - 1e-4  # the rest is on the entries without a piece


@pytest.mark.parametrize(
    ("text", "top_k", "sentence"),
    [
        ("1 2", 5, r"got '1 2'; wanted a text with \[MASK\]"),
        (None, 5, "got None"),
        ("[MASK]", 0, "top_k is 0"),
        ("1 " * POSITIONS + "[MASK]", 5, "has 65 pieces, and the model places 62"),
    ],
)
def test_what_cannot_be_filled_is_refused(model, text, top_k, sentence):
    with pytest.raises(UserError, match=sentence):
        model.fill_mask(text, top_k)


def test_a_model_of_a_task_encodes_and_says_that_it_fills_no_masks(loaded, model):
    params = {"encoder": loaded.params["encoder"], "head": {}}
    of_task = Model(dataclasses.replace(loaded, params=params))
    np.testing.assert_array_equal(of_task.encode(["1"]), model.encode(["1"]))
    with pytest.raises(UserError, match="no mlm_head, only encoder, head"):
        of_task.fill_mask("[MASK]")


def test_a_converted_model_with_a_pooler_is_used_as_any(tmp_path, tokenizer):
    folder = tiny_checkpoint.write(
        tmp_path / "model",
        tokenizer,
        extra_parts=("pooler",),
        sentence_vector={"pooling": "first", "special_tokens": True},
    )
    model = amber_jax.load(folder)
    assert model.sentence_vector.pooling == "first"
    assert "pooler" in model.params
    assert model.fill_mask("1 [MASK]", 1)


def test_text_after_a_mask_goes_on_as_after_a_word(tmp_path):
    path = tmp_path / "vocab.txt"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "un", "able", "##able"]
    path.write_text("\n".join([*pieces, "."]) + "\n", "utf-8")
    numbers = {piece: i for i, piece in enumerate([*pieces, "."])}
    tokenizer = load_tokenizer(path)
    for text, wanted in [
        ("un[MASK]able", ["un", "[MASK]", "##able"]),
        ("un [MASK] able", ["un", "[MASK]", "able"]),
        ("[MASK]. un", ["[MASK]", ".", "un"]),
        ("[MASK][MASK]", ["[MASK]", "[MASK]"]),
        ("[MASK]zzz", ["[MASK]", "[UNK]"]),
    ]:
        assert masked_ids(tokenizer, text, 9) == [numbers[piece] for piece in wanted]


def test_with_sentencepiece_a_full_stop_after_a_mask_begins_no_word():
    words = ["tea", "milk", "bread", "a cat", "a dog", "0 1", "un able"]
    sentences = [
        f"We like {first} and {second}." for first in words for second in words
    ]
    tokenizer = sentencepiece.train(
        sentences, vocab_size=32, character_coverage=1.0, byte_fallback=False
    )
    special = tokenizer.special
    (stop,) = tokenizer.encode("We like tea.")[-1:]
    text = "We like [MASK] and [MASK]."
    ids = masked_ids(tokenizer, text, 60)
    wanted = [*tokenizer.encode("We like"), special.mask, *tokenizer.encode("and")]
    assert ids == [*wanted, special.mask, stop]


def test_languages_are_known_while_the_corpus_is_there(loaded, model, tmp_path):
    streams = {
        "mono": {"en": {}, "zh-Hans": {}},
        "pair": {"de-en": {}, "zh-Hans-en": {}},
    }
    records.write_manifest(tmp_path, {"streams": streams})
    fingerprint = records.read_manifest(tmp_path)["fingerprint"]
    config = {"corpus": str(tmp_path), **WITH_SPECIALS}
    known = with_run(loaded, config=config, corpus_fingerprint=fingerprint)
    assert known.languages == ("de", "en", "zh-Hans")
    other = with_run(loaded, config=config, corpus_fingerprint="another")
    gone = with_run(
        loaded,
        config={**config, "corpus": str(tmp_path / "gone")},
        corpus_fingerprint=fingerprint,
    )
    assert model.languages == other.languages == gone.languages == ()


def test_a_model_says_what_and_where_it_is(model, checkpoint):
    assert repr(model) == (
        f"Model('{checkpoint}', step 7, 2 layers of 16, 64 pieces, on "
        f"{jax.devices()[0]}, one of 8 devices)"
    )
    assert model.encode(["1"]).shape == (1, model.config.hidden_size)


def test_a_path_without_a_model_is_refused_and_a_damaged_one_passed_over(
    tmp_path, tokenizer
):
    with pytest.raises(UserError, match="no complete checkpoint"):
        amber_jax.load(tmp_path)
    tiny_checkpoint.write(tmp_path / "checkpoints" / "7", tokenizer)
    (tmp_path / "checkpoints" / "9").mkdir()
    with pytest.warns(UserWarning, match=r"checkpoints/9 is not used"):
        assert amber_jax.load(str(tmp_path)).step == 7


def test_googles_format_is_refused_with_the_way_on(tmp_path):
    (tmp_path / "bert_config.json").write_text("{}")
    with pytest.raises(UserError, match=f"amber convert --from=tf1:{tmp_path} --to="):
        amber_jax.load(tmp_path)


@pytest.mark.parametrize("file", ["config.json", "modules.json"])
def test_a_damaged_folder_of_another_format_is_refused(tmp_path, file):
    (tmp_path / file).write_text("{}")
    with pytest.raises(UserError, match=str(tmp_path / file)):
        amber_jax.load(tmp_path)


@pytest.mark.parametrize("name", ["hf", "sentence-transformers"])
def test_a_folder_of_another_format_is_loaded_as_it_stands(
    checkpoint, model, tmp_path, name
):
    quiet_conversion.convert(f"amber:{checkpoint}", f"{name}:{tmp_path / 'out'}")
    other = amber_jax.load(tmp_path / "out")
    assert other.path == tmp_path / "out" and other.step == 0
    assert other.tokenizer.fingerprint == model.tokenizer.fingerprint
    wanted = model.encode(["1 2 3", "4"])
    np.testing.assert_array_equal(other.encode(["1 2 3", "4"]), wanted)


@pytest.mark.parametrize(
    "file, change",
    [
        ("config.json", {"layer_norm_eps": 0.5}),
        ("sentence_bert_config.json", {"max_seq_length": 7}),
        ("config_sentence_transformers.json", {"prompts": {"query": "1 "}}),
    ],
)
def test_the_fingerprint_of_a_folder_is_of_all_that_makes_vectors(
    checkpoint, tmp_path, file, change
):
    folder = tmp_path / "out"
    quiet_conversion.convert(f"amber:{checkpoint}", f"sentence-transformers:{folder}")
    before = amber_jax.load(folder).fingerprint
    assert amber_jax.load(folder.rename(tmp_path / "moved")).fingerprint == before
    path = tmp_path / "moved" / file
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert amber_jax.load(tmp_path / "moved").fingerprint != before


def test_vectors_are_computed_in_bfloat16_if_asked(checkpoint, model):
    narrow = amber_jax.load(checkpoint, dtype="bfloat16")
    assert narrow.config == dataclasses.replace(model.config, dtype="bfloat16")
    vectors, wanted = narrow.encode(SENTENCES), model.encode(SENTENCES)
    assert vectors.dtype == np.float32
    apart = np.abs(vectors - wanted).max()
    assert 1e-5 < apart < 0.1
    with pytest.raises(UserError, match="dtype is 'half', not one of float32, bf"):
        amber_jax.load(checkpoint, dtype="half")


@pytest.mark.parametrize("name", ["bert-base-multilingual-cased", "google/some.bert"])
def test_names_of_the_hub_are_not_fetched(name):
    with pytest.raises(UserError, match="not fetched: download one, and give"):
        amber_jax.load(name)


def test_a_workdir_without_a_checkpoint_is_no_model_of_another_format(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="no complete checkpoint"):
        amber_jax.load(tmp_path)


def test_importing_the_package_is_light():
    script = (
        "import sys, amber_jax; amber_jax.load; "
        "heavy = ('jax', 'numpy', 'tensorflow', 'torch'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_nothing_is_warned_of_when_nothing_is_odd(model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.encode(SENTENCES)
        model.align(SENTENCES[:1], SENTENCES[:1])
