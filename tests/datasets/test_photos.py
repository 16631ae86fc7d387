"""Many image files: the pixels, the threads, and what is said about files that can't be read."""

import os
import shutil
import threading
import time
import warnings

import numpy as np
import pytest

from fastconv import datasets
from fastconv.datasets import photos
from fastconv.datasets.image_arrays import resize, resize_area
from fastconv.formats import image_files

Image = pytest.importorskip("PIL.Image")
RNG = np.random.default_rng(0)


def smooth(height, width, channels=3):
    """A picture without fine detail, as photographs are."""
    return resize_area(RNG.integers(0, 256, (channels, 4, 5), dtype=np.uint8), (height, width))


def put(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.transpose(1, 2, 0).squeeze()).save(path, **options)
    return str(path)


@pytest.fixture
def pets(tmp_path):
    """A folder of 2 x 6 images of several sizes."""
    for name in ("cat", "dog"):
        for k in range(6):
            put(tmp_path / "pets" / name / f"{k}.jpg", smooth(40 + k, 60))
    return tmp_path / "pets"


# ---------------------------------------------------------------- pixels


@pytest.mark.parametrize("channels", [1, 3])
def test_a_large_jpeg_is_decoded_small_and_looks_the_same(tmp_path, channels):
    path = put(tmp_path / "a.jpg", smooth(1600, 2000), quality=95)
    small = image_files.read_image(path, channels, at_least=(64, 64))
    assert small.shape == (channels, 200, 250)
    whole = resize_area(image_files.read_image(path, channels), (32, 32))
    found = photos.read_photo(path, (channels, 32, 32))
    assert np.abs(found.astype(int) - whole).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_the_camera_holds_for_small_decoding(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = put(tmp_path / "a.jpg", smooth(800, 1600), exif=exif, quality=95)
    whole = image_files.read_image(path)
    assert (whole.shape[1] > whole.shape[2]) == (orientation >= 5)
    wanted = (200, 100) if orientation >= 5 else (100, 200)
    assert image_files.read_image(path, at_least=wanted).shape[1:] == wanted
    small = photos.read_photo(path, (3, 20, 20))
    assert np.abs(small.astype(int) - resize_area(whole, (20, 20))).max() <= 3


@pytest.mark.parametrize("size", [(30, 44), (90, 110)])
def test_images_that_are_not_much_larger_keep_all_their_pixels(tmp_path, size):
    path = put(tmp_path / "a.jpg", smooth(*size))
    np.testing.assert_array_equal(
        image_files.read_image(path, at_least=(64, 64)), image_files.read_image(path)
    )


@pytest.mark.parametrize(
    ("shape", "size", "kept"),
    [((40, 60), (20, 20), np.s_[:, 10:50]), ((60, 40), (20, 20), np.s_[10:50, :]),
     ((40, 60), (20, 30), np.s_[:, :]), ((7, 100), (10, 10), np.s_[:, 46:53])],
)  # fmt: skip
def test_cropping_keeps_the_middle(shape, size, kept):
    image = RNG.integers(0, 256, (2, *shape), dtype=np.uint8)
    np.testing.assert_array_equal(resize(image, size, "crop"), resize_area(image[(slice(None), *kept)], size))


def test_padding_keeps_everything_and_the_proportions():
    image = np.full((1, 40, 60), 200, np.uint8)
    padded = resize(image, (30, 30), "pad")
    assert (padded[:, 5:25] == 200).all()
    assert not padded[:, :5].any()
    assert not padded[:, 25:].any()
    assert resize(image, (3, 3000), "pad").shape == (1, 3, 3000)
    assert resize(np.ones((1, 1, 5000)), (4, 4), "pad").sum() == pytest.approx(4)


@pytest.mark.parametrize("aspect", ["crop", "pad"])
def test_a_folder_is_cropped_or_padded_as_asked(tmp_path, aspect):
    image = smooth(40, 80)
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        put(tmp_path / name, image)
    data = datasets.load_images(tmp_path, size=20, **{f"{aspect}_to_aspect_ratio": True})
    for X in (data.X_train, data.X_test):
        for one in X:
            np.testing.assert_array_equal(one, resize(image, (20, 20), aspect))
    with pytest.raises(ValueError, match="exclude each other"):
        datasets.load_images(tmp_path, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True)


def test_floats_are_refused_and_the_first_picture_of_a_tiff_is_read(tmp_path):
    Image.fromarray(np.ones((3, 3), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(ValueError, match=r"f\.tif cannot be read: its pixels are floats"):
        image_files.read_image(tmp_path / "f.tif")
    pages = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    pages[0].save(tmp_path / "a.tiff", save_all=True, append_images=pages[1:])
    assert image_files.read_image(tmp_path / "a.tiff")[:, 0, 0].tolist() == [255, 0, 0]


# ---------------------------------------------------------------- threads


def test_threads_read_and_the_count_moves(pets, monkeypatch):
    names, counts = set(), []
    read = image_files.read_image

    def watched(*arguments):
        names.add(threading.current_thread().name)
        time.sleep(0.01)
        return read(*arguments)

    monkeypatch.setattr(image_files, "read_image", watched)
    data = datasets.load_images(pets, progress=lambda done, total: counts.append((done, total)))
    assert len(names) > 1
    assert threading.main_thread().name not in names
    assert counts == [(k, 12) for k in range(1, 13)]
    monkeypatch.undo()
    for one, path in zip(data.X_train, data.files_train, strict=True):
        np.testing.assert_array_equal(one, photos.read_photo(path, (3, 32, 32)))


def test_warnings_of_pillow_are_quiet_in_all_threads_and_others_are_not(tmp_path):
    pixels = np.zeros((3, 3), np.uint8)
    pixels[0, 0] = 1
    paletted = Image.fromarray(pixels).convert("P")
    paletted.save(tmp_path / "a.png", transparency=bytes([0, 128]))  # Pillow warns when it is converted
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filters = list(warnings.filters)
        threads = [
            threading.Thread(
                target=lambda: [image_files.read_image(tmp_path / "a.png", 3) for _ in range(50)]
            )
            for _ in range(6)
        ]
        failures = []
        monkey, threading.excepthook = threading.excepthook, failures.append
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        threading.excepthook = monkey
        assert failures == []
        assert warnings.filters == filters
        with pytest.raises(UserWarning, match="mine"), image_files.quiet:
            warnings.warn("mine", stacklevel=1)
        assert warnings.filters == filters


def test_an_interrupt_while_reading_starts_no_more_files(pets, monkeypatch):
    started = []

    def slow(path, *rest):
        started.append(path)
        time.sleep(0.1)
        return np.zeros((3, 8, 8), np.uint8)

    monkeypatch.setattr(image_files, "read_image", slow)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        datasets.load_images(pets, progress=stop)
    assert len(started) < 12
    assert not [one for one in threading.enumerate() if one.name.startswith("fastconv-reader")]


def test_large_images_are_read_one_at_a_time(pets, monkeypatch):
    inside, most = [], []
    read = image_files.read_image

    def watched(*arguments):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.02)
        inside.pop()
        return read(*arguments)

    monkeypatch.setattr(image_files, "read_image", watched)
    monkeypatch.setattr(photos, "LARGE", 1000)
    datasets.load_images(pets)
    assert max(most) == 1


# ---------------------------------------------------------------- what is wrong


def spoil(folder):
    """Bad files of each kind; returns what is said about each."""
    whole = (folder / "cat" / "0.jpg").read_bytes()
    (folder / "cat" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "cat" / "empty.png").write_bytes(b"")
    (folder / "dog" / "page.jpg").write_bytes(b"<html>not found</html>")
    (folder / "dog" / "deep").mkdir()
    (folder / "dog" / "deep" / "zip.webp").write_bytes(b"PK\3\4")
    return [r"cut\.jpg cannot be read", r"empty\.png is empty", r"zip\.webp is not a", r"page\.jpg is not a"]


@pytest.mark.parametrize("size", [None, 16])
def test_all_files_that_cannot_be_read_are_said_at_once(pets, size):
    messages = spoil(pets)
    with pytest.raises(ValueError, match=r"^4 of 16 image files cannot be read: ") as caught:
        datasets.load_images(pets, size=size, channels=size and 3)
    for message in messages:
        assert caught.match(message)
    data = datasets.load_images(pets, size=size, channels=size and 3, skip_bad=True)
    assert len(data.X_train) + len(data.X_test) == len(data.files_train) + len(data.files_test) == 12
    assert "4 files that cannot be read left out: cut.jpg, empty.png, page.jpg and 1 more" in data.notes


def test_of_many_bad_files_ten_are_named(pets):
    for k in range(25):
        (pets / "cat" / f"bad{k:02}.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"^25 of 37 .*bad09\.jpg is empty; and 15 more \(`skip_bad`"):
        datasets.load_images(pets)


def test_images_keep_their_side_when_bad_files_are_left_out(pets):
    before = datasets.load_images(pets)
    spoil(pets)
    after = datasets.load_images(pets, skip_bad=True)
    assert set(before.files_test) == set(after.files_test)


def test_a_class_of_bad_files_only_is_refused(pets):
    for path in (pets / "cat").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="cat has no image to train on that can be read"):
        datasets.load_images(pets, skip_bad=True)
    for path in (pets / "dog").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"^12 of 12 image files cannot be read"):
        datasets.load_images(pets, skip_bad=True)


def test_what_archives_and_file_managers_leave_is_no_image(pets):
    before = datasets.load_images(pets)
    for name in (
        "._0.jpg",
        ".DS_Store",
        "Thumbs.db",
        "desktop.ini",
        "__MACOSX/0.jpg",
        "sub/__MACOSX/._1.jpg",
    ):
        path = pets / "cat" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0\5\x16\7")
    (pets / "__MACOSX" / "cat").mkdir(parents=True)
    shutil.copy(pets / "cat" / "0.jpg", pets / "__MACOSX" / "cat")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        after = datasets.load_images(pets)
    np.testing.assert_array_equal(before.X_train, after.X_train)
    assert after.notes == before.notes


# ---------------------------------------------------------------- what is said


def test_what_is_done_to_the_images_is_said(pets):
    notes = datasets.load_images(pets).notes
    assert notes == [
        "12 images scaled from 40x60 ... 45x60 to 32x32 pixels, which changes the proportions of all"
    ]
    assert "with the sides of all cut off" in datasets.load_images(pets, crop_to_aspect_ratio=True).notes[0]
    assert "with black at the sides of all" in datasets.load_images(pets, pad_to_aspect_ratio=True).notes[0]
    put(pets / "cat" / "grey.png", smooth(32, 32, 1))
    for name in ("a.heic", "b.HEIC", "c.txt"):
        (pets / "dog" / name).touch()
    notes = datasets.load_images(pets).notes
    assert notes[1:] == [
        "1 grey image read as colours",
        "files of other types ignored: .heic 2, .txt 1",
    ]
    assert "12 images in colours turned grey" in datasets.load_images(pets, channels=1).notes


def test_nothing_is_said_where_nothing_was_done(tmp_path):
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        put(tmp_path / name, smooth(8, 9))
    assert datasets.load_images(tmp_path).notes == []


def test_a_folder_without_folders_of_classes_is_told_what_is_expected(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no data set: expected a folder of images .*; in it is nothing"
    ):
        datasets.load(str(tmp_path))
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileNotFoundError, match=r"in it is notes\.txt$"):
        datasets.load(str(tmp_path))
    put(tmp_path / "1.jpg", smooth(8, 8))
    put(tmp_path / "2.jpg", smooth(8, 8))
    with pytest.raises(FileNotFoundError, match=r"the 2 images in it lie in no folder of a class$"):
        datasets.load(str(tmp_path))


def test_a_class_of_other_files_says_which(pets):
    for path in (pets / "cat").iterdir():
        os.rename(path, path.with_suffix(".heic"))
    with pytest.raises(FileNotFoundError, match=r"cat has no images \(\.png, .*\), only .*\.heic 6"):
        datasets.load_images(pets)
