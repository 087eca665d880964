"""A trained encoder for everyday use: vectors, word links, masked words."""

import functools
import warnings
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

import jax
import numpy as np

from amber_jax.config import alignment_problems, sentence_vector_problems
from amber_jax.errors import UserError
from amber_jax.inference.alignment import aligning_params
from amber_jax.inference.arguments import (
    Sentence,
    checked_sentences,
    pairs_of_words,
    prompt_text,
)
from amber_jax.inference.embedding import (
    Embedder,
    Encoded,
    Progress,
    build_embedder,
    embed_pieces,
    embedding_params,
    unit_length,
)
from amber_jax.inference.fill_mask import Filler, build_filler, fill_masks, masked_ids
from amber_jax.inference.loading import LoadedModel, load_model
from amber_jax.inference.trained import (
    encoding_defaults,
    trained_languages,
    trained_vector,
)
from amber_jax.inference.word_links import (
    Alignment,
    WordAligner,
    build_word_aligner,
)
from amber_jax.model.sentence_vector import SentenceVector
from amber_jax.progress import is_watched, progress_bar
from amber_jax.ranges import problems, refuse, whole
from amber_jax.storage import location
from amber_jax.types import Params

_LONG_INPUT = 4096  # sentences from which on a progress bar is worth its place
_FILLING_PARTS = ("encoder", "mlm_head")

PairLinks = list[tuple[int, int]]
"""(index of the source word, index of the target word), from 0, in rising order."""


