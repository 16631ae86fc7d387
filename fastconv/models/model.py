"""`Model`: a network that predicts, differentiates, and writes itself to files."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..checks.settings import whole_number
from ..engine import listing
from ..engine.columns import Columns, inputs_as_given, outputs_as_given
from ..engine.lowering import lowering_of
from ..engine.pool import EnginePool
from ..formats.atomic import replaced
from ..formats.model_file import read_arrays, write_model
from ..formats.outlines import written
from ..formats.state_dict import matching
from ..nn.joint_loss import resolve_for
from ..nn.layer import Arrays
from ..nn.losses import Loss
from ..nn.norm import check_batch
from ..nn.optimizers import Optimizer, OptimizerName
from ..nn.optimizers import resolve as resolve_optimizer
from ..nn.outline import Outline
from ..nn.values import outline_of
from .classifier import Classifier


class Model(Classifier):
    """A network of any shape: layers called on values, from its inputs to its outputs.

    Parameters
    ----------
    inputs : Value, or a list of them
        Each made by `Input`.
    outputs : Value, a list of them, or a dict name -> Value
        What layers, called on the inputs and on each other's values, come to.
    dtype : {"float32", "float64"}
        Of parameters, activations and predictions.
    seed : int
        Of the initial parameters, drawn as PyTorch draws them: uniform within 1 / sqrt(fan_in).

    Raises
    ------
    ValueError, TypeError
        If outputs depend on other inputs, a layer can't take its input, or names are not their own.

    Notes
    -----
    With several inputs, X is a list of arrays, or a dict of them by the inputs' names; with several outputs,
    so are y and what `predict` gives (a dict, if `outputs` was one). A layer that is called on several values
    shares its weights among these places: their gradients are added.

    Examples
    --------
    >>> import fastconv as fc
    >>> x = fc.Input((1, 8, 8))
    >>> y = fc.ReLU()(fc.Conv2d(4, 3, padding="same")(x))
    >>> y = fc.ReLU()(fc.Conv2d(4, 3, padding="same")(y) + y)
    >>> features = fc.Flatten()(y)
    >>> outputs = {"policy": fc.Dense(5)(features), "value": fc.Dense(1)(features)}
    >>> model = fc.Model(x, outputs)
    >>> model.output_shapes
    ((5,), (1,))
    """

    engines: EnginePool
    _FIXED: ClassVar[dict[str, str]] = {**Classifier._FIXED, "engines": "it makes and keeps its own"}

    def __init__(self, inputs: Any, outputs: Any, dtype: str = "float32", seed: int = 0) -> None:
        self._build(outline_of(inputs, outputs), dtype, seed)

    @classmethod
    def of_outline(cls, outline: Outline, dtype: str = "float32", seed: int = 0) -> "Model":
        """A network that has been written down.

        Parameters
        ----------
        outline : Outline
        dtype : {"float32", "float64"}
        seed : int

        Returns
        -------
        Model

        Examples
        --------
        >>> import fastconv as fc
        >>> model = fc.models.reference_cnn()
        >>> fc.Model.of_outline(model.outline).num_parameters
        15
        """
        model = cls.__new__(cls)
        model._build(outline, dtype, seed)
        return model

    def _build(self, outline: Outline, dtype: str, seed: int) -> None:
        super().__init__(outline, dtype, seed)
        for node in self.nodes:
            lowering_of(node.layer)
        self.metadata: dict[str, Any] = {}
        vars(self)["engines"] = EnginePool()

    def predict(self, X: Any, batch_size: int = 256) -> Any:
        """The outputs of the network.

        Parameters
        ----------
        X : ndarray, shape (N, *input_shape)
            Real numbers, of any strides; those of uint8, and no others, are divided by 255. Of several
            inputs, a list of arrays, or a dict of them by the inputs' names.
        batch_size : int
            Samples in work at a time; results do not depend on it, as long as all weights are finite. (At
            precision "high", the last bits of fewer samples than a vector has lanes may: see
            `fastconv.set_precision`.)

        Returns
        -------
        ndarray, shape (N, *output_shape)
            In the network's dtype. Of several outputs, a list of arrays, or a dict by name where `Model` was
            given one.

        Examples
        --------
        >>> import fastconv as fc, numpy as np
        >>> fc.models.reference_cnn().predict(np.zeros((3, 1, 6, 6))).shape
        (3, 1)
        """
        X = inputs_as_given(X, self.input_names, self.input_shapes)
        batch_size = whole_number(batch_size, "batch_size")
        count = len(X)
        output = self.empty_outputs(count)
        if count:
            engine = self.engines.take(self, "predict", count, batch_size)
            engine.predict(X, output)
            self.engines.give_back(engine)
        return self.as_given(output)

    def as_given(self, output: Any) -> Any:
        """Outputs as `predict` gives them: an array, or of several a list or a dict.

        Parameters
        ----------
        output : ndarray or Columns
            As `empty_outputs` makes them.

        Returns
        -------
        ndarray, list or dict

        Examples
        --------
        >>> import fastconv as fc
        >>> model = fc.models.reference_cnn()
        >>> model.as_given(model.empty_outputs(3)).shape
        (3, 1)
        """
        if not isinstance(output, Columns):
            return output
        by_name = self.output_names != tuple(f"output_{k}" for k in range(len(self.outputs)))
        return output.as_given(by_name)

    def empty_outputs(self, count: int) -> Any:
        """Memory for the outputs of so many samples.

        Parameters
        ----------
        count : int

        Returns
        -------
        ndarray, shape (count, *output_shape), or Columns of several

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.models.reference_cnn().empty_outputs(3).shape
        (3, 1)
        """
        shapes, dtype = self.output_shapes, self._live_parameters.flat.dtype
        if len(shapes) == 1:
            return np.empty((count, *shapes[0]), dtype)
        return Columns([np.empty((count, *shape), dtype) for shape in shapes], self.output_names)

    def loss_and_gradients(
        self, X: Any, y: Any, loss: Any = "cross_entropy", *, loss_weights: Any = None
    ) -> tuple[float, Arrays]:
        """The mean loss of a batch and its gradient with respect to every parameter.

        Parameters
        ----------
        X : ndarray, shape (N, *input_shape)
            At least one sample.
        y : ndarray
            For "cross_entropy" labels (N,), one-hot rows, or rows of parts that sum to 1; otherwise numbers
            of the output's shape.
        loss : {"bce", "bce_with_logits", "cross_entropy", "mse"} or Loss
            Of several outputs, a list of one for each, or a dict by their names; the same for all, if one.
        loss_weights : list or dict of floats, optional
            Of several outputs, what the loss of each is multiplied by before they are added; default is 1.

        Returns
        -------
        loss : float
        gradients : dict
            Name -> ndarray, shaped as in `parameters()`.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit the network, or there is no sample.

        Notes
        -----
        The network is in training mode, as in `Trainer.fit`: batch normalisation uses the batch's own
        statistics (and leaves the running ones alone).

        Examples
        --------
        >>> import fastconv as fc, numpy as np
        >>> model = fc.models.reference_cnn()
        >>> loss, gradients = model.loss_and_gradients(np.ones((2, 1, 6, 6)), [0, 1], loss="bce")
        >>> gradients["4.weight"].shape
        (1, 4)
        """
        loss = resolve_for(loss, self.output_names, self.output_shapes, loss_weights)
        X = inputs_as_given(X, self.input_names, self.input_shapes)
        y = outputs_as_given(y, len(X), self.output_names, self.output_shapes, loss)
        if not len(X):
            raise ValueError("`X` must hold at least one sample, got none")
        check_batch([node for node in self.nodes if node.name not in self.frozen], len(X))
        engine = self.engines.take(self, "gradients", len(X), loss=loss.for_targets(y))
        engine.set_seed(self.seed)
        engine.set_updates(0)
        engine.load(X, y)
        value = float(engine.run(0, 1)[0, 0])
        gradients, start = {}, 0
        for name, array in self.parameters().items():
            flat = engine.ports.gradient[start : start + array.size]
            gradients[name] = flat.reshape(array.shape).copy()
            start += array.size
        self.engines.give_back(engine)
        return value, gradients

    def source(
        self,
        purpose: str = "train",
        *,
        loss: Any = None,
        optimizer: Optimizer | OptimizerName | None = None,
        batch_size: int = 32,
        kernels: bool = True,
    ) -> str:
        """The program that runs, as text to read: its steps in order, and the code that Numba compiles.

        Parameters
        ----------
        purpose : {"train", "gradients", "evaluate", "predict"}
            A step of `Trainer.fit`, `loss_and_gradients`, `Trainer.evaluate` or `predict`.
        loss : str or Loss, or a list or dict of them, optional
            Default: the one that suits each output, as in `fastconv.explain`.
        optimizer : SGD, Adam or AdamW, optional
            For "train", itself or its name; default is "sgd".
        batch_size : int
            Samples of a step. One sample alone is predicted by a program of its own.
        kernels : bool
            Whether the source of the kernels follows.

        Returns
        -------
        str
            The arrays, `X`, `y0` (the output of layer 0), `dy0` (its gradient) and so on, with the shape that
            they have for each sample; then stages of operations, each a call of a kernel with its arguments.
            What a kernel does stands above its first call.

        Raises
        ------
        ValueError, TypeError
            If an argument is unknown or does not fit the network.

        Examples
        --------
        >>> import fastconv as fc
        >>> text = fc.models.reference_cnn().source(kernels=False)
        >>> [line.strip() for line in text.splitlines() if "max_pool(" in line]
        ['max_pool(x=y1, y=y2, argmax=argmax2)']
        """
        step = self._checked_step(purpose, loss, optimizer, batch_size)
        return listing.source(self, *step, kernels=kernels)

    def memory(self, batch_size: int = 32, purpose: str = "train", *, optimizer: Any = None) -> int:
        """How many bytes a step takes: parameters, gradients, the optimizer's vectors, and all values.

        Parameters
        ----------
        batch_size : int
            Samples of a step.
        purpose : {"train", "gradients", "evaluate", "predict"}
            As for `source`.
        optimizer : SGD, Adam, AdamW or another of `fastconv.optimizers`, optional
            For "train"; default is SGD without momentum, which keeps no vectors.

        Returns
        -------
        int
            With as many threads as there are now: each has values of its own. The samples themselves and
            their targets, which stay where they are, do not count.

        Raises
        ------
        ValueError, TypeError
            If an argument is unknown or does not fit.

        Examples
        --------
        >>> import fastconv as fc
        >>> model = fc.models.lenet5()
        >>> model.memory(32, "predict") < model.memory(32, "train") < model.memory(256, "train")
        True
        """
        return listing.memory(self, *self._checked_step(purpose, None, optimizer, batch_size))

    def summary(self, batch_size: int | None = None, *, optimizer: Any = None) -> None:
        """Print each layer with its output shape, its parameters and products, and who reads what it gives.

        The last is left out where that is simply the next layer. Layers of one name share their parameters,
        which are counted once. Below the table stands what they come to together, and how convolutions of
        float32 are summed up: the precision (see `set_precision`), and which layers of a training step go by
        Winograd's products.

        Parameters
        ----------
        batch_size : int, optional
            Print also how much memory a training step of so many samples takes.
        optimizer : SGD, Adam, AdamW or another of `fastconv.optimizers`, optional
            As for `memory`.

        Raises
        ------
        ValueError, TypeError
            If an argument is unknown or does not fit.

        Examples
        --------
        >>> import fastconv as fc
        >>> model = fc.Sequential([fc.Residual([fc.Dense(3)]), fc.ReLU()], (3,))
        >>> model.summary(batch_size=32)  # doctest: +ELLIPSIS
        layer                 output shape  parameters  products  read by
        -----------------------------------------------------------------------
        input                 (3,)                   0         0  0.layers.0, 0
        0.layers.0  Dense(3)  (3,)                  12         9
        0           Add()     (3,)                   0         0
        1           ReLU()    (3,)                   0         0
        parameters: 12 (float32, 48 bytes); products of one sample: 9
        a training step of 32 samples takes ... bytes
        """
        print(self)
        batch = 32 if batch_size is None else whole_number(batch_size, "batch_size")
        for line in listing.precision(self, batch):
            print(line)
        if batch_size is not None:
            taken = self.memory(batch_size, optimizer=optimizer)
            print(f"a training step of {batch_size:,} sample{'s' * (batch_size != 1)} takes {taken:,} bytes")

    def _checked_step(
        self, purpose: str, loss: Any, optimizer: Any, batch_size: int
    ) -> tuple[str, Loss | None, Optimizer, int]:
        """The arguments of `source` and `memory`, if they fit."""
        if purpose not in listing.PURPOSES:
            names = ", ".join(map(repr, listing.PURPOSES))
            raise ValueError(f"`purpose` must be one of {names}, got {purpose!r}")
        if loss is not None:
            loss = resolve_for(loss, self.output_names, self.output_shapes)
        batch_size = whole_number(batch_size, "batch_size")
        return purpose, loss, resolve_optimizer("sgd" if optimizer is None else optimizer), batch_size

    def save(self, path: str | os.PathLike[str], metadata: dict[str, Any] | None = None) -> None:
        """Write the network to one file: layers, parameters, statistics. Nothing is pickled.

        Parameters
        ----------
        path : str or Path
            The file, `.npz` or `.safetensors` (with the extra of that name); it is replaced only once the new
            one is complete.
        metadata : dict, optional
            JSON values to keep with it; default is the network's own `metadata`. Tuples and arrays come back
            as lists, keys that are no texts as texts.

        Raises
        ------
        ValueError
            If `path` ends in anything else, or JSON can't hold `metadata` exactly.
        TypeError
            If there is something in `metadata` that JSON lacks, such as a set or a function.
        ImportError
            If the safetensors package is needed and not installed.

        Examples
        --------
        >>> import fastconv as fc, tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "model.npz")
        >>> fc.models.reference_cnn().save(path)
        >>> fc.load(path).num_parameters
        15
        """
        description = {
            **written(self.outline),
            "dtype": self.dtype,
            "seed": self.seed,
            "metadata": self.metadata if metadata is None else metadata,
            **({"frozen": sorted(self.frozen)} if self.frozen else {}),
        }
        write_model(path, description, self.state())

    def load_weights(
        self, path: str | os.PathLike[str], names: Mapping[int | str, str] | None = None
    ) -> None:
        """Copy in the weights of a file that holds only weights, such as a saved PyTorch `state_dict`.

        Parameters
        ----------
        path : str or Path
            A `.safetensors` or `.npz` file of arrays by name, or a file of `save`.
        names : dict, optional
            Layer -> the file's name of it, such as {0: "conv1", 7: "fc1"}. By default the file must have the
            names of `parameters()` and `statistics()`, or these after one prefix, such as "features.".

        Raises
        ------
        ValueError
            If the file is damaged, a name is missing or left over, or a shape is another; the network is then
            unchanged. Nothing is guessed from order or shapes: where names differ but shapes leave one
            possibility, the message gives the `names` to ask for it.

        Notes
        -----
        PyTorch's `num_batches_tracked`, on which no result depends, is passed over.

        Examples
        --------
        >>> import fastconv as fc, numpy as np, tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "weights.npz")
        >>> np.savez(path, **{"fc.weight": np.eye(2), "fc.bias": np.ones(2)})
        >>> model = fc.Sequential([fc.Dense(2)], input_shape=(2,))
        >>> model.load_weights(path, names={0: "fc"})
        >>> model.predict([[3.0, 4.0]])
        array([[4., 5.]], dtype=float32)
        """
        arrays = read_arrays(path)
        try:
            own = {name: array.shape for name, array in {**self.parameters(), **self.statistics()}.items()}
            self.load_state(matching(own, arrays, names, self.dtype))
        except ValueError as error:
            raise ValueError(f"{path} does not fit the network: {error}") from None

    def to_torch(self, *, softmax: bool = False) -> Any:
        """The network in PyTorch: the same layers, with copies of the parameters and statistics.

        Parameters
        ----------
        softmax : bool
            Whether a last Softmax (or Sigmoid, after one output) makes probabilities of logits.

        Returns
        -------
        torch.nn.Sequential, or torch.fx.GraphModule
            In evaluation mode, on the CPU, in the network's dtype; the names of its `state_dict` are those
            of `parameters()` and `statistics()`. Layers in a row become a Sequential; networks that branch,
            and padding that PyTorch's layers don't have, a GraphModule, which is trained and saved like any
            module. Several outputs are a tuple, or a dictionary if they have names.

        Raises
        ------
        ImportError
            If PyTorch is not installed.
        ValueError
            If a layer has no counterpart there, or with `softmax` the outputs are no logits.

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.models.reference_cnn().to_torch()[0]
        Conv2d(1, 1, kernel_size=(3, 3), stride=(1, 1))
        """
        from ..formats.torch.writing import write_module  # few processes need it

        return write_module(self, softmax)

    def to_onnx(self, path: str | os.PathLike[str], *, softmax: bool = False) -> None:
        """Write the network, as it predicts, to an ONNX file that any ONNX runtime can load.

        Parameters
        ----------
        path : str or Path
            The file; it is replaced only once the new one is complete.
        softmax : bool
            Whether a last Softmax (or Sigmoid, after one output) makes probabilities of logits.

        Raises
        ------
        ImportError
            If the onnx package is not installed.
        ValueError, TypeError
            If a layer has no counterpart there, with `softmax` the outputs are no logits, or JSON can't hold
            `metadata`.

        Notes
        -----
        Inputs and outputs have the names of `input_names` and `output_names`, "input" and "output" where
        there is one; their first axis, the batch, may be of any size. ONNX Runtime has no convolution and no
        average pooling of float64, and few activations: a network of float64 carries these as functions of
        its own, made of operators that there are. `metadata` are in the file as JSON under the name
        "fastconv"; classes also under "classes", and the scale of pixels as ONNX has it, as
        "Image.NominalPixelRange".

        Examples
        --------
        >>> import fastconv as fc, tempfile, os
        >>> path = os.path.join(tempfile.mkdtemp(), "model.onnx")
        >>> fc.models.lenet5().to_onnx(path)
        >>> fc.from_onnx(path).num_parameters
        44426
        """
        from ..formats.onnx.writer import onnx_model  # few processes need it

        model = onnx_model(self, softmax)
        with replaced(Path(path)) as file:
            file.write(model.SerializeToString(deterministic=True))
