"""The same networks and losses in PyTorch."""


def padded(nn, module, pads, value=0.0):
    """The module on an input padded by ((top, bottom), (left, right))."""
    kind, sides = type(module), [n for pair in reversed(pads) for n in pair]
    if not any(sides):
        return module

    class Padded(kind):
        def forward(self, x):
            return kind.forward(self, nn.functional.pad(x, sides, value=value))

    module.__class__ = Padded
    return module


def conv(nn, layer, shape):
    kind, pads = (nn.Conv1d, pads_along) if len(shape) == 2 else (nn.Conv2d, pads_of)
    module = kind(
        shape[0], layer.out_channels, layer.kernel_size, layer.stride, 0, layer.dilation, layer.groups,
        layer.bias,
    )  # fmt: skip
    return padded(nn, module, pads(layer, shape))


def conv_transpose(kind, layer, shape):
    return kind(
        shape[0], layer.out_channels, layer.kernel_size, layer.stride, layer.padding, layer.output_padding,
        layer.groups, layer.bias, layer.dilation,
    )  # fmt: skip


def pads_of(layer, shape):
    return layer.pads(shape)


def pads_along(layer, shape):
    return layer.image_layer().pads((shape[0], 1, shape[1]))[1:]


def pool_of(nn, layer, shape):
    """(PyTorch's kind of pool with a number behind, pads, and these as PyTorch takes them, or None)."""
    dimension, pads = (1, pads_along(layer, shape)) if len(shape) == 2 else (2, pads_of(layer, shape))
    even = all(before == after for before, after in pads)
    return dimension, pads, tuple(before for before, _ in pads) if even else None


def max_pool(nn, layer, shape):
    dimension, pads, even = pool_of(nn, layer, shape)
    module = getattr(nn, f"MaxPool{dimension}d")(
        layer.kernel_size, layer.stride, even or 0, layer.dilation, ceil_mode=layer.ceil_mode
    )
    return module if even else padded(nn, module, pads, -float("inf"))


def avg_pool(nn, layer, shape):
    dimension, pads, even = pool_of(nn, layer, shape)
    kind = getattr(nn, f"AvgPool{dimension}d")
    if even:
        return kind(layer.kernel_size, layer.stride, even, layer.ceil_mode, layer.count_include_pad)
    module = padded(nn, kind(layer.kernel_size, layer.stride), pads)
    return module if layer.count_include_pad else share_inside(nn, module)


def share_inside(nn, pool):
    """The average over windows as far as they lie in the image, by `pool`, which counts the padding."""

    class Share(nn.Module):
        def forward(self, x):
            return pool(x) / pool(x.new_ones(x.shape))

    return Share()


def batch_norm(nn, layer, shape):
    kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    return kind(shape[0], layer.eps, layer.momentum)


def branches(nn, parts, shape, joined):
    """A module of named sequences that take one input; `joined` makes one of their outputs."""

    class Branches(nn.Module):
        def forward(self, x):
            return joined([part(x) for part in self.children()])

    module = Branches()
    for name, layers in parts.items():
        module.add_module(name, sequence(nn, layers, shape))
    return module


def numbered(layer):
    return {str(number): layers for number, layers in enumerate(layer.branches)}


def concatenated(values):
    import torch

    return torch.cat(values, 1)


def hardsigmoid(nn, layer, shape):
    """PyTorch's own takes 1 / 6 in float32 for its slope."""

    class Hardsigmoid(nn.Module):
        def forward(self, x):
            return nn.functional.relu6(x + 3) / 6

    return Hardsigmoid()