class Model:
    """A trained encoder with its tokenizer, as `load` returns it.

    Sentences are encoded and aligned on all local devices; masks are filled on
    `device`, the first that JAX has.

    Attributes:
        tokenizer: text to ids, see `tokenization.tokenizer.Tokenizer`.
        config: sizes of the encoder, an `EncoderConfig`.
        params: {"encoder": ...} and the parts on top of it that the checkpoint has.
        sentence_vector: how sentences' vectors were made in training, the default of
            `encode`.
        encoding: prompts, the length that sentences are cut at, and whether vectors
            are scaled, an `EncodingDefaults`; of models trained here alone, none.
        max_length: tokens of the longest sentence that is not cut, specials included.
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
        self.encoding = encoding_defaults(run)
        positions = loaded.config.usable_positions
        self.max_length = min(self.encoding.max_length or positions, positions)
        self.languages = trained_languages(run)
        self.path = loaded.checkpoint.path
        self.step = loaded.checkpoint.step
        self.device = jax.tree.leaves(loaded.params)[0].device
        self._loaded = loaded
        self._embedders: dict[SentenceVector, Embedder] = {}
        self._aligners: dict[Alignment, WordAligner] = {}

    def __repr__(self) -> str:
        config, count = self.config, jax.device_count()
        return (
            f"Model({str(self.path)!r}, step {self.step}, {config.num_layers} layers "
            f"of {config.hidden_size}, {config.vocab_size:,} pieces, on {self.device}"
            f"{f', one of {count} devices' if count > 1 else ''})"
        )

    @property
    def fingerprint(self) -> str:
        """The sha256 (hex) of all that makes its vectors, as `LoadedModel` has it."""
        return self._loaded.fingerprint

    def encode(
        self,
        sentences: Iterable[str],
        *,
        layer: int | None = None,
        pooling: str | None = None,
        normalize: bool | None = None,
        batch_size: int = 64,
        special_tokens: bool | None = None,
        prompt: str | None = None,
        progress: bool | None = None,
    ) -> np.ndarray:
        """One vector per sentence, [N, D] float32, in the order given.

            vectors = model.encode(["A house.", "Ein Haus."], normalize=True)
            similarity = vectors @ vectors.T

        A sentence of more than `max_length` tokens is cut at its end. One without
        any piece, such as "" without a prompt, has the vector of `[CLS] [SEP]`; with
        "mean" pooling that leaves special tokens out it is zero. A warning counts both
        kinds.

        Args:
            sentences: a list or generator of them, even if it is one; an empty list
                gives [0, D].
            layer: -1 the last, 0 the embeddings, n the output of layer n. None: the
                last.
            pooling: "mean", "first" for the vector of [CLS], or "pooler" for what
                BERT's pooler makes of that. None: as in training.
            normalize: scale vectors to length 1, so that products are cosines. A zero
                vector stays zero. None: as the model's `encoding` says.
            batch_size: sentences of `max_length` tokens in a device's batch, at most.
                Of shorter ones a batch has as many more as have as many tokens; a CPU
                takes no more at once than its caches hold.
            special_tokens: whether [CLS] and [SEP] count in the mean. None: as in
                training, the run's `sentence_alignment.special_tokens`.
            prompt: a text to put before every sentence, such as "query: ", or the name
                of one of `encoding.prompts`; "" for none. None: the default one there.
            progress: whether to show a bar. None: for thousands of sentences, if
                stderr is a terminal.

        Raises:
            UserError: `sentences` is no list of strings, or an option is wrong.
        """
        sentences = checked_sentences(sentences)
        if progress is None:
            progress = len(sentences) > _LONG_INPUT and is_watched()
        with progress_bar("encoding", len(sentences), shown=progress) as advance:
            encoded = self.encode_counting(
                sentences,
                self.vector_with(
                    layer=layer, pooling=pooling, special_tokens=special_tokens
                ),
                normalize=normalize,
                prompt=prompt,
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
        normalize: bool | None = None,
        prompt: str | None = None,
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
        before = prompt_text(self.encoding, prompt)
        pieces = self.tokenizer.encode_batch([before + text for text in sentences])
        vectors = embed_pieces(
            self._embedders[vector],
            self._embedding_params,
            self.tokenizer,
            pieces,
            max_length=self.max_length,
            batch_size=batch_size,
            on_progress=on_progress,
        )
        scaled = self.encoding.normalize if normalize is None else normalize
        return Encoded(
            unit_length(vectors) if scaled else vectors,
            empty=sum(not ids for ids in pieces),
            cut=sum(len(ids) > self.max_length - 2 for ids in pieces),
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
                f"sentences cut at the model's {self.max_length} positions: {cut:,}"
            )
        return sentences

    def align(
        self,
        src: Sentence | Iterable[Sentence],
        tgt: Sentence | Iterable[Sentence],
        *,
        method: str = "similarity",
        layer: int | None = None,
        symmetrization: str = "intersection",
        threshold: float = 0.0,
        level: str = "word",
        similarity: str = "dot",
        center: bool = False,
        context: float = 0.0,
        prompt: str = "",
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
            layer: of the similarity; -1 the last, 0 the embeddings. None: the last,
                in models of 12 layers or more one in the middle, 7 of 12.
            symmetrization: how the two directions become one: "intersection",
                "union", "grow-diag-final", "grow-diag-final-and", "src-to-tgt",
                "tgt-to-src", or SimAlign's "itermax", of cosines.
            threshold: least probability of a link, of cosines least (cosine + 1) / 2;
                0 links each piece to its best.
            level: what symmetrization combines, links of a "word" or of a "piece".
            similarity: of two pieces' vectors, "dot" or "cosine".
            center: whether the mean of a side's vectors is subtracted first.
            context: weight of the neighboring pieces' similarities, from 0 to 1.
            prompt: text that stands before each side and has no links itself, such as
                "query: ", or the name of one of `encoding.prompts`; "" for none.

        Raises:
            UserError: the sides do not fit each other, or an option is wrong.
        """
        options = Alignment(
            *(method, layer, symmetrization, threshold),
            *(level, similarity, center, context, prompt),
        )
        depth = self.config.num_layers
        refuse("align", alignment_problems(options._asdict(), num_layers=depth))
        options = options._replace(prompt=prompt_text(self.encoding, prompt))
        if options not in self._aligners:
            self._aligners[options] = build_word_aligner(
                self.config, self.tokenizer, options
            )
        is_pair = isinstance(src, str) and isinstance(tgt, str)
        pairs = pairs_of_words([src] if is_pair else src, [tgt] if is_pair else tgt)
        aligned = self._aligners[options](self._aligning_params, pairs)
        for sentence in aligned.warnings(self.config.usable_positions):
            warnings.warn(sentence, stacklevel=2)
        links = [sorted(pair_links) for pair_links in aligned.links]
        return links[0] if is_pair else links

    def fill_mask(self, text: str, top_k: int = 5) -> list[list[tuple[str, float]]]:
        """The likeliest pieces of every `[MASK]` in a text, best first.

        The mask is written as the vocabulary writes it, as `<mask>` by XLM-R's.

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
        ids = masked_ids(self.tokenizer, text, self.config.usable_positions - 2)
        params = {part: self.params[part] for part in _FILLING_PARTS}
        return fill_masks(self._filler, params, self.tokenizer, ids, top_k)

    @functools.cached_property
    def _embedding_params(self) -> Params:
        return embedding_params(self.params)

    @functools.cached_property
    def _aligning_params(self) -> Params:
        return aligning_params(self.params)

    @functools.cached_property
    def _filler(self) -> Filler:
        return build_filler(self.config)


def load(path: str | PathLike[str], **options: Any) -> Model:
    """The model of a checkpoint; path and options are those of `amber_jax.load`."""
    return Model(load_model(location(path), note=warnings.warn, **options))
