"""Whole networks: against finite differences and PyTorch, and the same bits on any number of threads."""

import gc
import weakref

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import engine, loop, pool
from fastconv.engine.run import Run
from tests.nn.layer_kinds import LAYERS

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")

# Name -> (layers, input shape). Together: every layer, in every position.
NETWORKS = {
    "conv stride padding": ([fc.Conv2d(3, 3, stride=2, padding=1), fc.Flatten(), fc.Dense(3)], (2, 7, 6)),
    "conv pairs": (
        [fc.Conv2d(5, (3, 2), stride=(1, 2), padding=(2, 0)), fc.ReLU(),
         fc.Conv2d(4, (2, 3), stride=(2, 1), padding=(0, 1)), fc.Flatten(), fc.Dense(2)],
        (2, 6, 8),
    ),
    "conv dilation": (
        [fc.Conv2d(6, 3, dilation=2), fc.Tanh(), fc.Conv2d(2, 2, dilation=(1, 2), padding=1), fc.Flatten(),
         fc.Dense(3)],
        (1, 8, 9),
    ),
    "conv stride past the edge": (
        [fc.Conv2d(3, 1), fc.Conv2d(4, 2, stride=3), fc.ReLU(), fc.Flatten(), fc.Dense(2)], (1, 7, 7)
    ),
    "conv groups depthwise": (
        [fc.Conv2d(4, 3, groups=2, padding=1), fc.LeakyReLU(0.2), fc.Conv2d(8, 3, groups=4, bias=False),
         fc.ReLU(), fc.Conv2d(10, 1), fc.GlobalAvgPool2d(), fc.Flatten()],
        (2, 6, 5),
    ),
    "conv same": (
        [fc.Conv2d(3, 4, padding="same"), fc.ReLU(), fc.Conv2d(2, (3, 2), padding="same", dilation=2),
         fc.Sigmoid(), fc.Conv2d(1, 3, padding="valid")],
        (1, 6, 7),
    ),
    "conv alone": ([fc.Conv2d(7, 3)], (3, 5, 6)),
    "max pool overlapping padded": (
        [fc.Conv2d(3, 2), fc.ReLU(), fc.MaxPool2d(3, stride=2, padding=1), fc.ReLU(), fc.Flatten(),
         fc.Dense(2)],
        (1, 8, 7),
    ),
    "max pool ceil dilated": (
        [fc.Conv2d(2, 2), fc.MaxPool2d(2, stride=3, ceil_mode=True), fc.Conv2d(3, 2, padding=1),
         fc.MaxPool2d((2, 3), stride=1, padding=(1, 1), dilation=(2, 1)), fc.LeakyReLU(), fc.Flatten()],
        (1, 9, 8),
    ),
    "max pool with a rest": (
        [fc.Conv2d(2, 2, padding=1), fc.Tanh(), fc.MaxPool2d(2, stride=3), fc.Flatten(), fc.Dense(3)],
        (1, 7, 6),
    ),
    "avg pool": (
        [fc.Conv2d(3, 2), fc.AvgPool2d(3, stride=2, padding=1), fc.Tanh(),
         fc.AvgPool2d(2, stride=1, padding=1, count_include_pad=False), fc.Sigmoid(),
         fc.AvgPool2d((2, 3), ceil_mode=True), fc.Flatten(), fc.Dense(2)],
        (2, 8, 7),
    ),
    "global avg pool": (
        [fc.Conv2d(5, 3, padding=1), fc.ReLU(), fc.GlobalAvgPool2d(), fc.Tanh(), fc.Flatten(), fc.Dense(3)],
        (2, 5, 4),
    ),
    "batch norm": (
        [fc.BatchNorm2d(), fc.Conv2d(4, 3, padding=1, bias=False), fc.BatchNorm2d(0.3, 1e-3), fc.ReLU(),
         fc.MaxPool2d(2), fc.BatchNorm2d(), fc.Flatten(), fc.Dense(2)],
        (2, 6, 6),
    ),
    "batch norm last": ([fc.Conv2d(3, 2), fc.Tanh(), fc.BatchNorm2d()], (1, 4, 5)),
    "dropout of nothing": (
        [fc.Conv2d(3, 3), fc.ReLU(), fc.Dropout(0.0), fc.Flatten(), fc.Dropout(0), fc.Dense(4), fc.Sigmoid(),
         fc.Dropout(0.0), fc.Dense(2)],
        (1, 6, 6),
    ),
    "activations after conv": (
        [fc.Conv2d(2, 2), fc.Sigmoid(), fc.Conv2d(3, 2), fc.Tanh(), fc.Conv2d(2, 2), fc.LeakyReLU(0.3),
         fc.Flatten(), fc.Dense(2)],
        (1, 6, 5),
    ),
    "activations after dense": (
        [fc.Dense(5), fc.Sigmoid(), fc.Dense(17), fc.Tanh(), fc.Dense(6), fc.LeakyReLU(), fc.Dense(18),
         fc.ReLU(), fc.Dense(3), fc.Softmax()],
        (4,),
    ),
    "activations after flatten": (
        [fc.Conv2d(2, 2, padding=1), fc.Flatten(), fc.Sigmoid(), fc.Dense(4), fc.Tanh()], (1, 3, 4)
    ),
    "two activations in a row": (
        [fc.Conv2d(3, 2), fc.ReLU(), fc.Tanh(), fc.Conv2d(2, 2), fc.Tanh(), fc.ReLU(), fc.Flatten(),
         fc.ReLU(), fc.Dense(4), fc.Sigmoid(), fc.LeakyReLU(), fc.Dense(3), fc.ReLU(), fc.ReLU(),
         fc.Dense(2)],
        (1, 6, 6),
    ),
    "activations first": ([fc.Tanh(), fc.ReLU(), fc.Flatten(), fc.Dense(3, bias=False)], (2, 3, 3)),
    "activation before pool": (
        [fc.Conv2d(2, 3), fc.Sigmoid(), fc.MaxPool2d(2), fc.Conv2d(3, 2), fc.LeakyReLU(), fc.AvgPool2d(2),
         fc.Flatten()],
        (1, 8, 8),
    ),
    "softmax in the middle": ([fc.Dense(5), fc.Softmax(), fc.Dense(3), fc.Softmax(), fc.Tanh()], (3,)),
    "features only": ([fc.Dense(1)], (1,)),
    "a sigmoid last": ([fc.Flatten(), fc.Dense(3), fc.Sigmoid()], (1, 4, 3)),
    "a sigmoid image": (
        [fc.Conv2d(2, 3, padding=1), fc.ReLU(), fc.Conv2d(1, 3, padding=1), fc.Sigmoid()], (1, 4, 5)
    ),
    "a sigmoid before the end": ([fc.Conv2d(2, 2), fc.Sigmoid(), fc.Flatten()], (1, 3, 3)),
    "a softmax last": ([fc.Conv2d(2, 2), fc.ReLU(), fc.Flatten(), fc.Dense(4), fc.Softmax()], (1, 4, 4)),
}  # fmt: skip

