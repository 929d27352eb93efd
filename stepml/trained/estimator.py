"""The protocol of fitted scikit-learn estimators, without importing scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any, NoReturn, Self, TypeVar, cast

_Method = TypeVar("_Method", bound=Callable[..., Any])


class FittedEstimator:
    """An estimator without parameters that is fitted once and for all."""

    def fit(self, X: Any, y: Any = None, **params: Any) -> NoReturn:
        """Refuse to fit: only a job trains.

        Raises
        ------
        NotImplementedError
        """
        raise NotImplementedError(
            "a trained model cannot be fitted again: only a job trains (stepml run). To use the "
            "model where scikit-learn fits its estimators, wrap it in sklearn.frozen."
            "FrozenEstimator"
        )

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters of the estimator: it has none."""
        return {}

    def set_params(self, **params: Any) -> Self:
        """Return the model, or raise `ValueError` if there are any ``params``."""
        if params:
            raise ValueError(f"a trained model has no parameters, got {', '.join(params)}")
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_clone__(self) -> Self:
        return self  # nothing changes it


def available_if(check: Callable[[Any, str], None]) -> Callable[[_Method], _Method]:
    """Return a decorator for methods that only some objects have.

    Parameters
    ----------
    check : callable
        Given an object and the method's name, raises `AttributeError` if the object lacks it.
    """

    def decorated(method: _Method) -> _Method:
        return cast(_Method, _AvailableMethod(method, check))

    return decorated


class _AvailableMethod:
    def __init__(self, method: Callable[..., Any], check: Callable[[Any, str], None]) -> None:
        self._method = method
        self._check = check
        self.__doc__ = method.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Callable[..., Any]:
        if instance is None:
            return self._method
        self._check(instance, self._method.__name__)
        return MethodType(self._method, instance)  # scikit-learn reads its __name__
