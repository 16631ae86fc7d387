import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastconv.checks.text import printable


@given(st.text(st.characters()))
def test_nothing_that_steers_a_terminal_is_left_and_all_can_be_encoded(text):
    shown = printable(text)
    assert all(unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in shown)
    shown.encode("utf-8")


@pytest.mark.parametrize("text", ["plain", "ä ü 漢字 🙂", "a  b"])
def test_what_is_harmless_stays(text):
    assert printable(text) == text
