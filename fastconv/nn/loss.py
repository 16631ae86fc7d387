"""What a loss is: what every loss answers. The losses themselves are in losses.py and class_losses.py."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from .. import kernels
from ..kernels.lanes import losses
from ..kernels.lanes.operation import Operation
from .layer import Array, Layer, Shape

__all__ = ["AbsorbedLayer", "Loss"]


class Loss:
    """What every loss is; a loss of your own is an `ElementwiseLoss`.

    Attributes
    ----------
    name : str
        What it goes by in `loss="..."`, in messages and in files.
    targets : {"numbers", "probabilities", "labels", "distributions"}
        What it is compared with: numbers of the output's shape, such from 0 to 1, a class number a sample, or
        a part of each sample for each class.
    threshold : float or None
        The output above which the answer is yes, where targets are probabilities.
    formula : pair of str, or None
        The loss and its gradient in words, of the output {z} and the target {y}.

    Examples
    --------
    >>> import fastconv as fc
    >>> isinstance(fc.losses.MSE(), fc.losses.Loss)
    True
    """

    name: ClassVar[str]
    targets: ClassVar[Literal["numbers", "probabilities", "labels", "distributions"]] = "numbers"
    threshold: ClassVar[float | None] = None
    formula: ClassVar[tuple[str, str] | None] = None
    operation: ClassVar[Any]  # of the compiled step, on the network's output
    # Final layers that are computed together with the loss, from their input: what then is the loss, ...
    absorbs: ClassVar[Mapping[type[Layer], "AbsorbedLayer"]] = {}

    def numbers(self) -> list[float]:
        """Settings that the operation reads, in its order.

        Returns
        -------
        list of float

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.losses.MSE().numbers()
        []
        """
        return []

    def absorbed(self, layer: Layer) -> "AbsorbedLayer | None":
        """How the loss is computed from the input of the final layer `layer`, or None where it is not.

        Parameters
        ----------
        layer : layer
            The last one of a network.

        Returns
        -------
        AbsorbedLayer or None

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.losses.BCE().absorbed(fc.Sigmoid()).loss
        BCEWithLogits()
        """
        return next((how for kind, how in self.absorbs.items() if isinstance(layer, kind)), None)

    def geometry(self, output_shape: Shape, clipped: bool, weighted: bool) -> losses.LossGeometry:
        """What the operation of the compiled step knows of an output.

        Parameters
        ----------
        output_shape : tuple
            Of one sample.
        clipped : bool
            Whether the loss is computed from the input of a final layer: see `absorbed`.
        weighted : bool
            Whether every sample has a weight.

        Returns
        -------
        LossGeometry

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.losses.MSE().geometry((3, 8, 8), clipped=False, weighted=False).features
        192
        """
        return losses.LossGeometry(math.prod(output_shape), int(clipped), int(weighted))

    def target_shape(self, output_shape: Shape) -> Shape:
        """The shape of one sample's target, as the compiled step reads it.

        Parameters
        ----------
        output_shape : tuple
            Of one sample.

        Returns
        -------
        tuple

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.losses.MSE().target_shape((3, 8, 8)), fc.losses.CrossEntropy().target_shape((3, 8, 8))
        ((192,), (8, 8))
        """
        return (math.prod(output_shape),)

    def check_output(self, output_shape: Shape) -> None:
        """Raise ValueError unless the loss can be had of an output of this shape.

        Parameters
        ----------
        output_shape : tuple
            Of one sample.

        Raises
        ------
        ValueError
            The message names the loss and the shape.

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.losses.MSE().check_output((3, 8, 8))
        """

    def for_targets(self, target: Array) -> "Loss":
        """The loss as it is computed for such targets.

        Parameters
        ----------
        target : ndarray
            As the engine reads it.

        Returns
        -------
        Loss
            This one, but for cross-entropy with a part for each class.

        Examples
        --------
        >>> import fastconv as fc, numpy as np
        >>> fc.losses.MSE().for_targets(np.zeros((4, 2)))
        MSE()
        """
        return self

    def value(self, output: Array, target: Array) -> float:
        """The mean loss of a batch, by the public kernels.

        Parameters
        ----------
        output : ndarray, shape (N, *output_shape)
        target : ndarray
            As the engine reads it: labels of samples or pixels, or numbers as many as those of the output,
            and of its dtype.

        Returns
        -------
        float

        Examples
        --------
        >>> import fastconv as fc, numpy as np
        >>> fc.losses.MSE().value(np.array([[1.0, 2.0]]), np.array([[0.0, 0.0]]))
        2.5
        """
        return float(getattr(kernels, self.name)(output, target.reshape(output.shape), *self.numbers()))

    def gradient(self, output: Array, target: Array) -> Array:
        """The gradient of the mean loss with respect to the output.

        Parameters
        ----------
        output, target : ndarray
            As for `value`.

        Returns
        -------
        ndarray, shape of output

        Examples
        --------
        >>> import fastconv as fc, numpy as np
        >>> fc.losses.MSE().gradient(np.array([[1.0, 2.0]]), np.array([[0.0, 0.0]]))
        array([[1., 2.]])
        """
        gradient = getattr(kernels, f"{self.name}_grad")
        slope: Array = gradient(output, target.reshape(output.shape), *self.numbers())
        return slope

    def record(self) -> Any:
        """The loss as files hold it: its name, or a dictionary where it has settings.

        Returns
        -------
        str or dict

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.losses.MSE().record()
        'mse'
        """
        settings = self._settings()
        return {"name": self.name, **settings} if settings else self.name

    def __str__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self._settings().items())
        return f"{self.name}({settings})" if settings else self.name

    def _settings(self) -> dict[str, Any]:
        """Name -> value of what it was made with, without what was left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}  # type: ignore[call-overload]


@dataclass(frozen=True)
class AbsorbedLayer:
    """How a loss and the final layer before it are computed in one: exact where their factors overflow."""

    operation: Operation  # on the layer's input
    loss: Loss  # of the layer's input, which is equal
    output_gradient: Callable[
        [Array, Array], Array
    ]  # of (output, target), with respect to the layer's output
    formula: tuple[str, str, str]  # in words: the loss, the chain rule's factors, what they come to
