"""Data of services that last: each shelf has those of one kind of resource."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from moto.core.base_backend import BackendDict


class Shelf(ABC):
    """The data of all resources of a kind, such as the objects of buckets.

    Resources themselves come from elsewhere: from the last snapshot of moto's, or from a new
    deployment. Whenever one with the name of kept data appears, it gets them.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()

    @abstractmethod
    def watch(self) -> None:
        """Notice every change of the data from now on."""

    @abstractmethod
    def owners(self) -> dict[str, Any]:
        """Return moto's resources that exist, by names that are unique."""

    @abstractmethod
    def attach(self, name: str, owner: Any) -> None:
        """Give kept data to a resource that has appeared."""

    @abstractmethod
    def drop(self, name: str) -> None:
        """Delete the data of a resource that has been deleted."""

    def follow(self) -> None:
        """Attach and drop data, as resources have appeared and gone since the last call."""
        owners = self.owners()
        for name in self._known - owners.keys():
            self.drop(name)
        for name in owners.keys() - self._known:
            self.attach(name, owners[name])
        self._known = {*owners}


def each_backend(backends: BackendDict[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a service by account and region, with a name for each."""
    for account, regions in list(dict.items(backends)):
        for region, backend in list(dict.items(regions)):
            yield f"{account}/{region}", backend


def after(owner: Any, name: str, then: Callable[..., None]) -> None:
    """Let every call of a method be followed by ``then(result, self, *arguments)``."""
    method = getattr(owner, name)

    @wraps(method)
    def followed(*arguments: Any, **named: Any) -> Any:
        result = method(*arguments, **named)
        then(result, *arguments, **named)
        return result

    setattr(owner, name, followed)
