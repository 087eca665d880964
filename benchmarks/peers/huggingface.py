"""Times Hugging Face transformers' BertForMaskedLM with PyTorch's AdamW.

Run by the interpreter of an environment with the extra `bench`, from the repository's
root; the last line is one JSON object:

    PEER/bin/python -m benchmarks.peers.huggingface --size=small

As shipped, the prediction head runs on every position, which `--head=masked` leaves to
the predicted ones. That is the first half of "tuned". The other half, on a CPU, is
outside of the program, and compare.py sets it up: an allocator that keeps memory, by
LD_PRELOAD of tcmalloc or jemalloc, and, as Intel's MKL takes slow paths on other
makers' chips, LD_PRELOAD of a library whose `mkl_serv_intel_cpu_true` returns 1.

Nothing is clipped, AdamW is the fused one: small gifts to the peer.
"""

import argparse
import json
from collections.abc import Callable

import numpy as np
import torch
import transformers

from benchmarks import workload
from benchmarks.peers import program


def build_model(
    size: workload.Size, attention: str, dropout: float
) -> transformers.BertForMaskedLM:
    config = transformers.BertConfig(
        vocab_size=size.vocab_size,
        hidden_size=size.hidden_size,
        num_hidden_layers=size.num_layers,
        num_attention_heads=size.num_heads,
        intermediate_size=size.intermediate_size,
        max_position_embeddings=max(512, size.row_length),
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        attn_implementation=attention,
    )
    return transformers.BertForMaskedLM(config).train()


def build_optimizer(model: torch.nn.Module) -> torch.optim.Optimizer:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": workload.WEIGHT_DECAY},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=workload.LEARNING_RATE,
        eps=workload.EPSILON,
        fused=True,
    )


def loss_as_shipped(
    model: transformers.BertForMaskedLM, inputs: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Returns the loss of a model that predicts every position."""
    return model(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["mask"],
        token_type_ids=inputs["segment_ids"],
        labels=inputs["labels"],
    ).loss


def loss_of_masked(
    model: transformers.BertForMaskedLM, inputs: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Returns the same loss, with the head on the predicted positions alone."""
    # Rows without padding need no mask, and the quickest attention takes none.
    hidden = model.bert(
        input_ids=inputs["input_ids"],
        attention_mask=inputs.get("mask"),
        token_type_ids=inputs["segment_ids"],
    ).last_hidden_state
    chosen = hidden.flatten(0, 1).index_select(0, inputs["places"])
    return torch.nn.functional.cross_entropy(
        model.cls(chosen).float(), inputs["targets"]
    )


def inputs_of(batch: workload.Batch, pad: str, head: str) -> dict[str, torch.Tensor]:
    """Returns the tensors of a batch; `longest` cuts what every row has as padding.

    An expert's program (`head` is masked) leaves the mask of full rows out.
    """
    end = batch.mask.sum(1).max() if pad == "longest" else batch.mask.shape[1]
    names = ("input_ids", "mask", "segment_ids", "labels")
    arrays = {name: getattr(batch, name)[:, :end] for name in names}
    labels = arrays["labels"].reshape(-1)
    arrays["places"] = np.flatnonzero(labels != workload.NOT_PREDICTED)
    arrays["targets"] = labels[arrays["places"]]
    if head == "masked" and arrays["mask"].all():
        del arrays["mask"]
    return {
        name: torch.from_numpy(array.astype(np.int64)) for name, array in arrays.items()
    }


def build_update(
    flags: argparse.Namespace, size: workload.Size, inputs: list[dict]
) -> tuple[Callable[[int], float], int]:
    """Returns number of the step -> loss, and the number of parameters."""
    model = build_model(size, flags.attention, flags.dropout).to(flags.device)
    optimizer = build_optimizer(model)
    loss_of = loss_as_shipped if flags.head == "full" else loss_of_masked
    if flags.compile:
        loss_of = torch.compile(loss_of)

    def update(step: int) -> float:
        placed = {
            name: tensor.to(flags.device, non_blocking=True)
            for name, tensor in inputs[step].items()
        }
        with torch.autocast(
            flags.device, torch.bfloat16, enabled=flags.dtype == "bfloat16"
        ):
            loss = loss_of(model, placed)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return update, sum(parameter.numel() for parameter in model.parameters())


def parse_flags() -> argparse.Namespace:
    parser = program.parser()
    parser.add_argument("--pad", default="row", choices=["row", "longest"])
    parser.add_argument("--head", default="full", choices=["full", "masked"])
    parser.add_argument("--attention", default="sdpa", choices=["sdpa", "eager"])
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    return parser.parse_args()


def main() -> None:
    flags = parse_flags()
    torch.manual_seed(flags.seed)
    size, batches = program.work(flags)
    inputs = [inputs_of(batch, flags.pad, flags.head) for batch in batches]
    update, parameters = build_update(flags, size, inputs)
    result = program.run(
        "huggingface",
        flags,
        size,
        batches,
        update,
        parameters=parameters,
        positions=sum(tensors["input_ids"].numel() for tensors in inputs),
        versions={
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "threads": torch.get_num_threads(),
        },
    )
    if flags.device == "cuda":
        peak = torch.cuda.max_memory_allocated()
        result["device"] = torch.cuda.get_device_name()
        result["peak_device_mb"] = round(peak / 2**20, 1)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
