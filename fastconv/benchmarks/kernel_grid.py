"""The public convolutions and their gradients on a grid of shapes, against PyTorch's."""

from .work import Work
from .workloads import kernel_work, random_array

BATCHES = (16, 128)

# What it is -> channels, height, width, output channels, kernel, stride, padding, groups; a height of 0 is a
# signal. Networks of this size have these, with all kinds of kernels, odd channels among them.
SHAPES = {
    "1x1": (64, 16, 16, 64, 1, 1, 0, 1),
    "1x1, to wider": (24, 14, 14, 72, 1, 1, 0, 1),
    "3x3": (16, 32, 32, 32, 3, 1, 1, 1),
    "3x3, deep": (64, 8, 8, 64, 3, 1, 1, 1),
    "3x3, images": (3, 32, 32, 32, 3, 1, 1, 1),
    "5x5": (6, 14, 14, 16, 5, 1, 0, 1),
    "5x5, padded": (32, 14, 14, 32, 5, 1, 2, 1),
    "3x3, stride 2": (16, 32, 32, 32, 3, 2, 1, 1),
    "1x1, stride 2": (32, 16, 16, 64, 1, 2, 0, 1),
    "depthwise 3x3": (64, 25, 5, 64, 3, 1, 1, 64),
    "depthwise 3x3, stride 2": (32, 24, 24, 32, 3, 2, 1, 32),
    "signal, 8": (64, 0, 150, 64, 8, 1, 4, 1),
    "signal, 3": (64, 0, 150, 128, 3, 1, 1, 1),
    "signal, 40": (32, 0, 150, 32, 40, 1, 20, 1),
}
KERNELS = ("forward", "grad_weight", "grad_input")


def grid_works(batches: tuple[int, ...] = BATCHES) -> list[Work]:
    """All works of the grid."""
    return [work for batch in batches for label in SHAPES for work in works_of(label, batch)]


def works_of(label: str, batch: int) -> list[Work]:
    """A convolution of the grid and its two gradients."""
    c, h, w, o, k, stride, padding, groups = SHAPES[label]
    sizes = (h, w) if h else (w,)
    out = tuple((size + 2 * padding - k) // stride + 1 for size in sizes)
    x, dy = random_array(batch, c, *sizes), random_array(batch, o, *out)
    weight = random_array(o, c // groups, *[k] * len(sizes))
    flops = 2 * dy.size * weight[0].size
    kind = "conv2d" if h else "conv1d"
    settings = {"stride": stride, "padding": padding, **({"groups": groups} if groups > 1 else {})}
    name = f"{label}, {'x'.join(map(str, x.shape))} -> {o}"
    size = (k, k) if h else k
    return [
        kernel_work(kind, name, flops, x, weight, random_array(o), **settings),
        kernel_work(f"{kind}_grad_weight", name, flops, x, dy, size, **settings),
        kernel_work(f"{kind}_grad_input", name, flops, dy, weight, sizes if h else sizes[0], **settings),
    ]
