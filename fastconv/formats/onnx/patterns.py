"""Several nodes that together are one activation.

Exporters write x * sigmoid(x) for a SiLU, and ten nodes for a GELU, each in a way of its own. Which way it is
makes no difference here: nodes that take single numbers from one value on are computed on some numbers, and
what comes out is compared with the activations there are.
"""

import math
from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...nn.activations import LeakyReLU
from ...nn.curves import ELU, GELU, Hardsigmoid, Hardswish, ReLU6, SiLU, Softplus
from ...nn.layer import Arrays, Layer
from .node import DTYPES, Node
from .normalised import Normalisations

Array = NDArray[Any]
NUMBERS = np.concatenate([np.linspace(-9, 9, 361), [-1000, -50, 50, 1000]])
CLOSE = 3e-6  # constants may have been rounded to float32; activations differ by 1e-4 and more
MOST_STARTS = 16  # values back, up to which nodes are taken together
MOST_VALUES = 500  # that are known at a time: no more memory is taken, however many nodes a file has


class Whole(Node):
    """What stands in the place of several nodes: the layer that they are together."""

    def __init__(self, node: Node, layer: Layer, start: str) -> None:
        vars(self).update(vars(node))
        self.layer, self.inputs, self.outputs = layer, [start], node.outputs[:1]


class _Curve(NamedTuple):
    """A value as a function of another: at NUMBERS, of so many nodes; and whether several ways meet in it."""

    at: Array
    nodes: int
    meets: bool


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _clip(node: Node, x: Array, low: Any = None, high: Any = None) -> Array:
    low = node.get("min", -math.inf) if low is None else low
    high = node.get("max", math.inf) if high is None else high
    return np.minimum(np.maximum(x, low), high)


def _below_zero(x: Array, slope: Array) -> Array:
    return np.where(x > 0, x, slope)


_erf = np.vectorize(math.erf, otypes=[float])

# Operator -> what it computes.
COMPUTED: dict[str, Callable[..., Array]] = {
    "Abs": lambda node, x: np.abs(x),
    "Add": lambda node, a, b: a + b,
    "Cast": lambda node, x: x,
    "Clip": _clip,
    "Div": lambda node, a, b: a / b,
    "Elu": lambda node, x: _below_zero(x, float(node.decimal("alpha", 1.0)) * np.expm1(x)),
    "Erf": lambda node, x: _erf(x),
    "Exp": lambda node, x: np.exp(x),
    "Greater": lambda node, a, b: a > b,
    "GreaterOrEqual": lambda node, a, b: a >= b,
    "HardSigmoid": lambda node, x: np.clip(node.get("alpha", 0.2) * x + node.get("beta", 0.5), 0, 1),
    "Identity": lambda node, x: x,
    "LeakyRelu": lambda node, x: _below_zero(x, float(node.decimal("alpha", 0.01)) * x),
    "Less": lambda node, a, b: a < b,
    "LessOrEqual": lambda node, a, b: a <= b,
    "Log": lambda node, x: np.log(x),
    "Max": lambda node, *of: reduce(np.maximum, of),
    "Min": lambda node, *of: reduce(np.minimum, of),
    "Mul": lambda node, a, b: a * b,
    "Neg": lambda node, x: -x,
    "Pow": lambda node, a, b: np.power(a, b),
    "Reciprocal": lambda node, x: 1 / x,
    "Relu": lambda node, x: np.maximum(x, 0),
    "Sigmoid": lambda node, x: _sigmoid(x),
    "Softplus": lambda node, x: np.logaddexp(x, 0),
    "Sqrt": lambda node, x: np.sqrt(x),
    "Sub": lambda node, a, b: a - b,
    "Sum": lambda node, *of: reduce(np.add, of),
    "Tanh": lambda node, x: np.tanh(x),
    "Where": lambda node, test, a, b: np.asarray(np.where(test, a, b)),
}  # fmt: skip
_PASSED_ON = ("Identity", "Cast")

_CUBIC = math.sqrt(2 / math.pi) * (NUMBERS + 0.044715 * NUMBERS**3)
with np.errstate(over="ignore"):
    KNOWN: list[tuple[Layer, Array]] = [
        (SiLU(), NUMBERS * _sigmoid(NUMBERS)),
        (Hardswish(), NUMBERS * np.clip(NUMBERS / 6 + 0.5, 0, 1)),
        (Hardsigmoid(), np.clip(NUMBERS / 6 + 0.5, 0, 1)),
        (ReLU6(), np.clip(NUMBERS, 0, 6)),
        (Softplus(), np.logaddexp(NUMBERS, 0)),
        (GELU(), NUMBERS * 0.5 * (1 + _erf(NUMBERS / math.sqrt(2)))),
        (GELU("tanh"), NUMBERS * 0.5 * (1 + np.tanh(_CUBIC))),
    ]


