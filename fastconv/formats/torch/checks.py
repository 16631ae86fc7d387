"""PyTorch's modules asked: what class computes one, whether it is changed, what it gives, its numbers."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from ...nn.layer import Arrays, Layer, Shape

# What PyTorch's modules compute through: who changes one of these computes something else.
METHODS = (
    "forward", "__call__", "_call_impl", "_wrapped_call_impl", "__iter__", "_conv_forward",
    "_check_input_dim", "__getattr__",
)  # fmt: skip
# Attribute that holds hooks -> what they are called.
HOOKS = {"_forward_hooks": "forward hook", "_forward_pre_hooks": "forward pre-hook"}
# Hooks of PyTorch that make a weight anew at each call -> how to make it an ordinary one.
REMEDIES = {
    "WeightNorm": "torch.nn.utils.remove_weight_norm(module)",
    "SpectralNorm": "torch.nn.utils.remove_spectral_norm(module)",
    "BasePruningMethod": 'torch.nn.utils.prune.remove(module, "weight")',
}


@contextlib.contextmanager
def evaluating(torch: Any, module: Any) -> Iterator[None]:
    """The module in evaluation mode, without gradients, and as it was afterwards.

    The flags are set one by one, since `eval` and `train` may be methods of the user's.
    """
    flags = {part: part.training for part in module.modules()}
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            for part in flags:
                part.training = False
            yield
        finally:
            for part, flag in flags.items():
                part.training = flag


def kind_and_device(torch: Any, module: Any) -> tuple[Any, Any]:
    """What a module's input must be: the dtype and the device of its first array of numbers."""
    tensors = (*module.parameters(), *module.buffers())
    found = [(t.dtype, t.device) for t in tensors if t.is_floating_point()]
    return found[0] if found else (torch.float32, "cpu")


def check_plain(module: Any) -> None:
    """Raise ValueError if the module is called in another way than its class is."""
    kinds = {kind.__name__ for kind in type(module).__mro__}
    if "LazyModuleMixin" in kinds:
        raise ValueError("its sizes are not known yet: run the module once on an input")
    if "OptimizedModule" in kinds:
        raise ValueError("it was compiled: put its `_orig_mod` in its place")
    for attribute, name in HOOKS.items():
        for hook in getattr(module, attribute, {}).values():
            names = [kind.__name__ for kind in type(hook).__mro__]
            remedy = next((REMEDIES[kind] for kind in names if kind in REMEDIES), "its handle's remove()")
            title = names[0] if names[0] not in ("function", "method") else getattr(hook, "__name__", "")
            raise ValueError(f"it has a {name}, {title}, that is not read: remove it with {remedy}")
    for name in METHODS:
        if name in getattr(module, "__dict__", {}):
            raise ValueError(f"its `{name}` was set on the instance, which only its Python code explains")


def check_plain_at(where: str, module: Any) -> None:
    """`check_plain`, with the place of the module in the message."""
    try:
        check_plain(module)
    except ValueError as error:
        place = f"has at {where!r} {type(module).__name__}" if where else "is not taken"
        raise ValueError(f"`module` {place}: {error}") from None


def kind_of(torch: Any, module: Any, kinds: Any) -> str | None:
    """Which of torch.nn's classes computes this module: its own class, or one whose methods it keeps."""
    for kind in kinds:
        known = getattr(torch.nn, kind)
        if isinstance(module, known) and all(
            getattr(type(module), name, None) is getattr(known, name, None) for name in METHODS
        ):
            return str(kind)
    return None


def arrays_of(get: Callable[[str], Any], layer: Layer, input_shape: Shape) -> Arrays:
    """Name -> array of the layer's parameters and statistics, of the tensors that `get` gives for the names.

    Raises
    ------
    ValueError
        If one is missing, of another shape, or holds no real numbers.
    """
    layer.check_input(input_shape)
    shapes = dict(layer.parameter_shapes(input_shape))
    shapes |= {name: array.shape for name, array in layer.initial_statistics(input_shape).items()}
    arrays = {}
    for name, shape in shapes.items():
        tensor = get(name)
        if tensor is None or not tensor.is_floating_point():
            found = "None" if tensor is None else tensor.dtype
            raise ValueError(f"its {name} must be real floating-point numbers, got {found}")
        if tensor.is_meta:
            raise ValueError(f'its {name} is on the device "meta", which has no numbers')
        tensor = tensor.detach().cpu()
        if tuple(tensor.shape) != shape:
            raise ValueError(
                f"its {name} has shape {tuple(tensor.shape)}, an input of shape {input_shape} needs {shape}"
            )
        arrays[name] = tensor.double().numpy()  # exact; NumPy has no bfloat16
    return arrays
