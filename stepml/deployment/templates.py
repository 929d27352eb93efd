"""Reads templates, and uploads the code and the definitions that they name."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from stepml.deployment.errors import TemplateError
from stepml.packaging.archives import zip_archive
from stepml.packaging.packages import Package, code_package
from stepml.packaging.sources import files_below, resource_root
from stepml.packaging.templates import parse_template

ALIAS_OUTPUT = "Deployment"  # of the main template
_SWITCH = "FunctionVersions"  # its parameter
_ALIAS_DIGITS = 12

Upload = Callable[[str, bytes], str]  # (key, content) → s3:// URI


class Archives(Protocol):
    """Makes the zip files of functions."""

    # Whether it also makes those of images, for a CloudFormation that builds them.
    has_images: bool

    def archive(self, directory: Path) -> bytes:
        """Return the zip file of a function's code.

        Parameters
        ----------
        directory : Path
            The name of one of our packages in the resource root, or a folder with all files.
        """

    def package(self, package: Package, name: str) -> bytes:
        """Return the zip file of a package, whose folder would have this name."""


class OwnFiles:
    """Zip files without libraries, for functions that have those of this machine's Python."""

    has_images = True

    def __init__(self) -> None:
        self._archives: dict[tuple[Path, ...], bytes] = {}

    def archive(self, directory: Path) -> bytes:
        files = code_files(directory)
        content = tuple(files.values())
        if content not in self._archives:
            self._archives[content] = zip_archive(files)
        return self._archives[content]

    def package(self, package: Package, name: str) -> bytes:
        return zip_archive(package.files())


def code_files(directory: Path) -> dict[str, Path]:
    """Return our own files of a function, by their name in its zip; see `Archives.archive`.

    Raises
    ------
    TemplateError
        There is no such folder.
    """
    package = code_package(directory, resource_root())
    return package.files() if package is not None else files_below(_existing(directory))


def read_template(path: Path) -> dict[str, Any]:
    """Return the template at ``path``.

    Raises
    ------
    TemplateError
        There is no such file, or it is not a template.
    """
    try:
        template = parse_template(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TemplateError(f"no template at {path}") from error
    except ValueError as error:
        raise TemplateError(f"{path} is no template: {error}") from error
    if not isinstance(template, dict) or not template.get("Resources"):
        raise TemplateError(f"{path} has no Resources")
    return template


def packed(
    template: Mapping[str, Any], base: Path, archives: Archives, upload: Upload
) -> dict[str, Any]:
    """Upload local code and definitions, and return ``template`` with their S3 URIs.

    Parameters
    ----------
    template : mapping
        A SAM template.
    base : Path
        The template's directory; its paths are relative to it.
    archives : Archives
    upload : callable
        Stores a content under a key and returns its URI. Keys are digests of the contents, so
        the same template has the same URIs.

    Raises
    ------
    TemplateError
        There is no such file.
    """
    result = copy.deepcopy(dict(template))
    fields = ("CodeUri", "DockerContext") if archives.has_images else ("CodeUri",)
    for field in fields:
        for section in _with_field(result, field):
            archive = archives.archive((base / section[field]).resolve())
            section[field] = upload(f"code/{digest(archive)}.zip", archive)
    for section in _with_field(result, "DefinitionUri"):
        text = _existing((base / section["DefinitionUri"]).resolve()).read_bytes()
        section["DefinitionUri"] = upload(f"definitions/{digest(text)}.json", text)
    return result


def with_alias(
    template: Mapping[str, Any],
    given: Mapping[str, str],
    kept: Mapping[str, str],
    current: str,
    now: datetime | None = None,
) -> dict[str, Any]:
    """Return ``template`` with the name of this deployment, if it has a place for one.

    The name begins with the digest of all that functions are made of, and is that of the present
    deployment if nothing has changed. Otherwise it is new, as the aliases of earlier deployments
    still exist.

    Parameters
    ----------
    template : mapping
        As `packed` returns it.
    given : mapping
        Parameters that get a value.
    kept : mapping
        Those of the stack that is updated.
    current : str
        The name of the present deployment, or an empty string.
    now : datetime, optional
        The present time.
    """
    result = copy.deepcopy(dict(template))
    values = _values(template.get("Parameters", {}), given, kept)
    if "Deployment" in template.get("Mappings", {}) and values[_SWITCH] == "on":
        content = json.dumps([template, values], sort_keys=True).encode()
        begin = f"d{digest(content)[:_ALIAS_DIGITS]}-"
        new = f"{begin}{now or datetime.now(UTC):%Y%m%d%H%M%S}"
        alias = current if current.startswith(begin) else new
        result["Mappings"]["Deployment"]["Current"]["Alias"] = alias
    return result


def _values(
    slots: Mapping[str, Any], given: Mapping[str, str], kept: Mapping[str, str]
) -> dict[str, str]:
    """Return the values of parameters, without those kept ones that CloudFormation never tells."""
    return {
        name: str(given.get(name, kept.get(name, slot.get("Default"))))
        for name, slot in slots.items()
        if name in given or not slot.get("NoEcho")
    }


def digest(content: bytes) -> str:
    """Return the name of an artefact: 32 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()[:32]


def _with_field(template: dict[str, Any], field: str) -> Iterator[dict[str, Any]]:
    """Yield the sections in which ``field`` names a local file or folder."""
    sections = [
        *template.get("Globals", {}).values(),
        *(
            resource.get(part, {})
            for resource in template["Resources"].values()
            for part in ("Properties", "Metadata")
        ),
    ]
    for section in sections:
        uri = section.get(field)
        if isinstance(uri, str) and not uri.startswith("s3://"):
            yield section


def _existing(path: Path) -> Path:
    if not path.exists():
        raise TemplateError(f"no file or directory at {path}, which the template names")
    return path
