"""Encodes a text with Hugging Face transformers, as its users do when they want speed.

Run by `benchmarks.encoders` with the interpreter of an environment with the extra
`bench`, from the repository's root:

    PEER/bin/python -m benchmarks.peers.sentences --model=FOLDER --text=FILE --batch=16

Every line of stdin is one round, and answered with one JSON object: seconds, CPU
seconds and positions. At the end of stdin the last vectors are saved, if wanted.
Sentences are sorted by length and padded to the longest of a batch; a vector is the
mean over its sentence's tokens without the first and the last.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import transformers

LONGEST = 512  # tokens


def encode(
    tokenizer: transformers.PreTrainedTokenizerBase,
    model: torch.nn.Module,
    sentences: list[str],
    batch: int,
) -> tuple[np.ndarray, int]:
    """Returns the vectors in the order of the sentences, and the positions computed."""
    encoded = tokenizer(sentences, truncation=True, max_length=LONGEST)["input_ids"]
    order = sorted(range(len(encoded)), key=lambda i: -len(encoded[i]))
    vectors, positions = [], 0
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        inputs = tokenizer.pad(
            {"input_ids": [encoded[i] for i in chosen]}, return_tensors="pt"
        )
        mask = inputs["attention_mask"]
        positions += mask.numel()
        states = model(**inputs).last_hidden_state
        words = mask.clone()
        words[:, 0] = 0
        words[torch.arange(len(mask)), mask.sum(1) - 1] = 0
        totals = (states * words[..., None]).sum(1)
        vectors.append((totals / words.sum(1, keepdim=True).clamp(min=1)).numpy())
    return np.concatenate(vectors)[np.argsort(order)], positions


def parse_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--vectors", type=Path, help="save the last ones here")
    return parser.parse_args()


def main() -> None:
    flags = parse_flags()
    torch.set_num_threads(1)
    sentences = flags.text.read_text("utf-8").splitlines()
    tokenizer = transformers.AutoTokenizer.from_pretrained(flags.model)
    model = transformers.AutoModel.from_pretrained(flags.model).eval()
    vectors = np.zeros((0, 0), np.float32)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        with torch.inference_mode():
            vectors, positions = encode(tokenizer, model, sentences, flags.batch)
        result = {
            "seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "positions": positions,
        }
        print(json.dumps(result), flush=True)
    if flags.vectors:
        np.save(flags.vectors, vectors)


if __name__ == "__main__":
    main()
