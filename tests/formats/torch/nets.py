"""Networks as people write them in PyTorch, with a forward of their own."""

import itertools

import torch
import torch.nn as nn
import torch.nn.functional as F


class BasicBlock(nn.Module):
    """As in torchvision: one ReLU for both places, in place, and an addition in place."""

    def __init__(self, inner, channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inner, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride != 1 or inner != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(inner, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, channels=(4, 8), classes=3):
        super().__init__()
        self.inner = channels[0]
        self.conv1 = nn.Conv2d(3, self.inner, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(self.inner)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = self._stage(channels[0], 1)
        self.layer2 = self._stage(channels[1], 2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(channels[1], classes)

    def _stage(self, channels, stride):
        first = BasicBlock(self.inner, channels, stride)
        self.inner = channels
        return nn.Sequential(first, BasicBlock(channels, channels))

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer2(self.layer1(x))
        x = torch.flatten(self.avgpool(x), 1)
        return self.fc(x)


class ConvNormActivation(nn.Sequential):
    def __init__(self, inner, channels, kernel_size=3, stride=1, groups=1):
        super().__init__(
            nn.Conv2d(
                inner, channels, kernel_size, stride, (kernel_size - 1) // 2, groups=groups, bias=False
            ),
            nn.BatchNorm2d(channels),
            nn.ReLU6(inplace=True),
        )


class InvertedResidual(nn.Module):
    def __init__(self, inner, channels, stride, expand):
        super().__init__()
        hidden = inner * expand
        layers = [ConvNormActivation(inner, hidden, 1)] if expand != 1 else []
        layers += [
            ConvNormActivation(hidden, hidden, stride=stride, groups=hidden),
            nn.Conv2d(hidden, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        ]
        self.conv = nn.Sequential(*layers)
        self.use_res_connect = stride == 1 and inner == channels

    def forward(self, x):
        if self.use_res_connect:
            return x + self.conv(x)
        return self.conv(x)


class MobileNetV2(nn.Module):
    """As in torchvision, with fewer blocks."""

    def __init__(self, classes=3):
        super().__init__()
        self.features = nn.Sequential(
            ConvNormActivation(3, 4, stride=2),
            InvertedResidual(4, 4, 1, 1),
            InvertedResidual(4, 6, 2, 2),
            InvertedResidual(6, 6, 1, 2),
            ConvNormActivation(6, 8, 1),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(8, classes))

    def forward(self, x):
        x = self.features(x)
        x = F.adaptive_avg_pool2d(x, (1, 1))
        x = torch.flatten(x, 1)
        return self.classifier(x)


class UNet(nn.Module):
    """Down by pooling and up by transposed convolutions, with the skips of Ronneberger et al. (2015)."""

    def __init__(self, up):
        super().__init__()
        self.down1, self.down2 = self._pair(1, 4), self._pair(4, 8)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2) if up == "transposed" else nn.Upsample(scale_factor=2)
        self.last = self._pair(8 if up == "transposed" else 12, 4)
        self.head = nn.Conv2d(4, 2, 1)

    @staticmethod
    def _pair(inner, channels):
        first, second = nn.Conv2d(inner, channels, 3, padding=1), nn.Conv2d(channels, channels, 3, padding=1)
        return nn.Sequential(first, nn.ReLU(True), second, nn.ReLU(True))

    def forward(self, x):
        skip = self.down1(x)
        x = self.down2(F.max_pool2d(skip, 2))
        return self.head(self.last(torch.cat([self.up(x), skip], dim=1)))


class ActorCritic(nn.Module):
    """A policy and a value of one body, as for board games and Atari."""

    def __init__(self, named=False):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
        self.policy, self.value = (
            nn.Linear(64, 5),
            nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 1)),
        )
        self.named = named

    def forward(self, observation):
        x = torch.relu(self.conv1(observation))
        x = F.elu(self.conv2(x)).reshape(observation.size(0), -1)
        policy, value = self.policy(x), torch.tanh(self.value(x))
        return {"policy": policy, "value": value} if self.named else (policy, value.squeeze(-1))


class ResNet1d(nn.Module):
    """Wang et al. (2017): three convolutions of sizes 8, 5 and 3, and a shortcut."""

    class Block(nn.Module):
        def __init__(self, inner, channels):
            super().__init__()
            self.convs = nn.ModuleList(
                nn.Conv1d(a, channels, k, padding="same")
                for a, k in ((inner, 8), (channels, 5), (channels, 3))
            )
            self.norms = nn.ModuleList(nn.BatchNorm1d(channels) for _ in range(3))
            self.shortcut = nn.Sequential(nn.Conv1d(inner, channels, 1), nn.BatchNorm1d(channels))

        def forward(self, x):
            y = x
            for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
                y = norm(conv(y))
                if number < 2:
                    y = F.relu(y)
            return F.relu(torch.add(y, self.shortcut(x)))

    def __init__(self, classes=3):
        super().__init__()
        self.block1, self.block2 = self.Block(1, 4), self.Block(4, 4)
        self.classes = nn.Linear(4, classes)

    def forward(self, x):
        return self.classes(self.block2(self.block1(x)).mean(-1))


class Inception(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.three, self.five = (
            nn.Conv2d(2, 3, 1),
            nn.Conv2d(2, 2, 3, padding=1),
            nn.Conv2d(3, 2, 5, padding=2),
        )
        self.pooled = nn.Conv2d(2, 1, 1)
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        one = self.one(x)
        pooled = F.max_pool2d(x, kernel_size=3, stride=1, padding=1)
        x = torch.cat((one, self.three(x), self.five(one.relu()), self.pooled(pooled)), -3)
        return self.fc(x.relu_().mean([-1, -2]))


# MLPerf Tiny's networks: padding of "same" with a stride is written with F.pad


class DSCNN(nn.Module):
    """Keyword spotting."""

    def __init__(self, channels=64, classes=12):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, channels, (10, 4), stride=2), nn.BatchNorm2d(channels)
        self.blocks = nn.ModuleList(self._block(channels) for _ in range(4))
        self.dropout1, self.dropout2 = nn.Dropout(0.2), nn.Dropout(0.4)
        self.fc = nn.Linear(channels, classes)

    @staticmethod
    def _block(channels):
        return nn.ModuleDict(
            {
                "depthwise": nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
                "norm1": nn.BatchNorm2d(channels),
                "pointwise": nn.Conv2d(channels, channels, 1),
                "norm2": nn.BatchNorm2d(channels),
            }
        )

    def forward(self, x):
        x = self.dropout1(F.relu(self.norm(self.conv(F.pad(x, (1, 1, 4, 5))))))
        for block in self.blocks:
            x = F.relu(block["norm1"](block["depthwise"](x)))
            x = F.relu(block["norm2"](block["pointwise"](x)))
        x = F.avg_pool2d(self.dropout2(x), (24, 5))
        return F.softmax(self.fc(x.view(x.shape[0], -1)), dim=1)


class ResNet8(nn.Module):
    """Image classification."""

    class Block(nn.Module):
        def __init__(self, inner, channels, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inner, channels, 3, stride, padding=1 if stride == 1 else 0)
            self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
            self.conv2 = nn.Conv2d(channels, channels, 3, padding="same")
            self.shortcut = nn.Conv2d(inner, channels, 1, stride) if stride == 2 else nn.Identity()
            self.stride = stride

        def forward(self, x):
            y = F.pad(x, (0, 1, 0, 1)) if self.stride == 2 else x
            y = F.relu(self.bn1(self.conv1(y)))
            return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))

    def __init__(self, channels=16, classes=10):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, channels, 3, padding=1), nn.BatchNorm2d(channels)
        sizes = [(channels, channels, 1), (channels, 2 * channels, 2), (2 * channels, 4 * channels, 2)]
        self.stacks = nn.Sequential(*(self.Block(*size) for size in sizes))
        self.fc = nn.Linear(4 * channels, classes)

    def forward(self, x):
        x = self.stacks(F.relu(self.bn1(self.conv1(x))))
        return self.fc(F.avg_pool2d(x, x.size(3)).flatten(start_dim=1))


