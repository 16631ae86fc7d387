"""Optional packages: imported when they are used; a missing one is named with the extra that brings it."""

import importlib
from typing import Any

# Modules whose package pip knows by another name.
PACKAGES = {"sklearn": "scikit-learn", "PIL": "pillow"}


def require(module: str, extra: str, purpose: str) -> Any:
    """Import an optional package, or say in one line which extra brings it.

    Parameters
    ----------
    module : str
        What to import, such as "matplotlib.figure".
    extra : str
        The extra of fastconv that installs it.
    purpose : str
        What needs it; the message begins with it.

    Returns
    -------
    module

    Raises
    ------
    ImportError
        If the package is not installed.

    Examples
    --------
    >>> require("no_such_package.part", "plot", "a picture")
    Traceback (most recent call last):
    ImportError: a picture needs no_such_package: pip install no_such_package (the extra "plot")
    """
    top = module.split(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != top:
            raise
    raise ImportError(missing(top, extra, purpose)) from None


def missing(module: str, extra: str, purpose: str) -> str:
    """What is said where an optional package is missing.

    The package is named rather than `fastconv[extra]`, which pip finds on no index unless fastconv is
    installed already: this helps in a copy of the source too.

    Examples
    --------
    >>> missing("PIL", "images", "read_image")
    'read_image needs pillow: pip install pillow (the extra "images")'
    """
    package = PACKAGES.get(module, module)
    return f'{purpose} needs {package}: pip install {package} (the extra "{extra}")'
