"""Networks learn the same at both precisions, as far as the seed leaves anything to be the same."""

import pytest

from fastconv.benchmarks import curves

pytest.importorskip("mlxtend")


@pytest.mark.parametrize("name", curves.TRAININGS)
def test_the_precision_matters_less_than_the_seed(name, figure):
    found = curves.measure(curves.TRAININGS[name], range(3))
    figure(
        f"{found.title}: losses of both precisions apart, of two seeds apart",
        f"{found.between_precisions:.2%}, {found.between_seeds:.2%}",
    )
    assert found.agree
    assert abs(found.shift) < found.between_seeds
