"""Depthwise and separable convolutions are the convolutions that they are thin names for."""

import numpy as np
import pytest

import fastconv as fc

SETTINGS = [
    {},
    {"stride": 2, "padding": "same"},
    {"padding": ((0, 1), (2, 0)), "dilation": 2},
    {"bias": False},
]
IMAGES, SIGNALS = (3, 7, 8), (3, 15)


def same_bits(one, other, seed=0):
    """Outputs, the loss's gradients and what training makes of both networks."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(21, *one.input_shape))
    y = rng.normal(size=(21, *one.output_shape))
    assert one.flat_parameters.tobytes() == other.flat_parameters.tobytes()
    np.testing.assert_array_equal(one.predict(X), other.predict(X))
    np.testing.assert_array_equal(one.predict(X[:1]), other.predict(X[:1]))
    for model in (one, other):
        fc.Trainer(model, "mse", fc.Adam(0.01)).fit(X, y, epochs=2, batch_size=10)
    assert one.flat_parameters.tobytes() == other.flat_parameters.tobytes()


@pytest.mark.parametrize("multiplier", [1, 3])
@pytest.mark.parametrize("settings", SETTINGS)
def test_a_depthwise_convolution_has_a_group_for_each_channel(settings, multiplier):
    thin = fc.DepthwiseConv2d(3, depth_multiplier=multiplier, **settings)
    plain = fc.Conv2d(3 * multiplier, 3, groups=3, **settings)
    one, other = (fc.Sequential([layer, fc.ReLU(), fc.Conv2d(2, 1)], IMAGES) for layer in (thin, plain))
    assert one.nodes == other.nodes
    same_bits(one, other)


def test_a_depthwise_convolution_of_signals_likewise():
    thin, plain = fc.DepthwiseConv1d(4, padding="causal"), fc.Conv1d(3, 4, groups=3, padding="causal")
    one, other = (fc.Sequential([layer, fc.ReLU()], SIGNALS) for layer in (thin, plain))
    assert one.nodes == other.nodes
    same_bits(one, other)


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_separable_convolution_is_a_depthwise_one_and_one_across_channels(settings):
    windows = {name: value for name, value in settings.items() if name != "bias"}
    parts = [
        fc.DepthwiseConv2d(3, depth_multiplier=2, bias=False, **windows),
        fc.Conv2d(5, 1, bias=settings.get("bias", True)),
    ]
    one = fc.Sequential([fc.SeparableConv2d(5, 3, depth_multiplier=2, **settings), fc.ReLU()], IMAGES)
    same_bits(one, fc.Sequential([*parts, fc.ReLU()], IMAGES))
    assert list(one.parameters())[:2] == ["0.0.weight", "0.1.weight"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("layer", "shape", "kind"),
    [
        (fc.SeparableConv2d(5, 3, stride=2, padding=1, depth_multiplier=2), IMAGES, "Conv2d"),
        (fc.SeparableConv1d(5, 4, padding=2, depth_multiplier=2), SIGNALS, "Conv1d"),
    ],
)
def test_a_separable_convolution_is_pytorchs_two(layer, shape, kind, dtype):
    torch = pytest.importorskip("torch")
    model = fc.Sequential([layer, fc.Tanh()], shape, dtype=dtype, seed=2)
    conv = getattr(torch.nn, kind)
    twin = torch.nn.Sequential(
        torch.nn.Sequential(
            conv(3, 6, layer.kernel_size, layer.stride, layer.padding, groups=3, bias=False), conv(6, 5, 1)
        ),
        torch.nn.Tanh(),
    ).to(getattr(torch, dtype))
    twin.load_state_dict({name: torch.tensor(array) for name, array in model.state().items()})
    rng = np.random.default_rng(0)
    X, y = (
        rng.normal(size=(19, *shape)).astype(dtype),
        rng.normal(size=(19, *model.output_shape)).astype(dtype),
    )
    tolerance = {"rtol": 1e-12, "atol": 1e-13} if dtype == "float64" else {"rtol": 1e-4, "atol": 1e-6}
    expected = torch.nn.functional.mse_loss(twin(torch.tensor(X)), torch.tensor(y))
    expected.backward()
    loss, gradients = model.loss_and_gradients(X, y, "mse")
    assert loss == pytest.approx(expected.item(), rel=tolerance["rtol"])
    for name, parameter in twin.named_parameters():
        np.testing.assert_allclose(gradients[name], parameter.grad.numpy(), **tolerance)


@pytest.mark.parametrize(
    "layer",
    [
        fc.DepthwiseConv2d((3, 2), stride=2, depth_multiplier=2),
        fc.DepthwiseConv1d(3, padding="causal"),
        fc.SeparableConv2d(4, 3, padding=((1, 0), (0, 1)), bias=False),
        fc.SeparableConv1d(4, 3, padding=(2, 0), dilation=2),
    ],
)
def test_they_are_saved_and_loaded_as_what_they_are_called(layer, tmp_path):
    model = fc.Sequential([layer, fc.ReLU()], IMAGES if "2d" in type(layer).__name__ else SIGNALS)
    model.save(tmp_path / "model.npz")
    again = fc.load(tmp_path / "model.npz")
    assert again.layers == model.layers
    assert again.flat_parameters.tobytes() == model.flat_parameters.tobytes()
    assert eval(layer.call(), vars(fc)) == layer


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fc.DepthwiseConv2d(0), ValueError, "`kernel_size` must be a positive int"),
        (lambda: fc.DepthwiseConv2d(3, depth_multiplier=0), ValueError, "`depth_multiplier` must be an"),
        (lambda: fc.DepthwiseConv2d(3, padding="causal"), ValueError, "`padding` must be .*got 'causal'"),
        (lambda: fc.DepthwiseConv1d((3, 3)), TypeError, "`kernel_size` must be an int >= 1"),
        (lambda: fc.SeparableConv2d(0, 3), ValueError, "`out_channels` must be an int >= 1, got 0"),
        (lambda: fc.SeparableConv2d(4, 3, stride=0), ValueError, "`stride` must be a positive int or a pair"),
        (lambda: fc.SeparableConv1d(4, 3, depth_multiplier=1.5), TypeError, "`depth_multiplier` must be an"),
        (lambda: fc.Sequential([fc.DepthwiseConv2d(3)], (2, 8)), ValueError, "layer 0: .*takes images"),
        (
            lambda: fc.Sequential([fc.DepthwiseConv2d(9)], (2, 8, 8)),
            ValueError,
            "layer 0: .*kernel is larger",
        ),
        (lambda: fc.Sequential([fc.SeparableConv1d(2, 3)], (2, 8, 8)), ValueError, "takes signals"),
    ],
)
def test_what_does_not_fit_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
