"""The pretraining objective: which passes and which losses one batch gets.

Three passes of the encoder give every loss. `[x; y]` is a packed row of pairs.

    pass 1   masked [x; y]   every token sees its pair        MLM, TLM
    pass 2   clean  [x; y]   x sees x; y_i sees x and y_<i    A_{y->x}, c_x
    pass 3   clean  [y; x]   the same, sides exchanged        A_{x->y}, c_y

The word loss of mutual matches compares vectors of both sides, each read alone, of a
layer of its choice: passes 2 and 3 up to that layer.

No x row of pass 2 sees y, so c_x is the encoding of x alone: the same vector the
encoder gives that sentence at retrieval time. `model/directed.py` runs passes 2 and 3.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from amber_jax import reductions
from amber_jax.losses import ATTENTION, MASKED_LM, OF_SENTENCES, SENTENCES, WORDS
from amber_jax.losses import masked_lm as masked_lm_loss
from amber_jax.losses import sentence_alignment as sentence_loss
from amber_jax.losses import word_alignment as word_loss
from amber_jax.model import masking, rows
from amber_jax.model.directed import Directed, directed_passes
from amber_jax.model.encoder import EncoderConfig, apply, lowest_layers
from amber_jax.model.heads import PretrainingModel, mean_pool
from amber_jax.model.kernels.dropout import row_seeds
from amber_jax.types import Array, Batch, Objective, Params, WeightedSum


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The tokenizer's ids that the losses depend on."""

    special: tuple[int, ...]  # [PAD] [CLS] [SEP] [MASK]; [UNK] stands for a word
    mask_id: int
    words: range  # ids that may stand for a masked one, at random
    punctuation: np.ndarray  # [V] bool
    separators: int = 1  # between the sides of a pair


@dataclasses.dataclass(frozen=True)
class SentenceAlignment:
    """Options of the sentence-alignment loss; the paper's form is the default."""

    symmetric: bool  # also y -> x, averaged
    normalize: bool
    scale: float
    margin: float
    special_tokens: bool  # whether [CLS] and [SEP] count in the mean


@dataclasses.dataclass(frozen=True)
class WordAlignment:
    """Options of the word-alignment loss; the paper's form is the default."""

    form: str  # one of WORD_FORMS
    layer: int  # of "similarity", from 1; -1: the last
    renormalize: bool  # over the other side
    special_tokens: bool  # whether [CLS] and [SEP] count
    punctuation: bool  # whether punctuation counts
    max_position_offset: int  # positions of the second side move by 0..this, at random


OPTIONS = {SENTENCES: SentenceAlignment, WORDS: WordAlignment}


