"""`explain`: one sample on its way through a network and back, every array with its formula and numbers."""

import textwrap
from dataclasses import dataclass, replace
from typing import Any, TextIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks.settings import real_number
from ..engine.inputs import check_targets
from ..models.model import Model
from ..nn.layer import Arrays
from ..nn.losses import Loss, LossName, default_loss, resolve
from .formulas import Formula, formula_of, plain
from .formulas import number as in_formula
from .layer_by_layer import activations, backward

Array = NDArray[Any]

WHOLE = 64  # numbers of an array are printed, of a larger one only the corners of its first plane
LAYERS_IN_NUMBERS = 24  # of a deeper network only shapes and ranges are printed
WIDTH = 100


@dataclass(frozen=True, repr=False)
class Explanation:
    """What `explain` has worked out.

    Attributes
    ----------
    loss : float
    activations : dict
        Name ("X", "Z1", "A1", ...) -> ndarray, forward; without the batch axis, as all here.
    gradients : dict
        The same names -> gradient of the loss with respect to that array.
    parameter_gradients : dict
        Name as in `model.parameters()` -> gradient.
    updated : dict
        The same names -> parameter after one step of gradient descent.
    text : str
        What was printed.

    Examples
    --------
    >>> import fastconv as fc, numpy as np, io
    >>> model = fc.models.reference_cnn()
    >>> told = fc.explain(model, np.ones((1, 6, 6)), 1, file=io.StringIO())
    >>> list(told.activations)
    ['X', 'Z1', 'A1', 'P1', 'F', 'Z2', 'A2']
    >>> told.updated["4.weight"].shape
    (1, 4)
    """

    loss: float
    activations: Arrays
    gradients: Arrays
    parameter_gradients: Arrays
    updated: Arrays
    text: str

    def __repr__(self) -> str:
        return f"<Explanation: loss {self.loss:.6g}, {len(self.activations)} activations>"


def explain(
    model: Model,
    x: "ArrayLike",
    y: "ArrayLike",
    loss: LossName | Loss | None = None,
    *,
    lr: float = 0.1,
    file: TextIO | None = None,
) -> Explanation:
    """Print one sample's way through a network and back: each array, its shape, its formula, its numbers.

    Forward layer by layer, then the loss, then backward by the chain rule, and at the end each parameter
    before and after one step of gradient descent, W - lr dL/dW. The model itself is not changed.

    Parameters
    ----------
    model : Model
    x : ndarray, shape input_shape
        One sample; a grey image may leave out its channel, and a batch of one is taken too.
    y : int or ndarray
        Its label, what each class has of it, or its target values.
    loss : {"bce", "bce_with_logits", "cross_entropy", "mse"} or Loss, optional
        Default: "bce" after a final Sigmoid, "cross_entropy" for other outputs of two features or more, else
        "mse".
    lr : float
        Learning rate of the step.
    file : text file, optional
        Where to print; default is the standard output.

    Returns
    -------
    Explanation
        The arrays, for use in code.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit the network, or `x` is not one sample.

    Notes
    -----
    The network is as it predicts: dropout lets everything pass, and batch normalisation uses its running
    mean and variance. Sums are written out for the first number of an array. Of arrays of more than 64
    numbers the corners of the first plane are printed; of networks of more than 24 layers, shapes and ranges.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> model = fc.Sequential([fc.Dense(1)], input_shape=(2,), dtype="float64")
    >>> model.parameters()["0.weight"][:], model.parameters()["0.bias"][:] = [[1, -2]], 0.5
    >>> told = fc.explain(model, [3, 1], 2, loss="mse", lr=0.25)  # doctest: +ELLIPSIS
    One sample X on its way through 3 parameters to its loss L, and back.
    X -> Z1 -> L
    ...
    >>> told.loss  # (3 * 1 + 1 * (-2) + 0.5 - 2)^2
    0.25
    >>> told.updated["0.bias"]  # 0.5 - 0.25 * 2 * (1.5 - 2)
    array([0.75])
    """
    if not isinstance(model, Model):
        raise TypeError(f"`model` must be a Sequential or a Model, got {model!r}")
    last = model.nodes[-1].layer
    loss = default_loss(last, model.output_shape) if loss is None else resolve(loss)
    loss.check_output(model.output_shape)
    lr = real_number(lr, "lr")
    X, Y = _one_sample(x, model.input_shape), _one_target(y, model.output_shape)
    outputs = activations(model, X)
    Y = check_targets(Y, len(X), model.output_shape, loss)
    loss = loss.for_targets(Y)
    value, slopes, parameter_gradients = backward(model, X, Y, loss)
    formulas = _formulas(model)
    names = ["X", *(formula.y for formula in formulas)]
    page = _Page(len(model.nodes) <= LAYERS_IN_NUMBERS)
    page.text(
        f"One sample X on its way through {model.num_parameters:,} parameters to its loss L, and back.",
        *textwrap.wrap(_way(names, formulas), WIDTH, break_long_words=False),
    )
    told = Explanation(
        value,
        {name: array[0] for name, array in zip(names, outputs, strict=True)},
        {name: array[0] for name, array in zip(names, slopes, strict=True)},
        parameter_gradients,
        {name: array - array.dtype.type(lr) * parameter_gradients[name]
         for name, array in model.parameters().items()},
        "",
    )  # fmt: skip
    _tell_forward(page, formulas, told)
    absorbed = loss.absorbed(last)
    layers = len(formulas) - (absorbed is not None)
    in_words = absorbed.formula if absorbed else loss.formula
    _tell_loss(page, loss, in_words, (names[layers], names[-1]), np.ravel(Y), told)
    _tell_backward(page, formulas[:layers], told)
    _tell_update(page, model.parameters(), formulas, told, lr)
    text = "\n".join(page.lines)
    print(text, file=file)
    return replace(told, text=text)


