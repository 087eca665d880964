"""TFDS: its schemas by mocked builders, its content by small stored data sets."""

import pytest

from amber_jax.datasets.readers import read_examples
from amber_jax.datasets.tatoeba import read_tfds_tatoeba
from amber_jax.datasets.tfds_source import Source, is_tfds, parse_source
from amber_jax.errors import UserError
from amber_jax.evaluation.xtreme import LANGUAGES as XTREME_LANGUAGES

XNLI_NAMES = ["entailment", "neutral", "contradiction"]
LANGUAGES = list(XTREME_LANGUAGES["xnli"])
NOUN, PUNCT, ADP, NONE = 7, 12, 1, 17  # in TFDS's list of tags

TAGGED = [
    {"tokens": ["im", "in", "dem", "Haus"], "upos": [NONE, ADP, ADP, NOUN]},
    {"tokens": ["_", "_"], "upos": [NONE, NONE]},
    {"tokens": ["Ja", "."], "upos": [NOUN, PUNCT]},
]
PAWS = [
    {"sentence1": "A b", "sentence2": "B a", "label": 0},
    {"sentence1": "NS", "sentence2": "B a", "label": 1},
    {"sentence1": "A", "sentence2": "B", "label": 1},
]
TATOEBA = [
    {
        "source_sentence": f"{word}\n",
        "target_sentence": f"{english}\n",
        "source_language": "fra",
        "target_language": "eng",
    }
    for word, english in [("Oui.", "Yes."), ("Non.", "No.")]
]


def xnli(number):
    return {
        "premise": {language: f"p {language} {number}" for language in LANGUAGES},
        "hypothesis": {language: f"h {language} {number}" for language in LANGUAGES},
        "label": number % 3,
    }


@pytest.fixture(scope="module")
def tfds():
    return pytest.importorskip("tensorflow_datasets")


@pytest.fixture
def mocked(tfds):
    """Returns a function that makes every builder give examples in its own schema."""
    import tensorflow as tf

    def mock(examples):
        def as_dataset(builder, *args, **kwargs):
            return tf.data.Dataset.from_generator(
                lambda: iter(examples),
                output_signature=builder.info.features.get_tensor_spec(),
            )

        return tfds.testing.mock_data(as_dataset_fn=as_dataset)

    return mock


@pytest.mark.parametrize("name", ["xnli:validation", "xtreme_xnli:train"])
def test_xnli_has_all_languages_in_one_example(mocked, name):
    examples = [xnli(number) for number in range(3)]
    for example in examples:
        texts = example["hypothesis"]
        example["hypothesis"] = {
            "language": list(texts), "translation": list(texts.values())
        }  # fmt: skip
    with mocked(examples):
        read = read_examples("xnli", f"tfds:{name}", language="sw")
    assert read.examples == [
        (f"p sw {number}", f"h sw {number}", label)
        for number, label in enumerate(XNLI_NAMES)
    ]
    assert read.files == [f"tfds:{name}"]


@pytest.mark.parametrize(
    "name", ["paws_x_wiki/{language}:test", "xtreme_pawsx/de:train"]
)
def test_paws_x_keeps_its_untranslated_pairs(mocked, name):
    with mocked(PAWS):
        read = read_examples("pawsx", f"tfds:{name}", language="de")
    assert read.examples == [("A b", "B a", "0"), ("NS", "B a", "1"), ("A", "B", "1")]
    assert read.dropped == {}


def test_xtreme_pos_has_syntactic_words(mocked):
    with mocked(TAGGED):
        read = read_examples(
            "udpos",
            "tfds:xtreme_pos/xtreme_pos_{language}:test",
            language="de",
            syntactic_words=True,
        )
    assert read.examples == [
        (("in", "dem", "Haus"), ("ADP", "ADP", "NOUN")),
        (("Ja", "."), ("NOUN", "PUNCT")),
    ]
    assert read.files == ["tfds:xtreme_pos/xtreme_pos_de:test"]


def test_wikiann_has_entities(mocked):
    sentence = {
        "tokens": ["Ada", "in", "Rom"],
        "tags": [1, 0, 5],
        "langs": ["de"] * 3,
        "spans": ["PER: Ada", "LOC: Rom"],
    }
    with mocked([sentence]):
        read = read_examples("panx", "tfds:wikiann/{language}:test", language="de")
    assert read.examples == [(("Ada", "in", "Rom"), ("B-PER", "O", "B-LOC"))]


def test_universal_dependencies_lose_fused_words_and_empty_nodes(mocked):
    rest = {
        name: ["_"] * 4
        for name in ("lemmas", "xpos", "feats", "deprel", "deps", "misc")
    }
    example = {
        "idx": "1",
        "text": "im Haus",
        "tokens": ["im", "in", "dem", "Haus"],
        "upos": [NONE, ADP, PUNCT, NOUN],
        "head": ["None", "3", "None", "0"],
        **rest,
    }
    with mocked([example]):
        read = read_examples(
            "udpos",
            "tfds:universal_dependencies/de_gsd:test",
            language="de",
            syntactic_words=True,
        )
    assert read.examples == [(("in", "Haus"), ("ADP", "NOUN"))]


