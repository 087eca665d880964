"""Makes tests/data/convert/: a tiny random BERT of the reference library.

    .venv-long/bin/python tests_long/live/make_fixture.py

hf_tiny/ is the model as that library saves it; expected.npz holds rows of token ids
(pairs, padded), what the model computes on them, and the MLM loss with its gradient by
the library's parameter names.
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


def main() -> None:
    torch.manual_seed(0)
    pieces = WORDS.split()
    config = transformers.BertConfig(
        vocab_size=len(pieces),
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=20,
        initializer_range=0.4,
    )
    model = transformers.BertForPreTraining(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    folder = HERE / "hf_tiny"
    model.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = transformers.BertTokenizer(vocabulary, do_lower_case=False)
    tokenizer.save_pretrained(folder)
    rows = tokenizer(*zip(*PAIRS, strict=True), padding=True, return_tensors="pt")
    np.savez_compressed(HERE / "expected.npz", **outputs(model, dict(rows)))


def outputs(model, rows):
    labels = torch.where(rows["input_ids"] > 12, rows["input_ids"], -100)
    output = model(**rows, output_hidden_states=True)
    loss = torch.nn.functional.cross_entropy(
        output.prediction_logits.flatten(0, 1), labels.flatten(), ignore_index=-100
    )
    loss.backward()
    arrays = {
        **rows,
        "labels": labels,
        "hidden_states": torch.stack(output.hidden_states),
        "pooler_output": model.bert.pooler(output.hidden_states[-1]),
        "mlm_logits": output.prediction_logits,
        "loss": loss,
    }
    arrays |= {
        f"gradient/{name}": parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return {name: value.detach().numpy() for name, value in arrays.items()}


if __name__ == "__main__":
    main()
