import struct
import zlib

import numpy as np
import pytest

from fastconv import datasets
from fastconv.formats import image_files

Image = pytest.importorskip("PIL.Image")
RNG = np.random.default_rng(0)


def png(path, width, height, rows, bits=8, colour=0, extra=b""):
    """Write a PNG by hand: its chunks as the standard gives them."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra
    path.write_bytes(start + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


def save(tmp_path, pixels, name="image.png", **options):
    Image.fromarray(pixels).save(tmp_path / name, **options)
    return tmp_path / name


# ---------------------------------------------------------------- pixels


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.webp", "a.gif", "a.tif", "a.TIFF"])
def test_grey_files_come_back_as_they_were_saved(tmp_path, name):
    pixels = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
    options = {"lossless": True} if name.endswith("webp") else {}
    found = image_files.read_image(save(tmp_path, pixels, name, **options), channels=1)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, pixels[None])


def test_a_jpeg_is_near_what_was_saved(tmp_path):
    pixels = np.linspace(0, 255, 256).astype(np.uint8).reshape(16, 16)
    found = image_files.read_image(save(tmp_path, pixels, "a.jpg", quality=95))
    assert np.abs(found[0].astype(int) - pixels).max() < 12


def test_colours_are_planes_and_their_luminance_is_grey(tmp_path):
    pixels = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    path = save(tmp_path, pixels)
    np.testing.assert_array_equal(image_files.read_image(path), pixels.transpose(2, 0, 1))
    luminance = pixels @ np.array([0.299, 0.587, 0.114])  # ITU-R 601-2
    np.testing.assert_allclose(image_files.read_image(path, channels=1)[0], luminance, atol=0.51)


def test_grey_files_become_three_equal_planes_where_colours_are_asked_for(tmp_path):
    pixels = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
    np.testing.assert_array_equal(image_files.read_image(save(tmp_path, pixels), channels=3), [pixels] * 3)


def test_levels_of_sixteen_bits_are_rounded_to_eight(tmp_path):
    levels = np.array([[0, 128, 129, 257], [32768, 65278, 65407, 65535]], dtype=">u2")
    path = png(tmp_path / "a.png", 4, 2, [row.tobytes() for row in levels], bits=16)
    assert image_files.read_image(path).tolist() == [[[0, 0, 1, 1], [128, 254, 255, 255]]]
    assert image_files.image_shape(path) == (1, 2, 4)


@pytest.mark.parametrize(("palette", "channels"), [([0, 0, 0, 90, 90, 90], 1), ([255, 0, 0, 0, 0, 255], 3)])
def test_palettes_are_looked_up(tmp_path, palette, channels):
    extra = struct.pack(">I", 6) + b"PLTE" + bytes(palette)
    extra += struct.pack(">I", zlib.crc32(extra[4:]))
    path = png(tmp_path / "a.png", 3, 1, [bytes([0, 1, 0])], colour=3, extra=extra)
    colours = np.array(palette, dtype=np.uint8).reshape(2, 3)[[0, 1, 0]]
    np.testing.assert_array_equal(image_files.read_image(path)[:, 0], colours.T[:channels])
    assert image_files.image_shape(path) == (channels, 1, 3)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_what_is_transparent_lies_on_white(tmp_path, mode):
    pixels = np.zeros((1, 3, len(mode)), dtype=np.uint8)
    pixels[..., -1] = [0, 51, 255]  # black, of an opacity of 0, 20 and 100 percent
    found = image_files.read_image(save(tmp_path, pixels), channels=1)
    assert found.tolist() == [[[255, 204, 0]]]


def test_a_transparent_colour_lies_on_white_too(tmp_path):
    pixels = np.array([[0, 7]], dtype=np.uint8)
    found = image_files.read_image(save(tmp_path, pixels, transparency=7), channels=1)
    assert found.tolist() == [[[0, 255]]]


@pytest.mark.parametrize(("orientation", "turn"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_the_orientation_of_the_camera_is_applied(tmp_path, orientation, turn):
    pixels = RNG.integers(0, 256, (4, 6), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation  # 6: the top of the scene is at the right side, so it is turned clockwise
    path = save(tmp_path, pixels, exif=exif)
    expected = np.rot90(pixels, turn)
    np.testing.assert_array_equal(image_files.read_image(path)[0], expected)
    assert image_files.image_shape(path) == (1, *expected.shape)


def test_an_animation_is_its_first_picture(tmp_path):
    frames = [Image.new("L", (4, 4), level) for level in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (image_files.read_image(tmp_path / "a.gif", channels=1) == 10).all()


# ---------------------------------------------------------------- what is refused


def refusals(path, contents):
    """What is said about a file that holds each of these in turn; one that can be read says nothing."""
    said = []
    for content in contents:
        path.write_bytes(content)
        try:
            image_files.read_image(path, channels=1)
        except ValueError as error:
            said.append(str(error))
    return said


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.gif", "a.webp", "a.tif"])
def test_a_file_that_is_cut_off_anywhere_is_refused_by_name(tmp_path, name):
    path = save(tmp_path, RNG.integers(0, 256, (40, 40), dtype=np.uint8), name)
    whole = path.read_bytes()
    ends = [*range(0, 60, 7), *range(60, len(whole) - 40, max(1, len(whole) // 20))]
    said = refusals(path, [whole[:end] for end in ends])
    assert len(said) == len(ends)
    assert all(message.startswith(f"{path} ") for message in said)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.webp", "a.tif"])
def test_a_damaged_file_is_refused_by_name_or_read(tmp_path, name):
    path = save(tmp_path, RNG.integers(0, 256, (20, 20), dtype=np.uint8), name)
    whole = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    contents = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        damaged = whole.copy()
        damaged[rng.integers(0, len(whole), 5)] = rng.integers(0, 256, 5)
        contents.append(damaged.tobytes())
    assert all(message.startswith(f"{path} ") for message in refusals(path, contents))


def test_whatever_a_decoder_raises_is_said_with_the_files_name(tmp_path, monkeypatch):
    def broken(image):
        raise IndexError("no such table")

    monkeypatch.setattr(pytest.importorskip("PIL.ImageOps"), "exif_transpose", broken)
    with pytest.raises(ValueError, match=r"a\.png cannot be read: no such table"):
        image_files.read_image(save(tmp_path, np.zeros((2, 2), np.uint8), "a.png"))


def test_a_picture_that_would_fill_the_memory_is_refused_unread(tmp_path):
    for side in (10_000, 60_000):  # more than Pillow warns of, more than it opens
        path = png(tmp_path / "bomb.png", side, side, [])
        with pytest.raises(ValueError, match=r"bomb\.png has too many pixels to be read"):
            image_files.read_image(path)


@pytest.mark.parametrize("kind", ["PPM", "TGA", "ICO", "PCX", "SGI"])
def test_rare_formats_are_refused(tmp_path, kind):
    Image.new("L", (16, 16)).save(tmp_path / "a.png", format=kind)
    with pytest.raises(ValueError, match=r"a\.png is not a PNG, JPEG, BMP, GIF, WebP or TIFF image$"):
        image_files.read_image(tmp_path / "a.png")


def test_a_missing_file_and_another_number_of_channels_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        image_files.read_image(tmp_path / "none.png")
    with pytest.raises(ValueError, match="1 or 3 channels, the network takes 2"):
        image_files.read_image(save(tmp_path, np.zeros((2, 2), np.uint8)), channels=2)


# ---------------------------------------------------------------- folders


def fill(folder, **classes):
    """A folder with a number of grey files of one level for each class; returns it."""
    for name, levels in classes.items():
        (folder / name).mkdir(parents=True)
        for k, level in enumerate(levels):
            Image.new("L", (4, 3), level).save(folder / name / f"{k}.png")
    return folder


def test_files_are_found_in_the_order_of_their_names_hidden_ones_left_out(tmp_path):
    for name in ("b/2.PNG", "b/10.png", "a.jpg", "c.txt", ".hidden.png", ".trash/a.png", "b/c/x.webp"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = [path.removeprefix(f"{tmp_path}/") for path in image_files.find_images(tmp_path)]
    assert found == ["a.jpg", "b/10.png", "b/2.PNG", "b/c/x.webp"]


def test_a_folder_for_each_class_is_split_by_a_fixed_seed(tmp_path):
    fill(tmp_path, dog=[100 + k for k in range(10)], cat=range(10))
    data = datasets.load_images(tmp_path)
    assert data.classes == ["cat", "dog"]
    assert data.X_train.shape[1:] == (1, 3, 4)
    assert data.X_train.dtype == np.uint8
    levels = np.concatenate([data.X_train, data.X_test])[:, 0, 0, 0]
    assert sorted(levels) == [*range(10), *range(100, 110)]
    for X, y in (data[:2], data[2:4]):
        np.testing.assert_array_equal(X[:, 0, 0, 0] >= 100, y == 1)
        assert set(y) == {0, 1}
    for again, first in zip(datasets.load(str(tmp_path))[:4], data[:4], strict=True):
        np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize("held_out", ["test", "val"])
def test_train_and_test_folders_are_taken_as_they_are(tmp_path, held_out):
    fill(tmp_path / "train", **{"10": [10, 11], "9": [9]})
    fill(tmp_path / held_out, **{"10": [12], "9": [8, 7]})
    data = datasets.load_images(tmp_path)
    assert data.classes == [9, 10]
    assert data.X_train[:, 0, 0, 0].tolist() == [9, 10, 11]
    assert data.y_train.tolist() == [0, 1, 1]
    assert data.X_test[:, 0, 0, 0].tolist() == [8, 7, 12]
    assert data.y_test.tolist() == [0, 0, 1]


def test_images_of_several_sizes_or_colours_get_one_shape(tmp_path):
    fill(tmp_path, a=[1, 2], b=[3, 4])
    assert datasets.load_images(tmp_path).X_train.shape[1:] == (1, 3, 4)
    Image.new("RGB", (50, 40), "red").save(tmp_path / "a" / "more.png")
    assert datasets.load_images(tmp_path).X_train.shape[1:] == (3, 32, 32)
    assert datasets.load_images(tmp_path, channels=1, size=(5, 6)).X_train.shape[1:] == (1, 5, 6)
    assert datasets.load_images(tmp_path, size=8).X_train.shape[1:] == (3, 8, 8)


def test_folders_that_are_not_as_they_should_be_are_refused_by_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no folders of images"):
        datasets.load_images(tmp_path)
    fill(tmp_path / "train", a=[1, 2], b=[3])
    fill(tmp_path / "test", a=[1], b=[])
    with pytest.raises(FileNotFoundError, match=r"test/b has no images \(\.png"):
        datasets.load_images(tmp_path)
    (tmp_path / "test" / "b").rmdir()
    fill(tmp_path / "test", b=[1], c=[1])
    with pytest.raises(ValueError, match=r"test has the class c, which .*train has not"):
        datasets.load_images(tmp_path)


@pytest.mark.parametrize("size", [(70_000, 1), (1, 70_000), (10_000, 9_000)])
@pytest.mark.parametrize("limit", [None, 10**12])
def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, size, limit, monkeypatch):
    path = tmp_path / "large.png"
    Image.new("1", size).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    monkeypatch.setattr(Image.Image, "convert", lambda *arguments: pytest.fail("it was decoded"))
    for read in (image_files.read_image, image_files.image_shape):
        with pytest.raises(ValueError, match=rf"large\.png .*it has {size[0]} x {size[1]} pixels, expected"):
            read(path)
