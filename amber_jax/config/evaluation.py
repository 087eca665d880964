"""Settings of evaluations that need no training: retrieval and word alignment."""

from collections.abc import Iterator

from ml_collections import ConfigDict

POOLINGS = ("mean", "first")
SIMILARITIES = ("cosine", "dot", "csls", "margin")
RETRIEVAL, WORD_ALIGNMENT = "retrieval", "word_alignment"
ALIGNMENT_METHODS = ("similarity", "attention")
SYMMETRISATIONS = (
    *("intersection", "union", "grow-diag-final", "grow-diag-final-and"),
    *("src-to-tgt", "tgt-to-src"),
)


def retrieval(name: str) -> ConfigDict:
    """Returns the defaults of a sentence-retrieval evaluation."""
    config = ConfigDict()
    config.name = name
    config.path = ""  # Tatoeba v1 folder, or a many-way .tsv file
    config.pivot = "en"  # the language that all others are paired with
    config.languages = ()  # empty: all that are there
    config.max_candidates = 0  # first rows of each language; 0: all
    config.layer = -1  # -1: the last; 0: embeddings; n: output of layer n
    config.pooling = "mean"  # or "first", the vector of [CLS]
    config.special_tokens = False  # whether [CLS] and [SEP] count in the mean
    config.layer_curve = False  # averages of every layer too, in the same pass
    config.centre = False  # subtract each language's mean vector first
    config.similarity = "cosine"  # or another of SIMILARITIES, of tasks/nearest.py
    config.neighbours = 0  # that "csls" and "margin" look at; 0: 10 and 4, the papers'
    config.index = "exact"  # or a faiss factory string, "Flat", "IVF1024,Flat", ...
    config.max_length = 128  # tokens of a sentence, specials included
    config.batch_size = 64  # sentences of max_length tokens; more of shorter ones
    config.predictions = False  # write XTREME's submission of Tatoeba
    return config.lock()


def evaluation() -> ConfigDict:
    """Returns the defaults of launch/evaluate.py: no retrievals yet."""
    config = ConfigDict()
    config.task = RETRIEVAL
    config.label = ""  # name of the model in tables; empty: its path
    config.untrained = False  # score random weights of the run's seed instead
    config.retrievals = ()  # of retrieval()
    config.probe = ConfigDict()  # what the report's pictures show
    config.probe.language = ""  # of the sentence pair; empty: no probe.npz
    config.probe.words = 12  # pieces that its sides should have
    config.probe.meanings = 6  # sentences shown in all languages
    return config.lock()


def word_alignment_evaluation() -> ConfigDict:
    """Returns the defaults of scoring word alignments against gold links."""
    config = ConfigDict()
    config.task = WORD_ALIGNMENT
    config.name = ""  # of the data set, in tables; empty: its folder's
    config.label = ""  # name of the model in tables; empty: its path
    config.untrained = False  # score random weights of the run's seed instead
    config.data = ""  # folder of the gold files
    config.test = "{language}/test.tsv"  # in it: source<TAB>target<TAB>i-j ...
    config.gold = ""  # in it: Pharaoh lines of `test`; empty: its third column
    config.first_index = 0  # what links call the first word: 0, or 1 as in KFTT
    config.languages = ()  # empty: all that are there
    config.method = "similarity"  # or "attention", of the last layer
    config.layer = -1  # of the similarity; -1: the last; 0: embeddings
    config.symmetrisation = "intersection"  # one of SYMMETRISATIONS
    config.threshold = 0.0  # least probability of a link; 0: each piece's best
    return config.lock()


def retrieval_problems(one: ConfigDict, num_layers: int) -> Iterator[str]:
    """Yields what is wrong with a retrieval evaluation of a model of that depth."""
    if not one.path:
        yield f"evaluation {one.name}: path is empty"
    if not -1 <= one.layer <= num_layers:
        yield (
            f"evaluation {one.name}: layer is {one.layer}; the model has "
            f"{num_layers} (0: embeddings, -1: the last)"
        )
    if one.batch_size < 1 or one.max_length < 3 or one.max_candidates < 0:
        yield (
            f"evaluation {one.name}: batch_size {one.batch_size} must be positive, "
            f"max_length {one.max_length} at least 3 (a word and its specials), "
            f"max_candidates {one.max_candidates} not negative"
        )
    if one.pooling not in POOLINGS:
        yield (
            f"evaluation {one.name}: pooling is {one.pooling!r}, "
            f"not one of {', '.join(POOLINGS)}"
        )
    if one.similarity not in SIMILARITIES:
        yield (
            f"evaluation {one.name}: similarity is {one.similarity!r}, "
            f"not one of {', '.join(SIMILARITIES)}"
        )
    if one.index != "exact" and one.similarity not in ("cosine", "dot"):
        yield (
            f"evaluation {one.name}: index {one.index!r} cannot find neighbours by "
            f"{one.similarity}; use index 'exact', or similarity cosine or dot"
        )
    if one.neighbours < 0:
        yield f"evaluation {one.name}: neighbours is {one.neighbours}, negative"
    if one.predictions and (one.pivot != "en" or one.max_candidates):
        yield (
            f"evaluation {one.name}: predictions are for XTREME's Tatoeba; they need "
            f"pivot en, not {one.pivot}, and max_candidates 0, not {one.max_candidates}"
        )


def word_alignment_problems(config: ConfigDict, num_layers: int) -> Iterator[str]:
    """Yields what is wrong with scoring word alignments of a model of that depth."""
    if not config.data:
        yield "data is empty; set --config.data to the folder of the gold alignments"
    for name in ("test", "gold"):
        if "{language}" not in config[name] and (name == "test" or config.gold):
            yield f"{name} is {config[name]!r}; wanted {{language}} in it"
    if config.first_index not in (0, 1):
        yield f"first_index is {config.first_index!r}, not 0 or 1"
    yield from alignment_problems(
        method=config.method,
        layer=config.layer,
        symmetrisation=config.symmetrisation,
        threshold=config.threshold,
        num_layers=num_layers,
    )


def alignment_problems(
    *, method: str, layer: int, symmetrisation: str, threshold: float, num_layers: int
) -> Iterator[str]:
    """Yields what is wrong with the options of aligning words."""
    if method not in ALIGNMENT_METHODS:
        yield f"method is {method!r}, not one of {', '.join(ALIGNMENT_METHODS)}"
    if not -1 <= layer <= num_layers:
        yield (
            f"layer is {layer}; the model has {num_layers} "
            "(0: embeddings, -1: the last)"
        )
    elif method == "attention" and layer not in (-1, num_layers):
        yield f"layer is {layer}, but attention is that of the last layer; leave it -1"
    if symmetrisation not in SYMMETRISATIONS:
        yield (
            f"symmetrisation is {symmetrisation!r}, "
            f"not one of {', '.join(SYMMETRISATIONS)}"
        )
    if not 0 <= threshold < 1:
        yield f"threshold is {threshold}, not a probability below 1"
