"""A network that holds every layer, with other settings than their defaults."""

import fastconv as fc

EVERY_LAYER = [
    fc.Conv2d(4, (3, 2), stride=(1, 2), padding=(1, 0), dilation=(1, 2), groups=2, bias=False),
    fc.BatchNorm2d(0.2, 1e-4), fc.LeakyReLU(0.05), fc.GroupNorm(2, eps=1e-3),
    fc.MaxPool2d((2, 3), stride=1, padding=1, dilation=(2, 1), ceil_mode=True), fc.Tanh(),
    fc.Conv2d(3, 3, padding="same"), fc.ReLU(), fc.Conv2d(3, 1, padding="valid"),
    fc.AvgPool2d(2, stride=1, padding=1, ceil_mode=True, count_include_pad=False), fc.GlobalAvgPool2d(),
    fc.Sigmoid(), fc.Flatten(), fc.Dropout(0.25), fc.Dense(4, bias=False), fc.Softmax(),
]  # fmt: skip
SHAPE = (2, 9, 10)
