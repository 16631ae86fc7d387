"""Every public name is documented: what it takes, gives and raises, and an example that runs (as a doctest)."""

import dataclasses
import doctest
import inspect
import re

import pytest

import fastconv as fc
from fastconv import callbacks, metrics, optimizers, schedules

MODULES = [fc, fc.kernels, fc.models, fc.datasets, metrics, schedules, optimizers, callbacks]
LATER = {"estimators": "sklearn"}  # modules that need an optional package


def modules():
    yield from MODULES
    for name, package in LATER.items():
        try:
            yield getattr(fc, name)
        except ImportError:  # only where the package is missing
            assert package  # noqa: B018


def public(module):
    """Name -> object of what a module offers: its __all__, or what it defines without an underscore."""
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    found = {name: getattr(module, name) for name in names}
    return {name: value for name, value in found.items() if callable(value)}


def own_members(kind):
    """Name -> public method or property that a class of this package defines."""
    for base in kind.__mro__:
        if base.__module__.startswith("fastconv"):
            for name, value in vars(base).items():
                if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                    yield name, value


def everything():
    found = {}
    for module in modules():
        for name, value in public(module).items():
            path = f"{module.__name__}.{name}"
            found.setdefault(value, path)
            if inspect.isclass(value):
                for member, what in own_members(value):
                    found.setdefault(what, f"{path}.{member}")
    return {path: value for value, path in found.items()}


EVERYTHING = everything()
