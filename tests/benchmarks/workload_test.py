"""The common work: a function of the seed, and the same for whoever trains on it."""

import itertools

import numpy as np
import pytest

from amber_jax.model import flops
from amber_jax.model.encoder import EncoderConfig
from benchmarks import packed_work, workload
from benchmarks.workload import CLS, FIRST_WORD, MASK, NOT_PREDICTED, PAD, SEP

SIZE = workload.sized("tiny", row_length=128, rows=8)


def drawn(lengths, *, seed=0, count=6):
    return workload.first_batches(SIZE, count, lengths=lengths, seed=seed)


def clean(lengths, *, seed=0, count=6):
    source = workload.texts(SIZE, lengths=lengths, seed=seed)
    parts = zip(*itertools.islice(source, count), strict=True)
    return workload.Texts(*(np.concatenate(part) for part in parts))


@pytest.mark.parametrize("lengths", workload.LENGTHS)
def test_equal_seeds_give_equal_batches_and_others_do_not(lengths):
    first, same, other = (drawn(lengths, seed=seed) for seed in (3, 3, 4))
    for field in workload.Batch._fields:
        for mine, again in zip(first, same, strict=True):
            np.testing.assert_array_equal(getattr(mine, field), getattr(again, field))
    assert (first[0].input_ids != other[0].input_ids).any()
    assert (first[0].input_ids != first[1].input_ids).any()


def test_the_first_texts_are_known():
    ids, spans = next(workload.texts(SIZE, lengths="pairs", seed=0))
    assert spans[:3].tolist() == [[29, 24], [25, 19], [39, 34]]
    assert ids[0, :8].tolist() == [CLS, 37, 9, 17, 5, 5, 90, 76]


@pytest.mark.parametrize("lengths", workload.LENGTHS)
def test_texts_are_laid_out_as_our_rows_are(lengths):
    ids, spans = clean(lengths)
    for row, (first, second) in zip(ids, spans, strict=True):
        end = first + second
        assert row[0] == CLS
        ends = [first - 1, end - 1] if second else [first - 1]
        assert np.flatnonzero(row == SEP).tolist() == ends
        assert (row[end:] == PAD).all()
        assert (np.delete(row[:end], [0, *ends]) >= FIRST_WORD).all()
    assert ids.max() < SIZE.vocab_size
    full = spans.sum(1) == SIZE.row_length
    assert full.all() if lengths == "full" else not full.all()


def test_sentences_have_thirty_words_on_average():
    wide = workload.sized("tiny", row_length=512, rows=4000)
    _, spans = next(workload.texts(wide, lengths="pairs", seed=0))
    words = spans - [2, 1]
    assert words.min() >= 1
    np.testing.assert_allclose(words.mean(0), 30, atol=1)


def test_common_words_come_more_often():
    counts = np.bincount(clean("full", count=40).token_ids.ravel(), minlength=100)
    words = counts[FIRST_WORD:]
    assert words[0] > words[10] > words[90]
    np.testing.assert_allclose(words[0] / words[1], 2, rtol=0.2)


@pytest.mark.parametrize("lengths", workload.LENGTHS)
def test_masking_hides_its_share_and_remembers_it(lengths):
    ids, spans = clean(lengths)
    batches = drawn(lengths)
    fields = zip(*batches, strict=True)
    *arrays, counts = (np.stack(field) for field in fields)
    batch = workload.Batch(*(x.reshape(-1, x.shape[-1]) for x in arrays), counts.sum())
    assert batch.n_real == spans.sum() == batch.mask.sum()
    words = (ids >= FIRST_WORD).sum(1)
    np.testing.assert_array_equal(
        batch.pos_w.sum(1), np.maximum(1, np.rint(0.15 * words))
    )
    predicted = batch.labels != NOT_PREDICTED
    np.testing.assert_array_equal(predicted.sum(1), batch.pos_w.sum(1))
    np.testing.assert_array_equal(batch.labels[predicted], ids[predicted])
    np.testing.assert_array_equal(batch.input_ids[~predicted], ids[~predicted])
    real = batch.pos_w > 0
    at = np.take_along_axis(batch.labels, batch.pos, axis=1)
    np.testing.assert_array_equal(at[real], batch.pos_ids[real])
    assert 0.7 < (batch.input_ids[predicted] == MASK).mean() < 0.9
    np.testing.assert_array_equal(batch.segment_ids.sum(1), spans[:, 1])


def texts_of(ids, spans):
    """The tokens of every pair, with the place where its second side starts."""
    texts = []
    for row, pairs in zip(ids, spans.reshape(len(ids), -1, 2), strict=True):
        start = 0
        for first, second in pairs[pairs[:, 0] > 0]:
            end = start + first + second
            texts.append((int(first), row[start:end].tolist()))
            start = end
        assert (row[start:] == PAD).all()
    return sorted(texts)


def test_packed_pairs_are_the_padded_ones():
    padded = clean("pairs", count=20)
    ids, spans = packed_work.pack(padded, SIZE.row_length)
    assert len(ids) < 0.6 * len(padded.token_ids)
    assert texts_of(ids, spans) == texts_of(*padded)


@pytest.mark.parametrize("packed", [True, False])
def test_our_batches_are_those_of_a_corpus(packed):
    size = workload.sized("tiny", row_length=256, rows=8)
    made = packed_work.batches(size, 3, lengths="pairs", packed=packed, seed=1)
    rows = [batch["pair"] for batch in made]
    ids, spans, row_ids = (
        np.concatenate([rows_of_batch[field] for rows_of_batch in rows])
        for field in ("token_ids", "span_lengths", "row_ids")
    )
    assert ids.shape == (24, 256) and spans.shape == (24, packed_work.MAX_PAIRS, 2)
    assert row_ids.dtype == np.uint32
    assert len(np.unique(row_ids, axis=0)) == 24
    share = spans.sum() / ids.size
    assert share > 0.95 if packed else share < 0.4
    texts_of(ids, spans)


def test_full_rows_are_monolingual():
    (batch,) = packed_work.batches(SIZE, 1, lengths="full", packed=True, seed=0)
    assert list(batch) == ["mono"]
    np.testing.assert_array_equal(
        batch["mono"]["token_ids"],
        next(workload.texts(SIZE, lengths="full", seed=0)).token_ids,
    )


@pytest.mark.parametrize("lengths", workload.LENGTHS)
def test_peers_are_given_the_arithmetic_that_the_package_counts(lengths):
    config = EncoderConfig(
        vocab_size=SIZE.vocab_size,
        num_layers=SIZE.num_layers,
        hidden_size=SIZE.hidden_size,
        num_heads=SIZE.num_heads,
        intermediate_size=SIZE.intermediate_size,
        max_positions=512,
        num_segments=2,
        hidden_dropout=0.1,
        attention_dropout=0.1,
        initializer_range=0.02,
        dtype="float32",
        remat=False,
    )
    expected = flops.masked_lm(
        config,
        next(workload.texts(SIZE, lengths=lengths, seed=0)).span_lengths[:, None],
        row_length=SIZE.row_length,
        masking_rate=workload.MASKING_RATE,
    )
    (batch,) = drawn(lengths, count=1)
    assert workload.training_flops(SIZE, batch) == expected