class MobileNetV1(nn.Module):
    """Visual wake words, a quarter as wide."""

    PAIRS = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1))

    @staticmethod
    def _conv(inner, channels, kernel_size, stride=1, groups=1):
        """Keras pads below and right only, where the stride is 2."""
        pad = nn.ZeroPad2d((0, 1, 0, 1)) if stride == 2 else nn.Identity()
        padding = 0 if stride == 2 or kernel_size == 1 else 1
        conv = nn.Conv2d(inner, channels, kernel_size, stride, padding, groups=groups)
        return nn.Sequential(pad, conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))

    def __init__(self, classes=2):
        super().__init__()
        self.stem, self.pairs, inner = self._conv(3, 8, 3, 2), nn.Sequential(), 8
        for channels, stride in self.PAIRS:
            self.pairs.append(self._conv(inner, inner, 3, stride, inner))
            self.pairs.append(self._conv(inner, channels, 1))
            inner = channels
        self.fc = nn.Linear(inner, classes)

    def forward(self, x):
        return self.fc(F.avg_pool2d(self.pairs(self.stem(x)), 3).flatten(1))


class Autoencoder(nn.Module):
    """Anomaly detection: dense layers with batch normalisation of features."""

    def __init__(self, size=640):
        super().__init__()
        sizes = [size, 128, 128, 128, 128, 8, 128, 128, 128, 128, size]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.norms = nn.ModuleList(nn.BatchNorm1d(n) for n in sizes[1:-1])

    def forward(self, x):
        for linear, norm in zip(self.layers[:-1], self.norms, strict=True):
            x = F.relu(norm(linear(x)))
        return self.layers[-1](x)