PROBABILITIES = {"a sigmoid last", "a sigmoid image", "a sigmoid before the end", "a softmax last"}


def losses_of(name):
    """The losses that make sense for a network."""
    layers, input_shape = NETWORKS[name]
    shape = fc.Sequential(layers, input_shape).output_shape
    yield from ("mse", "bce_with_logits")
    if len(shape) == 1 and shape[0] > 1:
        yield "cross_entropy"
    if name in PROBABILITIES:
        yield "bce"


CASES = [(name, loss) for name in NETWORKS for loss in losses_of(name)]
each_case = pytest.mark.parametrize(("name", "loss"), CASES)


def build(name, dtype="float64", seed=3):
    layers, input_shape = NETWORKS[name]
    model = fc.Sequential(layers, input_shape, dtype=dtype, seed=seed)
    rng = np.random.default_rng(seed)
    for array in model.parameters().values():  # away from the ones and zeros of batch normalisation
        array += rng.uniform(-0.1, 0.1, array.shape)
    return model


def data_for(model, loss, count=21, seed=5):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(count, *model.input_shape))
    if loss == "cross_entropy":
        return X, rng.integers(0, model.output_shape[0], count)
    y = rng.random((count, *model.output_shape))
    return X, y if loss == "mse" else np.round(y)


