"""Settings of evaluations that need no training: retrieval and word alignment."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from amber_jax.config.kernels import KERNEL_RANGES, kernels
from amber_jax.model.sentence_vector import POOLINGS, SentenceVector
from amber_jax.ranges import (
    DTYPES,
    LAYER,
    PROBABILITY,
    Choice,
    problems,
    real,
    whole,
)
from amber_jax.search.similarities import EXACT, SIMILARITIES
from amber_jax.search.symmetrization import ITERMAX, SYMMETRIZATIONS
from amber_jax.tasks import RETRIEVAL, WORD_ALIGNMENT

ALIGNMENT_METHODS = ("similarity", "attention")

SENTENCE_VECTOR_RANGES = {
    "layer": LAYER,
    "pooling": Choice(POOLINGS),
    "special_tokens": bool,
}
RETRIEVAL_RANGES = {
    "name": str,
    "path": str,
    "pivot": str,
    "languages": [str],
    "max_candidates": whole(0),
    **SENTENCE_VECTOR_RANGES,
    "prompt": str | None,
    "layer_curve": bool,
    "center": bool,
    "similarity": Choice(tuple(SIMILARITIES)),
    "neighbors": whole(0, 10_000),
    "index": str,
    "max_length": whole(3, 2**20),  # a word and its specials
    "batch_size": whole(1, 2**20),
    "predictions": bool,
}
EVALUATION_RANGES = {
    "task": Choice((RETRIEVAL,)),
    "label": str,
    "untrained": bool,
    "kernels": KERNEL_RANGES,
    "dtype": Choice(("", *DTYPES.words)),
    "retrievals": [RETRIEVAL_RANGES],
    "probe": {"language": str, "words": whole(1, 2**20), "meanings": whole(1, 2**20)},
}
ALIGNMENT_RANGES = {
    "method": Choice(ALIGNMENT_METHODS),
    "layer": dataclasses.replace(LAYER, or_none=True),
    "symmetrization": Choice((*SYMMETRIZATIONS, ITERMAX)),
    "threshold": PROBABILITY,
    "level": Choice(("word", "piece")),
    "similarity": Choice(("dot", "cosine")),
    "center": bool,
    "context": real(0, 1),
    "prompt": str,
}
_OF_SIMILARITY = {"similarity": "dot", "center": False, "context": 0.0, "prompt": ""}
WORD_ALIGNMENT_RANGES = {
    "task": Choice((WORD_ALIGNMENT,)),
    **dict.fromkeys(("name", "label", "data", "test", "gold", "dev", "dev_gold"), str),
    "untrained": bool,
    "kernels": KERNEL_RANGES,
    "dtype": Choice(("", *DTYPES.words)),
    "languages": [str],
    "first_index": whole(0, 1),
    **ALIGNMENT_RANGES,
}


def retrieval(name: str) -> ConfigDict:
    """The defaults of a sentence-retrieval evaluation."""
    config = ConfigDict()
    config.name = name
    config.path = ""  # Tatoeba v1 folder, or a many-way .tsv file
    config.pivot = "en"  # the language that all others are paired with
    config.languages = ()  # empty: all that are there
    config.max_candidates = 0  # first rows of each language; 0: all
    config.layer = -1  # -1: the last; 0: embeddings; n: output of layer n
    config.pooling = "mean"  # or "first", the vector of [CLS], or BERT's "pooler"
    config.special_tokens = False  # whether [CLS] and [SEP] count in the mean
    # Before every sentence: a text, or the name of a model's prompt; empty: none. None:
    # the model's default one, if it has one.
    config.prompt = placeholder(str)
    config.layer_curve = False  # averages of every layer too, in the same pass
    config.center = False  # subtract each language's mean vector first
    config.similarity = "cosine"  # or another of search/similarities.py
    config.neighbors = 0  # that "csls" and "margin" look at; 0: 10 and 4, the papers'
    config.index = EXACT  # or a faiss factory string, "Flat", "IVF1024,Flat", ...
    config.max_length = 128  # tokens of a sentence, specials included
    config.batch_size = 64  # sentences of max_length tokens; more of shorter ones
    config.predictions = False  # write XTREME's submission of Tatoeba
    return config.lock()


def evaluation() -> ConfigDict:
    """The defaults of amber evaluate: no retrievals yet."""
    config = ConfigDict()
    config.task = RETRIEVAL
    config.label = ""  # name of the model in tables; empty: its path
    config.untrained = False  # score random weights of the run's seed instead
    config.kernels = kernels()  # forms of the arithmetic; empty: what suits the device
    config.dtype = ""  # of activations, or "bfloat16"; empty: as trained
    config.retrievals = ()  # of retrieval()
    config.probe = ConfigDict()  # what the report's pictures show
    config.probe.language = ""  # of the sentence pair; empty: no probe.npz
    config.probe.words = 12  # pieces that its sides should have
    config.probe.meanings = 6  # sentences shown in all languages
    return config.lock()


def word_alignment_evaluation() -> ConfigDict:
    """The defaults of scoring word alignments against gold links."""
    config = ConfigDict()
    config.task = WORD_ALIGNMENT
    config.name = ""  # of the data set, in tables; empty: its folder's
    config.label = ""  # name of the model in tables; empty: its path
    config.untrained = False  # score random weights of the run's seed instead
    config.kernels = kernels()  # forms of the arithmetic; empty: what suits the device
    config.dtype = ""  # of activations, or "bfloat16"; empty: as trained
    config.data = ""  # folder of the gold files
    config.test = "{language}/test.tsv"  # in it: source<TAB>target<TAB>i-j ...
    config.gold = ""  # in it: Pharaoh lines of `test`; empty: its third column
    config.dev = ""  # as `test`: the layer is the best of all languages' here
    config.dev_gold = ""  # in it: Pharaoh lines of `dev`; empty: its third column
    config.first_index = 0  # what links call the first word: 0, or 1 as in KFTT
    config.languages = ()  # empty: all that are there
    config.method = "similarity"  # or "attention", of the last layer
    # Of the similarity; -1: the last; 0: embeddings. None: the last, but in a model of
    # 12 layers or more one in the middle, 60 percent of the way up: 7 of 12.
    config.layer = placeholder(int)
    config.symmetrization = "intersection"  # one of SYMMETRIZATIONS, or "itermax"
    config.threshold = 0.0  # least probability of a link; 0: each piece's best
    config.level = "word"  # or "piece": what `symmetrization` combines the links of
    config.similarity = "dot"  # or "cosine", of two pieces' vectors
    config.center = False  # subtract the mean of each side's vectors first
    config.context = 0.0  # weight of the neighboring pieces' similarities
    # Before each side: a text, such as "query: ", or the name of a model's prompt.
    config.prompt = ""
    return config.lock()


def evaluation_problems(config: ConfigDict) -> Iterator[str]:
    """Yields the problems of settings of retrievals, whatever the model."""
    out_of_range = list(problems(config, EVALUATION_RANGES))
    yield from out_of_range
    if not out_of_range and not config.retrievals:
        yield "retrievals is empty; nothing would be evaluated"


def retrieval_problems(settings: ConfigDict, num_layers: int) -> Iterator[str]:
    """Yields the problems of a retrieval evaluation of a model of that depth."""
    out_of_range = list(problems(settings, RETRIEVAL_RANGES))
    for problem in out_of_range or _retrieval_conflicts(settings, num_layers):
        yield f"evaluation {settings.name}: {problem}"


def _retrieval_conflicts(settings: ConfigDict, num_layers: int) -> Iterator[str]:
    if not settings.path:
        yield "path is empty"
    yield from _vector_conflicts(settings.layer, settings.pooling, num_layers)
    if settings.layer_curve and settings.pooling == "pooler":
        yield "layer_curve is set, but a pooler stands on the last layer alone"
    if settings.index != EXACT and not SIMILARITIES[settings.similarity].is_product:
        products = [name for name, kind in SIMILARITIES.items() if kind.is_product]
        yield (
            f"index {settings.index!r} cannot find neighbors by {settings.similarity}; "
            f"use index {EXACT!r}, or similarity {' or '.join(products)}"
        )
    pivot, limit = settings.pivot, settings.max_candidates
    if settings.predictions and (pivot != "en" or limit):
        yield (
            "predictions are for XTREME's Tatoeba; they need "
            f"pivot en, not {pivot}, and max_candidates 0, not {limit}"
        )


def sentence_vector_problems(vector: SentenceVector, num_layers: int) -> Iterator[str]:
    """Yields the problems of a sentence vector of a model of that depth."""
    out_of_range = list(problems(vector._asdict(), SENTENCE_VECTOR_RANGES))
    yield from out_of_range or _vector_conflicts(
        vector.layer, vector.pooling, num_layers
    )


def _vector_conflicts(layer: int, pooling: str, num_layers: int) -> Iterator[str]:
    yield from layer_problems(layer, num_layers)
    if pooling == "pooler" and layer not in (-1, num_layers):
        yield f"layer is {layer}, but a pooler stands on the last layer; leave it -1"


def word_alignment_problems(config: ConfigDict, num_layers: int) -> Iterator[str]:
    """Yields the problems of scoring word alignments of a model of that depth."""
    out_of_range = list(problems(config, WORD_ALIGNMENT_RANGES))
    yield from out_of_range or _word_alignment_conflicts(config, num_layers)


def _word_alignment_conflicts(config: ConfigDict, num_layers: int) -> Iterator[str]:
    if not config.data:
        yield "data is empty; set --config.data to the folder of the gold alignments"
    for name in ("test", "gold", "dev", "dev_gold"):
        if "{language}" not in config[name] and (name == "test" or config[name]):
            yield f"{name} is {config[name]!r}; wanted {{language}} in it"
    if config.dev and config.layer is not None:
        yield f"layer is {config.layer}, but dev would choose it; leave one of them"
    if config.dev and config.method == "attention":
        yield "dev chooses a layer, but attention is that of the last; leave dev empty"
    options = {name: config[name] for name in ALIGNMENT_RANGES}
    yield from alignment_problems(options, num_layers=num_layers)


def alignment_problems(options: Mapping[str, Any], *, num_layers: int) -> Iterator[str]:
    """Yields the problems of the options of aligning words, see `ALIGNMENT_RANGES`."""
    if out_of_range := list(problems(options, ALIGNMENT_RANGES)):
        yield from out_of_range
        return
    layer, symmetrization = options["layer"], options["symmetrization"]
    if options["method"] == "attention":
        if layer not in (None, -1, num_layers):
            yield f"layer is {layer}, but attention is that of the last layer; unset it"
        for name, unused in _OF_SIMILARITY.items():
            if options[name] != unused:
                yield f"{name} is {options[name]}, but attention has none; leave it"
    elif layer is not None:
        yield from layer_problems(layer, num_layers)
    if symmetrization == ITERMAX and options["method"] == "attention":
        yield (
            "symmetrization itermax is of cosines, which attention has none of; choose "
            "another one, or method similarity"
        )
    elif symmetrization == ITERMAX and options["similarity"] != "cosine":
        yield "symmetrization itermax needs cosines; set similarity to cosine"
    if symmetrization == ITERMAX and options["threshold"]:
        yield f"threshold is {options['threshold']}, but itermax has none; leave it 0"


def layer_problems(layer: int, num_layers: int) -> Iterator[str]:
    """Yields the problems of a layer of a model of that depth."""
    yield from problems(layer, LAYER, "layer")
    if LAYER.holds(layer) and layer > num_layers:
        yield (
            f"layer is {layer}; the model has {num_layers} "
            "(0: embeddings, -1: the last)"
        )