def test_tatoeba_is_read_by_language(mocked):
    with mocked(TATOEBA):
        pairs = read_tfds_tatoeba("tfds:tatoeba/tatoeba_{language}:train", ["fr", "de"])
    assert pairs == dict.fromkeys(["fr", "de"], (["Oui.", "Non."], ["Yes.", "No."]))


@pytest.fixture(scope="module")
def stored(tfds, tmp_path_factory):
    """Returns the folder of a prepared `xnli` and of `paws_x_wiki` without gold."""
    folder = tmp_path_factory.mktemp("stored")
    features = tfds.features
    text, labels = features.Text(), features.ClassLabel

    def store(name, schema, examples, version, config=None):
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version=version,
            config=config,
            data_dir=folder,
            features=features.FeaturesDict(schema),
            split_datasets={"test": list(enumerate(examples))},
            file_format="tfrecord",
            disable_shuffling=True,
        )

    names = ["different_meaning", "paraphrase"]
    schema = {
        "premise": features.Translation(languages=LANGUAGES),
        "hypothesis": features.TranslationVariableLanguages(languages=LANGUAGES),
        "label": labels(names=XNLI_NAMES),
    }
    store("xnli", schema, [xnli(number) for number in range(20)], "1.1.0")
    schema = {"sentence1": text, "sentence2": text, "label": labels(names=names)}
    constant = [example | {"label": 0} for example in PAWS]
    store("paws_x_wiki", schema, constant, "1.0.0", tfds.core.BuilderConfig(name="de"))
    return folder


def test_a_stored_data_set_is_read_in_order(stored):
    source = f"tfds:xnli:test@{stored}"
    read = read_examples("xnli", source, language="zh")
    assert [pair.first for pair in read.examples] == [f"p zh {n}" for n in range(20)]
    assert read.examples[4] == ("p zh 4", "h zh 4", "neutral")


def test_a_split_may_be_a_slice(stored):
    source = f"tfds:xnli:test[5:8]@{stored}"
    read = read_examples("xnli", source, language="zh")
    assert [pair.first for pair in read.examples] == ["p zh 5", "p zh 6", "p zh 7"]


BROKEN = [
    # source                      task     what is said
    ("tfds:paws_x_wiki/de:test",  "pawsx", "every label is '0'; these"),
    ("tfds:xnli:train",           "xnli",  "cannot give xnli, split train"),
    ("tfds:paws_x_wiki/fr:test",  "pawsx", "cannot give paws_x_wiki/fr, split test"),
    ("tfds:no_such_set:test",     "xnli",  "cannot give no_such_set"),
    ("tfds:xnli:test",            "pawsx", "wanted label, one of different_meaning"),
    ("tfds:xnli",                 "xnli",  "names no TensorFlow data set"),
    ("tfds::test",                "xnli",  "names no TensorFlow data set"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "task", "message"), BROKEN)
def test_what_cannot_be_read_is_told(stored, source, task, message):
    with pytest.raises(UserError, match=message):
        read_examples(task, f"{source}@{stored}", language="de")


def test_an_absent_language_is_told_with_the_example(stored):
    source = f"tfds:xnli:test@{stored}"
    with pytest.raises(
        UserError, match="example 1 has no premise in the language 'ja'"
    ):
        read_examples("xnli", source, language="ja")


def test_a_data_set_of_another_task_is_told(stored):
    with pytest.raises(UserError, match="wanted upos, one of ADJ"):
        read_examples(
            "udpos", f"tfds:xnli:test[:2]@{stored}", language="de", syntactic_words=True
        )
    with pytest.raises(UserError, match="example 1 has no source_sentence"):
        read_tfds_tatoeba(f"tfds:xnli:test@{stored}", ["de"])


def test_a_record_that_cannot_be_read_is_told(stored, tmp_path):
    import shutil

    shutil.copytree(stored, tmp_path / "broken")
    (record,) = (tmp_path / "broken" / "xnli").rglob("*.tfrecord*")
    content = bytearray(record.read_bytes())
    content[len(content) // 2] ^= 0xFF
    record.write_bytes(content)
    with pytest.raises(UserError, match=r"example \d+ cannot be read"):
        source = f"tfds:xnli:test@{tmp_path / 'broken'}"
        read_examples("xnli", source, language="de")


def test_surface_tokens_are_not_in_tfds():
    with pytest.raises(UserError, match="set syntactic_words"):
        read_examples(
            "udpos",
            "tfds:xtreme_pos/xtreme_pos_de:test",
            language="de",
            syntactic_words=False,
        )


def test_a_source_has_a_name_a_split_and_perhaps_a_folder():
    assert parse_source("tfds:a/b_{language}:dev[:9]@/x:y", "fr") == Source(
        "a/b_fr", "dev[:9]", "/x:y"
    )
    assert parse_source("tfds:a:test", "fr") == Source("a", "test", None)
    assert is_tfds("tfds:a:test")
    assert not is_tfds("data/tfds:a")