class Patterns:
    """The nodes of a graph, with one in the place of several that are an activation together.

    Attributes
    ----------
    nodes : list of Node
        Those that are needed no more are still there.
    """

    def __init__(self, constants: Arrays, nodes: list[Node]) -> None:
        self._constants = constants
        self._curves: dict[str, dict[str, _Curve]] = {}  # value -> value it is a function of -> the function
        normalisations = Normalisations(constants)
        self.nodes: list[Node] = []
        last = {name: place for place, node in enumerate(nodes) for name in node.inputs}
        for place, node in enumerate(nodes):
            self.nodes.append(self._whole(node) or normalisations.whole(node) or node)
            for name in node.inputs:
                if last[name] == place:
                    self._curves.pop(name, None)

    def _whole(self, node: Node) -> Whole | None:
        """The activation that ends in a node, from as far back as there is one."""
        if node.kind not in COMPUTED or node.domain not in ("", "ai.onnx") or not node.outputs:
            return None
        if node.kind == "Cast" and node.get("to") not in DTYPES:
            return None
        found = self._functions(node)
        if len(self._curves) < MOST_VALUES:
            self._curves[node.outputs[0]] = found
        for start, curve in found.items():
            if (
                curve.nodes > 1
                and node.kind not in _PASSED_ON
                and (layer := activation(curve.at, curve.meets))
            ):
                return Whole(node, layer, start)
        return None

    def _functions(self, node: Node) -> dict[str, _Curve]:
        """A node's output as functions of the values before it, the farthest first."""
        unknown = [name for name in node.inputs if name and name not in self._constants]
        known = {name: self._constants[name] for name in node.inputs if name in self._constants}
        if not unknown or any(array.size != 1 or array.dtype.kind not in "fiu" for array in known.values()):
            return {}
        of = [
            {**self._curves.get(name, {}), name: _Curve(NUMBERS, 0, False)} for name in dict.fromkeys(unknown)
        ]
        found = {}
        for start in of[0]:
            if all(start in curves for curves in of):
                curves = dict(zip(dict.fromkeys(unknown), (curves[start] for curves in of), strict=True))
                at = self._at(node, curves, known)
                if at is not None:
                    count = sum(curve.nodes for curve in curves.values()) + (node.kind not in _PASSED_ON)
                    meets = len(unknown) > 1 or any(curve.meets for curve in curves.values())
                    found[start] = _Curve(at, count, meets)
        return dict(list(found.items())[-MOST_STARTS:])

    def _at(self, node: Node, curves: dict[str, _Curve], known: Arrays) -> Array | None:
        given: list[Any] = [
            curves[name].at if name in curves else float(known[name].reshape(())) if name else None
            for name in node.inputs
        ]
        try:
            with np.errstate(all="ignore"):
                return np.asarray(COMPUTED[node.kind](node, *given))
        except (TypeError, ValueError):  # inputs that the operator does not have
            return None


def activation(at: Array, meets: bool) -> Layer | None:
    """The activation that has these values at NUMBERS, if there is one.

    Examples
    --------
    >>> activation(np.minimum(np.maximum(NUMBERS, 0), 6), meets=False)
    ReLU6()
    """
    if at.shape != NUMBERS.shape or at.dtype.kind != "f":
        return None
    for layer, wanted in KNOWN:
        if _same(at, wanted):
            return layer
    if not meets:
        return None
    slope = _short(-float(at[NUMBERS == -1][0]))
    if slope > 0 and _same(at, _below_zero(NUMBERS, slope * NUMBERS)):
        return LeakyReLU(slope)
    alpha = _short(float(at[NUMBERS == -9][0] / math.expm1(-9)))
    with np.errstate(all="ignore"):
        curve = _below_zero(NUMBERS, alpha * np.expm1(NUMBERS))
    return ELU(alpha) if alpha > 0 and _same(at, curve) else None


def _same(at: Array, wanted: Array) -> bool:
    """Whether two are the same, but where one of large numbers is beyond what can be told."""
    told = np.isfinite(at) | (np.abs(NUMBERS) < 10)
    return bool(np.allclose(at[told], wanted[told], rtol=CLOSE, atol=CLOSE))


def _short(number: float) -> float:
    """A number as the shortest decimal that it may have been before it was rounded."""
    if not math.isfinite(number):
        return 0.0
    for digits, rounding in ((7, 3e-8), (15, 1e-15)):
        if math.isclose(short := float(f"{number:.{digits}g}"), number, rel_tol=rounding):
            return short
    return number
