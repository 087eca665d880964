"""The README.md beside an exported model, with the fields that model hubs read."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from amber_jax.convert.architecture import XLM_R, architecture_of
from amber_jax.convert.bert import Bert
from amber_jax.tasks import PAIRS, RETRIEVAL, TAGS, TASKS, WORD_ALIGNMENT
from amber_jax.tokenization.library import JsonTokenizer

Format = Literal["hf", "tf1", "sentence-transformers"]
_LIBRARIES = {"hf": "transformers", "tf1": "tensorflow"}
_HUB_TASKS = {  # by kind
    RETRIEVAL: "sentence-similarity",
    TAGS: "token-classification",
    PAIRS: "text-classification",
    WORD_ALIGNMENT: "token-classification",
}
_HUB_METRICS = {"accuracy", "f1", "precision", "recall", "aer"}
_USE = {
    "hf": (
        "from transformers import pipeline\n"
        'fill = pipeline("fill-mask", model="PATH")\n'
        'fill("Paris is the capital of [MASK].")'
    ),
    "sentence-transformers": (
        "from sentence_transformers import SentenceTransformer\n"
        'model = SentenceTransformer("PATH")\n'
        'model.encode(["A sentence.", "Une phrase."])'
    ),
    "tf1": (
        "# of google-research/bert\n"
        "python run_pretraining.py --bert_config_file=PATH/bert_config.json \\\n"
        "    --init_checkpoint=PATH/bert_model.ckpt ..."
    ),
}
_ENCODER_USE = (
    "from transformers import AutoModel, AutoTokenizer\n"
    'tokenizer = AutoTokenizer.from_pretrained("PATH")\n'
    'model = AutoModel.from_pretrained("PATH")'
)


class Stream(NamedTuple):
    """Text of one language, or of one pair of them, that the model was trained on."""

    kind: str  # "text" or "translations"
    languages: str  # "en" or "en-fr"
    pairs: int
    tokens: int


class Score(NamedTuple):
    """One number of an evaluation."""

    task: str
    evaluation: str
    how: str  # what it depends on besides the model
    language: str
    metric: str
    share: float  # in [0, 1]


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of a model besides itself; empty where it is not."""

    name: str
    origin: str  # the format and folder that it was converted from
    step: int  # of training here; 0: none
    license: str
    languages: tuple[str, ...]
    data: tuple[Stream, ...]
    objectives: tuple[str, ...]  # a sentence for each stage
    settings: Mapping[str, str]  # hyper-parameters
    scores: tuple[Score, ...]


def model_card(facts: Facts, bert: Bert, target: Format) -> str:
    """Returns the card as Markdown behind a YAML header."""
    (mask,) = bert.tokenizer.pieces([bert.tokenizer.special.mask])
    use = _USE[target].replace("[MASK]", mask)
    if target == "hf" and "mlm_head" not in bert.params:
        use = _ENCODER_USE
    sections = [
        f"# {facts.name}\n\n{_what(facts, bert)}",
        f"## Use\n\n```{'bash' if target == 'tf1' else 'python'}\n{use}\n```",
        f"## Languages and data\n\n{_data(facts)}",
        f"## Training\n\n{_training(facts, bert)}",
        f"## Results\n\n{_results(facts)}",
        f"## Limits\n\n{_limits(bert)}",
        f"## License\n\n{_license(facts)}",
    ]
    return f"{_header(facts, bert, target)}\n" + "\n\n".join(sections) + "\n"


def _header(facts: Facts, bert: Bert, target: Format) -> str:
    library = _LIBRARIES.get(target, target)
    model_type = architecture_of(bert.config).model_type
    task = "fill-mask" if "mlm_head" in bert.params else "feature-extraction"
    if target == "sentence-transformers":
        task = "sentence-similarity"
    fields: dict[str, Any] = {
        "language": facts.languages,
        "license": facts.license,
        "library_name": library,
        "pipeline_tag": task,
        "tags": [model_type, "multilingual", "amber_jax", library],
        "metrics": sorted({_hub_metric(score.metric) for score in facts.scores}),
        "model-index": _model_index(facts),
    }
    # JSON is YAML; a field without content would be an error to a hub.
    lines = [
        f"{name}: {json.dumps(value, ensure_ascii=False)}"
        for name, value in fields.items()
        if value
    ]
    return "\n".join(["---", *lines, "---", ""])


