"""Losses of samples and of every pixel, in the compiled step: against PyTorch, in training, in metrics."""

import io
import pickle

import numpy as np
import pytest

import fastconv as fc
from fastconv.nn.losses import LOSSES, resolve
from fastconv.training import metrics
from tests.kernels.test_more_losses import in_pytorch

WEIGHTS = (0.5, 1.0, 3.0)
OF_CLASSES = [
    fc.losses.CrossEntropy(),
    fc.losses.CrossEntropy(class_weight=WEIGHTS),
    fc.losses.CrossEntropy(class_weight=WEIGHTS, label_smoothing=0.2),
    fc.losses.Focal(),
    fc.losses.Focal(gamma=0.5, class_weight=WEIGHTS),
    fc.losses.Hinge(),
    fc.losses.Hinge(margin=0.3, class_weight=WEIGHTS),
]
OF_PAIRS = [
    fc.losses.MSE(),
    fc.losses.Huber(0.4),
    fc.losses.SmoothL1(beta=0.3),
    fc.losses.BCEWithLogits(),
    fc.losses.BinaryFocal(),
    fc.losses.BinaryFocal(alpha=None, gamma=0.7),
    fc.losses.BinaryHinge(),
]
SHAPES = {"features": (), "signals": (7,), "images": (5, 4)}


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def network(form, dtype="float64", outputs=3):
    layers = {
        "features": [fc.Dense(6), fc.Tanh(), fc.Dense(outputs)],
        "signals": [fc.Conv1d(4, 3, padding="same"), fc.Tanh(), fc.Conv1d(outputs, 1)],
        "images": [fc.Conv2d(4, 3, padding="same"), fc.Tanh(), fc.Conv2d(outputs, 1)],
    }[form]
    return fc.Sequential(layers, (2, *SHAPES[form]), dtype, seed=2)


def module_of(torch, model, form):
    if form != "signals":
        return model.to_torch()
    nn = torch.nn
    module = nn.Sequential(nn.Conv1d(2, 4, 3, padding="same"), nn.Tanh(), nn.Conv1d(4, 3, 1)).double()
    module.load_state_dict({name: torch.tensor(array) for name, array in model.state().items()})
    return module


def data(form, count=23, classes=True, seed=0):
    rng = np.random.default_rng(seed)
    places = SHAPES[form]
    X = rng.normal(size=(count, 2, *places))
    return X, rng.integers(0, 3, (count, *places)) if classes else rng.random((count, 3, *places))


def loss_in_pytorch(torch, loss, output, target):
    """The mean over all places, by PyTorch's functions."""
    functional = torch.nn.functional
    if loss.targets not in ("labels", "distributions"):
        if isinstance(loss, (fc.losses.MSE, fc.losses.Huber, fc.losses.BCEWithLogits)):
            function = {
                "mse": functional.mse_loss,
                "huber": functional.huber_loss,
                "bce_with_logits": functional.binary_cross_entropy_with_logits,
            }[loss.name]
            return function(output, target, **({"delta": loss.delta} if loss.name == "huber" else {}))
        settings = {
            "smooth_l1": lambda: {"beta": loss.beta},
            "binary_focal": lambda: {"gamma": loss.gamma, "alpha": -1 if loss.alpha is None else loss.alpha},
            "binary_hinge": dict,
        }[loss.name]()
        return in_pytorch(torch, loss.name, output, target, settings).mean()
    weight = torch.ones(3, dtype=output.dtype)
    if loss.class_weight is not None:
        weight = torch.tensor(loss.class_weight, dtype=output.dtype)
    if isinstance(loss, fc.losses.CrossEntropy):
        smoothing = loss.label_smoothing
        total = functional.cross_entropy(output, target, weight, reduction="sum", label_smoothing=smoothing)
        places = target if target.ndim < output.ndim else target[:, 0]
        return total / places.numel()
    rows = torch.movedim(output, 1, -1).reshape(-1, 3)
    labels = target.reshape(-1)
    if isinstance(loss, fc.losses.Hinge):
        return functional.multi_margin_loss(rows, labels, margin=loss.margin, weight=weight)
    return (in_pytorch(torch, "focal", rows, labels, {"gamma": loss.gamma}) * weight[labels]).mean()


