"""What a statistician would predict from the same exemplars."""

from __future__ import annotations

from typing import Any

import numpy as np

from cotkit.errors import MissingDependencyError
from cotkit.lab.icl.functions import Floats

LASSO_ALPHA = 0.01
"""Penalty of the Lasso, on outputs of variance 1."""


def least_squares(x: Floats, y: Floats) -> Floats:
    """Predict each point by the shortest least-squares fit of those before it; without any, 0.

    [prompts x points x dims], [prompts x points] -> [prompts x points].
    """
    said = np.zeros_like(y)
    for n in range(1, y.shape[1]):
        weights = np.linalg.pinv(x[:, :n]) @ y[:, :n, None]
        said[:, n] = np.einsum("nd,nd->n", x[:, n], weights[..., 0])
    return said


def lasso(x: Floats, y: Floats) -> Floats:
    """The same by scikit-learn's Lasso, without an intercept.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    try:
        from sklearn.linear_model import Lasso
    except ImportError as missing:
        raise MissingDependencyError("scikit-learn", "lab") from missing
    fitted: Any = Lasso(alpha=LASSO_ALPHA, fit_intercept=False, max_iter=10_000)
    said = np.zeros_like(y)
    for i in range(len(y)):
        for n in range(1, y.shape[1]):
            fitted.fit(x[i, :n], y[i, :n])
            said[i, n] = float(fitted.coef_ @ x[i, n])
    return said
