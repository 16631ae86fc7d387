"""What shows that everybody trains the same networks and predicts the same.

Twins in float64 must agree in losses, gradients and statistics to the last digits that rounding leaves: no
work can be left out there. In float32 a value near zero may fall to either side of a ReLU, and another value
of a window be the largest, after sums in another order; that moves single gradients a lot and their mean
square little. So float32 is held to the mean square, which an operation left out exceeds by far.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .jax_process import Job
from .jax_process import contender as of_jax
from .network_contenders import PREDICTIONS, arrays, tensors, torch_loss
from .networks import batches_of, comparable_model, given_loss, made, trained_of
from .timing import Contender
from .work import Check, mean_difference

EXACT = 1e-9  # in parts of the largest number of an array
ROUNDED = 1e-4
NEAR = 0.1  # of gradients in float32: roots of mean squares
# Gradients that are zero but for rounding, such as of a bias before a normalisation, and means of what has
# been normalised: how much of the largest they stay below in float64, and what measures their errors instead.
NOTHING = 1e-9
FLOOR = {"float64": 1e-2, "float32": 0.1}


def step_checks(name: str, batch_size: int) -> tuple[Check, ...]:
    """Of a training step."""
    nothing: set[str] = set()
    exact = _Gradients(name, batch_size, "float64", {}, nothing)
    rounded = _Gradients(name, batch_size, "float32", {}, nothing)
    return (
        Check("losses, gradients and statistics in float64", exact.all_of, EXACT),
        Check("losses in float32", rounded.loss_of, ROUNDED),
        Check("gradients and statistics in float32", rounded.all_of, NEAR, mean_difference),
    )


def predict_checks(name: str, batch_size: int) -> tuple[Check, ...]:
    """Of a prediction."""
    return (
        Check("outputs in float64", partial(_outputs, name, batch_size, "float64"), EXACT),
        Check("outputs in float32", partial(_outputs, name, batch_size, "float32"), ROUNDED),
    )


class _Gradients(NamedTuple):
    """What everybody gets from a batch; what the loss is taken from serves the gradients too."""

    name: str
    batch_size: int
    dtype: str
    found: dict[str, Any]  # by contender
    nothing: set[str]  # arrays that are zero but for rounding, as it turns out in float64

    def loss_of(self, who: str) -> Contender | None:
        """Who gives the loss."""
        return Contender(lambda: np.array([self._found(who)[0]])) if who in _GRADIENTS else None

    def all_of(self, who: str) -> Contender | None:
        """Who gives everything."""
        if who not in _GRADIENTS:
            return None

        def call() -> Any:
            answer = self._found(who)
            del self.found[who]  # it may be large
            return self._comparable(*answer)

        return Contender(call)

    def _comparable(self, loss: float, *groups: dict[str, Any]) -> tuple[Any, ...]:
        """All arrays; behind one that is nothing, a number that its error is measured by."""
        found = [np.array([loss])]
        for group in groups:
            largest = max((float(np.abs(a).max()) for a in group.values()), default=0.0)
            if self.dtype == "float64":
                self.nothing.update(key for key, a in group.items() if np.abs(a).max() < NOTHING * largest)
            floor = [FLOOR[self.dtype] * largest]
            found += [np.append(group[key], floor * (key in self.nothing)) for key in sorted(group)]
        return tuple(found)

    def _found(self, who: str) -> Any:
        if who not in self.found:
            model = comparable_model(self.name, self.dtype)
            X, y = batches_of(self.name, model, self.batch_size)
            self.found[who] = _GRADIENTS[who](self.name, model, X, y)
        return self.found[who]


def _fastconv_gradients(name: str, model: Any, X: Any, y: Any) -> tuple[float, Any, Any]:
    """From a step of `fit`, which is what is timed: one so long that rounding the weights costs nothing."""
    import fastconv as fc

    lr = 1e3
    before = {key: array.astype(np.float64) for key, array in model.parameters().items()}
    trainer = fc.Trainer(model, loss=given_loss(name, model), optimizer=fc.SGD(lr=lr), metrics=())
    history = trainer.fit(X, y, epochs=1, batch_size=len(X), shuffle=False, progress=False)
    after = model.state()
    gradients = {key: (before[key] - after[key]) / lr for key in trained_of(model)}
    return history["loss"][0], gradients, {key: a for key, a in after.items() if key not in before}


def _torch_gradients(name: str, model: Any, X: Any, y: Any) -> tuple[float, Any, Any]:
    module = model.to_torch().train()
    loss = torch_loss(name, model)(module(tensors(X)), tensors(y))
    loss.backward()
    found, state = dict(module.named_parameters()), module.state_dict()
    gradients = {key: found[key].grad.numpy() for key in trained_of(model)}
    kept = [key for key in model.state() if key not in model.parameters()]
    return loss.item(), gradients, {key: state[key].numpy() for key in kept}


def _jax_gradients(name: str, model: Any, X: Any, y: Any) -> tuple[float, Any, Any]:
    answer: Any = of_jax(Job("gradients", name, len(X), dtype=model.dtype)).call()
    return answer


_GRADIENTS = {"fastconv": _fastconv_gradients, "torch": _torch_gradients, "jax": _jax_gradients}


def _outputs(name: str, batch_size: int, dtype: str, who: str) -> Contender | None:
    if who not in ("fastconv", "torch", "jax") and (dtype == "float64" or who not in PREDICTIONS):
        return None
    model = made(name, dtype)
    X, _ = batches_of(name, model, batch_size)
    if who == "jax":
        return of_jax(Job("outputs", name, batch_size, dtype=dtype))
    if who == "fastconv":
        return Contender(lambda: arrays(model.predict(X)))
    if who == "torch":
        return Contender(lambda: tuple(a.detach() for a in arrays(model.to_torch().eval()(tensors(X)))))
    return PREDICTIONS[who](name, X)