def _model_index(facts: Facts) -> list[dict[str, Any]]:
    results: dict[tuple[str, ...], dict[str, Any]] = {}
    for score in facts.scores:
        result = results.setdefault(
            score[:4],
            {
                "task": {
                    "type": _HUB_TASKS[TASKS[score.task].kind],
                    "name": score.task,
                },
                "dataset": {
                    "type": score.evaluation.lower().replace(" ", "-"),
                    "name": f"{score.evaluation} ({score.language})",
                    "config": score.language,
                },
                "metrics": [],
            },
        )
        result["metrics"].append(
            {
                "type": _hub_metric(score.metric),
                "name": f"{score.metric}; {score.how}",
                "value": round(score.share, 4),
            }
        )
    if not results:
        return []
    return [{"name": facts.name, "results": list(results.values())}]


def _hub_metric(metric: str) -> str:
    # The directions of retrieval are accuracies; the others are called alike there.
    return metric if metric in _HUB_METRICS else "accuracy"


def _what(facts: Facts, bert: Bert) -> str:
    config = bert.config
    trained = f" after {facts.step:,} steps of training" if facts.step else ""
    kind = "An XLM-R" if architecture_of(config) is XLM_R else "A BERT"
    vocabulary = "a vocabulary"  # of a tokenizer.json, which says the rest
    if not isinstance(bert.tokenizer, JsonTokenizer):
        name = type(bert.tokenizer).__name__.removesuffix("Tokenizer")
        vocabulary = f"a cased {name} vocabulary"
    return (
        f"{kind} encoder{trained}: {config.num_layers} layers of {config.hidden_size}, "
        f"{config.num_heads} heads, {vocabulary} of "
        f"{bert.tokenizer.vocab_size:,} entries, texts of up to "
        f"{config.usable_positions} tokens. Converted by amber_jax from {facts.origin}."
    )


def _data(facts: Facts) -> str:
    if not facts.data:
        return "What it was trained on is not recorded in the folder it came from."
    rows = [
        [stream.kind, stream.languages, f"{stream.pairs:,}", f"{stream.tokens:,}"]
        for stream in facts.data
    ]
    return _table(["kind", "languages", "sentence pairs", "tokens"], rows)


def _training(facts: Facts, bert: Bert) -> str:
    lines = [f"- {sentence}" for sentence in facts.objectives]
    config = bert.config
    settings = {
        "hidden dropout": f"{config.hidden_dropout:g}",
        "attention dropout": f"{config.attention_dropout:g}",
        **facts.settings,
    }
    table = _table(["setting", "value"], [[*item] for item in settings.items()])
    return "\n".join([*lines, "", table]).lstrip("\n")


def _results(facts: Facts) -> str:
    if not facts.scores:
        return "None were given when this card was written."
    parts = []
    for task, evaluation, how in dict.fromkeys(score[:3] for score in facts.scores):
        chosen = [s for s in facts.scores if s[:3] == (task, evaluation, how)]
        metrics = sorted({score.metric for score in chosen})
        shares = {(score.language, score.metric): score.share for score in chosen}
        rows = [
            [language, *(_percent(shares, language, metric) for metric in metrics)]
            for language in sorted({score.language for score in chosen})
        ]
        title = f"{evaluation} ({task}{f'; {how}' if how else ''}), in percent:"
        parts.append(f"{title}\n\n{_table(['language', *metrics], rows)}")
    return "\n\n".join(parts)


def _percent(
    shares: Mapping[tuple[str, str], float], language: str, metric: str
) -> str:
    key = (language, metric)
    return f"{100 * shares[key]:.1f}" if key in shares else ""


def _limits(bert: Bert) -> str:
    lines = [
        "The model has seen what its texts say, prejudices included, and knows "
        "languages as well as it saw text of them: test it on your own before you "
        "rely on it.",
        f"Text beyond {bert.config.usable_positions} tokens is cut. Vectors of "
        "sentences are comparable within this model only.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _license(facts: Facts) -> str:
    if facts.license:
        return f"{facts.license}. The texts it was trained on have their own."
    return (
        "Not said by who converted it. It follows from the weights it began with and "
        "the texts it was trained on."
    )


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines: Iterator[list[str]] = iter([head, ["---"] * len(head), *rows])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
