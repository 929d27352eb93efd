"""Everything else of moto's services: one snapshot, written whenever a request may change it.

Stacks, functions, roles, rules and the like are moto's own objects, which refer to each other. Only
the moto and the StepML that have written them read them again; for others, the stack is deployed
anew. The data on the shelves have formats of their own and are left out.
"""

from __future__ import annotations

import _thread
import copyreg
import io
import json
import logging
import pickle
import platform
import threading
import weakref
from collections import defaultdict
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from moto.awslambda.models import LambdaStorage
from moto.core.base_backend import BackendDict
from moto.dynamodb.models.table import Table
from moto.logs.models import LogStream
from moto.s3.models import FakeBucket, MultipartDict, s3_backends
from moto.s3.utils import _VersionedKeyStore
from moto.stepfunctions.models import StateMachineInstance

logger = logging.getLogger(__name__)

FILE = "resources.pickle"
TRIES = 5  # while other requests change what is being written
# Data that shelves have, and unfinished uploads.
_LEFT_OUT: dict[type, dict[str, Any]] = {
    FakeBucket: {"keys": _VersionedKeyStore, "multiparts": MultipartDict},
    Table: {"items": lambda: defaultdict(dict)},
    LogStream: {"events": list},
    StateMachineInstance: {"executions": list},
}
_OF_STORAGE = ("_functions", "_arns", "_aliases")  # collections of a `LambdaStorage`
_REMADE: dict[type, Any] = {
    _thread.RLock: threading.RLock,
    _thread.LockType: threading.Lock,
    threading.Condition: threading.Condition,
}


class Snapshot:
    """The file with moto's resources.

    Parameters
    ----------
    directory : Path
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self._writing = threading.Lock()
        self._written = b""

    def write(self) -> None:
        """Write all resources, if any has changed."""
        with self._writing:
            content = _stamp() + b"\n" + _pickled()
            if content != self._written:
                staged = self._path.with_suffix(".new")
                staged.write_bytes(content)
                staged.replace(self._path)
                self._written = content

    def read(self) -> bool:
        """Give moto the resources of the file; return False if there are none for this version."""
        try:
            stamp, _, content = self._path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return False
        if stamp != _stamp():
            logger.warning("%s is of another version; stacks are deployed anew", self._path)
            return False
        try:
            # Our own file, in a private directory.
            backends = pickle.loads(content)  # noqa: S301 # nosec B301
        except Exception:
            logger.exception("%s cannot be read; stacks are deployed anew", self._path)
            return False
        for (module, name, account, region), backend in backends.items():
            dict.__setitem__(_backend_dict(module, name)[account], region, backend)
        _register_buckets()
        return True


def _stamp() -> bytes:
    """Return the versions of everything whose objects the file has."""
    versions = {name: version(name) for name in ("stepml", "moto", "boto3")}
    document = {"python": platform.python_version(), **versions}
    return json.dumps(document).encode()


def _pickled() -> bytes:
    """Return the resources of all services, but for those that cannot be written."""
    backends = _backends()
    for _ in range(TRIES):
        try:
            return _dump(backends)
        except RuntimeError:  # a collection has changed meanwhile
            continue
        except (TypeError, AttributeError, pickle.PicklingError):
            break
    return _dump({name: backend for name, backend in backends.items() if _is_writable(backend)})


def _dump(thing: Any) -> bytes:
    file = io.BytesIO()
    _Pickler(file, pickle.HIGHEST_PROTOCOL).dump(thing)
    return file.getvalue()


def _is_writable(backend: Any) -> bool:
    try:
        _dump(backend)
    except Exception as error:  # of a service that StepML does not use
        logger.warning("%s is not kept: %s", type(backend).__name__, error)
        return False
    return True


def _backends() -> dict[tuple[str, str, str, str], Any]:
    return {
        (backends.backend.__module__, backends.backend.__qualname__, account, region): backend
        for backends in list(BackendDict._instances)  # type: ignore[misc]
        for account, regions in list(dict.items(backends))
        for region, backend in list(dict.items(regions))
    }


def _backend_dict(module: str, name: str) -> Any:
    """Return the dictionary of a service's backends, which is next to their class."""
    for each in vars(import_module(module)).values():
        if isinstance(each, BackendDict) and each.backend.__qualname__ == name:
            return each
    raise LookupError(f"{module} has no dictionary of {name}")


def _register_buckets() -> None:
    for account, partitions in list(dict.items(s3_backends)):
        for partition, backend in list(dict.items(partitions)):
            for name in backend.buckets:
                s3_backends.bucket_accounts[name] = (partition, account)


class _Pickler(pickle.Pickler):
    """Leaves out data, and makes locks anew."""

    def reducer_override(self, obj: Any) -> Any:
        made = _REMADE.get(type(obj))
        if made is not None:
            return made, ()
        if isinstance(obj, weakref.WeakValueDictionary):
            return weakref.WeakValueDictionary, (), None, None, iter([*obj.items()])
        if isinstance(obj, LambdaStorage):  # has a dictionary with a function as its default
            arguments = (obj.region_name, obj.account_id)
            state = {name: dict(getattr(obj, name)) for name in _OF_STORAGE}
            return LambdaStorage, arguments, state, None, None, _fill_storage
        for kind, left_out in _LEFT_OUT.items():
            if isinstance(obj, kind):
                state = {**vars(obj), **{name: make() for name, make in left_out.items()}}
                return copyreg.__newobj__, (type(obj),), state  # type: ignore[attr-defined]
        return NotImplemented


def _fill_storage(storage: Any, state: dict[str, Any]) -> None:
    for name in _OF_STORAGE:
        getattr(storage, name).update(state[name])