def _one_sample(x: "ArrayLike", input_shape: tuple[int, ...]) -> Array:
    """The sample as a batch."""
    x = np.asarray(x)
    batch = x if x.ndim == len(input_shape) + 1 else x[None]
    if x.ndim > len(input_shape) and len(x) != 1:
        raise ValueError(f"`x` must be one sample of shape {input_shape}, got {x.shape}")
    return batch


def _one_target(y: "ArrayLike", output_shape: tuple[int, ...]) -> Array:
    y = np.asarray(y)
    return y[None] if y.shape in ((), output_shape[1:], output_shape) else y


def _formulas(model: Model) -> list[Formula]:
    """Each layer in words, with its input and output named: X, Z1, A1, P1, ..."""
    formulas: list[Formula] = []
    weighted, names = 0, ["X"]  # of the values, in their order
    for node in model.nodes:
        kind = formula_of(node.layer)
        weighted += kind.weighted
        name = f"{kind.letter}{weighted}" if kind.numbered else kind.letter
        while name in names:
            name += "'"
        formulas.append(kind(node, [names[value] for value in node.inputs], name, model.arrays_of(node)))
        names.append(name)
    return formulas


def _given(formula: Formula, arrays: dict[str, Array]) -> Any:
    """What a layer takes, of the arrays by name."""
    found = [arrays[name] for name in formula.xs]
    return found if formula.layer.takes_several else found[0]


def _way(names: list[str], formulas: list[Formula]) -> str:
    """X -> Z1 -> A1 -> ...; of a network that branches, each value with those that it is made of."""
    if all(formula.xs == [name] for formula, name in zip(formulas, names, strict=False)):
        return " -> ".join([*names, "L"])
    made = [f"{formula.y} of {' and '.join(formula.xs)}" for formula in formulas]
    return ", ".join(["X", *made, f"L of {names[-1]}"])


# The parts of the story


def _tell_forward(page: "_Page", formulas: list[Formula], told: Explanation) -> None:
    page.heading("Forward")
    page.array("X", told.activations["X"])
    for formula in formulas:
        page.text("", f"layer {formula.place}: {formula.layer.call()}")
        for name, own in formula.own.items():
            page.array(f'{own}, "{formula.place}.{name}"', formula.arrays[name])
        formula_line, *more = formula.forward(_given(formula, told.activations), told.activations[formula.y])
        page.array(f"{formula.y} = {formula_line}", told.activations[formula.y], more)


def _tell_loss(
    page: "_Page",
    loss: Loss,
    in_words: tuple[str, ...] | None,
    names: tuple[str, str],
    target: Array,
    told: Explanation,
) -> None:
    """Tell the loss, and the gradient of names[0] that the way back starts from; names[1] is the output."""
    z, a = names
    output, slope_at = told.activations[a], told.gradients[z]
    formula, *factors, slope = in_words or (f"{loss.name}({{z}}, {{y}})", f"the derivative of {loss.name}")
    several = output.size if loss.targets in ("numbers", "probabilities") else output[0].size
    page.heading(f"Loss: {loss}, with the target y" + (f" = {target[0]}" if len(target) == 1 else ""))
    if len(target) > 1:
        page.array("y", target)
    mean = f", the mean of {several:,}" if several > 1 else ""
    page.text(f"L = {formula.format(z=z, a=a, y='y')}{mean} = {plain(told.loss)}")
    if output.size == 1:
        value, label = in_formula(output.flat[0]), in_formula(target[0])
        page.text(f"  = {formula.format(z=value, a=value, y=label)}")
    elif loss.targets == "labels" and output.ndim == 1:
        page.text(f"  {a}[y] = {plain(output[target[0]])}")
    page.heading("Backward: dL/dZ is the gradient of the loss L with respect to Z")
    page.text(*(factor.format(z=z, a=a) for factor in factors))
    divided = f", divided by {several:,}" if several > 1 else ""
    page.array(f"dL/d{z} = {slope.format(z=z, a=a)}{divided}", slope_at)


