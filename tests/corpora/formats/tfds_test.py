"""Data sets of TFDS: stored small ones, in parts, and those of its own tests."""

import json
import shutil
import sys

import pytest
import tensorflow_datasets as tfds

from amber_jax.corpora.conversion import Conversion
from amber_jax.corpora.downloads import TfdsPairSource, TfdsSource
from amber_jax.corpora.folder import folder_sources
from amber_jax.corpora.formats import tfds as reader
from amber_jax.errors import UserError

TEXT = tfds.features.Text()
MARKED = (
    "\n_START_ARTICLE_\nUn titre\n_START_SECTION_\nDébut\n_START_PARAGRAPH_\n"
    "Un._NEWLINE_Deux.\n_START_SECTION_\nFin\n_START_PARAGRAPH_\nTrois."
)


def store(folder, name, config, features, examples):
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="1.0.0",
        config=config,
        data_dir=folder,
        features=features,
        split_datasets={"train": list(enumerate(examples))},
        file_format="tfrecord",
        disable_shuffling=True,
    )


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text") / "tfds"
    article = tfds.features.FeaturesDict({"title": TEXT, "text": TEXT})
    texts = [*(f"Un {number}.\n\nDeux." for number in range(9)), ""]
    articles = [{"title": "T", "text": text} for text in texts]
    store(folder, "wikipedia", "20230601.fr", article, articles)
    store(folder, "wiki40b", "zh-cn", article, [{"title": "", "text": MARKED}])
    pairs = tfds.features.Translation(languages=("bg", "en"))
    store(folder, "para_crawl", "enbg", pairs, [{"bg": "Да.", "en": "Yes."}] * 2)
    several = tfds.features.TranslationVariableLanguages(languages=["de", "en", "fr"])
    talks = tfds.features.FeaturesDict({"translations": several, "talk_name": TEXT})
    talk = {"translations": {"en": "Yes.", "fr": "Oui."}, "talk_name": "T"}
    store(folder, "ted_multi_translate", "plain_text", talks, [talk])
    return folder


def rows_of(source):
    facts = Conversion()
    return list(source.rows(facts)), facts.left_out


def test_a_folder_of_prepared_data_sets_says_what_they_hold(data_dir):
    talks = data_dir / "ted_multi_translate" / "plain_text"
    assert set(folder_sources(data_dir.parent).sources) == {
        TfdsSource("fr", data_dir / "wikipedia" / "20230601.fr"),
        TfdsSource("zh-cn", data_dir / "wiki40b" / "zh-cn"),
        TfdsPairSource("en", "bg", data_dir / "para_crawl" / "enbg"),
        TfdsPairSource("en", "de", talks),
        TfdsPairSource("en", "fr", talks),
    }
    (source,) = folder_sources(data_dir.parent, ("bg", "en")).sources
    assert source.path.name == "enbg"


def test_articles_are_documents_in_their_order_whatever_the_parts(
    data_dir, monkeypatch
):
    source = TfdsSource("fr", data_dir / "wikipedia" / "20230601.fr")
    (whole,) = source.parts()
    rows, left_out = rows_of(whole)
    assert rows[:4] == [("Un 0.",), ("Deux.",), ("",), ("Un 1.",)]
    assert (len(rows), left_out) == (27, {"no_text": 1})
    monkeypatch.setattr(reader, "PART_EXAMPLES", 4)
    parts = source.parts()
    assert [part.split for part in parts] == ["train[0:4]", "train[4:8]", "train[8:10]"]
    assert [row for part in parts for row in rows_of(part)[0]] == rows
    (tenth,) = TfdsSource("fr", source.path, "train[:10%]").parts()
    assert rows_of(tenth)[0] == rows[:3]


def test_of_wiki40b_the_paragraphs_are_kept(data_dir):
    rows, _ = rows_of(TfdsSource("zh-cn", data_dir / "wiki40b" / "zh-cn"))
    assert rows == [("Un.",), ("Deux.",), ("Trois.",), ("",)]


def test_translations_are_pairs_whichever_feature_holds_them(data_dir):
    crawl = data_dir / "para_crawl" / "enbg"
    assert rows_of(TfdsPairSource("en", "bg", crawl))[0] == [("Yes.", "Да.")] * 2
    talks = data_dir / "ted_multi_translate" / "plain_text"
    assert rows_of(TfdsPairSource("fr", "en", talks))[0] == [("Oui.", "Yes.")]
    assert rows_of(TfdsPairSource("en", "de", talks))[0] == [("Yes.", "")]


def test_its_files_are_those_of_the_split_and_what_describes_them(data_dir):
    folder = data_dir / "para_crawl" / "enbg" / "1.0.0"
    names = [path.name for path in TfdsPairSource("en", "bg", folder).files()]
    assert names[:2] == ["dataset_info.json", "features.json"]
    assert names[2:] == ["para_crawl-train.tfrecord-00000-of-00001"]
    with pytest.raises(UserError, match="no files of the split 'test'"):
        TfdsPairSource("en", "bg", folder, "test").files()


def test_the_data_set_of_tfds_own_tests_is_read(tmp_path):
    builder = tfds.testing.DummyDataset(data_dir=tmp_path)
    builder.download_and_prepare()
    source = TfdsSource("en", builder.data_path, feature="id")
    rows, left_out = rows_of(source)
    assert (rows, left_out) == ([], {"no_text": 3})  # its numbers are no text


@pytest.fixture
def damaged(data_dir, tmp_path):
    copy = tmp_path / "enbg"
    shutil.copytree(data_dir / "para_crawl" / "enbg" / "1.0.0", copy)
    return copy


def test_a_data_set_that_is_cut_off_is_one_sentence(damaged):
    (data,) = damaged.glob("*.tfrecord*")
    data.write_bytes(data.read_bytes()[:-9])
    with pytest.raises(UserError, match="TFDS cannot read train") as caught:
        rows_of(TfdsPairSource("en", "bg", damaged))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ([], "tells no lengths of 'train'"),
        ([{"name": "train"}], "tells no lengths of 'train'"),
        ([{"name": "train", "shardLengths": ["0"]}], "'train' has no examples"),
    ],
)
def test_a_description_that_tells_no_lengths_is_one_sentence(damaged, splits, words):
    (damaged / "dataset_info.json").write_text(json.dumps({"splits": splits}))
    with pytest.raises(UserError, match=words):
        TfdsPairSource("en", "bg", damaged).parts()


def test_a_folder_without_a_data_set_or_a_language_is_one_sentence(tmp_path, data_dir):
    with pytest.raises(UserError, match=r"holds no dataset_info\.json"):
        TfdsSource("fr", tmp_path).files()
    article = data_dir / "wikipedia" / "20230601.fr"
    shutil.copytree(article, tmp_path / "tfds" / "my_texts")
    with pytest.raises(UserError, match="my_texts: wanted translations, or a config"):
        folder_sources(tmp_path)


def test_without_tfds_its_extra_is_named(data_dir, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UserError, match=r"amber_jax\[train\]"):
        rows_of(TfdsSource("fr", data_dir / "wikipedia" / "20230601.fr"))