# Others


class TCN(nn.Module):
    """Causal convolutions that pad both sides and cut the end off: Bai, Kolter and Koltun (2018)."""

    class Chomp(nn.Module):
        def __init__(self, size):
            super().__init__()
            self.size = size

        def forward(self, x):
            return x[:, :, : -self.size].contiguous()

    class Block(nn.Module):
        def __init__(self, inner, channels, dilation):
            super().__init__()
            conv = nn.Conv1d(inner, channels, 3, padding=2 * dilation, dilation=dilation)
            self.net = nn.Sequential(conv, TCN.Chomp(2 * dilation), nn.ReLU(), nn.Dropout(0.1))
            self.downsample = nn.Conv1d(inner, channels, 1) if inner != channels else None

        def forward(self, x):
            return F.relu(self.net(x) + (x if self.downsample is None else self.downsample(x)))

    def __init__(self, classes=3):
        super().__init__()
        self.network = nn.Sequential(self.Block(2, 4, 1), self.Block(4, 4, 2))
        self.linear = nn.Linear(4, classes)

    def forward(self, x):
        return self.linear(self.network(x).mean(dim=2))


class Shared(nn.Module):
    """One convolution at two places, and a recursion of one block."""

    def __init__(self):
        super().__init__()
        self.stem, self.block = (
            nn.Conv2d(1, 3, 3, padding=1),
            nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Tanh()),
        )
        self.fc = nn.Linear(75, 2)

    def forward(self, x):
        x = self.stem(x)
        for _ in range(3):
            x = x + self.block(x)
        return self.fc(x.flatten(1))


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.dense, self.fc = nn.Conv2d(1, 2, 3), nn.Linear(3, 4), nn.Linear(36, 2)

    def forward(self, image, facts):
        x = F.silu(self.conv(image)).flatten(1)
        return self.fc(torch.cat([x, F.gelu(self.dense(facts))], dim=1))


def unsettled(module):
    """The module with running statistics and scales that are not those of the beginning."""
    generator = torch.Generator().manual_seed(2)
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for tensor in (part.running_mean, part.running_var, part.weight.data, part.bias.data):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return module


# Name -> (what makes the module, shape of a sample)
NETS = {
    "resnet": (ResNet, (3, 32, 32)),
    "mobilenet": (MobileNetV2, (3, 16, 16)),
    "resnet1d": (ResNet1d, (1, 20)),
    "inception": (Inception, (2, 6, 6)),
    "ds_cnn": (DSCNN, (1, 49, 10)),
    "resnet8": (ResNet8, (3, 32, 32)),
    "mobilenet_v1": (MobileNetV1, (3, 96, 96)),
    "autoencoder": (Autoencoder, (640,)),
    "tcn": (TCN, (2, 15)),
    "unet": (lambda: UNet("transposed"), (1, 8, 8)),
    "unet with upsampling": (lambda: UNet("nearest"), (1, 8, 8)),
    "shared": (Shared, (1, 5, 5)),
}
