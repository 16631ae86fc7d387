"""Networks from elsewhere: our own files, PyTorch's modules, ONNX files."""

import os
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import nn
from ..checks.import_path import imported
from ..formats import outlines
from ..formats.model_file import read_model
from ..nn.layer import Arrays, Layer
from ..nn.network import parameter_shapes
from ..nn.outline import Outline
from .building import network_of
from .model import Model


def load(path: str | os.PathLike[str]) -> Model:
    """Read a network that `save` wrote, or the one in a checkpoint of training.

    Parameters
    ----------
    path : str or Path
        Of a checkpoint, the network as it was after the last epoch is taken, and the rest left. Layers and
        functions of a user's own are imported by the names that the file gives, so that their modules must be
        on the path; nothing else in a file is run.

    Returns
    -------
    Sequential, or Model
        As it was saved.

    Raises
    ------
    ValueError
        If the file is cut off, changed or not one of ours; a file of another program is named, with what to
        do about it.
    TypeError
        If `path` is no path.
    OSError
        If it can't be read.

    Warns
    -----
    UserWarning
        If it is a checkpoint: after how many epochs the network is.

    Examples
    --------
    >>> import fastconv as fc, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "model.npz")
    >>> fc.models.lenet5().save(path, metadata={"classes": 10})
    >>> fc.load(path).metadata
    {'classes': 10}
    """
    description, state = read_model(path)
    try:
        epochs = None
        if description.get("kind") == "checkpoint":
            epochs = int(description["epochs_done"])
            description, state = _network_of_checkpoint(description, state)
        outline = outlines.read(description, _layer)
        model = _filled(outline, description["dtype"], state, description["seed"])
        model.metadata = description["metadata"]
        if frozen := description.get("frozen", []):
            model.freeze(*frozen)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, NotImplementedError) as error:
        raise ValueError(f"{path} does not describe a network: {error}") from None
    if epochs is not None:
        text = f"{epochs} epoch{'s' * (epochs != 1)}"
        warnings.warn(f"{path} is a checkpoint: its network after {text} is taken", stacklevel=2)
    return model


def _network_of_checkpoint(description: dict[str, Any], state: Arrays) -> tuple[dict[str, Any], Arrays]:
    """What a file of `save` would hold of the network that a checkpoint is of."""
    if "network" not in description:
        raise ValueError(
            "it is a checkpoint of an earlier version, without the shape of the input: go on training "
            "from it with resume=True, and save the network"
        )
    run = description["run"]
    own = {name.removeprefix("model."): a for name, a in state.items() if name.startswith("model.")}
    layers = {name: run[name] for name in ("layers", "calls", "inputs", "outputs") if name in run}
    return {**description["network"], **layers, "dtype": run["dtype"]}, own


def from_torch(module: Any, input_shape: Any, *, dtype: str | None = None) -> Model:
    """A network from PyTorch: its layers, with copies of its weights and running statistics.

    Parameters
    ----------
    module : torch.nn.Module
        A Sequential of layers, or any module that `torch.fx.symbolic_trace` can trace: with a `forward` of
        its own, of modules, functions, operators and methods of PyTorch that layers here compute.
    input_shape : tuple, or list of tuples
        (C, H, W) of an image, (C, L) of a signal, or (features,); a list of them for a module with several
        arguments. Arguments for which there is no shape keep their defaults.
    dtype : {"float32", "float64"}, optional
        Default is the module's: float64 if any of its parameters is, otherwise float32.

    Returns
    -------
    Sequential, or Model
        Of a Sequential of layers, or of such Sequentials, a Sequential: Identity has no layer in it, and
        Sequentials within the module are laid out in a row, so that layer numbers can differ from the
        module's. Of any other module a Model, whose layers have the names that they have there: parameters
        are called "layer1.0.conv1.weight", and `to_torch` gives a module with the same `state_dict` names.

    Raises
    ------
    TypeError
        If `module` is no torch.nn.Module, or one layer alone.
    ValueError
        If something in it has no counterpart here, or torch.fx can't trace it, as where an `if` asks for the
        numbers of the input: one line that names the call, what it calls, and what would be possible. If a
        setting has none, or the sizes do not fit `input_shape`. If a module has forward hooks (weight norm,
        spectral norm and pruning of the older kind are such). If the module, in evaluation mode, gives other
        outputs for a random input than the network.
    ImportError
        If PyTorch is not installed.

    Warns
    -----
    UserWarning
        If the module ends in a LogSoftmax, which is left out: the network gives the logits, as the loss
        "cross_entropy" takes them.

    Notes
    -----
    What the module computes in evaluation mode is taken; parametrizations become the weights that they make.
    A module that is called at several places becomes one layer there, which shares its weights; in a
    Sequential of layers it becomes a layer in each place with weights of its own, which begin equal, and so
    do parameters that are tied under several names. A scale or a shift by constants becomes a convolution
    of each channel with one weight, which training changes like any; so do zeros around an image that no
    convolution or pool takes for its padding. What the outputs do not need is left out. An output (N,), one
    number of each sample, is (N, 1) here. The module and PyTorch's random numbers are left as they were.

    Examples
    --------
    >>> import fastconv as fc, torch
    >>> module = torch.nn.Sequential(torch.nn.Conv2d(1, 6, 5), torch.nn.ReLU(), torch.nn.MaxPool2d(2))
    >>> fc.from_torch(module, input_shape=(1, 28, 28)).output_shape
    (6, 12, 12)
    >>> class Residual(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.conv = torch.nn.Conv2d(2, 2, 3, padding=1)
    ...     def forward(self, x):
    ...         return torch.relu(self.conv(x)) + x
    >>> list(fc.from_torch(Residual(), input_shape=(2, 8, 8)).parameters())
    ['conv.weight', 'conv.bias']
    """
    from ..formats.torch.reading import read_module  # few processes need it

    found = read_module(module, input_shape, dtype)
    model: Model = _filled(found.outline, found.dtype, found.state)
    _check_against(module, model, found.log_softmax)
    if any(found.log_softmax):
        _leave_log_softmax("`module`", model)
    return model