@pytest.mark.parametrize("form", SHAPES)
@pytest.mark.parametrize("loss", [*OF_CLASSES, *OF_PAIRS], ids=repr)
def test_losses_and_gradients_are_those_of_pytorch(torch, loss, form):
    X, y = data(form, classes=loss in OF_CLASSES)
    model = network(form)
    module = module_of(torch, model, form)
    value = loss_in_pytorch(torch, loss, module(torch.tensor(X)), torch.tensor(y))
    value.backward()
    got, gradients = model.loss_and_gradients(X, y, loss)
    assert got == pytest.approx(value.item(), rel=1e-12)
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(gradients[name], parameter.grad.numpy(), rtol=1e-9, atol=1e-13)
    single = network(form, "float32").loss_and_gradients(X, y, loss)
    assert single[0] == pytest.approx(got, rel=1e-5)
    for name, gradient in single[1].items():
        np.testing.assert_allclose(gradient, gradients[name], rtol=1e-3, atol=2e-6)


@pytest.mark.parametrize("form", SHAPES)
@pytest.mark.parametrize("loss", OF_CLASSES[:3], ids=repr)
def test_a_part_for_each_class_of_each_place_is_taken_as_in_pytorch(torch, loss, form):
    X, labels = data(form)
    parts = np.moveaxis(np.random.default_rng(1).dirichlet(np.ones(3), labels.shape), -1, 1)
    model = network(form)
    module = module_of(torch, model, form)
    value = loss_in_pytorch(torch, loss, module(torch.tensor(X)), torch.tensor(parts))
    value.backward()
    got, gradients = model.loss_and_gradients(X, parts, loss)
    assert got == pytest.approx(value.item(), rel=1e-12)
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(gradients[name], parameter.grad.numpy(), rtol=1e-9, atol=1e-13)
    one_hot = np.moveaxis(np.eye(3)[labels], -1, 1)
    assert model.loss_and_gradients(X, one_hot, loss)[0] == model.loss_and_gradients(X, labels, loss)[0]


@pytest.mark.parametrize("form", SHAPES)
@pytest.mark.parametrize("loss", [*OF_CLASSES, *OF_PAIRS], ids=repr)
def test_gradients_layer_by_layer_and_by_differences_are_those_of_the_step(loss, form):
    X, y = data(form, 5, loss in OF_CLASSES)
    model = network(form)
    value, _, gradients = fc.inspection.backward(model, X, y, loss)
    got, others = model.loss_and_gradients(X, y, loss)
    assert got == pytest.approx(value, rel=1e-12)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, others[name], rtol=1e-9, atol=1e-13)
    assert fc.check_gradients(model, X, y, loss, samples=5) < 1e-5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", [OF_CLASSES[2], OF_CLASSES[4], OF_CLASSES[6]], ids=repr)
def test_training_has_the_same_bits_on_any_threads_and_after_a_resume(loss, dtype, tmp_path):
    X, y = data("images", 40)
    before, found = fc.get_num_threads(), set()
    for threads in (1, 2, 5):
        fc.set_num_threads(threads)
        trainer = fc.Trainer(network("images", dtype), loss)
        history = trainer.fit(X, y, epochs=4, batch_size=16, sample_weight=np.arange(40.0))
        found.add(
            (trainer.model.flat_parameters.tobytes(), tuple(history["loss"]), tuple(history["accuracy"]))
        )
    fc.set_num_threads(before)
    assert len(found) == 1
    for epochs in (2, 4):
        trainer = fc.Trainer(network("images", dtype), loss)
        options = {"checkpoint": tmp_path / "run.npz", "resume": True, "sample_weight": np.arange(40.0)}
        trainer.fit(X, y, epochs=epochs, batch_size=16, **options)
    assert trainer.model.flat_parameters.tobytes() == next(iter(found))[0]
    other = fc.Trainer(network("images", dtype), fc.losses.CrossEntropy())
    with pytest.raises(ValueError, match="another network, loss"):
        other.fit(X, y, epochs=5, batch_size=16, **options)


