"""The rate of products on this machine."""

from amber_jax.training.peak import matrix_rate


def test_the_rate_is_that_of_a_machine_of_our_time():
    assert 1e8 < matrix_rate("float32", width=256) < 1e14