def _check_against(module: Any, model: Model, log_softmax: tuple[bool, ...]) -> None:
    """Raise ValueError unless the network and the PyTorch module that it was read from agree."""
    from ..formats.torch.reading import run_module

    rng = np.random.default_rng(0)
    X = [rng.standard_normal((2, *shape)) for shape in model.input_shapes]
    wanted, precision = run_module(module, X)
    found = model.predict(X if len(X) > 1 else X[0])
    outputs = list(found.values()) if isinstance(found, dict) else found if len(wanted) > 1 else [found]
    for output, theirs, logits in zip(outputs, wanted, log_softmax, strict=True):
        if theirs.shape == (2,):  # PyTorch may leave out the one output
            theirs = theirs[:, None]
        _check_same("`module`", _log_softmax(output, logits), theirs, precision)


def _log_softmax(logits: NDArray[Any], wanted: bool) -> NDArray[Any]:
    """The logarithms of probabilities, if they are wanted."""
    if not wanted:
        return logits
    logits = logits - logits.max(axis=1, keepdims=True)
    shifted: NDArray[Any] = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return shifted


def _leave_log_softmax(what: str, model: Model) -> None:
    """Say that a network ends before the LogSoftmax of `what` it was read from, and let its metadata tell."""
    model.metadata.setdefault("loss", "cross_entropy")
    warnings.warn(
        f"{what} ends in a LogSoftmax, its network here in the logits before it: the loss "
        '"cross_entropy", classes and probabilities are the same',
        stacklevel=3,
    )


def _check_same(what: str, found: NDArray[Any], wanted: NDArray[Any], precision: float) -> None:
    """Raise ValueError unless a network's outputs are those of `what` it was read from."""
    if found.shape != wanted.shape:
        raise ValueError(
            f"{what} gives outputs of shape {wanted.shape[1:]}, its layers here {found.shape[1:]}"
        )
    known = np.isfinite(wanted)
    scale = float(np.abs(wanted[known]).max(initial=0))
    difference = float(np.abs(found.astype(np.float64)[known] - wanted[known]).max(initial=0))
    # Half of the digits: rounding stays far below it, another computation does not.
    if not difference <= max(precision, float(np.finfo(found.dtype).eps)) ** 0.5 * scale:
        raise ValueError(
            f"{what} gives other outputs than its layers: they differ by {difference:.3g} of {scale:.3g} "
            "on random input, so that something in it is not read"
        )