@pytest.mark.parametrize("form", ["signals", "images"])
@pytest.mark.parametrize("loss", [OF_CLASSES[0], OF_CLASSES[2], OF_CLASSES[3], OF_CLASSES[5]], ids=repr)
def test_right_answers_are_counted_pixel_by_pixel(loss, form):
    X, y = data(form)

    def right(y_true, outputs):
        return float((outputs.argmax(axis=1) == y_true).mean())

    model = network(form)
    trainer = fc.Trainer(model, loss, metrics=("accuracy", right, "f1", "precision", "auc", "top5_accuracy"))
    figures = trainer.evaluate(X, y)
    predicted = model.predict(X).argmax(axis=1)
    assert figures["accuracy"] == pytest.approx((predicted == y).mean(), rel=1e-12)
    assert figures["right"] == pytest.approx(figures["accuracy"], rel=1e-12)
    assert metrics.accuracy(model.predict(X), y, loss) == pytest.approx(figures["accuracy"], rel=1e-12)
    assert figures["f1"] == metrics.f1(y.ravel(), predicted.ravel(), "macro")
    assert 0 <= figures["auc"] <= 1
    assert figures["top5_accuracy"] == 1
    alone = fc.Trainer(network(form), loss).evaluate(X, y)
    assert alone["accuracy"] == figures["accuracy"]


@pytest.mark.parametrize(
    "loss", [fc.losses.BCEWithLogits(), fc.losses.BinaryFocal(), fc.losses.BinaryHinge()]
)
def test_yes_and_no_are_counted_pixel_by_pixel(loss):
    X, _ = data("images")
    y = np.random.default_rng(4).integers(0, 2, (23, 1, 5, 4))
    model = network("images", outputs=1)
    figures = fc.Trainer(model, loss, metrics=("accuracy", "f1", "recall", "auc")).evaluate(X, y)
    predicted = (model.predict(X) > 0).astype(int)
    assert figures["accuracy"] == pytest.approx((predicted == y).mean(), rel=1e-12)
    assert figures["f1"] == metrics.f1(y.ravel(), predicted.ravel())
    assert figures["recall"] == metrics.recall(y.ravel(), predicted.ravel())
    assert figures["auc"] == pytest.approx(metrics.auc(y.ravel(), model.predict(X).ravel()))
    assert metrics.accuracy(model.predict(X), y, loss) == pytest.approx(figures["accuracy"], rel=1e-12)


def test_pixels_are_learned_from_arrays_and_batches_with_validation():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2, 5, 4))
    y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)
    trainer = fc.Trainer(network("images", "float32"), "cross_entropy", fc.Adam(0.02), ("accuracy", "f1"))
    history = trainer.fit(X, y, epochs=80, batch_size=16, validation_split=0.2)
    assert history["val_accuracy"][-1] > 0.8
    assert history["f1"][-1] > 0.8
    parts = np.moveaxis(np.eye(3)[y] * 0.9 + 1 / 30, -1, 1)
    batches = [(X[:16], y[:16]), (X[16:40], parts[16:40]), (X[40:], y[40:], np.ones(20))]
    again = fc.Trainer(network("images", "float32"), "cross_entropy", fc.Adam(0.02), ("accuracy", "f1"))
    history = again.fit(batches, epochs=80, validation_data=batches)
    assert history["val_accuracy"][-1] > 0.8


@pytest.mark.parametrize("loss", ["huber", "smooth_l1", "focal", "binary_focal", "hinge", "binary_hinge"])
def test_they_go_by_their_names_and_are_pickled(loss):
    kind = LOSSES[loss]
    assert resolve(loss) == kind()
    assert str(kind()).startswith(loss)
    assert pickle.loads(pickle.dumps(kind())) == kind()
    assert eval(repr(kind()), vars(fc.losses)) == kind()
    X, y = data("features", classes=kind in (fc.losses.Focal, fc.losses.Hinge))
    history = fc.Trainer(network("features"), loss, fc.SGD(0.1)).fit(X, y, epochs=10)
    assert history["loss"][-1] < history["loss"][0]
    assert ("accuracy" in history) == (kind().targets != "numbers")


