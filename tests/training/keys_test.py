import jax

from amber_jax.training import keys


def test_every_use_of_a_seed_has_a_key_of_its_own():
    uses = (keys.init_key, keys.mask_key, keys.dropout_key)
    drawn = {
        tuple(jax.random.key_data(use(seed)).tolist())
        for use in uses
        for seed in (0, 1, 2**32 - 1)
    }
    assert len(drawn) == 9
    # What stored runs were drawn from stays what it was.
    assert jax.random.key_data(keys.mask_key(0)).tolist() == (
        jax.random.key_data(jax.random.fold_in(jax.random.key(0), 1)).tolist()
    )
