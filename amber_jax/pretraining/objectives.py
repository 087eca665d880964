"""The pretraining objective: which passes and which losses one batch gets.

Three passes of the encoder give every loss. `[x; y]` is a packed row of pairs.

    pass 1   masked [x; y]   every token sees its pair        MLM, TLM
    pass 2   clean  [x; y]   x sees x; y_i sees x and y_<i    A_{y->x}, c_x
    pass 3   clean  [y; x]   the same, sides exchanged        A_{x->y}, c_y

No x row of pass 2 sees y, so c_x is the encoding of x alone: the same vector the
encoder gives that sentence at retrieval time. `model/directed.py` runs passes 2 and 3.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from amber_jax import reductions
from amber_jax.losses import MASKED_LM, SENTENCES, WORDS
from amber_jax.losses import masked_lm as masked_lm_loss
from amber_jax.losses import sentence_alignment as sentence_loss
from amber_jax.losses import word_alignment as word_loss
from amber_jax.model import masking, rows
from amber_jax.model.directed import Directed, directed_passes
from amber_jax.model.encoder import EncoderConfig, apply
from amber_jax.model.heads import PretrainingModel, mean_pool
from amber_jax.model.kernels.dropout import row_seeds
from amber_jax.types import Array, Batch, Objective, Params, WeightedSum


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """What the losses need to know of the tokenizer."""

    special: tuple[int, ...]  # [PAD] [CLS] [SEP] [MASK]; [UNK] stands for a word
    mask_id: int
    size: int
    punctuation: np.ndarray  # [V] bool


@dataclasses.dataclass(frozen=True)
class SentenceAlignment:
    """Options of the sentence-alignment loss; the paper's form is the default."""

    symmetric: bool  # also y -> x, averaged
    normalise: bool
    scale: float
    margin: float
    special_tokens: bool  # whether [CLS] and [SEP] count in the mean


@dataclasses.dataclass(frozen=True)
class WordAlignment:
    """Options of the word-alignment loss."""

    renormalise: bool  # over the other side
    special_tokens: bool  # whether [CLS] and [SEP] count
    punctuation: bool  # whether punctuation counts
    max_position_offset: int  # positions of the second side move by 0..this, at random


class Embeddings(NamedTuple):
    """The sentences of a batch of S pair slots, encoded alone."""

    src: Array  # [S, D] float32
    tgt: Array  # [S, D] float32, the translation in the same row
    present: Array  # [S] float32, 0 on slots without a pair


def pretraining_objective(
    config: EncoderConfig,
    vocabulary: Vocabulary,
    *,
    losses: frozenset[str],
    masking_rate: float,
    mask_key: Array,
    sentence_alignment: SentenceAlignment,
    word_alignment: WordAlignment,
    shards: int = 1,
) -> Objective:
    """Returns the objective of a stage.

    Args:
        config: the encoder's sizes.
        vocabulary: special ids and punctuation.
        losses: which of `LOSSES` to compute; passes that no loss needs are not run.
        masking_rate: share of the tokens to predict; probability.
        mask_key: the stage's key for masks and position offsets, which depend on it
            and on a row's identity only.
        sentence_alignment: options.
        word_alignment: options.
        shards: devices that a batch's rows are spread over in a global view (under
            `jit`); it decides how many logits are made at once.

    Returns:
        Its terms are WeightedSums named as the losses, and what is worth
        watching: `mlm` and `tlm` apart, accuracies, and the shares of word alignment.
    """
    model = PretrainingModel(config)
    directed = bool(losses & {SENTENCES, WORDS})
    masked_pass = functools.partial(
        _masked_pass,
        model,
        vocabulary,
        rate=masking_rate,
        mask_key=mask_key,
        shards=shards,
    )
    alignment = functools.partial(
        _alignment,
        model,
        vocabulary,
        losses=losses,
        mask_key=mask_key,
        sentences=sentence_alignment,
        words=word_alignment,
    )

    def apart(
        params: Params, batch: Batch, key: Array, *, train: bool
    ) -> tuple[dict[str, WeightedSum], Embeddings | tuple[()]]:
        mono_key, pair_key, directed_key = (
            jax.random.split(key, 3) if train else (None, None, None)
        )
        terms: dict[str, WeightedSum] = {}
        embeddings: Embeddings | tuple[()] = ()
        if MASKED_LM in losses:
            keys = {"mono": mono_key, "pair": pair_key}
            terms |= _masked_lm_terms(
                {
                    kind: masked_pass(params, batch[kind], keys[kind])
                    for kind in sorted(batch)
                }
            )
        if directed and "pair" in batch:
            found, embeddings = alignment(params, batch["pair"], directed_key)
            terms |= found
        return terms, embeddings

    def together(
        found: Embeddings | tuple[()], *, axis_name: str | None
    ) -> dict[str, WeightedSum]:
        if not found:
            return {}
        return _sentence_terms(found, sentence_alignment, axis_name=axis_name)

    return Objective(apart, together)


