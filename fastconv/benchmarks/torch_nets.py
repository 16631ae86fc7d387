"""The networks of the benchmarks in PyTorch, as its tutorials write them."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from .nets import NETS, Spec


def _module(spec: Spec, shape: tuple[int, ...]) -> nn.Module:
    if spec.kind == "conv":
        return nn.Conv2d(shape[0], spec.units, spec.size, padding=spec.padding)
    if spec.kind == "dense":
        return nn.Linear(shape[0], spec.units)
    if spec.kind == "max_pool":
        return nn.MaxPool2d(spec.size)
    return {"relu": nn.ReLU, "flatten": nn.Flatten, "sigmoid": nn.Sigmoid}[spec.kind]()


class Network:
    """One of the benchmarks' networks, in eager mode.

    Parameters
    ----------
    name : {"reference", "lenet5", "vgg_small"}
    parameters : dict
        Initial weights and biases under PyTorch's names.
    lr : float
        Learning rate of plain SGD.
    """

    def __init__(self, name: str, parameters: dict[str, NDArray[Any]], lr: float) -> None:
        net = NETS[name]
        self.model = nn.Sequential(*map(_module, net.layers, net.shapes()))
        self.model.load_state_dict({key: torch.from_numpy(array) for key, array in parameters.items()})
        self.loss = nn.BCELoss() if net.loss == "bce" else nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=lr)

    def parameters(self) -> dict[str, NDArray[Any]]:
        """Weights and biases, copied."""
        return {key: tensor.numpy().copy() for key, tensor in self.model.state_dict().items()}

    def step(self, X: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """One training step; the batch's mean loss before it."""
        self.optimizer.zero_grad(set_to_none=True)
        loss: torch.Tensor = self.loss(self.model(X), y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()
