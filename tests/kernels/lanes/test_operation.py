"""Operations in parts: each geometry gets the code of the parts that it uses."""

import numpy as np
from numba import njit
from numba.core.caching import NullCache

import fastconv as fc
from fastconv.kernels.lanes import conv
from fastconv.kernels.lanes.operation import STATE_SIZE, operation_in_parts
from fastconv.simd import pointer
from fastconv.simd.compiling import internal

ADDS, DOUBLES = True, True


@internal
def sum_of(a, g):
    return a[0] + g[1]


@internal
def double_of(a):
    return 2 * a[0]


@operation_in_parts(("ADDS", "DOUBLES"), lambda g: g[:1] == np.arange(2))
def change(a, b, _b, _c, _d, _e, g, s):
    """b = a + g[1], or 2 a."""
    if ADDS and g[0] == 0:
        b[0] = sum_of(a, g)
    elif DOUBLES:
        b[0] = double_of(a)


def changed(operation, g):
    function = operation.function
    function._cache = NullCache()  # what it finds there, it need not compile

    @njit
    def call(a, b, g, s):
        p = pointer(a)
        function(p, pointer(b), p, p, p, p, pointer(g), pointer(s))

    a, b = np.array([5.0]), np.zeros(1)
    call(a, b, g, np.zeros(STATE_SIZE, np.int64))
    return b[0]


def test_the_parts_of_an_operation_do_its_work_and_compile_nothing_else():
    adds, doubles = np.array([0, 3]), np.array([1, 3])
    some = change.for_geometry(adds)
    assert some is change.for_geometry(adds.copy()), "the same code for all geometries of these parts"
    assert changed(some, adds) == 8
    assert sum_of.overloads
    assert not double_of.overloads
    assert changed(change.for_geometry(doubles), doubles) == 10
    assert double_of.overloads
    assert (changed(change, adds), changed(change, doubles)) == (8, 10)
    assert some.name == change.name == "change"
    assert some.__doc__ == change.__doc__


def test_a_network_uses_the_parts_of_its_convolutions_and_learns_the_same_with_all(monkeypatch):
    rng = np.random.default_rng(0)
    X, y = rng.random((20, 3, 9, 8), dtype=np.float32), rng.integers(0, 5, 20)
    used, parts_of = [], type(conv.contract).for_geometry

    def noted(operation, g):
        used.append((operation.name, parts_of(operation, g) is operation))
        return parts_of(operation, g)

    results = []
    for choice in (noted, lambda operation, g: operation):
        monkeypatch.setattr(type(conv.contract), "for_geometry", choice)
        layers = [
            fc.Conv2d(7, 3, padding=1), fc.ReLU(), fc.Conv2d(14, 3, groups=7), fc.Conv2d(5, 2, stride=2),
            fc.Flatten(), fc.Dense(5),
        ]  # fmt: skip
        model = fc.Sequential(layers, input_shape=(3, 9, 8), seed=1)
        fc.Trainer(model, optimizer=fc.SGD(lr=0.1)).fit(X, y, epochs=2, batch_size=10)
        results.append([*model.parameters().values(), model.predict(X)])
    assert {name for name, whole in used if not whole} >= {"contract", "depthwise"}
    for some, every in zip(*results, strict=True):
        assert np.array_equal(some, every)
