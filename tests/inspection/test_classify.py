"""From image files to classes: as training on a folder reads them, and as the command line says."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.inspection.classify import prepared
from tests.cli.answers import strict

Image = pytest.importorskip("PIL.Image")
RNG = np.random.default_rng(0)


def judge(shape=(1, 8, 8), **metadata):
    """A network of two classes, above and below: which half is brighter."""
    model = fc.Sequential([fc.Flatten(), fc.Dense(2)], shape)
    weight = np.zeros((2, *shape))
    weight[0, :, : shape[1] // 2] = weight[1, :, shape[1] // 2 :] = 1
    model.parameters()["1.weight"][...] = weight.reshape(2, -1)
    model.parameters()["1.bias"][...] = 0
    model.metadata = {"classes": ["above", "below"], **metadata}
    return model


def picture(path, mode="RGB", size=(20, 30), bright="above"):
    pixels = RNG.integers(0, 100, (size[1], size[0], 3), dtype=np.uint8)
    pixels[slice(0, size[1] // 2) if bright == "above" else slice(size[1] // 2, None)] += 150
    image = Image.fromarray(pixels).convert(mode)
    image.save(path)
    return image


def test_a_file_gets_one_record_and_several_get_a_list(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png", bright="below")
    model = judge()
    one = fc.classify(model, tmp_path / "a.png")
    assert (one.image, one.label) == (str(tmp_path / "a.png"), "above")
    assert one.probability == one.probabilities["above"] > 0.5
    assert sum(one.probabilities.values()) == pytest.approx(1)
    assert list(one.probabilities) == ["above", "below"]
    assert [r.label for r in fc.classify(model, [tmp_path / "a.png", str(tmp_path / "b.png")])] == [
        "above",
        "below",
    ]
    assert fc.classify(model, tmp_path) == fc.classify(model, [tmp_path / "a.png", tmp_path / "b.png"])
    assert fc.classify(model, []) == []


def test_the_record_reads_as_a_line(tmp_path):
    model = judge()
    found = fc.classify(model, np.zeros((8, 8), np.uint8))
    assert repr(found) == "image 0: above 50.0%, below 50.0%"
    many = fc.Sequential([fc.Flatten(), fc.Dense(9)], (1, 8, 8))
    assert repr(fc.classify(many, np.zeros((8, 8)))).endswith(", and 4 more")
    model.metadata["classes"] = ["\x1b[2J", "b"]
    assert "\x1b" not in repr(fc.classify(model, np.zeros((8, 8))))


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_made_ready_exactly_as_training_on_a_folder_makes_it(tmp_path, channels):
    modes = ("1", "L", "LA", "P", "RGB", "RGBA") if channels == 3 else ("RGB", "L", "P")
    for k, mode in enumerate(modes):
        for name in ("cat", "dog"):
            (tmp_path / "data" / name).mkdir(parents=True, exist_ok=True)
            picture(tmp_path / "data" / name / f"{k}.png", mode, (30 + k, 40))
    model = judge((channels, 16, 12))
    data = fc.datasets.load_images(tmp_path / "data", channels, (16, 12))
    known = {image.tobytes() for image in np.concatenate([data.X_train, data.X_test])}
    files = sorted((tmp_path / "data").rglob("*.png"))
    assert {prepared(file, model).tobytes() for file in files} == known
    for file in files:  # and as an image in memory, or as the array that Pillow makes of it
        with Image.open(file) as image:
            np.testing.assert_array_equal(prepared(image, model), prepared(file, model))
            if image.mode in ("L", "RGB"):
                np.testing.assert_array_equal(prepared(np.asarray(image), model), prepared(file, model))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "I;16"])
def test_images_of_pillow_of_other_kinds_are_taken(tmp_path, mode):
    image = Image.fromarray(RNG.integers(0, 256, (9, 7, 3), dtype=np.uint8))
    image = Image.fromarray(np.full((9, 7), 65535, np.uint16)) if mode == "I;16" else image.convert(mode)
    pixels = prepared(image, judge((3, 9, 7)))
    if mode == "I;16":
        assert (pixels == 255).all()
    else:
        np.testing.assert_array_equal(pixels.transpose(1, 2, 0), np.asarray(image.convert("RGB")))


def test_the_orientation_of_a_camera_is_applied_to_images_in_memory_too(tmp_path):
    image = Image.fromarray(RNG.integers(0, 256, (9, 7), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    model = judge((1, 7, 9))
    with Image.open(tmp_path / "turned.jpg") as opened:
        np.testing.assert_array_equal(prepared(opened, model), prepared(tmp_path / "turned.jpg", model))


def test_arrays_of_every_layout_mean_the_same_image():
    model = judge((3, 8, 8))
    pixels = RNG.integers(0, 256, (3, 8, 8), dtype=np.uint8)
    wanted = fc.classify(model, pixels)
    for same in (pixels.transpose(1, 2, 0), pixels / 255, (pixels / 255).transpose(1, 2, 0)):
        found = fc.classify(model, same)
        assert found.probabilities == pytest.approx(wanted.probabilities, abs=1e-6)
    stack = fc.classify(model, np.stack([pixels, pixels]))
    assert [r.image for r in stack] == ["image 0", "image 1"]
    assert stack[1].probabilities == pytest.approx(wanted.probabilities)
    assert len(fc.classify(model, [pixels, pixels / 255])) == 2


def test_the_scale_of_the_training_data_is_that_of_the_pixels():
    model = judge()
    pixels = RNG.integers(0, 256, (8, 8), dtype=np.uint8)
    usual = fc.classify(model, pixels)
    model.metadata["input_scale"] = 1 / 255
    assert fc.classify(model, pixels) == usual
    model.metadata["input_scale"] = 1.0
    found = fc.classify(model, pixels)
    assert found.probabilities == pytest.approx(
        fc.classify(judge(), pixels.astype(float)).probabilities, abs=1e-6
    )
    for wrong in (0, "1", True, float("nan"), None):
        model.metadata["input_scale"] = wrong
        with pytest.raises(
            ValueError, match=r"`model\.metadata\[\"input_scale\"\]` must be a positive number"
        ):
            fc.classify(model, pixels)


def test_dark_on_light_is_inverted(tmp_path):
    pixels = RNG.integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(255 - pixels).save(tmp_path / "dark.png")
    assert fc.classify(judge(), tmp_path / "dark.png", invert=True).probabilities == (
        fc.classify(judge(), pixels).probabilities
    )


def test_the_command_line_says_the_same(run, tmp_path):
    for name in ("a.png", "b.png"):
        picture(tmp_path / name, bright="above" if name == "a.png" else "below")
    model = judge()
    model.save("model.npz")
    code, out, _ = run("predict", "model.npz", "a.png", "b.png", "--json", "--top", 2)
    assert code == 0
    for row, record in zip(strict(out)["images"], fc.classify(model, ["a.png", "b.png"]), strict=True):
        assert (row["image"], row["predicted"]) == (record.image, record.label)
        assert {one["class"]: one["probability"] for one in row["top"]} == record.probabilities


def test_what_is_no_image_is_refused_by_its_name(tmp_path):
    model = judge()
    (tmp_path / "text.png").write_bytes(b"hello")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"text\.png is not"):
        fc.classify(model, tmp_path / "text.png")
    with pytest.raises(ValueError, match="empty has no images"):
        fc.classify(model, tmp_path / "empty")
    with pytest.raises(FileNotFoundError):
        fc.classify(model, tmp_path / "none.png")
    for wrong in (np.zeros(3), np.zeros((5, 6, 7)), np.zeros((1, 1, 1, 1, 1)), np.zeros((8, 8), complex)):
        with pytest.raises(ValueError, match="`images`"):
            fc.classify(model, wrong)
    with pytest.raises(TypeError, match="`images` must be paths, images of Pillow or arrays, got int"):
        fc.classify(model, 3)
    with pytest.raises(ValueError, match="pixels of floats"):
        fc.classify(model, Image.fromarray(np.zeros((3, 3), np.float32)))


def test_what_is_no_classifier_of_images_is_refused():
    with pytest.raises(
        TypeError, match=r"`model` must be a Sequential or a Model, got str: fc\.load reads a file"
    ):
        fc.classify("model.npz", "a.png")
    with pytest.raises(ValueError, match="expected images"):
        fc.classify(fc.Sequential([fc.Dense(2)], (3,)), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="`model` must end in one output or one for each class"):
        fc.classify(fc.Sequential([fc.ReLU()], (1, 3, 3)), np.zeros((3, 3)))


@pytest.mark.parametrize("classes", [None, ["a"], {"0": "a", "1": "b"}, 3])
def test_classes_without_names_are_numbers(classes):
    model = judge()
    model.metadata = {} if classes is None else {"classes": classes}
    assert sorted(fc.classify(model, np.zeros((8, 8))).probabilities) == [0, 1]
