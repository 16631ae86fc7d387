"""Optional packages, there and missing."""

import sys

import pytest

from fastconv.extras import require


def test_a_package_that_is_there_is_imported():
    import json.decoder

    assert require("json.decoder", "plot", "a picture") is json.decoder


@pytest.mark.parametrize(("module", "package"), [("sklearn.base", "scikit-learn"), ("tqdm", "tqdm")])
def test_a_package_that_is_missing_is_named_as_pip_knows_it(monkeypatch, module, package):
    monkeypatch.setitem(sys.modules, module.split(".")[0], None)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError) as caught:
        require(module, "plot", "a picture")
    assert str(caught.value) == f'a picture needs {package}: pip install "fastconv[plot]"'


def test_an_error_inside_a_package_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("import something_that_it_needs")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="something_that_it_needs"):
        require("broken_package", "plot", "a picture")