def from_onnx(path: Any) -> Model:
    """Read a network from an ONNX file, of `to_onnx` or of exporters of PyTorch, Keras and scikit-learn.

    Parameters
    ----------
    path : str, Path or onnx.ModelProto
        A file, or a model in memory, over images, signals or features, whose operators are those of
        fastconv's layers: Conv, ConvTranspose, Gemm, MatMul with Add, pools, means and largest elements of
        positions, normalisations, activations (also where a file makes one of several operators, as x *
        sigmoid(x)), sums of values and stacks of channels, Resize by whole factors, Dropout, Pad, sums and
        products with constants. Opset 7 or later. Reshape, Flatten, Squeeze, Unsqueeze and Transpose where
        they only regroup, casts between float32 and float64, and a label beside the probabilities are no
        layers; weights and shapes may be worked out of others.

    Returns
    -------
    Sequential, or Model
        In the dtype of the file's weights, with the metadata that `to_onnx` wrote, or the names of classes
        that scikit-learn's exporters do. A graph that branches, or has several inputs or outputs, is a
        `Model`; of a file of `to_onnx`, its layers have the names that they had.

    Raises
    ------
    ValueError
        If the file is damaged, or an operator or a setting has no counterpart here; the
        message names the file and the node. A file of another kind is named, with what to do about it. If
        the file, run by ONNX Runtime or onnx's own evaluator, gives other outputs for a random input.
    TypeError
        If `path` is something else.
    OSError
        If it can't be read.
    ImportError
        If the onnx package is not installed.

    Warns
    -----
    UserWarning
        If the file takes images (N, H, W, C) or signals (N, L, C), for networks here take (N, C, H, W) and
        (N, C, L). If it ends in a
        LogSoftmax, which is left out: the network gives the logits, as the loss "cross_entropy" takes them.
        If it scales pixels from 0 to 255 itself.

    Notes
    -----
    ONNX has no checksum: weights that were changed in the file are read as they are.

    A layer that a graph with branches has at several places, with the same weights, shares them here too; in
    a row each place gets a copy.

    Limits: weights that several nodes share may be copied for each of them, up to eight times what the file
    holds, and what is worked out of constants may be as much; of a file that is all nodes, reading takes up
    to 200 times its size in memory. The outputs are compared only where no value on the way has more than
    16,777,216 numbers, and all of them together twice as many, the file has at most 256 MB and none of the
    functions of float64 that `to_onnx` writes.

    Examples
    --------
    >>> import fastconv as fc, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "model.onnx")
    >>> fc.models.reference_cnn(dtype="float64").to_onnx(path)
    >>> fc.from_onnx(path).dtype
    'float64'
    """
    from ..formats.onnx.reader import read_onnx  # few processes need it

    found = read_onnx(path)
    try:
        model = _filled(found.outline, found.dtype, found.state)
    except ValueError as error:
        raise ValueError(f"{found.name} cannot be read as a network: {error}") from None
    model.metadata = found.metadata
    _check_against_file(found, model)
    for shape, last in zip(model.input_shapes, found.channels_last, strict=True):
        if last:
            kind, theirs, ours, way = (
                ("images", "(N, H, W, C)", "(N, C, H, W)", "0, 3, 1, 2")
                if len(shape) == 3
                else ("signals", "(N, L, C)", "(N, C, L)", "0, 2, 1")
            )
            warnings.warn(
                f"{found.name} takes {kind} {theirs}, its network here {ours}: X.transpose({way})",
                stacklevel=2,
            )
    if found.log_softmax:
        _leave_log_softmax(found.name, model)
    if 0 < found.scale < 0.01:  # 1 / 255, 2 / 255: of bytes
        model.metadata.setdefault("input_scale", 1.0)
        warnings.warn(
            f"{found.name} scales its input by {found.scale:.3g} itself: give the network floats from 0 to "
            "255, since uint8 is divided by 255 before",
            stacklevel=2,
        )
    return model


def _check_against_file(found: Any, model: Model) -> None:
    """Raise ValueError unless the network and the ONNX file agree, where there is a program that can tell."""
    X = found.sample()
    wanted = None if X is None else found.run(X, len(X[0]) * model.products())
    if X is None or wanted is None:
        return
    outputs = model.predict(X if len(X) > 1 else X[0])
    given = list(outputs.values()) if isinstance(outputs, dict) else outputs
    for output, want in zip(given if len(wanted) > 1 else [outputs], wanted, strict=True):
        _check_same(found.name, _log_softmax(output, found.log_softmax), want, found.precision)


def _filled(outline: Outline, dtype: str, state: Arrays, seed: int = 0) -> Any:
    """A network with the arrays of `state`, which are there before any memory is taken for it."""
    for name, shape in parameter_shapes(outline).items():
        if name not in state or state[name].shape != shape:
            raise ValueError(f"there is no array {name!r} of shape {shape} in it")
    model = network_of(outline, dtype, seed)
    model.load_state(state)
    return model


def _layer(entry: dict[str, Any]) -> Layer:
    """The layer that `Layer.record` described: one of fastconv's, or of a class that can be imported."""
    name = str(entry["name"])
    kind: Any = imported(name) if ":" in name else getattr(nn, name) if name in nn.__all__ else None
    if not isinstance(kind, type) or not issubclass(kind, Layer):
        raise ValueError(f"{name!r} is no layer")
    return kind.from_settings({k: v for k, v in entry.items() if k != "name"}, _layer)
