"""Makes tests/data/convert/: a tiny random BERT and XLM-R of the reference library.

    .venv-long/bin/python tests_long/live/make_fixture.py

hf_tiny/ and xlmr_tiny/ are the models as that library saves them; expected.npz and
expected_xlmr.npz hold rows of token ids (pairs, padded), what the models compute on
them, and the MLM loss with its gradient by the library's parameter names.
"""

from pathlib import Path

import numpy as np
import torch
import transformers

HERE = Path(__file__).parents[2] / "tests" / "data" / "convert"
WORDS = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] The cat dog sat ##s . , Un chat 猫 坐 ил ##ка Кот "
    "и qui gat ##o की है بيت في ##ة"
)
PAIRS = [
    ("The cat sat.", "Un chat, qui sat."),
    ("猫坐", "Кот и gato"),
    ("في بيت", "की है"),
    ("The dogs", "илка"),
]


SIZES = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "initializer_range": 0.4,
}


def main() -> None:
    pieces = WORDS.split()
    bert = transformers.BertConfig(
        vocab_size=len(pieces), max_position_embeddings=20, **SIZES
    )
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    make(
        transformers.BertForPreTraining,
        bert,
        transformers.BertTokenizer(vocabulary, do_lower_case=False),
        HERE / "hf_tiny",
        HERE / "expected.npz",
    )
    letters = sorted({c for pair in PAIRS for text in pair for c in text if c != " "})
    unigram = [
        *((piece, 0.0) for piece in ("<s>", "<pad>", "</s>", "<unk>")),
        *((piece, -1.0 - n) for n, piece in enumerate(["▁", "▁The", "▁cat", *letters])),
        ("<mask>", 0.0),
    ]
    xlmr = transformers.XLMRobertaConfig(
        vocab_size=len(unigram),
        max_position_embeddings=34,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
        **SIZES,
    )
    make(
        transformers.XLMRobertaForMaskedLM,
        xlmr,
        transformers.XLMRobertaTokenizer(vocab=unigram),
        HERE / "xlmr_tiny",
        HERE / "expected_xlmr.npz",
    )


def make(kind, config, tokenizer, folder, expected) -> None:
    torch.manual_seed(0)
    model = kind(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    model.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    tokenizer.save_pretrained(folder)
    rows = tokenizer(*zip(*PAIRS, strict=True), padding=True, return_tensors="pt")
    np.savez_compressed(expected, **outputs(model, dict(rows)))


def outputs(model, rows):
    labels = torch.where(rows["input_ids"] > 12, rows["input_ids"], -100)
    output = model(**rows, output_hidden_states=True)
    logits = output.get("prediction_logits", output.get("logits"))
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=-100
    )
    loss.backward()
    arrays = {
        **rows,
        "labels": labels,
        "hidden_states": torch.stack(output.hidden_states),
        "mlm_logits": logits,
        "loss": loss,
    }
    if model.base_model.pooler is not None:
        arrays["pooler_output"] = model.base_model.pooler(output.hidden_states[-1])
    arrays |= {
        f"gradient/{name}": parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return {name: value.detach().numpy() for name, value in arrays.items()}


if __name__ == "__main__":
    main()
