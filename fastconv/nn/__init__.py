"""Records of what a network is made of: layers, losses, optimizers, schedules, and the network itself.

Each file says in its `__all__` which layers it has for users.
"""

from .activations import *  # noqa: F403
from .activations import __all__ as _activations
from .block import *  # noqa: F403
from .block import __all__ as _block
from .conv import *  # noqa: F403
from .conv import __all__ as _conv
from .conv_transpose import *  # noqa: F403
from .conv_transpose import __all__ as _conv_transpose
from .curves import *  # noqa: F403
from .curves import __all__ as _curves
from .dense import *  # noqa: F403
from .dense import __all__ as _dense
from .dropout import *  # noqa: F403
from .dropout import __all__ as _dropout
from .elementwise import *  # noqa: F403
from .elementwise import __all__ as _elementwise
from .merge import *  # noqa: F403
from .merge import __all__ as _merge
from .norm import *  # noqa: F403
from .norm import __all__ as _norm
from .pool import *  # noqa: F403
from .pool import __all__ as _pool
from .prelu import *  # noqa: F403
from .prelu import __all__ as _prelu
from .resize import *  # noqa: F403
from .resize import __all__ as _resize
from .separable import *  # noqa: F403
from .separable import __all__ as _separable
from .shape import *  # noqa: F403
from .shape import __all__ as _shape
from .signal import *  # noqa: F403
from .signal import __all__ as _signal
from .signal_channels import *  # noqa: F403
from .signal_channels import __all__ as _signal_channels

__all__ = [
    *_activations,
    *_block,
    *_conv,
    *_conv_transpose,
    *_curves,
    *_dense,
    *_dropout,
    *_elementwise,
    *_merge,
    *_norm,
    *_pool,
    *_prelu,
    *_resize,
    *_separable,
    *_shape,
    *_signal,
    *_signal_channels,
]
