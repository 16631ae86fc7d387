"""The zoo's networks written by hand in PyTorch; parameters come in the order in which fastconv has them."""

import itertools

import torch
from torch import nn
from torch.nn import functional as F


class Same(nn.Module):
    """A convolution with Keras' "same" padding: the odd zero goes behind.

    The zeros are counted in the first call and are constants from then on, as in modules that can be traced.
    """

    def __init__(self, convolution):
        super().__init__()
        self.convolution, self.pads = convolution, None

    def forward(self, x):
        if self.pads is None:
            self.pads = self.counted(x.shape[2:])
        return self.convolution(F.pad(x, self.pads))

    def counted(self, sizes):
        layer, pads = self.convolution, []
        windows = zip(sizes, layer.kernel_size, layer.stride, layer.dilation, strict=True)
        for size, kernel, stride, dilation in reversed(list(windows)):
            total = max(0, (-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size)
            pads += [total // 2, total - total // 2]
        return pads


def conv2d(c, o, k=3, stride=1, groups=1, bias=True):
    return Same(nn.Conv2d(c, o, k, stride, groups=groups, bias=bias))


def conv1d(c, o, k, bias=True, dilation=1, groups=1):
    return Same(nn.Conv1d(c, o, k, bias=bias, dilation=dilation, groups=groups))


def block2d(c, o, k=3, stride=1, groups=1):
    return [conv2d(c, o, k, stride, groups), nn.BatchNorm2d(o), nn.ReLU()]


def block1d(c, o, k):
    return [conv1d(c, o, k), nn.BatchNorm1d(o), nn.ReLU()]


class Add(nn.Module):
    def __init__(self, layers, shortcut=()):
        super().__init__()
        self.layers, self.shortcut = nn.Sequential(*layers), nn.Sequential(*shortcut)

    def forward(self, x):
        return self.layers(x) + self.shortcut(x)


class Join(nn.Module):
    def __init__(self, *branches):
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*branch) for branch in branches)

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


class Mean(nn.Module):
    """The mean over all positions."""

    def forward(self, x):
        return x.flatten(2).mean(2)


def resnet8():
    layers, c = block2d(3, 16), 16
    for o, stride in ((16, 1), (32, 2), (64, 2)):
        body = [*block2d(c, o, stride=stride), *block2d(o, o)[:-1]]
        layers += [Add(body, [conv2d(c, o, 1, stride)] if stride > 1 else []), nn.ReLU()]
        c = o
    return nn.Sequential(*layers, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10))


def separable(c, o, stride=1):
    return [*block2d(c, c, 3, stride, groups=c), *block2d(c, o, 1)]


def ds_cnn():
    layers = block2d(1, 64, (10, 4), 2)
    for _ in range(4):
        layers += separable(64, 64)
    return nn.Sequential(*layers, nn.AvgPool2d((24, 5)), nn.Flatten(), nn.Linear(64, 12))


def mobilenet_v1_025():
    layers = block2d(3, 8, stride=2)
    sizes = [8, 16, 32, 32, 64, 64, *[128] * 6, 256, 256]
    strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    for c, o, stride in zip(sizes[:-1], sizes[1:], strides, strict=True):
        layers += separable(c, o, stride)
    return nn.Sequential(*layers, nn.AvgPool2d(3), nn.Flatten(), nn.Linear(256, 2))


def autoencoder():
    layers, sizes = [], [640, *[128] * 4, 8, *[128] * 4]
    for c, o in itertools.pairwise(sizes):
        layers += [nn.Linear(c, o), nn.BatchNorm1d(o), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(128, 640))


def time_cnn():
    parts = [nn.Conv1d(2, 6, 7), nn.Sigmoid(), nn.AvgPool1d(3), nn.Conv1d(6, 12, 7), nn.Sigmoid()]
    return nn.Sequential(*parts, nn.AvgPool1d(3), nn.Flatten(), nn.Linear(12 * 5, 3))


def fcn():
    body = [*block1d(2, 128, 8), *block1d(128, 256, 5), *block1d(256, 128, 3)]
    return nn.Sequential(*body, Mean(), nn.Linear(128, 3))


