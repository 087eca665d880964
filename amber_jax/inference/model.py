"""A trained encoder for everyday use: vectors, word links, masked words."""

import functools
import warnings
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from amber_jax.config import alignment_problems, sentence_vector_problems
from amber_jax.errors import UserError
from amber_jax.inference.devices import on_all_devices
from amber_jax.inference.embedding import (
    Embedder,
    Progress,
    build_embedder,
    embed_pieces,
    unit_length,
)
from amber_jax.inference.fill_mask import Filler, build_filler, fill_masks, masked_ids
from amber_jax.inference.loading import LoadedModel, load_model
from amber_jax.inference.trained import trained_languages, trained_vector
from amber_jax.inference.word_links import (
    Alignment,
    WordAligner,
    build_word_aligner,
)
from amber_jax.model.sentence_vector import SentenceVector
from amber_jax.progress import is_watched, progress_bar
from amber_jax.ranges import problems, refuse, whole
from amber_jax.types import Params

_LONG_INPUT = 4096  # sentences from which on a progress bar is worth its place
_FILLING_PARTS = ("encoder", "mlm_head")

Sentence = str | Sequence[str]
"""A text whose words stand between spaces, or its words."""
PairLinks = list[tuple[int, int]]
"""(index of the source word, index of the target word), from 0, in rising order."""


class Encoded(NamedTuple):
    """Vectors of sentences, and counts of sentences to warn about."""

    vectors: np.ndarray  # [N, D] float32
    empty: int  # sentences without any piece
    cut: int  # sentences longer than the model's positions


