import pytest

from fastconv.kernels import precision


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(autouse=True, scope="module")
def _direct_sums():
    """Of whole numbers, direct sums are exact; tests of Winograd's products ask for these themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision.chosen, "value", precision.HIGHEST)
        yield
