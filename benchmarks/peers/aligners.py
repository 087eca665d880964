"""Aligns words with awesome-align or SimAlign, as their own programs do it.

Run by the interpreter of an environment with the extra `live`, from the
repository's root; the last line is one JSON object:

    PEER/bin/python -m benchmarks.peers.aligners --tool=simalign --folder=HF \
        --input=FILE --layer=8

FILE has lines `source ||| target`. awesome-align reads vocabularies of BERT alone, so
it gets the folder's own tokenizer; everything behind is its program.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch
import transformers
from awesome_align import configuration_bert, modeling, run_align
from safetensors.torch import load_file
from simalign.simalign import SentenceAligner

Links = list[list[tuple[int, int]]]


class _Tokenizer:
    """A folder's tokenizer with the methods that awesome-align calls."""

    max_len = 512

    def __init__(self, folder: str):
        self._fast = transformers.AutoTokenizer.from_pretrained(folder)
        self.tokenize = self._fast.tokenize
        self.convert_tokens_to_ids = self._fast.convert_tokens_to_ids
        self.pad_token_id = self._fast.pad_token_id
        self.cls_token_id = self._fast.cls_token_id
        self.sep_token_id = self._fast.sep_token_id

    def prepare_for_model(
        self, ids: list[int], *, return_tensors: str, max_length: int
    ) -> dict[str, torch.Tensor]:
        del return_tensors
        whole = [self.cls_token_id, *ids[: max_length - 2], self.sep_token_id]
        return {"input_ids": torch.tensor([whole])}


def awesome_align(folder: str, source: str, layer: int) -> tuple[dict[str, Links], int]:
    """Returns the links of every line, and the nanoseconds of CPU time."""
    config = configuration_bert.BertConfig.from_json_file(f"{folder}/config.json")
    model = modeling.BertForMaskedLM(config)
    weights = load_file(f"{folder}/model.safetensors")
    known = {name: weights[name] for name in weights if "position_ids" not in name}
    model.bert.load_state_dict(known, strict=False)
    tokenizer = _Tokenizer(folder)
    modeling.PAD_ID = tokenizer.pad_token_id
    modeling.CLS_ID = tokenizer.cls_token_id
    modeling.SEP_ID = tokenizer.sep_token_id
    with tempfile.TemporaryDirectory() as place:
        options = argparse.Namespace(
            data_file=source,
            output_file=f"{place}/links",
            output_prob_file=None,
            output_word_file=None,
            num_workers=0,
            batch_size=32,
            device=torch.device("cpu"),
            align_layer=layer,
            extraction="softmax",
            softmax_threshold=1e-3,
        )
        begin = time.process_time_ns()
        run_align.word_align(options, model, tokenizer)
        took = time.process_time_ns() - begin
        lines = Path(options.output_file).read_text("utf-8").splitlines()
    pairs = [[tuple(map(int, link.split("-"))) for link in x.split()] for x in lines]
    return {"awesome-align": pairs}, took


def simalign(folder: str, source: str, layer: int) -> tuple[dict[str, Links], int]:
    """Returns the links of every line by both methods, and the same."""
    aligner = SentenceAligner(folder, matching_methods="ai", layer=layer)
    begin = time.process_time_ns()
    alignments: dict[str, Links] = {"inter": [], "itermax": []}
    for line in Path(source).read_text("utf-8").splitlines():
        links = aligner.get_word_aligns(*(side.split() for side in line.split(" ||| ")))
        for method, of_method in alignments.items():
            of_method.append(links[method])
    return alignments, time.process_time_ns() - begin


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", choices=("awesome-align", "simalign"))
    parser.add_argument("--folder")
    parser.add_argument("--input")
    parser.add_argument("--layer", type=int)
    flags = parser.parse_args()
    torch.set_num_threads(1)
    tool = awesome_align if flags.tool == "awesome-align" else simalign
    links, nanoseconds = tool(flags.folder, flags.input, flags.layer)
    print(json.dumps({"links": links, "cpu_s": nanoseconds / 1e9}))


if __name__ == "__main__":
    main()
