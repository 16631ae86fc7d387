"""`explain`: one sample on its way through a network and back, every array with its formula and numbers."""

import re
import textwrap
from dataclasses import dataclass, replace
from typing import Any, TextIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks.settings import real_number
from ..engine.columns import arrays_in, outputs_as_given
from ..models.building import given_model, loss_for
from ..models.model import Model
from ..nn.joint_loss import parts_of
from ..nn.layer import Arrays, Shape
from ..nn.losses import Loss
from .formulas import Formula, formula_of, plain
from .formulas import number as in_formula
from .layer_by_layer import Ending, activations, backward, endings, value_and_slope
from .page import WIDTH, Page
from .samples import each

Array = NDArray[Any]

LAYERS_IN_NUMBERS = 24  # of a deeper network only shapes and ranges are printed


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
    x: Any,
    y: Any,
    loss: Any = None,
    *,
    loss_weights: Any = None,
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
        One sample; a grey image may leave out its channel, and a batch of one is taken too. Of several
        inputs, a list of them, or a dict by the inputs' names.
    y : int or ndarray
        Its label, what each class has of it, or its target values. Of several outputs, a list or a dict.
    loss : {"bce", "bce_with_logits", "cross_entropy", "mse"} or Loss, optional
        Default: "bce" after a final Sigmoid, "cross_entropy" for other outputs of two features or more, else
        "mse". Of several outputs, a list or a dict, or one for all.
    loss_weights : list or dict of floats, optional
        Of several outputs, what the loss of each is multiplied by before they are added; default is 1.
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
    names, shapes = given_model(model).output_names, model.output_shapes
    joint = loss_for(model, loss, loss_weights)
    lr = real_number(lr, "lr")
    X = each(x, model.input_names, model.input_shapes, _one_sample)
    outputs = activations(model, X)
    Y = each(y, names, shapes, _one_target)
    targets = outputs_as_given(Y, len(outputs[0]), names, shapes, joint)
    joint = joint.for_targets(targets)
    value, slopes, parameter_gradients = backward(
        model,
        X,
        Y,
        [part for part, _ in parts_of(joint)] if len(names) > 1 else joint,
        loss_weights=loss_weights,
    )
    formulas = _formulas(model)
    inputs = _input_names(model)
    values = [*inputs, *(formula.y for formula in formulas)]
    told = Explanation(
        value,
        {name: array[0] for name, array in zip(values, outputs, strict=True)},
        {name: array[0] for name, array in zip(values, slopes, strict=True)},
        parameter_gradients,
        {name: array - array.dtype.type(lr) * parameter_gradients[name]
         for name, array in model.parameters().items()},
        "",
    )  # fmt: skip
    ends = [
        _End(end, part, weight, target, values[end.start], values[end.node.output])
        for end, (part, weight), target in zip(
            endings(model, joint), parts_of(joint), arrays_in(targets), strict=True
        )
    ]
    text = "\n".join(_pages(model, inputs, formulas, ends, told, lr))
    print(text, file=file)
    return replace(told, text=text)


def _one_sample(x: ArrayLike, input_shape: Shape) -> Array:
    """The sample as a batch."""
    x = np.asarray(x)
    batch = x if x.ndim == len(input_shape) + 1 else x[None]
    if x.ndim > len(input_shape) and len(x) != 1:
        raise ValueError(f"`x` must be one sample of shape {input_shape}, got {x.shape}")
    return batch


def _one_target(y: ArrayLike, output_shape: Shape) -> Array:
    y = np.asarray(y)
    return y[None] if y.shape in ((), output_shape[1:], output_shape) else y


@dataclass(frozen=True)
class _End:
    """An output with its loss: what comes from `z`, which is where the way back starts, to the output `a`."""

    ending: Ending
    loss: Loss
    weight: float
    target: Array
    z: str
    a: str

    def own(self, letter: str, several: bool) -> str:
        """The letter alone, or with the output's name where there are several."""
        return f"{letter}_{self.ending.name}" if several else letter

    def words(self) -> tuple[str, ...]:
        """The loss, and its gradient where the way back starts; between them the chain rule's factors."""
        name, absorbed = self.loss.name, self.ending.absorbed
        found = absorbed.formula if absorbed else self.loss.formula
        return found or (f"{name}({{z}}, {{y}})", f"the derivative of {name}")

    def written(self, words: str, y: str) -> str:
        """Such words with the names of the output and of the target."""
        return re.sub(r"\by\b", y, words.replace("{y}", "y")).format(z=self.z, a=self.a)

    def parts(self, output: Array) -> int:
        """How many numbers the loss is the mean of."""
        return output.size if self.loss.targets in ("numbers", "probabilities") else output[0].size