@pytest.mark.parametrize("loss", [*OF_CLASSES, *OF_PAIRS], ids=repr)
@pytest.mark.parametrize("form", ["features", "images"])
def test_the_explanation_and_the_source_know_them(loss, form):
    X, y = data(form, 1, loss in OF_CLASSES)
    model = network(form)
    told = fc.explain(model, X[0], y[0], loss=loss, file=io.StringIO())
    assert told.loss == pytest.approx(model.loss_and_gradients(X, y, loss)[0], rel=1e-12)
    assert f"Loss: {loss}" in told.text
    assert f"# Loss: {loss}." in model.source(loss=loss)


def test_class_weights_of_the_loss_are_those_of_fit_where_samples_have_one_class():
    X, y = data("features", 40)
    one, other = network("features"), network("features")
    fc.Trainer(one, fc.losses.CrossEntropy(class_weight=WEIGHTS)).fit(X, y, epochs=3)
    fc.Trainer(other).fit(X, y, epochs=3, class_weight=dict(enumerate(WEIGHTS)))
    np.testing.assert_allclose(one.flat_parameters, other.flat_parameters, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: fc.losses.CrossEntropy(class_weight=2.0),
            TypeError,
            "`class_weight` of a loss must be a list",
        ),
        (lambda: fc.losses.CrossEntropy(class_weight={0: 1}), TypeError, "`class_weight` of a loss must be"),
        (lambda: fc.losses.CrossEntropy(class_weight="balanced"), TypeError, "`class_weight` of a loss must"),
        (
            lambda: fc.losses.Focal(class_weight=[1, -1]),
            ValueError,
            r"`class_weight\[1\]` must be a number >= 0",
        ),
        (lambda: fc.losses.Hinge(class_weight=[0, 0]), ValueError, "only zeros"),
        (lambda: fc.losses.Focal(gamma=-1), ValueError, "`gamma` must be a number >= 0"),
        (lambda: fc.losses.BinaryFocal(gamma="2"), TypeError, "`gamma` must be a number"),
        (
            lambda: fc.losses.BinaryFocal(alpha=1.5),
            ValueError,
            "`alpha` must be a number from 0 to 1, or None",
        ),
        (lambda: fc.losses.Hinge(margin=0), ValueError, "`margin` must be a number > 0"),
        (lambda: fc.losses.SmoothL1(beta=0), ValueError, "`beta` must be a number > 0"),
        (
            lambda: fc.Trainer(network("images"), fc.losses.Focal(class_weight=[1, 2])),
            ValueError,
            "a weight for each of 3 classes, got 2",
        ),
        (
            lambda: fc.Trainer(network("images", outputs=1)),
            ValueError,
            r"at least 2 channels, got \(1, 5, 4\)",
        ),
        (
            lambda: fc.Trainer(network("images")).evaluate(*data("images", 4)[:1], np.zeros(4, int)),
            ValueError,
            r"`y` must have shape \(4, 5, 4\), a label at each place of an output \(3, 5, 4\), got \(4,\)",
        ),
        (
            lambda: fc.Trainer(network("images")).evaluate(data("images", 2)[0], np.full((2, 5, 4), 3)),
            ValueError,
            "`y` must be labels 0 to 2, got 3 to 3",
        ),
        (
            lambda: fc.Trainer(network("images")).evaluate(data("images", 2)[0], np.ones((2, 3, 5, 4)) / 2),
            ValueError,
            r"got a sum of 1.5 at \[0, :, 0, 0\]",
        ),
        (
            lambda: fc.Trainer(network("features"), "focal").evaluate(
                data("features", 2)[0], np.ones((2, 3)) / 3
            ),
            ValueError,
            "`y` must be labels for focal.*cross_entropy takes them",
        ),
        (
            lambda: fc.Trainer(network("images")).fit(*data("images"), class_weight="balanced"),
            ValueError,
            "one for each pixel: give the loss its own",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()
