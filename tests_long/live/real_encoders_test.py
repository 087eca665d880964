"""docs/real_encoders.md, carried out: a small XLM-R on its way in, through and out."""

import lzma
import re

import library_folders
import numpy as np
import pytest
import sentence_transformers
import torch
import transformers
from readme_test import ROOT, run_in, shell_blocks

import amber_jax

PAGE = ROOT / "docs" / "real_encoders.md"
TEXTS = ["A house.", "Ein Haus.", "Une maison, deux chats et beaucoup de temps."]


@pytest.fixture(scope="module")
def folder(many_sentences, tmp_path_factory):
    """Where the page's first block was run, ENCODER beside it."""
    folder = tmp_path_factory.mktemp("page")
    for name in ("launch", "configs", "data"):
        (folder / name).symlink_to(ROOT / name)
    encoder = folder / "ENCODER"
    encoder.mkdir()
    library_folders.write_fairseq(encoder, many_sentences[::12], vocab_size=4000)
    config = transformers.XLMRobertaConfig(
        vocab_size=4002,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=132,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    torch.manual_seed(0)
    transformers.XLMRobertaModel(config).save_pretrained(encoder)
    first, *_ = shell_blocks(PAGE)
    done = run_in(folder, first)
    assert done.returncode == 0, done.stderr[-3000:]
    (folder / "printed").write_text(done.stdout, "utf-8")
    return folder


def test_the_page_leads_from_a_folder_to_exports(folder):
    printed = (folder / "printed").read_text("utf-8")
    assert "sizes from" in printed
    assert re.search(r"aligned +20/20", printed)
    fields = transformers.AutoConfig.from_pretrained(folder / "runs/hf")
    assert fields.model_type == "xlm-roberta"
    assert (fields.max_position_embeddings, fields.layer_norm_eps) == (132, 1e-5)
    before, after = (
        (folder / "runs" / name / "results.json").read_text("utf-8")
        for name in ("before", "after")
    )
    assert before != after


def test_the_export_computes_what_the_run_does_in_their_program(folder):
    model = amber_jax.load(folder / "runs/continued")
    theirs = sentence_transformers.SentenceTransformer(str(folder / "runs/sentences"))
    assert np.abs(theirs.encode(TEXTS) - model.encode(TEXTS)).max() < 1e-5
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "runs/hf")
    reference = transformers.AutoModel.from_pretrained(folder / "runs/hf").eval()
    for text in TEXTS:
        with torch.no_grad():
            states = reference(**tokenizer(text, return_tensors="pt")).last_hidden_state
        mean = states[0, 1:-1].mean(0).numpy()
        assert np.abs(mean - model.encode([text])[0]).max() < 1e-5


def test_twenty_steps_moved_the_encoder(folder):
    before, after = (
        amber_jax.load(folder / name).encode(TEXTS)
        for name in ("ENCODER", "runs/continued")
    )
    assert np.abs(before - after).max() > 1e-3


def test_the_vocabulary_is_cut_as_the_page_says(folder):
    (cut,) = (text for text in shell_blocks(PAGE) if "--keep_pieces_of" in text)
    done = run_in(folder, cut)
    assert done.returncode == 0, done.stderr[-3000:]
    whole, smaller = (amber_jax.load(folder / name) for name in ("ENCODER", "runs/cut"))
    assert smaller.config.vocab_size < whole.config.vocab_size
    # Nearly all of these lines stand in the corpus's rows.
    path = ROOT / "data" / "sample" / "parallel_train.tsv.xz"
    with lzma.open(path, "rt", encoding="utf-8") as file:
        texts = [line.split("\t")[1] for line in file][100:120]
    apart = np.abs(whole.encode(texts) - smaller.encode(texts)).max(-1)
    assert (apart < 1e-5).sum() >= 18