@pytest.fixture(autouse=True)
def _threads_as_before():
    threads = fc.get_num_threads()
    yield
    fc.set_num_threads(threads)


def test_the_networks_hold_every_layer():
    assert {type(layer).__name__ for layers, _ in NETWORKS.values() for layer in layers} == set(LAYERS)


# Finite differences


@each_case
def test_gradients_equal_finite_differences(name, loss):
    model = build(name)
    X, y = data_for(model, loss)
    _, gradients = model.loss_and_gradients(X, y, loss)
    assert list(gradients) == list(model.parameters())
    rng = np.random.default_rng(1)
    step = 1e-6
    for parameter, array in model.parameters().items():
        gradient, start = gradients[parameter], array.copy()
        assert gradient.shape == array.shape
        assert gradient.dtype == array.dtype
        for _ in range(2):
            direction = rng.normal(size=array.shape)
            ends = []
            for sign in (1, -1):
                array[...] = start + sign * step * direction
                ends.append(model.loss_and_gradients(X, y, loss)[0])
            array[...] = start
            slope = (ends[0] - ends[1]) / (2 * step)
            size = np.linalg.norm(gradient) * np.linalg.norm(direction)
            assert np.sum(gradient * direction) == pytest.approx(slope, rel=1e-5, abs=1e-6 * size + 1e-9), (
                parameter
            )


def test_gradients_through_dropout_equal_finite_differences_of_the_same_mask():
    layers = [fc.Conv2d(3, 2), fc.ReLU(), fc.Dropout(0.4), fc.Flatten(), fc.Dropout(0.2), fc.Dense(3)]
    model = fc.Sequential(layers, (1, 5, 5), dtype="float64")
    X, y = data_for(model, "mse")
    _, gradients = model.loss_and_gradients(X, y, "mse")
    weight, step = model.parameters()["0.weight"], 1e-6
    for index in np.ndindex(weight.shape):
        value, ends = weight[index], []
        for sign in (1, -1):
            weight[index] = value + sign * step
            ends.append(model.loss_and_gradients(X, y, "mse")[0])
        weight[index] = value
        assert gradients["0.weight"][index] == pytest.approx(
            (ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-8
        )


# PyTorch

torch_modules = {
    "Conv2d": lambda nn, layer, c: nn.Conv2d(
        c, layer.out_channels, layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.groups,
        layer.bias,
    ),
    "MaxPool2d": lambda nn, layer, c: nn.MaxPool2d(
        layer.kernel_size, layer.stride, layer.padding, layer.dilation, ceil_mode=layer.ceil_mode
    ),
    "AvgPool2d": lambda nn, layer, c: nn.AvgPool2d(
        layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode, layer.count_include_pad
    ),
    "GlobalAvgPool2d": lambda nn, layer, c: nn.AdaptiveAvgPool2d(1),
    "BatchNorm2d": lambda nn, layer, c: nn.BatchNorm2d(c, layer.eps, layer.momentum),
    "Dropout": lambda nn, layer, c: nn.Dropout(layer.p),
    "Flatten": lambda nn, layer, c: nn.Flatten(),
    "Dense": lambda nn, layer, c: nn.Linear(c, layer.out_features, layer.bias),
    "ReLU": lambda nn, layer, c: nn.ReLU(),
    "LeakyReLU": lambda nn, layer, c: nn.LeakyReLU(layer.negative_slope),
    "Sigmoid": lambda nn, layer, c: nn.Sigmoid(),
    "Tanh": lambda nn, layer, c: nn.Tanh(),
    "Softmax": lambda nn, layer, c: nn.Softmax(dim=1),
}  # fmt: skip


def torch_twin(torch, model):
    """The same network in PyTorch, with the same parameters and statistics under the same names."""
    modules = [
        torch_modules[type(layer).__name__](torch.nn, layer, shape[0])
        for layer, shape in zip(model.layers, model.shapes[:-1], strict=True)
    ]
    twin = torch.nn.Sequential(*modules).to(getattr(torch, model.dtype))
    assert [name for name, _ in twin.named_parameters()] == list(model.parameters())
    state = {name: torch.tensor(array) for name, array in model.state().items()}
    missing, unexpected = twin.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return twin


def torch_loss(torch, twin, X, y, loss):
    dtype = next(twin.parameters(), torch.zeros(0)).dtype
    X = torch.tensor(X, dtype=dtype)
    if loss == "cross_entropy":
        absorbed = isinstance(twin[-1], torch.nn.Softmax)
        return torch.nn.functional.cross_entropy((twin[:-1] if absorbed else twin)(X), torch.tensor(y))
    functions = {
        "mse": torch.nn.functional.mse_loss,
        "bce": torch.nn.functional.binary_cross_entropy,
        "bce_with_logits": torch.nn.functional.binary_cross_entropy_with_logits,
    }
    output = twin(X)
    return functions[loss](output, torch.tensor(y, dtype=dtype).reshape(output.shape))


@each_case
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-10)])
def test_losses_gradients_and_predictions_are_pytorchs(name, loss, dtype, tolerance):
    torch = pytest.importorskip("torch")
    model = build(name, dtype)
    X, y = data_for(model, loss)
    twin = torch_twin(torch, model)
    value = torch_loss(torch, twin, X, y, loss)
    value.backward()
    ours, gradients = model.loss_and_gradients(X, y, loss)
    assert ours == pytest.approx(value.item(), rel=tolerance)
    for parameter, tensor in twin.named_parameters():
        expected = tensor.grad.numpy()
        scale = max(np.abs(expected).max(), 1e-3)
        assert np.abs(gradients[parameter] - expected).max() <= tolerance * scale, parameter
    twin = torch_twin(torch, model).eval()
    with torch.no_grad():
        expected = twin(torch.tensor(X, dtype=getattr(torch, dtype))).numpy()
    np.testing.assert_allclose(model.predict(X), expected, rtol=tolerance, atol=tolerance)


