"""The same networks and losses in PyTorch."""

torch_modules = {
    "Conv2d": lambda nn, layer, c: nn.Conv2d(
        c, layer.out_channels, layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.groups,
        layer.bias,
    ),
    "ConvTranspose2d": lambda nn, layer, c: nn.ConvTranspose2d(
        c, layer.out_channels, layer.kernel_size, layer.stride, layer.padding, layer.output_padding,
        layer.groups, layer.bias, layer.dilation,
    ),
    "ConvTranspose1d": lambda nn, layer, c: nn.ConvTranspose1d(
        c, layer.out_channels, layer.kernel_size, layer.stride, layer.padding, layer.output_padding,
        layer.groups, layer.bias, layer.dilation,
    ),
    "Upsample": lambda nn, layer, c: nn.Upsample(
        scale_factor=layer.scale_factor[0] if len(set(layer.scale_factor)) == 1 else layer.scale_factor,
        mode=layer.mode,
        align_corners=None if layer.mode == "nearest" else layer.align_corners,
    ),
    "MaxPool2d": lambda nn, layer, c: nn.MaxPool2d(
        layer.kernel_size, layer.stride, layer.padding, layer.dilation, ceil_mode=layer.ceil_mode
    ),
    "AvgPool2d": lambda nn, layer, c: nn.AvgPool2d(
        layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode, layer.count_include_pad
    ),
    "GlobalAvgPool2d": lambda nn, layer, c: nn.AdaptiveAvgPool2d(1),
    "BatchNorm2d": lambda nn, layer, c: nn.BatchNorm2d(c, layer.eps, layer.momentum),
    "GroupNorm": lambda nn, layer, c: nn.GroupNorm(layer.num_groups, c, layer.eps),
    "Dropout": lambda nn, layer, c: nn.Dropout(layer.p),
    "Flatten": lambda nn, layer, c: nn.Flatten(),
    "Dense": lambda nn, layer, c: nn.Linear(c, layer.out_features, layer.bias),
    "ReLU": lambda nn, layer, c: nn.ReLU(),
    "LeakyReLU": lambda nn, layer, c: nn.LeakyReLU(layer.negative_slope),
    "Sigmoid": lambda nn, layer, c: nn.Sigmoid(),
    "Tanh": lambda nn, layer, c: nn.Tanh(),
    "Softmax": lambda nn, layer, c: nn.Softmax(dim=1),
}  # fmt: skip


def torch_twin(torch, model):
    """The same network in PyTorch, with the same parameters and statistics under the same names."""
    modules = [
        torch_modules[type(node.layer).__name__](torch.nn, node.layer, node.input_shape[0])
        for node in model.nodes
    ]
    twin = torch.nn.Sequential(*modules).to(getattr(torch, model.dtype))
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
