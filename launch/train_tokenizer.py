"""Trains a SentencePiece vocabulary and writes it into a folder of its own."""

from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from amber_jax.commands.command_line import require_keys, run
from amber_jax.corpora.sources import TextSource
from amber_jax.corpora.vocabulary import VOCABULARY_RANGES, Sample, sample_text
from amber_jax.ranges import problems, refuse
from amber_jax.tokenization import save_once, sentencepiece

CONFIG = config_flags.DEFINE_config_file("config", "configs/tokenizer.py")
OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)


def main(argv: Sequence[str]) -> None:
    del argv
    config = CONFIG.value
    require_keys(config, ("files", "many_way", *VOCABULARY_RANGES))
    refuse("config", problems(config, VOCABULARY_RANGES))
    sample = read_sample(config)
    tokenizer = sentencepiece.train(
        sample.sentences,
        vocab_size=config.vocab_size,
        character_coverage=config.character_coverage,
        byte_fallback=config.byte_fallback,
    )
    save_once(tokenizer, Path(OUTPUT.value))
    print_sample(sample)
    print(f"vocabulary   {tokenizer.vocab_size} pieces")
    print(f"fingerprint  {tokenizer.fingerprint}")
    print(f"written to   {OUTPUT.value}")


def read_sample(config: ConfigDict) -> Sample:
    return sample_text(
        [TextSource(language, Path(path)) for language, path in config.files],
        [Path(path) for path in config.many_way],
        sentences=config.sentences,
        alpha=config.alpha,
        seed=config.seed,
        languages=config.languages,
    )


def print_sample(sample: Sample) -> None:
    for language, count in sample.available.items():
        print(f"{language:12} {sample.drawn[language]} of {count} sentences")
    for reason, count in sample.rejects.items():
        print(f"left out     {count} lines: {reason}")
    for path in sample.empty:
        print(f"empty        {path}")


if __name__ == "__main__":
    run(main)