def resnet1d():
    layers, c = [], 2
    for o in (64, 128, 128):
        body = [*block1d(c, o, 8), *block1d(o, o, 5), *block1d(o, o, 3)[:-1]]
        shortcut = [nn.BatchNorm1d(o)] if c == o else block1d(c, o, 1)[:-1]
        layers += [Add(body, shortcut), nn.ReLU()]
        c = o
    return nn.Sequential(*layers, Mean(), nn.Linear(128, 3))


def inception(c):
    lengths = Join(*[[conv1d(32, 32, k, bias=False)] for k in (40, 20, 10)])
    pool = [nn.MaxPool1d(3, 1, 1), conv1d(c, 32, 1, bias=False)]
    return [Join([conv1d(c, 32, 1, bias=False), lengths], pool), nn.BatchNorm1d(128), nn.ReLU()]


def inception_time():
    layers = []
    for c in (2, 128):
        body = [*inception(c), *inception(128), *inception(128)]
        layers += [Add(body, [conv1d(c, 128, 1, bias=False), nn.BatchNorm1d(128)]), nn.ReLU()]
    return nn.Sequential(*layers, Mean(), nn.Linear(128, 3))


def lite():
    lengths = [*[2, 4, 8, 16, 32, 64] * 2, 6, 12, 24, 48, 96]
    hand_made = Join(*[[conv1d(2, 1, k, bias=False)] for k in lengths])
    learned = [[conv1d(2, 32, k, bias=False)] for k in (40, 20, 10)]
    layers = [Join(*learned, [hand_made, nn.ReLU()]), nn.BatchNorm1d(113), nn.ReLU()]
    for c, k, dilation in ((113, 20, 2), (32, 10, 4)):
        depthwise = conv1d(c, c, k, bias=False, dilation=dilation, groups=c)
        layers += [depthwise, conv1d(c, 32, 1, bias=False), nn.BatchNorm1d(32), nn.ReLU()]
    return nn.Sequential(*layers, Mean(), nn.Linear(32, 3))


def mnist1d_cnn():
    layers = [nn.Conv1d(1, 25, 5, 2, 1), nn.ReLU(), nn.Conv1d(25, 25, 3, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv1d(25, 25, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(125, 10))


def mobilenet_v2():
    """With 0.35 times the channels."""

    def block(c, o, k, stride=1, groups=1):
        convolution = nn.Conv2d(c, o, k, stride, k // 2, groups=groups, bias=False)
        return [convolution, nn.BatchNorm2d(o), nn.ReLU6()]

    layers, c = block(3, 16, 3, 2), 16
    for t, o, count, first in (
        (1, 8, 1, 1), (6, 8, 2, 2), (6, 16, 3, 2), (6, 24, 4, 2), (6, 32, 3, 1), (6, 56, 3, 2),
        (6, 112, 1, 1),
    ):  # fmt: skip
        for number in range(count):
            stride, inside = 1 if number else first, c * t
            body = block(c, inside, 1) if t > 1 else []
            body += [*block(inside, inside, 3, stride, inside), *block(inside, o, 1)[:-1]]
            layers += [Add(body)] if stride == 1 and c == o else body
            c = o
    return nn.Sequential(*layers, *block(112, 1280, 1), Mean(), nn.Linear(1280, 10))


def unet():
    """For 2 channels and 3 classes, halved twice."""

    def twice(c, o):
        return [*block2d(c, o), *block2d(o, o)]

    def level(c, o, depth):
        if not depth:
            return twice(c, o)
        below = [nn.MaxPool2d(2), *level(o, 2 * o, depth - 1), nn.ConvTranspose2d(2 * o, o, 2, 2)]
        return [*twice(c, o), Join([], below), *twice(2 * o, o)]

    return nn.Sequential(*level(2, 8, 2), nn.Conv2d(8, 3, 1))


class Heads(nn.Module):
    def __init__(self, *heads):
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, x):
        return [head(x) for head in self.heads]


def atari_cnn():
    layers = [nn.Conv2d(2, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3)]
    dense = [nn.ReLU(), nn.Flatten(), nn.Linear(64 * 2, 512), nn.ReLU()]
    return nn.Sequential(*layers, *dense, Heads(nn.Linear(512, 5), nn.Linear(512, 1)))
