"""scikit-learn estimators around a network: for pipelines, grid searches and cross-validation.

This package needs scikit-learn (`pip install ".[sklearn]"`) and is loaded when it is first used:
`fastconv.estimators` is there without an import of its own.
"""

try:
    from sklearn.utils.validation import validate_data  # noqa: F401 - which came with 1.6
except ImportError as error:
    raise ImportError(
        'fastconv.estimators needs scikit-learn 1.6 or newer: pip install "scikit-learn>=1.6" '
        f'(the extra "sklearn"; {error})'
    ) from None

from .base import FlatImagesWarning
from .classifier import ConvClassifier
from .regressor import ConvRegressor

__all__ = ["ConvClassifier", "ConvRegressor", "FlatImagesWarning"]
