"""A model of fewer pieces: a corpus's, and what its tokenizer cannot do without."""

import dataclasses

import numpy as np

from amber_jax.convert.bert import Bert


def keep_pieces(bert: Bert, counts: np.ndarray, *, min_count: int) -> Bert:
    """Returns the model with the pieces that occur at least `min_count` times.

    What remains gives text of these pieces the vectors and, but for the pieces that are
    gone, the logits that it had. Special pieces keep their roles.

    Args:
        bert: the whole model.
        counts: [V] of each piece of its tokenizer.
        min_count: at least 1; above 1, text of rarer pieces is spelt in other ones.

    Raises:
        UserError: its vocabulary cannot be cut.
    """
    tokenizer = bert.tokenizer
    used = np.flatnonzero(counts >= min_count).tolist()
    ids = sorted({*used, *tokenizer.special.ids(), *tokenizer.indispensable()})
    params = dict(bert.params)
    encoder = dict(params["encoder"])
    embeddings = dict(encoder["embeddings"])
    embeddings["word"] = {"embedding": embeddings["word"]["embedding"][ids]}
    params["encoder"] = {**encoder, "embeddings": embeddings}
    if "mlm_head" in params:
        head = params["mlm_head"]
        params["mlm_head"] = {**head, "bias": head["bias"][ids]}
    gone = np.ones(len(counts), bool)
    gone[ids] = False
    lost, total = int(counts[gone].sum()), int(counts.sum())
    note = (
        f"vocabulary cut from {bert.config.vocab_size:,} to {len(ids):,} pieces; "
        f"{lost:,} of the corpus's {total:,} tokens ({lost / max(total, 1):.3%}) are "
        "of pieces that are gone and will be spelt in others"
    )
    return dataclasses.replace(
        bert,
        config=dataclasses.replace(bert.config, vocab_size=len(ids)),
        params=params,
        tokenizer=tokenizer.subset(ids),
        notes=(*bert.notes, note),
    )
