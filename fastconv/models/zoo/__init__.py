"""Networks that are ready to train."""

from .game import atari_cnn
from .mobile import mobilenet_v2
from .series import fcn, inception_time, lite, mnist1d_cnn, resnet1d, time_cnn
from .small import lenet5, lenet_digits, reference_cnn, vgg_small
from .tiny import autoencoder, ds_cnn, mobilenet_v1_025, resnet8
from .unet import unet

__all__ = [
    "atari_cnn",
    "autoencoder",
    "ds_cnn",
    "fcn",
    "inception_time",
    "lenet5",
    "lenet_digits",
    "lite",
    "mnist1d_cnn",
    "mobilenet_v1_025",
    "mobilenet_v2",
    "reference_cnn",
    "resnet1d",
    "resnet8",
    "time_cnn",
    "unet",
    "vgg_small",
]
