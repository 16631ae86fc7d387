"""Public kernels: plain functions of NumPy arrays, callable from Python and from `@njit` code.

Images are NCHW, signals (N, C, L), convolution weights (O, C // groups, KH, KW) or (O, C // groups, K), dense
weights (out, in). `dy` is the gradient of a loss with respect to an operation's output y; `dx`, `dweight`
likewise. Convolution is cross-correlation.
Each file says in its `__all__` which kernels are public.
"""

from .activations import *  # noqa: F403
from .activations import __all__ as _activations
from .adaptive_pool import *  # noqa: F403
from .adaptive_pool import __all__ as _adaptive_pool
from .conv import *  # noqa: F403
from .conv import __all__ as _conv
from .conv_transpose import *  # noqa: F403
from .conv_transpose import __all__ as _conv_transpose
from .curves import *  # noqa: F403
from .curves import __all__ as _curves
from .dense import *  # noqa: F403
from .dense import __all__ as _dense
from .focal_losses import *  # noqa: F403
from .focal_losses import __all__ as _focal_losses
from .hinge_losses import *  # noqa: F403
from .hinge_losses import __all__ as _hinge_losses
from .layer_norm import *  # noqa: F403
from .layer_norm import __all__ as _layer_norm
from .losses import *  # noqa: F403
from .losses import __all__ as _losses
from .norm import *  # noqa: F403
from .norm import __all__ as _norm
from .pool import *  # noqa: F403
from .pool import __all__ as _pool
from .prelu import *  # noqa: F403
from .prelu import __all__ as _prelu
from .resize import *  # noqa: F403
from .resize import __all__ as _resize
from .robust_losses import *  # noqa: F403
from .robust_losses import __all__ as _robust_losses
from .signal import *  # noqa: F403
from .signal import __all__ as _signal

__all__ = [
    *_activations, *_adaptive_pool, *_conv, *_conv_transpose, *_curves, *_dense, *_focal_losses,
    *_hinge_losses, *_layer_norm, *_losses, *_norm, *_pool, *_prelu, *_resize, *_robust_losses, *_signal,
]  # fmt: skip