torch_modules = {
    "Conv1d": conv,
    "Conv2d": conv,
    "MaxPool1d": max_pool,
    "MaxPool2d": max_pool,
    "AvgPool1d": avg_pool,
    "AvgPool2d": avg_pool,
    "GlobalAvgPool1d": lambda nn, layer, shape: nn.AdaptiveAvgPool1d(1),
    "GlobalAvgPool2d": lambda nn, layer, shape: nn.AdaptiveAvgPool2d(1),
    "GlobalMaxPool1d": lambda nn, layer, shape: nn.AdaptiveMaxPool1d(1),
    "GlobalMaxPool2d": lambda nn, layer, shape: nn.AdaptiveMaxPool2d(1),
    "AdaptiveAvgPool1d": lambda nn, layer, shape: nn.AdaptiveAvgPool1d(layer.output_size),
    "AdaptiveAvgPool2d": lambda nn, layer, shape: nn.AdaptiveAvgPool2d(layer.output_size),
    "BatchNorm1d": batch_norm,
    "BatchNorm2d": batch_norm,
    "GroupNorm": lambda nn, layer, shape: nn.GroupNorm(layer.num_groups, shape[0], layer.eps),
    "InstanceNorm1d": lambda nn, layer, shape: nn.InstanceNorm1d(shape[0], layer.eps, affine=layer.affine),
    "InstanceNorm2d": lambda nn, layer, shape: nn.InstanceNorm2d(shape[0], layer.eps, affine=layer.affine),
    "LayerNorm": lambda nn, layer, shape: nn.LayerNorm(shape, layer.eps),
    "Dropout": lambda nn, layer, shape: nn.Dropout(layer.p),
    "SpatialDropout1d": lambda nn, layer, shape: nn.Dropout1d(layer.p),
    "SpatialDropout2d": lambda nn, layer, shape: nn.Dropout2d(layer.p),
    "Flatten": lambda nn, layer, shape: nn.Flatten(),
    "Dense": lambda nn, layer, shape: nn.Linear(shape[0], layer.out_features, layer.bias),
    "ReLU": lambda nn, layer, shape: nn.ReLU(),
    "LeakyReLU": lambda nn, layer, shape: nn.LeakyReLU(layer.negative_slope),
    "PReLU": lambda nn, layer, shape: nn.PReLU(shape[0] if layer.per_channel else 1),
    "Sigmoid": lambda nn, layer, shape: nn.Sigmoid(),
    "Tanh": lambda nn, layer, shape: nn.Tanh(),
    "Softmax": lambda nn, layer, shape: nn.Softmax(dim=1),
    "ReLU6": lambda nn, layer, shape: nn.ReLU6(),
    "ELU": lambda nn, layer, shape: nn.ELU(layer.alpha),
    "SiLU": lambda nn, layer, shape: nn.SiLU(),
    "GELU": lambda nn, layer, shape: nn.GELU(layer.approximate),
    "Hardswish": lambda nn, layer, shape: nn.Hardswish(),
    "Hardsigmoid": hardsigmoid,
    "Softplus": lambda nn, layer, shape: nn.Softplus(threshold=1e9),
    "Add": lambda nn, layer, shape: branches(nn, numbered(layer), shape, sum),
    "Concatenate": lambda nn, layer, shape: branches(nn, numbered(layer), shape, concatenated),
    "Residual": lambda nn, layer, shape: branches(
        nn, {"layers": layer.layers, "shortcut": layer.shortcut}, shape, sum
    ),
    "ConvTranspose1d": lambda nn, layer, shape: conv_transpose(nn.ConvTranspose1d, layer, shape),
    "ConvTranspose2d": lambda nn, layer, shape: conv_transpose(nn.ConvTranspose2d, layer, shape),
    "DepthwiseConv1d": lambda nn, layer, shape: conv(nn, layer.convolution(shape[0]), shape),
    "DepthwiseConv2d": lambda nn, layer, shape: conv(nn, layer.convolution(shape[0]), shape),
    "SeparableConv1d": lambda nn, layer, shape: sequence(nn, layer.layers(), shape),
    "SeparableConv2d": lambda nn, layer, shape: sequence(nn, layer.layers(), shape),
    "Upsample": lambda nn, layer, shape: nn.Upsample(
        scale_factor=layer.scales(shape),
        mode=layer.mode,
        align_corners=None if layer.mode == "nearest" else layer.align_corners,
    ),
}


def sequence(nn, layers, shape):
    modules = []
    for layer in layers:
        modules.append(torch_modules[type(layer).__name__](nn, layer, shape))
        shape = layer.output_shape(shape)
    return nn.Sequential(*modules)


def torch_twin(torch, model):
    """The same network in PyTorch, with the same parameters and statistics under the same names."""
    twin = sequence(torch.nn, model.layers, model.input_shape).to(getattr(torch, model.dtype))
    assert [name for name, _ in twin.named_parameters()] == list(model.parameters())
    state = {name: torch.tensor(array) for name, array in model.state().items()}
    missing, unexpected = twin.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return twin


def torch_loss(torch, twin, X, y, loss):
    dtype = next(twin.parameters(), torch.zeros(0)).dtype
    X = torch.tensor(X, dtype=dtype)
    if loss == "cross_entropy":
        absorbed = isinstance(twin[-1], torch.nn.Softmax)
        return torch.nn.functional.cross_entropy((twin[:-1] if absorbed else twin)(X), torch.tensor(y))
    functions = {
        "mse": torch.nn.functional.mse_loss,
        "bce": torch.nn.functional.binary_cross_entropy,
        "bce_with_logits": torch.nn.functional.binary_cross_entropy_with_logits,
    }
    output = twin(X)
    return functions[loss](output, torch.tensor(y, dtype=dtype).reshape(output.shape))
