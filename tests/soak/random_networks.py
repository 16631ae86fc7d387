"""Networks of any layers and of any shape, at random: rows, branches within branches, and graphs."""

import math

import fastconv as fc
from tests.soak.random_settings import FEATURES, IMAGE, LAYERS, SIGNAL, mutated, pick, whole

MOST = 3000  # numbers of a value: networks stay small
EXTENT_KEPT = [  # what leaves a shape as it is, of any number of axes
    fc.ReLU, fc.LeakyReLU, fc.PReLU, fc.ReLU6, fc.ELU, fc.SiLU, fc.GELU, fc.Hardsigmoid, fc.Hardswish,
    fc.Softplus, fc.Sigmoid, fc.Tanh, fc.GroupNorm, fc.LayerNorm,
]  # fmt: skip


def any_layer(rng, shape, depth=1):
    """A layer that takes samples of this shape; now and then one with branches."""
    if depth and rng.integers(5) == 0:
        return branches(rng, shape, depth - 1)
    kinds = list(LAYERS)
    while True:
        kind = kinds[rng.integers(len(kinds))]
        try:
            layer = kind(**LAYERS[kind](rng))
            made = layer.output_shape(shape)
        except ValueError:
            continue
        if math.prod(made) <= MOST:
            return layer


def some_layers(rng, shape, most=5, depth=1):
    """A row of layers that begins with samples of this shape."""
    layers = []
    for _ in range(whole(rng, 1, most)):
        layers.append(any_layer(rng, shape, depth))
        shape = layers[-1].output_shape(shape)
    return layers


def keeping(rng, shape):
    """A few layers after which samples have the shape that they had."""
    layers = []
    for _ in range(whole(rng, 1, 3)):
        kind = EXTENT_KEPT[rng.integers(len(EXTENT_KEPT))]
        layer = kind(**LAYERS[kind](rng))
        if shape[0] % getattr(layer, "num_groups", 1) == 0:
            layers.append(layer)
    weighted = {
        1: lambda: fc.Dense(shape[0], bias=bool(rng.integers(2))),
        2: lambda: fc.Conv1d(shape[0], whole(rng, 1, 4), padding=pick(rng, "same", "causal")),
        3: lambda: fc.Conv2d(shape[0], whole(rng, 1, 3), padding=pick(rng, "same", "same_lower")),
    }[len(shape)]
    layers.insert(whole(rng, 0, len(layers)), weighted())
    return layers


def branches(rng, shape, depth):
    """A layer with branches, in which there may be others."""

    def way():
        if depth and rng.integers(4) == 0:
            return [branches(rng, shape, depth - 1), *keeping(rng, shape)]
        return keeping(rng, shape)

    kind = whole(rng, 0, 2)
    if kind == 0:
        layer = fc.Residual(way(), pick(rng, (), way()))
    else:
        layer = (fc.Add, fc.Concatenate)[kind - 1](*[pick(rng, [], way()) for _ in range(whole(rng, 2, 3))])
    same = layer.output_shape(shape) == shape
    return layer if same or not depth else fc.Add([layer], [layer])


def spoilt(rng, layers):
    """The layers, of which one has an argument that it should not have."""
    layers = list(layers)
    known = [k for k, layer in enumerate(layers) if type(layer) in LAYERS and LAYERS[type(layer)](rng)]
    if known:
        k = known[rng.integers(len(known))]
        kind = type(layers[k])
        layers[k] = kind(**mutated(rng, LAYERS[kind](rng)))
    return layers


def any_graph(rng, dtype, seed):
    """A Model: layers called on values, some of them twice, with one to three inputs and outputs."""
    inputs = [fc.Input(pick(rng, IMAGE, SIGNAL, FEATURES)) for _ in range(whole(rng, 1, 3))]
    values, layers = list(inputs), []
    for _ in range(whole(rng, 2, 9)):
        value = values[rng.integers(len(values))]
        alike = [other for other in values if other.shape == value.shape]
        joined = [other for other in values if other.shape[1:] == value.shape[1:]]
        what = whole(rng, 0, 5)
        if what == 0 and len(alike) > 1:
            values.append(fc.Add()([value, alike[rng.integers(len(alike))]]))
        elif what == 1 and len(joined) > 1:
            values.append(fc.Concatenate()([value, joined[rng.integers(len(joined))]]))
        elif what == 2 and (again := [layer for layer, shape in layers if shape == value.shape]):
            values.append(again[rng.integers(len(again))](value))
        else:
            layers.append((any_layer(rng, value.shape), value.shape))
            values.append(layers[-1][0](value))
    made = values[len(inputs) :]
    outputs = [made[rng.integers(len(made))] for _ in range(whole(rng, 1, 3))]
    needed = before(outputs)
    outputs = outputs[0] if len(outputs) == 1 else outputs
    return fc.Model([value for value in inputs if id(value) in needed], outputs, dtype=dtype, seed=seed)


def before(values):
    """The identities of all that values are made of."""
    found, waiting = set(), list(values)
    while waiting:
        value = waiting.pop()
        if id(value) not in found:
            found.add(id(value))
            waiting += value.inputs
    return found


def any_network(rng, dtype):
    """A row of layers, or a graph."""
    seed = whole(rng, 0, 9)
    if rng.integers(2):
        return any_graph(rng, dtype, seed)
    shape = pick(rng, IMAGE, SIGNAL, FEATURES)
    return fc.Sequential(some_layers(rng, shape, depth=2), shape, dtype=dtype, seed=seed)