def _input_names(model: Model) -> list[str]:
    """X, or X_board, X_extra, ..."""
    return ["X"] if len(model.input_names) == 1 else [f"X_{name}" for name in model.input_names]


def _formulas(model: Model) -> list[Formula]:
    """Each layer in words, with its input and output named: X, Z1, A1, P1, ..."""
    formulas: list[Formula] = []
    weighted, names = 0, _input_names(model)  # of the values, in their order
    for node in model.nodes:
        kind = formula_of(node.layer)
        weighted += kind.weighted
        name = f"{kind.letter}{weighted}" if kind.numbered else kind.letter
        while name in names:
            name += "'"
        formula = kind(node, [names[value] for value in node.inputs], name, model.arrays_of(node))
        formula.share(next((other.own for other in formulas if other.place == formula.place), formula.own))
        formulas.append(formula)
        names.append(name)
    return formulas


def _given(formula: Formula, arrays: dict[str, Array]) -> Any:
    """What a layer takes, of the arrays by name."""
    found = [arrays[name] for name in formula.xs]
    return found if formula.layer.takes_several else found[0]


def _way(inputs: list[str], formulas: list[Formula], ends: list[_End]) -> str:
    """X -> Z1 -> A1 -> ...; of a network that branches, each value with those that it is made of."""
    names = [*inputs, *(formula.y for formula in formulas)]
    row = all(formula.xs == [name] for formula, name in zip(formulas, names, strict=False))
    if row and len(ends) == 1 and ends[0].a == names[-1]:
        return " -> ".join([*names, "L"])
    made = [f"{formula.y} of {' and '.join(formula.xs)}" for formula in formulas]
    return ", ".join([*inputs, *made, f"L of {' and '.join(end.a for end in ends)}"])


# The parts of the story


def _pages(
    model: Model, inputs: list[str], formulas: list[Formula], ends: list[_End], told: Explanation, lr: float
) -> list[str]:
    """All lines of the text."""
    page = Page(len(model.nodes) <= LAYERS_IN_NUMBERS)
    sample = "One sample X" if len(inputs) == 1 else f"One sample ({', '.join(inputs)})"
    page.text(
        f"{sample} on its way through {model.num_parameters:,} parameters to its loss L, and back.",
        *textwrap.wrap(_way(inputs, formulas, ends), WIDTH, break_long_words=False),
    )
    _tell_forward(page, inputs, formulas, told)
    for end in ends:
        _tell_loss(page, end, len(ends) > 1, told)
    if len(ends) > 1:
        sums = [f"{in_formula(end.weight)} * {end.own('L', True)}" for end in ends]
        page.text("", f"L = {' + '.join(sums)} = {plain(told.loss)}")
    page.heading("Backward: dL/dZ is the gradient of the loss L with respect to Z")
    for end in ends:
        _tell_start(page, end, formulas, len(ends) > 1, told)
    absorbed = [end.a for end in ends if end.ending.absorbed]
    _tell_backward(page, inputs, [formula for formula in formulas if formula.y not in absorbed], ends, told)
    _tell_update(page, model.parameters(), formulas, told, lr)
    return page.lines


def _tell_forward(page: Page, inputs: list[str], formulas: list[Formula], told: Explanation) -> None:
    page.heading("Forward")
    for name in inputs:
        page.array(name, told.activations[name])
    known: set[str] = set()
    for formula in formulas:
        page.text("", f"layer {formula.place}: {formula.layer.call()}")
        for name, own in formula.own.items():
            if own not in known:  # not of a layer that shares its weights with one above
                page.array(f'{own}, "{formula.place}.{name}"', formula.arrays[name])
        known.update(formula.own.values())
        formula_line, *more = formula.forward(_given(formula, told.activations), told.activations[formula.y])
        page.array(f"{formula.y} = {formula_line}", told.activations[formula.y], more)