class Model:
    """A trained encoder with its tokenizer, as `load` returns it.

    Sentences are encoded on all local devices; the rest is done on `device`, the first
    that JAX has.

    Attributes:
        tokenizer: text to ids, see `tokenization.tokenizer.Tokenizer`.
        config: sizes of the encoder, an `EncoderConfig`.
        params: {"encoder": ...} and the parts on top of it that the checkpoint has.
        sentence_vector: how sentences' vectors were made in training, the default of
            `encode`.
        languages: that it was trained on; empty if the corpus is no longer where it
            was, or the model was not pretrained here.
        path: the checkpoint's folder.
        step: of the training.
        device: that holds `params`.
    """

    def __init__(self, loaded: LoadedModel):
        """Takes a model as `loading.load_model` returns it."""
        run = loaded.checkpoint.run
        self.tokenizer = loaded.tokenizer
        self.config = loaded.config
        self.params = loaded.params
        self.sentence_vector = trained_vector(run).numbered(loaded.config.num_layers)
        self.languages = trained_languages(run)
        self.path = loaded.checkpoint.path
        self.step = loaded.checkpoint.step
        self.device = jax.tree.leaves(loaded.params)[0].device
        self._embedders: dict[SentenceVector, Embedder] = {}
        self._aligners: dict[Alignment, WordAligner] = {}

    def __repr__(self) -> str:
        config, count = self.config, jax.device_count()
        return (
            f"Model({str(self.path)!r}, step {self.step}, {config.num_layers} layers "
            f"of {config.hidden_size}, {config.vocab_size:,} pieces, on {self.device}"
            f"{f', one of {count} devices' if count > 1 else ''})"
        )

    def encode(
        self,
        sentences: Iterable[str],
        *,
        layer: int | None = None,
        pooling: str | None = None,
        normalize: bool = False,
        batch_size: int = 64,
        special_tokens: bool | None = None,
        progress: bool | None = None,
    ) -> np.ndarray:
        """One vector per sentence, [N, D] float32, in the order given.

            vectors = model.encode(["A house.", "Ein Haus."], normalize=True)
            similarity = vectors @ vectors.T

        A sentence longer than the model's positions is cut at its end. One without
        any piece, such as "", has the vector of `[CLS] [SEP]`; with "mean" pooling
        that leaves special tokens out it is zero. A warning counts both kinds.

        Args:
            sentences: a list or generator of them, even if it is one; an empty list
                gives [0, D].
            layer: -1 the last, 0 the embeddings, n the output of layer n. None: the
                last.
            pooling: "mean", or "first" for the vector of [CLS]. None: as in training.
            normalize: scale vectors to length 1, so that products are cosines. A zero
                vector stays zero.
            batch_size: sentences as long as the model's positions in a device's
                batch, at most. Of shorter ones a batch has as many more as have as
                many tokens; a CPU takes no more at once than its caches hold.
            special_tokens: whether [CLS] and [SEP] count in the mean. None: as in
                training, the run's `sentence_alignment.special_tokens`.
            progress: whether to show a bar. None: for thousands of sentences, if
                stderr is a terminal.

        Raises:
            UserError: `sentences` is no list of strings, or an option is wrong.
        """
        sentences = _checked_sentences(sentences)
        if progress is None:
            progress = len(sentences) > _LONG_INPUT and is_watched()
        with progress_bar("encoding", len(sentences), shown=progress) as advance:
            encoded = self.encode_counting(
                sentences,
                self.vector_with(
                    layer=layer, pooling=pooling, special_tokens=special_tokens
                ),
                normalize=normalize,
                batch_size=batch_size,
                on_progress=lambda done, _: advance(done),
            )
        for sentence in self.encoding_warnings(encoded.empty, encoded.cut):
            warnings.warn(sentence, stacklevel=2)
        return encoded.vectors

    def vector_with(
        self,
        *,
        layer: int | None = None,
        pooling: str | None = None,
        special_tokens: bool | None = None,
    ) -> SentenceVector:
        """`sentence_vector` with other fields, as `encode` takes them.

        Raises:
            UserError: the model has no such layer, or there is no such pooling.
        """
        fields = {"layer": layer, "pooling": pooling, "special_tokens": special_tokens}
        given = {name: value for name, value in fields.items() if value is not None}
        vector, depth = self.sentence_vector._replace(**given), self.config.num_layers
        refuse("vectors", sentence_vector_problems(vector, depth))
        return vector.numbered(depth)

    def encode_counting(
        self,
        sentences: Sequence[str],
        vector: SentenceVector,
        *,
        normalize: bool = False,
        batch_size: int = 64,
        on_progress: Progress | None = None,
    ) -> Encoded:
        """The vectors that `encode` returns, and counts in place of its warnings.

        For encoding a text in many parts. `vector` is as `vector_with` returns it;
        `on_progress` is called after every batch.
        """
        refuse("encode", problems(batch_size, whole(1), "batch_size"))
        if vector not in self._embedders:
            self._embedders[vector] = build_embedder(self.config, vector)
        pieces = self.tokenizer.encode_batch(sentences)
        vectors = embed_pieces(
            self._embedders[vector],
            self._encoder,
            self.tokenizer,
            pieces,
            max_length=self.config.max_positions,
            batch_size=batch_size,
            on_progress=on_progress,
        )
        return Encoded(
            unit_length(vectors) if normalize else vectors,
            empty=sum(not ids for ids in pieces),
            cut=sum(len(ids) > self.config.max_positions - 2 for ids in pieces),
        )

    def encoding_warnings(self, empty: int, cut: int) -> list[str]:
        """The counts of an `Encoded` as sentences, none for zero."""
        sentences = []
        if empty:
            sentences.append(
                f"sentences without any piece: {empty:,}; they have the vector of "
                "[CLS] [SEP], which is zero if special tokens are left out"
            )
        if cut:
            sentences.append(
                f"sentences cut at the model's {self.config.max_positions} positions: "
                f"{cut:,}"
            )
        return sentences

    def align(
        self,
        src: Sentence | Iterable[Sentence],
        tgt: Sentence | Iterable[Sentence],
        *,
        method: str = "similarity",
        layer: int = -1,
        symmetrization: str = "intersection",
        threshold: float = 0.0,
    ) -> PairLinks | list[PairLinks]:
        """The links between words that translate each other.

            model.align("the house", "la maison")                [(0, 0), (1, 1)]
            model.align(["the house", ["a", "dog"]], ["la maison", ["un", "chien"]])
                                                  one such list for every pair

        Args:
            src: a sentence as one string, or sentences (a list or a generator), each
                a string, split at spaces, or a list of words.
            tgt: its translation, or theirs.
            method: "similarity", or "attention" of the last layer, in which the model
                sees both sides.
            layer: of the similarity; -1 the last, 0 the embeddings.
            symmetrization: how the two directions become one: "intersection",
                "union", "grow-diag-final", "grow-diag-final-and", "src-to-tgt" or
                "tgt-to-src".
            threshold: least probability of a link; 0 links each piece to its best.

        Raises:
            UserError: the sides do not fit each other, or an option is wrong.
        """
        options = Alignment(method, layer, symmetrization, threshold)
        depth = self.config.num_layers
        refuse("align", alignment_problems(**options._asdict(), num_layers=depth))
        if options not in self._aligners:
            self._aligners[options] = build_word_aligner(
                self.config, self.tokenizer, options
            )
        is_pair = isinstance(src, str) and isinstance(tgt, str)
        pairs = _pairs_of_words([src] if is_pair else src, [tgt] if is_pair else tgt)
        aligned = self._aligners[options](self.params, pairs)
        for sentence in aligned.warnings(self.config.max_positions):
            warnings.warn(sentence, stacklevel=2)
        links = [sorted(pair_links) for pair_links in aligned.links]
        return links[0] if is_pair else links

    def fill_mask(self, text: str, top_k: int = 5) -> list[list[tuple[str, float]]]:
        """The likeliest pieces of every `[MASK]` in a text, best first.

            model.fill_mask("Paris is in [MASK].", top_k=2)
            [[("▁France", 0.83), ("▁Europe", 0.04)]]

        A mask stands for one piece, as the vocabulary writes it: U+2581 at its front
        (SentencePiece), or no ## (WordPiece), says that it begins a word. Text that
        follows a mask without a space continues it as if it were a word. Probabilities
        are over all of the model's entries, the other masks masked too; an entry beyond
        the vocabulary, without a piece, is passed over.

        Raises:
            UserError: the text has no mask or is too long, the model has no
                masked-language head, or `top_k` is not positive.
        """
        missing = [part for part in _FILLING_PARTS if part not in self.params]
        if missing:
            raise UserError(
                f"{self.path} has no {missing[0]}, only {', '.join(self.params)}; it "
                "takes a checkpoint of the pretraining to fill masks"
            )
        refuse("fill_mask", problems(top_k, whole(1), "top_k"))
        ids = masked_ids(self.tokenizer, text, self.config.max_positions - 2)
        params = {part: self.params[part] for part in _FILLING_PARTS}
        return fill_masks(self._filler, params, self.tokenizer, ids, top_k)

    @functools.cached_property
    def _encoder(self) -> Params:
        return on_all_devices(self.params["encoder"])

    @functools.cached_property
    def _filler(self) -> Filler:
        return build_filler(self.config)


