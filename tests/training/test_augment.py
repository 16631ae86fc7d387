"""Random changes of training images: against SciPy, and what is drawn against what should be.

Images of their own coordinates tell which place each pixel came from.
"""

from functools import cache

import numpy as np
import pytest
from scipy import ndimage, stats

import fastconv as fc
from fastconv.engine import engine
from fastconv.engine.builder import Builder
from fastconv.engine.run import Run
from fastconv.nn.losses import CrossEntropy

BOTH_DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
EVERYTHING = fc.Augment(
    shift=2, rotation=25, horizontal_flip=True, vertical_flip=True, noise=0.2, fill=0.3
)  # fmt: skip
RNG = np.random.default_rng(0)
SHAPE = (2, 9, 7)
X = RNG.random((50, *SHAPE)).astype(np.float32)
Y = RNG.integers(0, 3, 50)


def moves(augment, count, size, seed=0, step=1):
    """Sample -> (matrix, offset): pixel p of the result comes from matrix @ p + offset."""
    (height, width), middle = size, (size[0] // 2, size[1] // 2)
    coordinates = np.indices(size, dtype=float)
    still = fc.Augment(augment.shift, augment.rotation, augment.horizontal_flip, augment.vertical_flip)
    images = np.broadcast_to([*coordinates, np.ones(size)], (count, 3, height, width))
    found = still.apply(images, seed, step, "float64")
    i, j = middle
    assert np.allclose(found[:, 2, i - 1 : i + 2, j - 1 : j + 2], 1), "these come from inside the image"
    by_i = (found[:, :2, i + 1, j] - found[:, :2, i - 1, j]) / 2
    by_j = (found[:, :2, i, j + 1] - found[:, :2, i, j - 1]) / 2
    matrices = np.stack([by_i, by_j], axis=2)
    return matrices, found[:, :2, i, j] - matrices @ middle


def draws(augment, count, size, **which):
    """(degrees, signs, shifts) of each sample; below a right angle, flips show in the signs."""
    matrices, offsets = moves(augment, count, size, **which)
    signs = np.sign(matrices[:, [0, 1], [0, 1]])
    turned = signs[:, :, None] * matrices
    np.testing.assert_allclose(turned[:, 0, 0], turned[:, 1, 1], atol=1e-9)
    np.testing.assert_allclose(turned[:, 0, 1], -turned[:, 1, 0], atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(turned), 1, atol=1e-9)
    centre = (np.array(size) - 1) / 2
    shifts = np.linalg.solve(matrices, (centre - offsets - matrices @ centre)[:, :, None])[:, :, 0]
    return np.degrees(np.arctan2(turned[:, 0, 1], turned[:, 0, 0])), signs, shifts


# Where pixels come from


@BOTH_DTYPES
@pytest.mark.parametrize("size", [(13, 12), (11, 16)])
@pytest.mark.parametrize("rotation", [0, 30, 180])
def test_images_are_those_that_scipy_makes_with_the_same_moves(dtype, size, rotation):
    augment = fc.Augment(2, rotation, horizontal_flip=True, vertical_flip=True, fill=-0.7)
    images = np.random.default_rng(1).random((45, 3, *size))
    found = augment.apply(images, seed=5, step=3, dtype=dtype)
    assert found.dtype == dtype
    for image, made, matrix, offset in zip(images, found, *moves(augment, 45, size, 5, 3), strict=True):
        for channel, plane in zip(image, made, strict=True):
            wanted = ndimage.affine_transform(
                channel, matrix, offset, order=1, mode="grid-constant", cval=-0.7
            )
            np.testing.assert_allclose(plane, wanted, atol=2e-5 if dtype == "float32" else 1e-11)


@BOTH_DTYPES
def test_without_rotation_every_pixel_is_one_of_the_image_to_the_bit_or_fill(dtype):
    size, augment = (6, 5), fc.Augment((3, 7), horizontal_flip=True, vertical_flip=True, fill=0.25)
    image = np.random.default_rng(2).random((2, *size)).astype(dtype)
    padded = np.pad(image, ((0, 0), (3, 3), (7, 7)), constant_values=0.25)
    candidates = {
        padded[:, i : i + 6, j : j + 5][:, ::flip_y, ::flip_x].tobytes()
        for i in range(7)
        for j in range(15)
        for flip_y in (1, -1)
        for flip_x in (1, -1)
    }
    made = augment.apply(np.broadcast_to(image, (3000, *image.shape)), dtype=dtype)
    found = {sample.tobytes() for sample in made}
    assert found <= candidates
    assert len(found) > 0.95 * len(candidates)


def test_images_of_one_row_column_or_pixel_are_moved_too():
    row = fc.Augment(shift=(0, 1)).apply(np.broadcast_to([[1.0, 2.0]], (200, 1, 2)))
    assert {tuple(sample[0]) for sample in row} == {(0, 1), (1, 2), (2, 0)}
    turned = fc.Augment(rotation=180).apply(np.ones((200, 5, 1)))
    assert turned[:, 2].min() > 0.999999, "the middle stays where it is"
    assert turned[:, 0].min() < 0.01
    assert np.allclose(fc.Augment(rotation=180).apply(np.ones((20, 1, 1, 1))), 1)


ARRAYS = {
    "float64": lambda images: images.astype(float),
    "Fortran order": np.asfortranarray,
    "read from the end": lambda images: np.ascontiguousarray(images[:, ::-1, ::-1])[:, ::-1, ::-1],
    "a list": lambda images: images.tolist(),
    "channels last": lambda images: np.moveaxis(np.ascontiguousarray(np.moveaxis(images, 1, 3)), 3, 1),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_any_array_of_the_same_images_gives_the_same(kind):
    np.testing.assert_array_equal(EVERYTHING.apply(ARRAYS[kind](X)), EVERYTHING.apply(X))


def test_bytes_are_divided_by_255_first():
    images = RNG.integers(0, 256, (40, 8, 6)).astype(np.uint8)
    wanted = EVERYTHING.apply(images.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(EVERYTHING.apply(images), wanted)


# What is drawn


@cache
def many_draws():
    augment = fc.Augment((2, 3), 20.0, horizontal_flip=True, vertical_flip=True)
    return draws(augment, 20_000, (15, 17))


def test_shifts_are_whole_and_all_alike_in_their_range():
    shifts = many_draws()[2]
    np.testing.assert_allclose(shifts, np.round(shifts), atol=1e-9)
    for axis, reach in ((0, 2), (1, 3)):
        values, counts = np.unique(np.round(shifts[:, axis]), return_counts=True)
        assert values.tolist() == list(range(-reach, reach + 1))
        assert stats.chisquare(counts).pvalue > 1e-3


def test_angles_are_uniform_in_their_range():
    degrees = many_draws()[0]
    assert np.abs(degrees).max() <= 20 + 1e-9
    assert stats.kstest(degrees, stats.uniform(-20, 40).cdf).pvalue > 1e-3


def test_half_of_the_images_are_flipped_each_way_and_only_the_ways_asked_for():
    signs = many_draws()[1]
    assert np.abs(signs.mean(axis=0)).max() < 0.04
    for number, ways in enumerate([{"vertical_flip": True}, {"horizontal_flip": True}]):
        signs = draws(fc.Augment(**ways), 500, (5, 5))[1]
        assert abs(signs[:, number].mean()) < 0.2
        assert (signs[:, 1 - number] == 1).all()


def test_what_one_image_draws_says_nothing_about_its_other_draws_or_the_next_image():
    degrees, signs, shifts = many_draws()
    drawn = np.column_stack([degrees, signs, shifts])
    together = np.corrcoef(np.hstack([drawn[:-1], drawn[1:], np.roll(drawn, 16, axis=0)[1:]]).T)
    assert np.abs(together - np.eye(15)).max() < 5 / np.sqrt(len(drawn))


def test_seeds_steps_and_samples_draw_their_own_numbers_and_the_same_again():
    same = np.broadcast_to(X[0], X.shape)
    base = EVERYTHING.apply(same, seed=1, step=1)
    np.testing.assert_array_equal(base, EVERYTHING.apply(same, seed=1, step=1))
    np.testing.assert_array_equal(base[:20], EVERYTHING.apply(same[:20], seed=1, step=1))
    others = [EVERYTHING.apply(same, seed, step) for seed, step in ((2, 1), (1, 2), (2**64 + 5, 1))]
    images = {image.tobytes() for made in (base, *others) for image in made}
    assert len(images) == 4 * len(X)


# Noise


@BOTH_DTYPES
def test_noise_is_normal_with_the_deviation_asked_for(dtype):
    values = fc.Augment(noise=0.4).apply(np.full((300, 3, 11, 9), 5.0), dtype=dtype) - 5
    values = values.ravel().astype(float)
    assert abs(values.mean()) < 4 * 0.4 / np.sqrt(values.size)
    assert stats.kstest(values / 0.4, "norm").pvalue > 1e-3
    assert np.std(values) == pytest.approx(0.4, rel=0.01)
    assert stats.kurtosis(values) == pytest.approx(0, abs=5 * np.sqrt(24 / values.size))


def test_noise_of_pixels_channels_images_and_steps_is_unrelated():
    augment = fc.Augment(noise=1.0)
    noise = augment.apply(np.zeros((640, 2, 8, 9)))
    later, other = (augment.apply(np.zeros((640, 2, 8, 9)), *which) for which in ((0, 2), (1, 1)))
    pairs = {
        "right": (noise[..., :-1], noise[..., 1:]),
        "two to the right": (noise[..., :-2], noise[..., 2:]),
        "below": (noise[:, :, :-1], noise[:, :, 1:]),
        "channel": (noise[:, 0], noise[:, 1]),
        "image": (noise[:-1], noise[1:]),
        "block": (noise[:-16], noise[16:]),
        "step": (noise, later),
        "seed": (noise, other),
    }
    for what, (a, b) in pairs.items():
        for power in (1, 2):  # also the sizes
            related = np.corrcoef(a.ravel() ** power, b.ravel() ** power)[0, 1]
            assert abs(related) < 5 / np.sqrt(a.size), what


def test_noise_is_added_to_the_moved_image_and_to_what_fills_it():
    moved = fc.Augment(shift=3, rotation=25, fill=0.5)
    noisy = fc.Augment(shift=3, rotation=25, fill=0.5, noise=0.1)
    noise = noisy.apply(X) - moved.apply(X)
    np.testing.assert_allclose(noise, fc.Augment(noise=0.1).apply(np.zeros_like(X)), atol=1e-6)


@BOTH_DTYPES
def test_the_least_noise_is_not_lost(dtype):
    values = fc.Augment(noise=1e-30).apply(np.zeros((100, 5, 5)), dtype=dtype)
    assert np.std(values.astype(float) * 1e30) == pytest.approx(1, rel=0.1)


# In training


def network(dtype="float32", seed=3):
    layers = [
        fc.Conv2d(3, 3, padding=1), fc.ReLU(), fc.MaxPool2d(2), fc.Flatten(), fc.Dropout(0.2), fc.Dense(3),
    ]  # fmt: skip
    return fc.Sequential(layers, SHAPE, dtype=dtype, seed=seed)


def trained(augment=EVERYTHING, dtype="float32", seed=4, **arguments):
    model = network(dtype)
    arguments = {"epochs": 3, "batch_size": 21, "progress": False, **arguments}
    history = fc.Trainer(model, optimizer=fc.SGD(0.05), seed=seed).fit(X, Y, augment=augment, **arguments)
    return model.flat_parameters.copy(), history["loss"]


@pytest.fixture
def threads():
    before = fc.get_num_threads()
    yield fc.set_num_threads
    fc.set_num_threads(before)


@BOTH_DTYPES
def test_a_step_is_taken_on_the_images_that_apply_shows_and_their_own_labels(dtype):
    layers = [fc.Conv2d(3, 3, padding=1), fc.Tanh(), fc.Flatten(), fc.Dense(3)]
    model, twin = (fc.Sequential(layers, SHAPE, dtype) for _ in range(2))
    trainer = fc.Trainer(model, optimizer=fc.SGD(0.5), seed=6)
    trainer.fit(X, Y, epochs=2, batch_size=21, shuffle=False, augment=EVERYTHING)
    for step in range(1, 7):
        batch = slice(*((0, 21), (21, 42), (42, 50))[(step - 1) % 3])
        images = EVERYTHING.apply(X[batch], seed=6, step=step, dtype=dtype)
        for name, gradient in twin.loss_and_gradients(images, Y[batch])[1].items():
            twin.parameters()[name][...] -= 0.5 * gradient
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(model.flat_parameters, twin.flat_parameters, rtol=tolerance, atol=tolerance)


@BOTH_DTYPES
def test_training_has_the_same_bits_on_any_number_of_threads(dtype, threads):
    threads(1)
    expected, losses = trained(dtype=dtype)
    for count in (2, 3, 8):
        threads(count)
        found, same_losses = trained(dtype=dtype)
        np.testing.assert_array_equal(found, expected)
        assert same_losses == losses


def test_training_has_the_same_bits_however_steps_are_divided_into_calls(monkeypatch):
    results = []
    for seconds in (0.0, 100.0):
        monkeypatch.setattr(engine, "SECONDS_PER_CALL", seconds)
        results.append(trained(batch_size=3)[0])
    np.testing.assert_array_equal(*results)


def test_seed_and_setting_decide_the_bits():
    others = [
        {"seed": 5}, {"augment": None}, {"augment": fc.Augment(shift=2)}, {"augment": fc.Augment(noise=0.2)},
    ]  # fmt: skip
    results = [trained()[0], *(trained(**other)[0] for other in others)]
    assert len({result.tobytes() for result in results}) == 5
    np.testing.assert_array_equal(trained()[0], results[0])


def test_every_epoch_changes_the_images_anew():
    arguments = {"epochs": 4, "batch_size": 50, "shuffle": False}
    model = fc.Sequential([fc.Flatten(), fc.Dense(3)], SHAPE)
    history = fc.Trainer(model, optimizer=fc.SGD(0.0)).fit(X, Y, augment=EVERYTHING, **arguments)
    assert len(set(history["loss"])) == 4


class Interrupt:
    def on_epoch_end(self, trainer, logs):
        if logs["epoch"] == 1:
            raise KeyboardInterrupt


def test_a_resumed_run_has_the_bits_of_an_uninterrupted_one(tmp_path):
    path = tmp_path / "run.npz"
    with pytest.raises(KeyboardInterrupt):
        trained(epochs=4, checkpoint=path, callbacks=[Interrupt()])
    found, losses = trained(epochs=4, checkpoint=path, resume=True)
    expected, all_losses = trained(epochs=4)
    np.testing.assert_array_equal(found, expected)
    assert losses == all_losses


def test_a_run_is_not_resumed_with_other_changes(tmp_path):
    path = tmp_path / "run.npz"
    trained(epochs=1, checkpoint=path)
    for other in (None, fc.Augment(), fc.Augment(shift=2), fc.Augment(noise=0.2)):
        with pytest.raises(ValueError, match="another network, loss, optimizer, seed or augmentation"):
            trained(other, epochs=2, checkpoint=path, resume=True)
    trained(None, epochs=1, checkpoint=path)
    trained(fc.Augment(), epochs=2, checkpoint=path, resume=True)


def test_validation_evaluation_and_prediction_leave_images_alone():
    model = network()
    expected, output = fc.Trainer(model).evaluate(X, Y), model.predict(X)
    trainer = fc.Trainer(model, optimizer=fc.SGD(0.0))
    history = trainer.fit(X, Y, epochs=2, validation_data=(X, Y), augment=EVERYTHING)
    assert history["val_loss"] == [expected["loss"]] * 2
    assert trainer.evaluate(X, Y) == expected
    np.testing.assert_array_equal(model.predict(X), output)


def operations(augment):
    built = Builder(
        network(), Run("train", 32, 1, CrossEntropy(), fc.SGD(), augmentation=augment), [np.zeros(1)]
    )
    return [operation.name for _, stage in built.plan.stages for operation, _, _ in stage]


def test_nothing_runs_that_was_not_asked_for():
    plain = operations(None)
    assert operations(fc.Augment(fill=1.0)) == plain
    assert operations(fc.Augment(shift=1)) == [plain[0], "move", *plain[1:]]
    assert operations(fc.Augment(noise=1)) == [plain[0], "noise", *plain[1:]]
    assert operations(EVERYTHING) == [plain[0], "move", "noise", *plain[1:]]


def test_a_hundred_images_teach_more_when_they_are_changed():
    images, labels, *held_out = fc.datasets.load_digits()

    def accuracy(augment):
        """The mean over three seeds."""
        results = []
        for seed in range(3):
            model = fc.models.lenet_digits(seed=seed)
            trainer = fc.Trainer(model, optimizer=fc.Adam(fc.CosineDecay(0.005)), seed=seed)
            trainer.fit(images[:100], labels[:100], epochs=100, batch_size=16, augment=augment)
            results.append(trainer.evaluate(*held_out)["accuracy"])
        return np.mean(results)

    plain = accuracy(None)
    for augment in (fc.Augment(shift=1, rotation=10), fc.Augment(rotation=10, noise=0.1)):
        assert accuracy(augment) > plain + 0.01


# Errors


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"shift": -1}, ValueError, "`shift` must be a non-negative int or a pair of them, got -1"),
        ({"shift": 0.1}, TypeError, "`shift` must be a non-negative int or a pair of them, got 0.1"),
        ({"shift": (1, 2, 3)}, ValueError, "`shift` must be"),
        ({"rotation": 181}, ValueError, "`rotation` must be a number of degrees from 0 to 180, got 181.0"),
        ({"rotation": -1}, ValueError, "`rotation` must be a number >= 0, got -1"),
        ({"rotation": "10"}, TypeError, "`rotation` must be a number >= 0, got '10'"),
        ({"horizontal_flip": 1}, TypeError, "`horizontal_flip` must be True or False, got 1"),
        ({"vertical_flip": "no"}, TypeError, "`vertical_flip` must be True or False, got 'no'"),
        ({"noise": -0.1}, ValueError, "`noise` must be a number >= 0, got -0.1"),
        ({"noise": np.inf}, ValueError, "`noise` must be a number >= 0, got inf"),
        ({"fill": np.nan}, ValueError, "`fill` must be a number"),
        ({"fill": None}, TypeError, "`fill` must be a number"),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused_by_name(parameters, error, message):
    with pytest.raises(error) as caught:
        fc.Augment(**parameters)
    assert str(caught.value).startswith(message)


def test_parameters_are_kept_as_plain_numbers():
    augment = fc.Augment(np.int64(2), np.float32(10), np.True_, fill=np.float64(1))
    assert augment == fc.Augment((2, 2), 10.0, True, fill=1.0)
    assert hash(augment) == hash(fc.Augment(2, 10, True, False, 0, 1))


@pytest.mark.parametrize("augment", [2, "shift", {"shift": 2}, fc.Augment])
def test_fit_takes_nothing_but_an_augment(augment):
    with pytest.raises(TypeError, match="`augment` must be an Augment such as"):
        fc.Trainer(network()).fit(X, Y, augment=augment)


def test_only_images_are_augmented():
    trainer = fc.Trainer(fc.Sequential([fc.Dense(3)], (4,)))
    with pytest.raises(ValueError, match=r"`augment` changes images .*takes samples of \(4,\)"):
        trainer.fit(np.ones((5, 4)), np.zeros(5, int), augment=fc.Augment())


def test_apply_takes_nothing_but_images():
    for wrong in (np.ones((3, 4)), np.ones((2, 3, 4, 5, 6)), 5.0):
        with pytest.raises(ValueError, match=r"`X` must have shape \(N, C, H, W\) or \(N, H, W\)"):
            EVERYTHING.apply(wrong)
    with pytest.raises(ValueError, match="`step` must be an int >= 1, got 0"):
        EVERYTHING.apply(X, step=0)
    assert EVERYTHING.apply(X[:0]).shape == (0, *SHAPE)
