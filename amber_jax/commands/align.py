"""Word alignment, wired: lines of sentence pairs in, Pharaoh lines out."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from amber_jax.commands.line_files import appearing, counted, lines_of
from amber_jax.config import alignment_problems
from amber_jax.corpora.text import LINE_CAP_BYTES
from amber_jax.datasets.word_alignment_files import format_pharaoh
from amber_jax.inference.alignment import aligning_params
from amber_jax.inference.arguments import prompt_text
from amber_jax.inference.loading import load_model
from amber_jax.inference.trained import encoding_defaults
from amber_jax.inference.word_links import (
    Alignment,
    WordLinks,
    WordPair,
    build_word_aligner,
)
from amber_jax.ranges import refuse

_WINDOW = 4096  # lines in memory together

Note = Callable[[str], None]


def align_file(
    checkpoint: Path,
    source: str,
    output: str,
    alignment: Alignment,
    *,
    dtype: str | None = None,
    note: Note,
) -> None:
    r"""Writes the links of every line of a file, as `i-j` items from 0, in its order.

    Lines are `source<TAB>target` or `source ||| target`, plain, .gz, .bz2, .xz or .zst;
    words are separated by spaces. A line that cannot be used gives an empty
    line and is counted.

        The house .\tLa maison .     ->     0-0 1-1 2-2

    Args:
        checkpoint: a run's workdir or one of its checkpoint folders.
        source: path of the file, or `line_files.STANDARD`.
        output: path of the file to write, or the same; it appears when complete.
        alignment: how words are aligned; its prompt may be the name of one.
        dtype: of activations, as of `amber_jax.load`.
        note: called with sentences worth telling.

    Raises:
        UserError: the model, an option or a file cannot be used.
    """
    model = load_model(checkpoint, dtype=dtype, note=note)
    depth = model.config.num_layers
    refuse("align", alignment_problems(alignment._asdict(), num_layers=depth))
    encoding = encoding_defaults(model.checkpoint.run)
    alignment = alignment._replace(prompt=prompt_text(encoding, alignment.prompt))
    align = build_word_aligner(model.config, model.tokenizer, alignment)
    params = aligning_params(model.params)
    rejects: dict[str, int] = {}
    lines = cut = unspaced = 0
    with appearing(output) as file:
        for window in _windows(map(split_line, lines_of(source))):
            aligned = align(params, [pair for pair, _ in window])
            for links in aligned.links:
                file.write(f"{format_pharaoh(links)}\n".encode("ascii"))
            for reason in (reason for _, reason in window if reason):
                rejects[reason] = rejects.get(reason, 0) + 1
            lines += len(window)
            cut, unspaced = cut + aligned.cut, unspaced + aligned.unspaced
    note(f"{lines:,} lines; left empty as unusable: {counted(rejects)}")
    for sentence in WordLinks([], cut, unspaced).warnings(
        model.config.usable_positions
    ):
        note(sentence)


def split_line(raw: bytes) -> tuple[WordPair, str | None]:
    r"""((source words, target words), None), or ((), ()) and a reason.

        b"The house .\tLa  maison .\r"    (("The", "house", "."), ("La", "maison", "."))
        b"The house ||| La maison"        the same with another separator
        b"The house ."                    "field_count": not two sides
        b"The house .\t"                  "empty_side"
        b"caf\xe9\tcafe"                  "not_utf8"

    Only a space (U+0020) ends a word: word indices are then those of other tools,
    whatever other white space of Unicode the words contain.
    """
    no_words: WordPair = ((), ())
    if len(raw) > LINE_CAP_BYTES:
        return no_words, "too_long"
    try:
        text = raw.decode("utf-8").removeprefix("\ufeff").removesuffix("\r")
    except UnicodeDecodeError:
        return no_words, "not_utf8"
    fields = text.split("\t" if "\t" in text else "|||")
    sides = [tuple(filter(None, field.split(" "))) for field in fields]
    if len(sides) != 2:
        return no_words, "field_count"
    if not all(sides):
        return no_words, "empty_side"
    return (sides[0], sides[1]), None


def _windows(
    lines: Iterable[tuple[WordPair, str | None]],
) -> Iterator[list[tuple[WordPair, str | None]]]:
    remaining = iter(lines)
    while window := list(itertools.islice(remaining, _WINDOW)):
        yield window