def loss_options(blocks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The options of each loss that has some, from the block of its name."""
    return {name: kind(**blocks[name]) for name, kind in OPTIONS.items()}


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
    options: Mapping[str, Any],
    shards: int = 1,
) -> Objective:
    """The objective of a stage.

    Args:
        config: the encoder's sizes.
        vocabulary: special ids and punctuation.
        losses: which of `LOSSES` to compute; passes that no loss needs are not run.
        masking_rate: share of the tokens to predict; probability.
        mask_key: the stage's key for masks and position offsets, which depend on it
            and on a row's identity only.
        options: what `loss_options` returns.
        shards: devices that a batch's rows are spread over in a global view, where the
            compiler divides the step; it decides how many logits are made at once.

    Returns:
        Its terms are WeightedSums: the losses by name, `mlm` and `tlm` apart,
        accuracies, and the shares of word alignment.
    """
    model = PretrainingModel(config)
    directed = bool(losses - {MASKED_LM})
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
        sentences=options[SENTENCES],
        words=options[WORDS],
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
            word_terms, embeddings = alignment(params, batch["pair"], directed_key)
            terms |= word_terms
        return terms, embeddings

    def together(
        embeddings: Embeddings | tuple[()], *, axis_name: str | None
    ) -> dict[str, WeightedSum]:
        terms: dict[str, WeightedSum] = {}
        if embeddings and SENTENCES in losses:
            terms |= _sentence_terms(
                embeddings, options[SENTENCES], axis_name=axis_name
            )
        return terms

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
    """The masked-LM loss and hits of one kind of rows."""
    token_ids = batch["token_ids"]  # [B, L]
    layout = rows.layout(batch["span_lengths"], token_ids.shape[1])
    # [B, L] -> [B, L] ids, and targets and weights of the slots, [B, P]
    masked = masking.mask_rows(
        token_ids,
        (layout.pair_ids > 0) & ~_is_special(token_ids, vocabulary),
        masking.row_keys(mask_key, batch["row_ids"]),
        rate=rate,
        mask_id=vocabulary.mask_id,
        words=vocabulary.words,
    )
    # [B, L] -> [B, P, D]
    features = apply(
        model,
        params,
        masked.token_ids,
        layout.sides,
        layout.position_ids,
        rows.full_attention(layout),
        mlm_positions=masked.mlm_positions,
        seeds=(
            None if dropout_key is None else row_seeds(dropout_key, batch["row_ids"])
        ),
        method=PretrainingModel.mlm_features,
    )
    # [B, P, D] -> two WeightedSums
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
    """Word alignment's terms, and the embeddings that the sentence loss compares."""
    passes = functools.partial(
        directed_passes,
        pair=pair,
        offsets=_position_offsets(pair, mask_key, words),
        dropout_key=dropout_key,
        separators=vocabulary.separators,
    )
    terms: dict[str, WeightedSum] = {}
    embeddings: Embeddings | tuple[()] = ()
    by_attention = WORDS in losses and words.form == ATTENTION
    compared = bool(losses & OF_SENTENCES)
    if compared or by_attention:
        with jax.named_scope("passes_2_and_3_directed"):
            # [B, L] -> [B, M, D] of the sides alone, 2 x [B, H, L, L] between them
            directed = passes(
                model.config,
                params["encoder"],
                both_cls=compared and sentences.special_tokens,
            )
    if compared:
        paired = pair["span_lengths"][..., 1] > 0
        embeddings = _embeddings(directed, vocabulary, paired, sentences)
    if WORDS in losses:
        members = _word_members(pair, vocabulary, words)
        if by_attention:
            agreement = _agreement_of_attention(directed, *members, words)
        else:
            with jax.named_scope("sides_alone"):
                depth = word_layer(words, model.config)
                lower, lower_params = lowest_layers(
                    model.config, params["encoder"], depth
                )
                alone = passes(lower.config, lower_params, both_cls=False)
            agreement = _agreement_of_similarity(alone.hidden_states, *members)
        terms = {
            WORDS: agreement.loss,
            "word_alignment_column_share": agreement.column_share,
            "word_alignment_diagonal_share": agreement.diagonal_share,
        }
    return terms, embeddings


def word_layer(words: WordAlignment, config: EncoderConfig) -> int:
    """The layer whose vectors or attention the word loss compares, from 1."""
    return config.num_layers if words.layer == -1 else words.layer


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
    """The positions by which the second side of each pair moves, [B, N] int32."""
    shape = pair["span_lengths"].shape[:2]
    if not options.max_position_offset:
        return jnp.zeros(shape, jnp.int32)
    # No stream has this number, so that offsets are independent of the masks.
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
    """The sentences' mean vectors, [B, M, D] -> [S, D] with S = B N.

    `paired` [B, N] marks real pairs.
    """
    vectors, present = [], paired.reshape(-1)
    for side in (0, 1):
        counted = directed.layout.sides == side  # [B, M]
        if not options.special_tokens:
            counted &= ~_is_special(directed.token_ids, vocabulary)
        members = _members(directed.layout.pair_ids, paired.shape[1], counted)
        pooled = mean_pool(directed.hidden_states, members)  # [B, M, D] -> [B, N, D]
        vectors.append(pooled.reshape(-1, pooled.shape[-1]))
        present &= members.any(-1).reshape(-1)
    src, tgt = vectors
    return Embeddings(src, tgt, present.astype(jnp.float32))


@jax.named_scope("sentence_alignment")
def _sentence_terms(
    embeddings: Embeddings, options: SentenceAlignment, *, axis_name: str | None
) -> dict[str, WeightedSum]:
    """The loss and its accuracy, among the pairs of all devices."""
    src, tgt, present = embeddings  # [S, D], [S, D], [S]
    # [S] -> [C], C the slots of all devices
    candidate_weights = reductions.gather_batch(present, axis_name)
    first = reductions.row_offset(len(present), axis_name)
    positives = jnp.arange(len(present)) + first

    def rank(queries: Array, candidates: Array) -> tuple[WeightedSum, WeightedSum]:
        return sentence_loss.rank_translations(
            queries,
            reductions.gather_batch(candidates, axis_name),  # [S, D] -> [C, D]
            positives,
            query_weights=present,
            candidate_weights=candidate_weights,
            normalize=options.normalize,
            scale=options.scale,
            margin=options.margin,
        )

    loss, hits = rank(src, tgt)
    if options.symmetric:
        loss, hits = jax.tree.map(
            lambda forward, backward: (forward + backward) / 2,
            (loss, hits),
            rank(tgt, src),
        )
    return {SENTENCES: loss, "sentence_alignment_accuracy": hits}


@jax.named_scope("word_alignment")
def _agreement_of_attention(
    directed: Directed, src: Array, tgt: Array, words: WordAlignment
) -> word_loss.Agreement:
    """Of 2 x [B, H, L, L], between the tokens [B, N, L] that count."""
    return word_loss.word_alignment(
        directed.tgt_to_src,
        directed.src_to_tgt,
        src,
        tgt,
        renormalize=words.renormalize,
    )


@jax.named_scope("word_alignment")
def _agreement_of_similarity(
    states: Array, src: Array, tgt: Array
) -> word_loss.Agreement:
    """Of vectors [B, L, D], between the tokens [B, N, L] that count."""
    states = states.astype(jnp.float32)
    # Accelerators would round to fewer bits, and a softmax follows.
    products = jnp.einsum("bqd,bsd->bqs", states, states, precision="highest")
    return word_loss.mutual_matches(products, src, tgt)


def _word_members(
    pair: Mapping[str, Array], vocabulary: Vocabulary, words: WordAlignment
) -> tuple[Array, Array]:
    """The tokens of every pair's sides that take part, both [B, N, L] bool."""
    token_ids, spans = pair["token_ids"], pair["span_lengths"]
    layout = rows.layout(spans, token_ids.shape[1])
    counted = _counted_words(token_ids, vocabulary, words)
    src, tgt = (  # [B, L] -> [B, N, L]
        _members(layout.pair_ids, spans.shape[1], counted & (layout.sides == side))
        for side in (0, 1)
    )
    return src, tgt


def _counted_words(
    token_ids: Array, vocabulary: Vocabulary, options: WordAlignment
) -> Array:
    """The tokens that take part in word alignment, [B, L] bool."""
    counted = jnp.ones(token_ids.shape, bool)
    if not options.special_tokens:
        counted &= ~_is_special(token_ids, vocabulary)
    if not options.punctuation:
        counted &= ~jnp.asarray(vocabulary.punctuation)[token_ids]
    return counted


def _members(pair_ids: Array, max_pairs: int, counted: Array) -> Array:
    """The `counted` tokens of every pair, [B, L] -> [B, N, L] bool."""
    return rows.one_hot_pairs(pair_ids, max_pairs) & counted[:, None]


def _is_special(token_ids: Array, vocabulary: Vocabulary) -> Array:
    return jnp.isin(token_ids, jnp.asarray(vocabulary.special))