def _tell_loss(page: Page, end: _End, several: bool, told: Explanation) -> None:
    loss, output, target, y = end.loss, told.activations[end.a], np.ravel(end.target), end.own("y", several)
    of = f" of {end.ending.name}" if several else ""
    page.heading(f"Loss{of}: {loss}, with the target {y}" + (f" = {target[0]}" if len(target) == 1 else ""))
    if len(target) > 1:
        page.array(y, target)
    mean = f", the mean of {end.parts(output):,}" if end.parts(output) > 1 else ""
    formula, value = end.words()[0], told.loss if not several else _value(end, told)
    page.text(f"{end.own('L', several)} = {end.written(formula, y)}{mean} = {plain(value)}")
    if output.size == 1:
        number, label = in_formula(output.flat[0]), in_formula(target[0])
        page.text(f"  = {formula.format(z=number, a=number, y=label)}")
    elif loss.targets == "labels" and output.ndim == 1:
        page.text(f"  {end.a}[{y}] = {plain(output[target[0]])}")


def _value(end: _End, told: Explanation) -> float:
    """The loss of one of several outputs."""
    absorbed = end.ending.absorbed
    loss, name = (absorbed.loss, end.z) if absorbed else (end.loss, end.a)
    return value_and_slope(loss, told.activations[name][None], end.target)[0]


def _tell_start(page: Page, end: _End, formulas: list[Formula], several: bool, told: Explanation) -> None:
    """Tell the gradient that the way back starts from; if others read the value, it is only a part."""
    _, *factors, slope = end.words()
    output, y = told.activations[end.a], end.own("y", several)
    page.text(*(end.written(factor, y) for factor in factors))
    line = end.written(slope, y) + (f", divided by {end.parts(output):,}" if end.parts(output) > 1 else "")
    line += f", times {end.weight:g}" if end.weight != 1 else ""
    absorbed = end.a if end.ending.absorbed else None
    if any(end.z in other.xs and other.y != absorbed for other in formulas):
        page.text(f"  a part of dL/d{end.z}: {line}")
    else:
        page.array(f"dL/d{end.z} = {line}", told.gradients[end.z])


def _through(others: list[str]) -> str:
    return "".join(f" + what comes through {other}" for other in others)


def _tell_backward(
    page: Page, inputs: list[str], formulas: list[Formula], ends: list[_End], told: Explanation
) -> None:
    for number, formula in reversed(list(enumerate(formulas))):
        x, dy = _given(formula, told.activations), told.gradients[formula.y]
        page.text("", f"layer {formula.place}: {formula.layer.call()}")
        twins = [other for other in formulas if other.place == formula.place and other is not formula]
        first = all(other not in twins for other in formulas[:number])
        for name, own in formula.own.items():
            if f"{formula.place}.{name}" in told.parameter_gradients:
                gradient = told.parameter_gradients[f"{formula.place}.{name}"]
                formula_line, *more = formula.parameter(name, x, dy, gradient)
                if not first:
                    page.text(f"  a part of dL/d{own}: {formula_line}")
                    continue
                line = formula_line + _through([other.y for other in twins])
                page.array(f"dL/d{own} = {line}", gradient, [] if twins else more)
        formula_line, *more = formula.backward(x, dy, _given(formula, told.gradients))
        for name in dict.fromkeys(formula.xs):
            line = " + ".join([formula_line] * formula.xs.count(name))
            readers = [other for other in formulas if name in other.xs]
            if readers[0] is not formula:  # the whole is told with the first of them, which comes last
                page.text(f"  a part of dL/d{name}: {line}")
                continue
            others = _through([other.y for other in readers[1:]])
            others += " + what comes from the loss" * any(name == end.z for end in ends)
            unused = [f"(training has no use for it: nothing before {name} is learned)"] * (name in inputs)
            page.array(
                f"dL/d{name} = {line}{others}", told.gradients[name], ([] if others else more) + unused
            )


def _tell_update(
    page: Page, parameters: Arrays, formulas: list[Formula], told: Explanation, lr: float
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
