"""Times and speeds with their units."""

import re

import pytest

from fastconv.checks import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2us", 2e-6),
        ("2 us", 2e-6),
        (" .5ms ", 5e-4),
        ("1.5e3 ns", 1.5e-6),
        ("3µs", 3e-6),
        ("1s", 1.0),
        ("0us", 0.0),
    ],
)
def test_a_time_is_read_with_its_unit(text, seconds):
    assert units.seconds_in(text) == pytest.approx(seconds)
    assert units.given_seconds(text, "latency") == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "speed"),
    [
        ("10GB/s", 10e9),
        ("10 GB/s", 10e9),
        ("8Gbit/s", 1e9),
        ("8 Gb/s", 1e9),
        ("100Gbps", 12.5e9),
        ("2KiB/s", 2048.0),
        ("5kB/s", 5e3),
        ("1.5 MB/s", 1.5e6),
        ("1TB/s", 1e12),
        ("64bit/s", 8.0),
    ],
)
def test_a_speed_is_read_with_its_unit_and_bits_are_not_bytes(text, speed):
    assert units.bytes_per_second_in(text) == pytest.approx(speed)
    assert units.given_bytes_per_second(text, "bandwidth") == pytest.approx(speed)


@pytest.mark.parametrize(
    "text", ["", "2", "us", "2 parsecs", "-2us", "2uss", "1e400s", "nans", "2us 3us", "2Us"]
)
def test_what_is_no_time_is_refused(text):
    message = f"`latency` must be a time with its unit, such as '2us', '0.1 ms' or '1s', got {text!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        units.given_seconds(text, "latency")


@pytest.mark.parametrize(
    "text", ["", "10", "10GB", "0GB/s", "-1GB/s", "10 gb/s", "10GB/h", "1e400GB/s", "1XB/s"]
)
def test_what_is_no_speed_is_refused(text):
    message = (
        f"`bandwidth` must be a speed with its unit, such as '10GB/s', '800 MB/s' or '25Gbit/s', got {text!r}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        units.given_bytes_per_second(text, "bandwidth")


def test_numbers_are_seconds_and_bytes_a_second():
    assert units.given_seconds(2e-6, "latency") == 2e-6
    assert units.given_seconds(0, "latency") == 0
    assert units.given_bytes_per_second(10**10, "bandwidth") == 1e10
    with pytest.raises(ValueError, match="`latency` must be a number >= 0, got -1"):
        units.given_seconds(-1, "latency")
    with pytest.raises(ValueError, match="`bandwidth` must be a number > 0, got 0"):
        units.given_bytes_per_second(0, "bandwidth")
    with pytest.raises(TypeError, match="`latency` must be a number"):
        units.given_seconds(None, "latency")
