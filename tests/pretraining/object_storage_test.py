"""Where a run reads the rows of a corpus that lies in object storage."""

import pytest
import tiny_run

from amber_jax.pretraining.preparation import prepare


@pytest.mark.parametrize("cached", [False, True])
def test_shards_are_copied_where_the_config_asks(cached, object_store, tmp_path):
    folder = tiny_run.write_corpus(tmp_path / "corpus")
    config = tiny_run.get_config()
    config.corpus = object_store.put_folder(folder, "corpus")
    config.cache_corpus = cached
    run = prepare(config)
    assert run.corpus.is_remote != cached
    copies = list((tmp_path / "cache").rglob("*.tfrecord"))
    assert len(copies) == (8 if cached else 0)