def _tell_backward(page: "_Page", formulas: list[Formula], told: Explanation) -> None:
    for formula in reversed(formulas):
        x, dy = _given(formula, told.activations), told.gradients[formula.y]
        page.text("", f"layer {formula.place}: {formula.layer.call()}")
        for name, own in formula.own.items():
            if f"{formula.place}.{name}" in told.parameter_gradients:
                gradient = told.parameter_gradients[f"{formula.place}.{name}"]
                formula_line, *more = formula.parameter(name, x, dy, gradient)
                page.array(f"dL/d{own} = {formula_line}", gradient, more)
        formula_line, *more = formula.backward(x, dy, _given(formula, told.gradients))
        for name in dict.fromkeys(formula.xs):
            others = [other.y for other in formulas if name in other.xs and other is not formula]
            line = formula_line + "".join(f" + what comes through {other}" for other in others)
            unused = ["(training has no use for it: nothing before X is learned)"] * (name == "X")
            page.array(f"dL/d{name} = {line}", told.gradients[name], [*more, *unused])


def _tell_update(
    page: "_Page", parameters: Arrays, formulas: list[Formula], told: Explanation, lr: float
) -> None:
    page.heading(f"Update: W <- W - {lr:g} dL/dW")
    page.text("The model itself keeps its parameters: this is what one step of gradient descent would do.")
    for name, old in parameters.items():
        place, _, array = name.rpartition(".")
        own = next(formula.own[array] for formula in formulas if formula.place == place)
        gradient, new = told.parameter_gradients[name], told.updated[name]
        worked = f"{in_formula(old.flat[0])} - {lr:g}*{in_formula(gradient.flat[0])} = {plain(new.flat[0])}"
        page.text("", f'{own}, "{name}": shape {old.shape}; its first number: {worked}')
        page.beside({"old": old, f"dL/d{own}": gradient, "new": new})


class _Page:
    """Lines of text; `in_numbers` tells whether arrays are printed."""

    def __init__(self, in_numbers: bool) -> None:
        self.lines: list[str] = []
        self.in_numbers = in_numbers

    def text(self, *lines: str) -> None:
        self.lines += lines

    def heading(self, text: str) -> None:
        self.lines += ["", text, "-" * len(text)]

    def array(self, title: str, array: Array, more: list[str] | None = None) -> None:
        """A title with the array's shape, further lines, and the numbers."""
        size = f", {_range(array)}" if array.size > WHOLE or not self.in_numbers else ""
        self.lines.append(f"  {title}   shape {array.shape}{size}")
        if self.in_numbers:
            for line in more or []:
                self.lines += textwrap.wrap(line, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 8)
            self.lines += [f"      {line}" for line in _numbers(array)]

    def beside(self, columns: dict[str, Array]) -> None:
        """Arrays of one shape, side by side where they fit."""
        if not self.in_numbers:
            ranges = (f"{title} {_range(array)}" for title, array in columns.items())
            self.lines.append(f"    {'; '.join(ranges)}")
            return
        blocks = [[title, *_numbers(array)] for title, array in columns.items()]
        widths = [max(map(len, block)) for block in blocks]
        if sum(widths) + 4 + 3 * len(blocks) <= WIDTH and len({len(block) for block in blocks}) == 1:
            for row in zip(*blocks, strict=True):
                self.lines.append(("    " + "   ".join(map(str.ljust, row, widths))).rstrip())
        else:
            for title, *numbers in blocks:
                self.lines += [f"    {title}", *(f"      {line}" for line in numbers)]


def _range(array: Array) -> str:
    return f"from {plain(array.min())} to {plain(array.max())}"


def _numbers(array: Array) -> list[str]:
    """The numbers of an array; of a large one, the corners of its first plane."""
    first = []
    if array.size > WHOLE and array.ndim > 2:
        first = ["(the first plane)"] if array[(0,) * (array.ndim - 2)].size < array.size else []
        array = array[(0,) * (array.ndim - 2)]
    while array.ndim > 1 and len(array) == 1:
        array = array[0]
    text = np.array2string(
        array + 0.0,  # no -0
        max_line_width=WIDTH, precision=6, suppress_small=False, threshold=WHOLE, edgeitems=3,
        floatmode="maxprec", sign="-",
    )  # fmt: skip
    return first + [line for line in text.splitlines() if line.strip()]
