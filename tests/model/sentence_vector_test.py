import inspect

from amber_jax import config as settings
from amber_jax.config.evaluation import SENTENCE_VECTOR_RANGES
from amber_jax.inference.model import Model
from amber_jax.model.sentence_vector import SentenceVector


def test_settings_keywords_and_files_have_its_fields_and_defaults():
    fields, default = set(SentenceVector._fields), SentenceVector()
    assert fields == SENTENCE_VECTOR_RANGES.keys()
    retrieval = settings.retrieval("any")
    assert default == SentenceVector(*(retrieval[name] for name in default._fields))
    for method in (Model.encode, Model.vector_with):
        keywords = inspect.signature(method).parameters
        assert all(keywords[name].default is None for name in fields)


def test_the_last_layer_has_a_number():
    last = SentenceVector(-1, "first", special_tokens=True)
    assert last.numbered(12) == SentenceVector(12, "first", special_tokens=True)
    assert SentenceVector(0).numbered(12) == SentenceVector(0)
