"""Random changes of images: against SciPy, what is drawn, and what is refused."""

from functools import cache

import numpy as np
import pytest
from scipy import ndimage, stats

import fastconv as fc
from tests.training.images import BOTH_DTYPES, EVERYTHING, RNG, SHAPE, X, draws, moves

# Where pixels come from


@BOTH_DTYPES
@pytest.mark.parametrize("size", [(13, 12), (11, 16)])
@pytest.mark.parametrize("rotation", [0, 30, 180])
def test_images_are_those_that_scipy_makes_with_the_same_moves(dtype, size, rotation):
    augment = fc.Augment(2, rotation=rotation, horizontal_flip=True, vertical_flip=True, fill=-0.7)
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
    augment = fc.Augment((2, 3), rotation=20.0, horizontal_flip=True, vertical_flip=True)
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
    augment = fc.Augment(np.int64(2), rotation=np.float32(10), horizontal_flip=np.True_, fill=np.float64(1))
    assert augment == fc.Augment((2, 2), rotation=10.0, horizontal_flip=True, fill=1.0)
    assert hash(augment) == hash(
        fc.Augment(2, rotation=10, horizontal_flip=True, vertical_flip=False, noise=0, fill=1)
    )


def test_apply_takes_nothing_but_images():
    for wrong in (np.ones((3, 4)), np.ones((2, 3, 4, 5, 6)), 5.0):
        with pytest.raises(ValueError, match=r"`X` must have shape \(N, C, H, W\) or \(N, H, W\)"):
            EVERYTHING.apply(wrong)
    with pytest.raises(ValueError, match="`step` must be an int >= 1, got 0"):
        EVERYTHING.apply(X, step=0)
    assert EVERYTHING.apply(X[:0]).shape == (0, *SHAPE)