def load(
    path: str | PathLike[str], *, kernels: Mapping[str, str] | None = None
) -> Model:
    """The model of a checkpoint, see `amber_jax.load`."""
    return Model(load_model(Path(path), kernels=kernels, note=warnings.warn))


def _checked_sentences(sentences: Iterable[str]) -> list[str]:
    if isinstance(sentences, str):
        raise UserError(
            "encode got one string; wanted a list of sentences, as in encode([text])"
        )
    sentences = _listed(sentences, "encode", "strings")
    for index, sentence in enumerate(sentences):
        if not isinstance(sentence, str):
            raise UserError(
                f"encode got a {type(sentence).__name__} as sentence {index}, from 0; "
                "wanted strings"
            )
    return sentences


def _listed(items: Any, method: str, wanted: str) -> list[Any]:
    """The items; raises UserError for None, a number, bytes or a dict."""
    if isinstance(items, bytes | Mapping) or not isinstance(items, Iterable):
        raise UserError(f"{method} got {items!r:.80}; wanted a list of {wanted}")
    return list(items)


def _pairs_of_words(
    src: Iterable[Sentence], tgt: Iterable[Sentence]
) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    if isinstance(src, str) or isinstance(tgt, str):
        raise UserError("align got a string and no string; wanted two, or two lists")
    xs, ys = (_listed(side, "align", "sentences") for side in (src, tgt))
    if len(xs) != len(ys):
        raise UserError(
            f"align got lists of {len(xs)} and {len(ys)} sentences; wanted as many "
            "translations as sentences"
        )
    return [(_words(x), _words(y)) for x, y in zip(xs, ys, strict=True)]


def _words(sentence: Sentence) -> tuple[str, ...]:
    """The words; only U+0020 ends one, as in amber align."""
    if isinstance(sentence, str):
        return tuple(filter(None, sentence.split(" ")))
    words = _listed(sentence, "align, as a sentence,", "words")
    if not all(isinstance(word, str) for word in words):
        raise UserError("align got a sentence that is neither text nor a list of words")
    return tuple(words)