def test_a_max_pool_window_that_holds_no_element_is_minus_infinity_as_in_pytorch():
    # Both taps of a window dilated by 2 fall beside an image of one element.
    model = fc.Sequential([fc.MaxPool2d(2, stride=1, padding=1, dilation=2)], (1, 1, 1))
    np.testing.assert_array_equal(model.predict(np.ones((2, 1, 1, 1))), np.full((2, 1, 1, 1), -np.inf))


OPTIMIZERS = {
    "sgd": (fc.SGD(0.01), {"lr": 0.01}),
    "momentum": (
        fc.SGD(0.003, momentum=0.9, weight_decay=0.01), {"lr": 0.003, "momentum": 0.9, "weight_decay": 0.01}
    ),
    "nesterov": (
        fc.SGD(0.003, momentum=0.8, nesterov=True), {"lr": 0.003, "momentum": 0.8, "nesterov": True}
    ),
    "adam": (fc.Adam(2e-4, eps=1e-5), {"lr": 2e-4, "eps": 1e-5}),
    "adam with decay": (
        fc.Adam(2e-4, betas=(0.8, 0.99), eps=1e-5, weight_decay=0.02),
        {"lr": 2e-4, "betas": (0.8, 0.99), "eps": 1e-5, "weight_decay": 0.02},
    ),
    "adamw": (fc.AdamW(2e-4, eps=1e-5, weight_decay=0.1), {"lr": 2e-4, "eps": 1e-5, "weight_decay": 0.1}),
}  # fmt: skip


