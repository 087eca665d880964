"""Small folders of the kinds of tokenizer that are read as they are."""

import io
import json

import sentencepiece
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
XLMR = ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
ROLES = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")


def fairseq_model(sentences, *, vocab_size=1500, rule="nmt_nfkc"):
    """The bytes of a unigram model with fairseq's three special pieces."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        model_type="unigram",
        vocab_size=vocab_size,
        character_coverage=0.9995,
        normalization_rule_name=rule,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def write_fairseq(folder, sentences, *, vocab_size=1500):
    """A folder as XLM-R was first published."""
    model = fairseq_model(sentences, vocab_size=vocab_size)
    (folder / "sentencepiece.bpe.model").write_bytes(model)
    settings = {"model_type": "xlm-roberta", "tokenizer_class": "XLMRobertaTokenizer"}
    (folder / "config.json").write_text(json.dumps(settings))


def write_uncased(folder, sentences, *, vocab_size=800):
    """A lower-casing WordPiece with a token that is added behind the vocabulary."""
    library = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    library.normalizer = normalizers.BertNormalizer(lowercase=True)
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    library.decoder = decoders.WordPiece(cleanup=False)
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size, special_tokens=BERT, show_progress=False
    )
    library.train_from_iterator(sentences, trainer)
    library.add_tokens(["covid"])
    library.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    library.enable_padding()  # as sentence-transformers leave it there
    library.enable_truncation(8)
    _write(folder, library, BERT)


def write_byte_level(folder, sentences, *, vocab_size=800):
    """A byte-level BPE with RoBERTa's special pieces, in no order."""
    library = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=XLMR[2:] + XLMR[:2],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library.train_from_iterator(sentences, trainer)
    ends = (("</s>", library.token_to_id("</s>")), ("<s>", library.token_to_id("<s>")))
    library.post_processor = processors.RobertaProcessing(*ends)
    _write(folder, library, XLMR)


def _write(folder, library, names):
    (folder / "tokenizer.json").write_text(library.to_str(), "utf-8")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **dict(zip(ROLES, names, strict=True)),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
