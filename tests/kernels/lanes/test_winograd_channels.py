"""Convolutions of few samples by Winograd's products, against direct sums in float64."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import few_samples
from fastconv.engine.lowering import winograd_channels
from fastconv.kernels import precision
from tests.kernels import reference_taps

CASES = [  # channels, outputs, (height, width) of x, padding as Conv2d takes it
    (1, 16, (4, 4), 1),
    (3, 5, (7, 9), 1),
    (17, 18, (11, 13), (0, 2)),
    (32, 24, (16, 16), 1),
    (70, 9, (6, 5), 1),
    (130, 33, (5, 14), (2, 0)),
    (4, 16, (33, 6), 0),
    (8, 140, (9, 8), ((1, 0), (2, 1))),
]
in_cases = pytest.mark.parametrize(("channels", "outputs", "size", "padding"), CASES)


@pytest.fixture(autouse=True)
def _own_precision(monkeypatch):
    monkeypatch.setattr(precision.chosen, "value", precision.HIGH)


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    """Fewer samples than lanes have their channels in these, though blocks may be faster."""
    monkeypatch.setattr(few_samples, "few_samples", lambda network, samples, precision: samples < 16)


@pytest.fixture
def _always(monkeypatch):
    """However small a layer is, it goes by the products."""
    monkeypatch.setattr(winograd_channels, "WORTH_IT", np.inf)


def network(channels, outputs, size, padding, relu=True):
    layers = [fc.Conv2d(outputs, 3, padding=padding), *[fc.ReLU()] * relu]
    return fc.Sequential(layers, (channels, *size), seed=1)


def samples(model, count):
    return np.random.default_rng(count).standard_normal((count, *model.input_shape)).astype(np.float32)


def goes_by_products(model, count):
    """How often a prediction of so few samples transforms tiles."""
    return model.source("predict", batch_size=count, kernels=False).count("points_to_tiles(")


@pytest.mark.usefixtures("_always")
@pytest.mark.parametrize("relu", [False, True])
@in_cases
def test_the_convolution_is_that_of_direct_sums(channels, outputs, size, padding, relu):
    model = network(channels, outputs, size, padding, relu)
    weight, bias = model.parameters()["0.weight"], model.parameters()["0.bias"]
    bias[...] = np.random.default_rng(0).standard_normal(outputs)
    few = min(5, outputs - 1)
    X = samples(model, few)
    exact = reference_taps.conv2d(X.astype(float), weight.astype(float), bias.astype(float), padding=padding)
    exact = np.maximum(exact, 0) if relu else exact
    assert goes_by_products(model, few)
    found = model.predict(X)
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-5 * np.abs(exact).max())
    for count in (1, 2, few):
        assert model.predict(X[:count]).tobytes() == found[:count].tobytes()


@pytest.mark.usefixtures("_always")
@pytest.mark.parametrize("tiles", [1, 3, 7])
def test_tiles_that_do_not_fit_the_cache_follow_each_other(tiles, monkeypatch):
    model = network(20, 40, (14, 9), 1)
    X = samples(model, 4)
    expected = model.predict(X)
    a_tile = 36 * 64 * (2 + 3)
    monkeypatch.setattr(winograd_channels, "SCRATCH_BYTES", tiles * a_tile)
    again = network(20, 40, (14, 9), 1)
    assert goes_by_products(again, 4) == -(-4 * 4 * 3 // tiles)
    assert again.predict(X).tobytes() == expected.tobytes()


def test_layers_go_by_the_products_where_that_makes_the_sums_cheaper():
    def pays(layer, shape, count=1, **options):
        return goes_by_products(fc.Sequential([layer], shape, **options), count)

    wide = fc.Conv2d(32, 3, padding=1)
    for count in (1, 4, 15):
        assert pays(wide, (32, 16, 16), count)
        assert not pays(wide, (3, 16, 16), count), "transforms cost more than sums over 3 channels"
        assert not pays(wide, (32, 3, 16), count)
        assert not pays(fc.Conv2d(128, 3, padding=1), (128, 4, 4), count), "a tile alone reads all weights"
    for other in (
        fc.Conv2d(32, 3, padding=1, stride=2),
        fc.Conv2d(32, 3, padding=2, dilation=2),
        fc.Conv2d(32, 3, padding=1, groups=2),
        fc.Conv2d(32, 5, padding=2),
    ):
        assert not pays(other, (32, 16, 16))
    assert not pays(wide, (32, 16, 16), dtype="float64")
    fc.set_precision("highest")
    assert not pays(wide, (32, 16, 16))


def blocks_of_layers():
    layers = [
        fc.Conv2d(24, 3, padding=1, bias=False), fc.BatchNorm2d(), fc.ReLU(), fc.MaxPool2d(2),
        fc.Residual([fc.Conv2d(24, 3, padding=1), fc.ReLU(), fc.Conv2d(24, 3, padding=1)]), fc.ReLU(),
        fc.Concatenate([fc.Conv2d(16, 3, padding=1)], [fc.Conv2d(16, 1)]), fc.Conv2d(20, 3), fc.Flatten(),
        fc.Dense(5),
    ]  # fmt: skip
    return fc.Sequential(layers, (16, 21, 18), seed=1)


def test_networks_predict_each_sample_with_the_same_bits_whatever_few_are_with_it():
    model = blocks_of_layers()
    assert goes_by_products(model, 7)
    X = samples(model, 7)
    expected = model.predict(X)
    for count in (1, 2, 3, 6):
        assert model.predict(X[:count]).tobytes() == expected[:count].tobytes()
    fc.set_precision("highest")
    direct = model.predict(X)
    assert (direct != expected).any()
    assert np.abs(direct - expected).max() < 1e-5 * np.abs(direct).max()


def test_results_have_the_same_bits_on_any_number_of_threads(monkeypatch):
    monkeypatch.setattr(few_samples, "PER_START", 1)
    before, found = fc.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            fc.set_num_threads(threads)
            model = blocks_of_layers()
            found.append(model.predict(samples(model, 5)))
    finally:
        fc.set_num_threads(before)
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()


def test_transformed_weights_follow_a_parameter_that_is_changed_in_place():
    model, live = blocks_of_layers(), blocks_of_layers().parameters()
    X = samples(model, 2)
    model.predict(X)
    for name, array in model.parameters().items():
        array *= 1.5
        live[name][...] = array
    changed = blocks_of_layers()
    for name, array in changed.parameters().items():
        array[...] = live[name]
    assert model.predict(X).tobytes() == changed.predict(X).tobytes()
