"""How tables are cut into units of work."""

import pytest

from amber_jax.corpora.plain import BLOCK_LINES, plain_file, read_slice
from amber_jax.corpora.units import cut_units, sampled


@pytest.mark.parametrize(("blocks", "wanted"), [(0, 0), (1, 1), (100, 1), (250, 3)])
def test_a_sample_is_the_first_hundredth_of_a_units_blocks(tmp_path, blocks, wanted):
    files = []
    for number, width in enumerate((3, 7)):
        path = tmp_path / f"{number}.txt"
        lines = (b"%0*d" % (width, line) for line in range(BLOCK_LINES * blocks))
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        files.append(plain_file(path, tmp_path / "unused"))
    (slices,) = cut_units(files, unit_bytes=1 << 20)
    sides = [[*map(int, read_slice(part))] for part in sampled(files, slices)]
    assert sides == [[*range(BLOCK_LINES * wanted)]] * 2
