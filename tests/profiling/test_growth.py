import numpy as np
import pytest

from svitt_ego.profiling.growth import fitted_exponent
from svitt_ego.profiling.module_tree import module_tree


@pytest.mark.parametrize("power", [0.3, 1.0, 2.0])
def test_exponents_of_pure_powers(power: float):
    frames = [2, 4, 8, 16]
    assert fitted_exponent(frames, [1000 * n**power for n in frames]) == pytest.approx(power)


def test_one_number_of_frames_has_no_exponent():
    with pytest.raises(ValueError, match="two numbers of frames"):
        fitted_exponent([4, 4], [1, 2])


def test_tree_sums_what_lies_below():
    draws = np.random.default_rng()
    sizes = {path: int(draws.integers(1, 99)) for path in ("", "a", "a.b", "a.c.d", "e")}
    root = module_tree({path: {"activations": size} for path, size in sizes.items()})
    assert root.size_bytes == sum(sizes.values())
    a = root.children["a"]
    assert a.size_bytes == sizes["a"] + sizes["a.b"] + sizes["a.c.d"]
    assert a.children["c"].children["d"].by_category == {"activations": sizes["a.c.d"]}
    assert [child.size_bytes for child in root.sorted_children()] == sorted(
        (child.size_bytes for child in root.children.values()), reverse=True
    )