def images_and_labels(count, shape, classes, seed=0):
    """Noise on one pattern a class, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, count)
    X = rng.random((classes, *shape))[y] + 0.3 * rng.random((count, *shape))
    return X.astype(np.float32), y


def smooth_lenet5(dtype, seed):
    """LeNet-5 as first published, with tanh and average pooling: no kinks to fall on either side of."""
    layers = [
        fc.Conv2d(6, 5), fc.Tanh(), fc.AvgPool2d(2), fc.Conv2d(16, 5), fc.Tanh(), fc.AvgPool2d(2),
        fc.Flatten(), fc.Dense(120), fc.Tanh(), fc.Dense(84), fc.Tanh(), fc.Dense(10),
    ]  # fmt: skip
    return fc.Sequential(layers, (1, 28, 28), dtype=dtype, seed=seed)


def distance(ours, others, start):
    """(largest, root mean square) difference of parameters, and the largest way from `start`."""
    errors = np.concatenate([(ours[name] - others[name]).ravel() for name in ours])
    moves = np.concatenate([(ours[name] - start[name]).ravel() for name in ours])
    return np.abs(errors).max(), np.sqrt(np.mean(errors**2)), np.abs(moves).max()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("make", "loss", "classes", "batch_size", "count"),
    [
        (fc.models.lenet5, "cross_entropy", 10, 21, 96),
        (smooth_lenet5, "cross_entropy", 10, 21, 96),
        (fc.models.reference_cnn, "bce", 2, 7, 31),
    ],
    ids=["lenet5", "smooth_lenet5", "reference_cnn"],
)
def test_a_hundred_steps_are_pytorchs(make, loss, classes, batch_size, count, dtype, optimizer):
    torch = pytest.importorskip("torch")
    model = make(dtype=dtype, seed=1)
    X, y = images_and_labels(count, model.input_shape, classes)
    record, options = OPTIMIZERS[optimizer]
    twin = torch_twin(torch, model)
    torch_optimizer = getattr(torch.optim, type(record).__name__)(twin.parameters(), **options)
    start = model.state()
    fc.Trainer(model, loss=loss, optimizer=record).fit(X, y, epochs=20, batch_size=batch_size, shuffle=False)
    for _ in range(20):
        for first in range(0, count, batch_size):
            torch_optimizer.zero_grad()
            batch = slice(first, first + batch_size)
            torch_loss(torch, twin, X[batch], y[batch], loss).backward()
            torch_optimizer.step()
    others = {name: tensor.detach().numpy() for name, tensor in twin.named_parameters()}
    largest, typical, moved = distance(model.parameters(), others, start)
    if dtype == "float64":
        assert largest < 1e-10
    elif make is fc.models.lenet5:  # a ReLU or argmax that rounding turns over moves a few parameters more
        assert typical < 1e-4
    else:
        assert largest < 1e-4
    assert moved > 20 * 1e-4


def test_running_statistics_of_batch_norm_are_pytorchs_after_training():
    torch = pytest.importorskip("torch")
    model = build("batch norm", "float32")
    X, y = data_for(model, "cross_entropy", count=53)
    twin = torch_twin(torch, model)
    torch_optimizer = torch.optim.SGD(twin.parameters(), lr=0.05)
    fc.Trainer(model, optimizer=fc.SGD(0.05)).fit(X, y, epochs=4, batch_size=20, shuffle=False)
    for _ in range(4):
        for first in range(0, 53, 20):
            torch_optimizer.zero_grad()
            torch_loss(torch, twin, X[first : first + 20], y[first : first + 20], "cross_entropy").backward()
            torch_optimizer.step()
    expected = twin.state_dict()
    for name, array in model.state().items():
        np.testing.assert_allclose(array, expected[name].numpy(), rtol=1e-4, atol=1e-4, err_msg=name)
    with torch.no_grad():
        output = twin.eval()(torch.tensor(X, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(model.predict(X), output, rtol=1e-3, atol=1e-3)


# Dropout


def test_dropout_zeroes_its_share_of_the_activations_and_scales_the_others():
    # The gradient of the mean of x * mask / (1 - p) with respect to the dense weight shows the mask.
    features, p = 20000, 0.3
    model = fc.Sequential([fc.Dense(features, bias=False), fc.Dropout(p)], (1,), dtype="float64")
    model.parameters()["0.weight"][...] = 0.0
    _, gradients = model.loss_and_gradients(np.ones((1, 1)), np.full((1, features), -1.0), "mse")
    mask = gradients["0.weight"].ravel() * features / 2
    assert set(np.round(np.unique(mask), 12)) == {0.0, round(1 / (1 - p), 12)}
    assert np.mean(mask == 0) == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / features))


def test_dropout_draws_another_mask_for_each_step_layer_and_seed():
    def trained(seed, layers=1, epochs=1):
        model = fc.Sequential([fc.Dropout(0.5)] * layers + [fc.Dense(1, bias=False)], (64,), dtype="float64")
        model.flat_parameters[...] = 0.0
        trainer = fc.Trainer(model, "mse", fc.SGD(1.0), metrics=(), seed=seed)
        trainer.fit(np.ones((1, 64)), np.ones((1, 1)), epochs=epochs)
        return model.flat_parameters != 0

    first = trained(0)
    assert np.array_equal(first, trained(0))
    assert not np.array_equal(first, trained(1))
    assert not np.array_equal(first, trained(0, epochs=2))
    assert trained(0, layers=2).mean() < first.mean()


def test_dropout_does_nothing_in_predictions():
    layers, shape = NETWORKS["dropout of nothing"]
    dropping = [fc.Dropout(0.5) if isinstance(layer, fc.Dropout) else layer for layer in layers]
    X = np.random.default_rng(0).random((5, *shape))
    expected = fc.Sequential(layers, shape).predict(X)
    np.testing.assert_array_equal(fc.Sequential(dropping, shape).predict(X), expected)


# Losses


def loss_of(loss, value, target, dtype, last=()):
    """The loss of one number, which the network leaves alone."""
    model = fc.Sequential([fc.Flatten(), *last], (1,), dtype=dtype)
    return model.loss_and_gradients(np.array([[value]], dtype), np.array([[target]], dtype), loss)[0]


SIZES = [*10.0 ** np.arange(-30, 0, 1.7), 0.3, 0.5, 0.7, 0.95]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_binary_losses_keep_their_digits_however_small_they_are(dtype):
    eps = float(np.finfo(dtype).eps)
    for size in np.array(SIZES, dtype):
        p = np.longdouble(size)
        assert loss_of("bce", size, 0, dtype) == pytest.approx(float(-np.log1p(-p)), rel=4 * eps)
        assert loss_of("bce", size, 1, dtype) == pytest.approx(float(-np.log(p)), rel=4 * eps)
    for logit in np.array([*np.arange(0.01, 60, 3.3), 87], dtype):
        small = float(np.log1p(np.exp(-np.longdouble(logit))))
        for sign, target in ((1, 1), (-1, 0)):
            assert loss_of("bce_with_logits", sign * logit, target, dtype) == pytest.approx(
                small, rel=4 * eps
            )
            fused = loss_of("bce", sign * logit, target, dtype, [fc.Sigmoid()])
            assert fused == pytest.approx(small, rel=4 * eps)


@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("logit", [np.inf, -np.inf, np.nan])
def test_the_loss_of_a_logit_that_is_not_finite_is_pytorchs(logit, target):
    torch = pytest.importorskip("torch")
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.tensor([logit]), torch.tensor([target])
    )
    got = loss_of("bce_with_logits", logit, target, "float32")
    np.testing.assert_equal(got, expected.item())


@pytest.mark.parametrize(("logit", "losses"), [(np.inf, (100, 50, 0)), (-np.inf, (0, 50, 100))])
def test_bce_after_a_sigmoid_clips_the_logarithms_of_infinite_logits(logit, losses):
    for target, expected in zip((0.0, 0.5, 1.0), losses, strict=True):
        assert loss_of("bce", logit, target, "float32", [fc.Sigmoid()]) == expected


def test_a_large_seed_has_a_mask_too():
    model = fc.Sequential([fc.Dropout(0.5), fc.Dense(2)], (3,), seed=2**70 + 1)
    assert np.isfinite(model.loss_and_gradients(np.ones((4, 3)), [0, 1, 0, 1])[0])


# The same bits

THREADED = [
    fc.Conv2d(6, 3, padding=1), fc.BatchNorm2d(), fc.ReLU(), fc.MaxPool2d(2), fc.Dropout(0.3),
    fc.Conv2d(4, 3), fc.ReLU(), fc.Flatten(), fc.Dense(20), fc.ReLU(), fc.Dropout(0.5), fc.Dense(3),
]  # fmt: skip


def trained_bits(dtype="float32", count=301, batch_size=100, optimizer=fc.Adam(0.01), epochs=3):  # noqa: B008
    model = fc.Sequential(THREADED, (2, 9, 8), dtype=dtype)
    X, y = images_and_labels(count, (2, 9, 8), 3)
    trainer = fc.Trainer(model, optimizer=optimizer)
    history = trainer.fit(X, y, epochs=epochs, batch_size=batch_size, validation_split=0.2)
    loss, gradients = model.loss_and_gradients(X, y)
    return [
        *model.state().values(), model.predict(X), history["loss"], history["val_loss"], history["accuracy"],
        loss, *gradients.values(), list(trainer.evaluate(X, y).values()),
    ]  # fmt: skip


def assert_same_bits(results, expected):
    assert len(results) == len(expected)
    for result, other in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result, other)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_have_the_same_bits_on_any_number_of_threads(dtype):
    fc.set_num_threads(1)
    expected = trained_bits(dtype)
    for threads in (2, 3, 4, 8):
        fc.set_num_threads(threads)
        assert_same_bits(trained_bits(dtype), expected)


def test_batches_of_more_blocks_than_shards_have_the_same_bits_on_any_number_of_threads():
    fc.set_num_threads(1)
    expected = trained_bits(count=1500, batch_size=1150, epochs=1)
    for threads in (2, 3):
        fc.set_num_threads(threads)
        assert_same_bits(trained_bits(count=1500, batch_size=1150, epochs=1), expected)


def test_batches_of_more_blocks_than_shards_have_the_gradients_of_their_parts():
    model = build("conv pairs")
    X, y = data_for(model, "mse", count=1001)
    loss, gradients = model.loss_and_gradients(X, y, "mse")
    parts = [
        (n, *model.loss_and_gradients(X[a:b], y[a:b], "mse")) for a, b, n in [(0, 400, 400), (400, 1001, 601)]
    ]
    assert loss == pytest.approx(sum(n * value for n, value, _ in parts) / 1001, rel=1e-12)
    for name, gradient in gradients.items():
        expected = sum(n * part[name] for n, _, part in parts) / 1001
        np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seconds", [0.0, 1e-4, 100.0])
def test_results_have_the_same_bits_however_steps_are_split_into_calls(monkeypatch, seconds):
    schedule = fc.SGD(fc.CosineDecay(0.1), momentum=0.9)
    expected = trained_bits(batch_size=9, optimizer=schedule)
    monkeypatch.setattr(engine, "SECONDS_PER_CALL", seconds)
    assert_same_bits(trained_bits(batch_size=9, optimizer=schedule), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_have_the_same_bits_for_any_batch_size(dtype):
    model = fc.Sequential(THREADED, (2, 9, 8), dtype=dtype)
    X, _ = images_and_labels(70, (2, 9, 8), 3)
    expected = model.predict(X, batch_size=70)
    for batch_size in (1, 3, 8, 16, 17, 64, 1000):
        np.testing.assert_array_equal(model.predict(X, batch_size=batch_size), expected)


def test_one_engine_runs_smaller_and_larger_sets_after_each_other():
    model = fc.models.reference_cnn()
    X = np.random.default_rng(0).random((50, 1, 6, 6), dtype=np.float32)
    expected = model.predict(X)
    runner = engine.Engine(model, Run("predict", 32, fc.get_num_threads()))
    for count in (50, 3, 40, 1):
        output = np.full((count, 1), np.nan, np.float32)
        runner.load(X[:count])
        runner.write_to(output)
        assert [first for first, _ in runner.run_all()] == list(range(-(-count // 32)))
        np.testing.assert_array_equal(output, expected[:count])


# Engines that are used again


@pytest.fixture
def builds(monkeypatch):
    """The purposes of all engines built so far."""
    purposes, build = [], engine.Builder

    def noted(network, run, *arguments):
        purposes.append(run.purpose)
        return build(network, run, *arguments)

    monkeypatch.setattr(engine, "Builder", noted)
    return purposes


def test_a_second_prediction_or_evaluation_builds_nothing(builds):
    model = fc.models.reference_cnn()
    X, y = np.random.default_rng(0).random((50, 1, 6, 6)), np.arange(50) % 2
    trainer = fc.Trainer(model, "bce")
    for _ in range(3):
        model.predict(X)
        model.predict(X[:49])  # as many blocks
        trainer.evaluate(X, y)
        model.loss_and_gradients(X, y, "bce")
    assert builds == ["predict", "evaluate", "gradients"]


def test_another_batch_size_loss_or_number_of_threads_builds_another_engine(builds):
    model = fc.models.reference_cnn()
    X, y = np.random.default_rng(0).random((50, 1, 6, 6)), np.arange(50) % 2
    fc.set_num_threads(1)
    model.predict(X)
    fc.set_num_threads(2)
    model.predict(X)
    model.predict(X, batch_size=7)
    for loss in ("bce", "mse"):
        fc.Trainer(model, loss).evaluate(X, y)
    assert builds == ["predict"] * 3 + ["evaluate"] * 2


def test_only_the_engines_used_last_are_kept(builds):
    model, X = fc.models.reference_cnn(), np.ones((50, 1, 6, 6))
    for batch_size in range(1, 8):
        model.predict(X, batch_size=batch_size)
    assert len(model.engines._engines) == 4
    model.predict(X, batch_size=7)
    assert len(builds) == 7


def test_a_large_engine_is_not_kept(monkeypatch):
    monkeypatch.setattr(pool, "KEPT_BYTES", 10)
    model = fc.models.reference_cnn()
    model.predict(np.ones((50, 1, 6, 6)))
    assert model.engines._engines == []


def test_an_idle_engine_holds_no_array_of_the_callers():
    model = fc.models.reference_cnn()
    X = np.ones((50, 1, 6, 6))
    seen = [weakref.ref(X), weakref.ref(model.predict(X))]
    assert model.engines._engines
    del X
    gc.collect()
    assert [reference() for reference in seen] == [None, None]


def test_a_model_that_predicted_is_freed_at_once_with_its_engines():
    model = fc.models.reference_cnn()
    model.predict(np.ones((50, 1, 6, 6)))
    idle = weakref.ref(model.engines._engines[0])
    gc.disable()
    try:
        del model
        assert idle() is None
    finally:
        gc.enable()


def test_an_engine_whose_run_was_interrupted_works_again(monkeypatch):
    fc.set_num_threads(3)
    model = fc.models.lenet5()
    X = np.random.default_rng(0).random((64, 1, 28, 28), dtype=np.float32)
    expected, output = model.predict(X), np.empty((64, 10), np.float32)
    runner, steps = engine.Engine(model, Run("predict", 64, fc.get_num_threads())), loop.run_steps

    def interrupted(*arguments):
        if arguments[-2] == 0:
            raise KeyboardInterrupt
        steps(*arguments)

    for _ in range(3):
        monkeypatch.setattr(engine, "run_steps", interrupted)
        runner.load(X)
        runner.write_to(output)
        with pytest.raises(KeyboardInterrupt):
            runner.run(0, 1)
        monkeypatch.setattr(engine, "run_steps", steps)
        runner.run(0, 1)
        np.testing.assert_array_equal(output, expected)
        output[...] = np.nan


def test_a_network_with_little_work_gets_as_many_threads_as_pay(monkeypatch):
    monkeypatch.undo()  # of what lets the other tests' small networks use all threads
    assert engine.Engine(fc.models.reference_cnn(), Run("predict", 512, threads=8)).threads == 1
    assert engine.Engine(fc.models.lenet5(), Run("predict", 512, threads=8)).threads == 8
    few = engine.Engine(fc.models.lenet5(), Run("predict", 20, threads=8))
    assert few.threads == 2, "blocks of samples limit them, too"
