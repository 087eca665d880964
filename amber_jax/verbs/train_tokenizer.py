"""Trains a SentencePiece vocabulary and writes it into a folder of its own.

amber train_tokenizer --config=tokenizer.py --output=DIR
"""

from typing import TYPE_CHECKING

from absl import flags

from amber_jax.commands.command_line import require_keys
from amber_jax.commands.config_flag import define_config
from amber_jax.storage import location

if TYPE_CHECKING:
    from amber_jax.corpora.fertility import Fertility
    from amber_jax.corpora.vocabulary import Sample

_CONFIG = define_config("text and size", "tokenizer.py")
_OUTPUT = flags.DEFINE_string("output", None, "folder to write", required=True)


def main(_: list[str]) -> None:
    from amber_jax.corpora.fertility import fertility, write_fertility
    from amber_jax.corpora.vocabulary import VOCABULARY_RANGES, configured_sample
    from amber_jax.ranges import problems, refuse
    from amber_jax.tokenization import save_once, sentencepiece

    config = _CONFIG.value
    require_keys(config, ("files", "many_way", *VOCABULARY_RANGES))
    refuse("config", problems(config, VOCABULARY_RANGES))
    sample = configured_sample(config)
    tokenizer = sentencepiece.train(
        sample.sentences,
        vocab_size=config.vocab_size,
        character_coverage=config.character_coverage,
        byte_fallback=config.byte_fallback,
    )
    fertilities = fertility(tokenizer, sample.probes)
    save_once(tokenizer, location(_OUTPUT.value))
    write_fertility(location(_OUTPUT.value), fertilities)
    _print_sample(sample, fertilities)
    print(f"vocabulary   {tokenizer.vocab_size} pieces")
    print(f"fingerprint  {tokenizer.fingerprint}")
    print(f"written to   {_OUTPUT.value}")


def _print_sample(sample: "Sample", fertilities: "dict[str, Fertility]") -> None:
    for language, count in sample.available.items():
        of_language = fertilities[language]
        print(
            f"{language:12} {sample.drawn[language]} of {count} sentences, "
            f"{of_language.tokens_a_word:.2f} tokens a word, "
            f"{of_language.characters_a_token:.2f} characters a token, "
            f"{of_language.unknown_rate:.2%} unknown"
        )
    for reason, count in sample.rejects.items():
        print(f"left out     {count} lines: {reason}")
    for path in sample.empty:
        print(f"empty        {path}")