@jax.named_scope("pass_1_masked")
def _masked_pass(
    model: PretrainingModel,
    vocabulary: Vocabulary,
    params: Params,
    batch: Mapping[str, Array],
    dropout_key: Array | None,
    *,
    rate: float,
    mask_key: Array,
    shards: int,
) -> tuple[WeightedSum, WeightedSum]:
    """Returns the masked-LM loss and hits of one kind of rows."""
    token_ids = batch["token_ids"]
    place = rows.layout(batch["span_lengths"], token_ids.shape[1])
    masked = masking.mask_rows(
        token_ids,
        (place.pair_ids > 0) & ~_is_special(token_ids, vocabulary),
        masking.row_keys(mask_key, batch["row_ids"]),
        rate=rate,
        mask_id=vocabulary.mask_id,
        first_word_id=max(vocabulary.special) + 1,
        vocab_size=vocabulary.size,
    )
    features = apply(
        model,
        params,
        masked.token_ids,
        place.sides,
        place.position_ids,
        rows.full_attention(place),
        mlm_positions=masked.mlm_positions,
        seeds=(
            None if dropout_key is None else row_seeds(dropout_key, batch["row_ids"])
        ),
        method=PretrainingModel.mlm_features,
    )
    return masked_lm_loss.masked_lm(
        features,
        params["encoder"]["embeddings"]["word"]["embedding"],
        params["mlm_head"]["bias"],
        masked.mlm_targets,
        masked.mlm_weights,
        parts=masked_lm_loss.num_parts(
            max(1, len(token_ids) // shards),
            masked.mlm_targets.shape[1],
            model.config.vocab_size,
        ),
    )


def _alignment(
    model: PretrainingModel,
    vocabulary: Vocabulary,
    params: Params,
    pair: Mapping[str, Array],
    dropout_key: Array | None,
    *,
    losses: frozenset[str],
    mask_key: Array,
    sentences: SentenceAlignment,
    words: WordAlignment,
) -> tuple[dict[str, WeightedSum], Embeddings | tuple[()]]:
    """Returns word alignment's terms, and what the sentence loss compares."""
    with jax.named_scope("passes_2_and_3_directed"):
        directed = directed_passes(
            model.config,
            params["encoder"],
            pair,
            offsets=_position_offsets(pair, mask_key, words),
            dropout_key=dropout_key,
            both_cls=SENTENCES in losses and sentences.special_tokens,
        )
    terms: dict[str, WeightedSum] = {}
    embeddings: Embeddings | tuple[()] = ()
    if SENTENCES in losses:
        paired = pair["span_lengths"][..., 1] > 0
        embeddings = _embeddings(directed, vocabulary, paired, sentences)
    if WORDS in losses:
        terms = _word_terms(directed, pair, vocabulary, options=words)
    return terms, embeddings


def _masked_lm_terms(
    outcomes: dict[str, tuple[WeightedSum, WeightedSum]],
) -> dict[str, WeightedSum]:
    """The loss is one expectation over monolingual rows and pairs together."""
    names = {"mono": "mlm", "pair": "tlm"}
    losses = [loss for loss, _ in outcomes.values()]
    hits = [hit for _, hit in outcomes.values()]
    return {
        MASKED_LM: jax.tree.map(lambda *parts: sum(parts), *losses),
        "masked_lm_accuracy": jax.tree.map(lambda *parts: sum(parts), *hits),
    } | {names[kind]: loss for kind, (loss, _) in outcomes.items()}


def _position_offsets(
    pair: Mapping[str, Array], mask_key: Array, options: WordAlignment
) -> Array:
    """Returns by how much the second side of each pair moves, [B, N] int32."""
    shape = pair["span_lengths"].shape[:2]
    if not options.max_position_offset:
        return jnp.zeros(shape, jnp.int32)
    # Folding in a number that no stream has keeps these apart from the masks.
    offset_key = jax.random.fold_in(mask_key, 2**32 - 1)
    keys = masking.row_keys(offset_key, pair["row_ids"])
    draw = jax.vmap(
        lambda key: jax.random.randint(
            key, shape[1:], 0, options.max_position_offset + 1
        )
    )
    return draw(keys)


def _embeddings(
    directed: Directed,
    vocabulary: Vocabulary,
    paired: Array,
    options: SentenceAlignment,
) -> Embeddings:
    """Returns what the sentence loss compares; `paired` [B, N] marks real pairs."""
    vectors, found = [], paired.reshape(-1)
    for side in (0, 1):
        counted = directed.place.sides == side
        if not options.special_tokens:
            counted &= ~_is_special(directed.token_ids, vocabulary)
        members = _members(directed.place.pair_ids, paired.shape[1], counted)
        pooled = mean_pool(directed.hidden_states, members)  # [B, N, D]
        vectors.append(pooled.reshape(-1, pooled.shape[-1]))
        found &= members.any(-1).reshape(-1)
    src, tgt = vectors
    return Embeddings(src, tgt, found.astype(jnp.float32))


@jax.named_scope("sentence_alignment")
def _sentence_terms(
    embeddings: Embeddings, options: SentenceAlignment, *, axis_name: str | None
) -> dict[str, WeightedSum]:
    """Returns the loss and its accuracy, among the pairs of all devices."""
    src, tgt, present = embeddings
    everyones = reductions.gather_batch(present, axis_name)
    own = jnp.arange(len(present)) + reductions.row_offset(len(present), axis_name)

    def rank(queries: Array, candidates: Array) -> tuple[WeightedSum, WeightedSum]:
        return sentence_loss.rank_translations(
            queries,
            reductions.gather_batch(candidates, axis_name),
            own,
            query_weights=present,
            candidate_weights=everyones,
            normalise=options.normalise,
            scale=options.scale,
            margin=options.margin,
        )

    loss, hits = rank(src, tgt)
    if options.symmetric:
        loss, hits = jax.tree.map(
            lambda one, other: (one + other) / 2, (loss, hits), rank(tgt, src)
        )
    return {SENTENCES: loss, "sentence_alignment_accuracy": hits}


@jax.named_scope("word_alignment")
def _word_terms(
    directed: Directed,
    pair: Mapping[str, Array],
    vocabulary: Vocabulary,
    *,
    options: WordAlignment,
) -> dict[str, WeightedSum]:
    token_ids, spans = pair["token_ids"], pair["span_lengths"]
    place = rows.layout(spans, token_ids.shape[1])
    counted = _counted_words(token_ids, vocabulary, options)
    src, tgt = (
        _members(place.pair_ids, spans.shape[1], counted & (place.sides == side))
        for side in (0, 1)
    )
    agreement = word_loss.word_alignment(
        directed.tgt_to_src,
        directed.src_to_tgt,
        src,
        tgt,
        renormalise=options.renormalise,
    )
    return {
        WORDS: agreement.loss,
        "word_alignment_column_share": agreement.column_share,
        "word_alignment_diagonal_share": agreement.diagonal_share,
    }


def _counted_words(
    token_ids: Array, vocabulary: Vocabulary, options: WordAlignment
) -> Array:
    """Returns [B, L] bool: the tokens that take part in word alignment."""
    counted = jnp.ones(token_ids.shape, bool)
    if not options.special_tokens:
        counted &= ~_is_special(token_ids, vocabulary)
    if not options.punctuation:
        counted &= ~jnp.asarray(vocabulary.punctuation)[token_ids]
    return counted


def _members(pair_ids: Array, max_pairs: int, chosen: Array) -> Array:
    """Returns [B, N, L] bool: the `chosen` [B, L] tokens of every pair."""
    return rows.one_hot_pairs(pair_ids, max_pairs) & chosen[:, None]


def _is_special(token_ids: Array, vocabulary: Vocabulary) -> Array:
    return jnp.isin(token_ids, jnp.asarray(vocabulary.special))
