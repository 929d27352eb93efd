"""Prepares a SAM template for CloudFormation: uploads code and definitions, expands SAM."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from samtranslator.metrics.metrics import DummyMetricsPublisher, Metrics
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from stepml.local_identity import isolated_session
from stepml.packaging.archives import zip_archive
from stepml.packaging.packages import FUNCTION_PACKAGES, PYTHON_VERSION, code_package
from stepml.packaging.sources import files_below, resource_root

Upload = Callable[[str, bytes], str]  # (key, content) → s3:// URI

FUNCTION = "AWS::Serverless::Function"

# Tests cover how the local AWS creates, changes and deletes these. moto reports unknown types as
# created, so only this list reveals them.
SUPPORTED_TYPES = frozenset(
    {
        "AWS::DynamoDB::Table",
        "AWS::Events::Rule",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::Policy",
        "AWS::IAM::Role",
        "AWS::Lambda::Function",
        "AWS::Lambda::Permission",
        "AWS::Logs::LogGroup",
        "AWS::S3::Bucket",
        "AWS::S3::BucketPolicy",
        "AWS::StepFunctions::StateMachine",
    }
)


class TemplateError(Exception):
    """The template cannot be deployed; the message names the resource and what is wrong."""


def read_template(path: Path) -> dict[str, Any]:
    """Return the template at ``path``.

    Raises
    ------
    TemplateError
        There is no such file, or it is not a template.
    """
    parse: Any = yaml_parse
    try:
        template = parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise TemplateError(f"no template at {path}") from error
    if not isinstance(template, dict) or not template.get("Resources"):
        raise TemplateError(f"{path} has no Resources")
    return template


def packed(template: Mapping[str, Any], base: Path, upload: Upload) -> dict[str, Any]:
    """Upload local code and definitions, and return ``template`` with their S3 URIs.

    A function that is a container image becomes a zip file of the same package: see
    `without_images`.

    Parameters
    ----------
    template : mapping
        A SAM template.
    base : Path
        The template's directory; its paths are relative to it.
    upload : callable
        Stores a content under a key and returns its URI. Keys are digests of the contents, so
        the same template has the same URIs.

    Raises
    ------
    TemplateError
        There is no such file, or an image is of none of our packages.
    """
    result = without_images(template, base)
    uris: dict[tuple[Path, ...], str] = {}
    for properties in _with_field(result, "CodeUri"):
        if _is_in_s3(properties["CodeUri"]):
            continue
        files = code_files(base, properties["CodeUri"])
        content = tuple(files.values())
        if content not in uris:
            archive = zip_archive(files)
            uris[content] = upload(f"code/{_digest(archive)}.zip", archive)
        properties["CodeUri"] = uris[content]
    for properties in _with_field(result, "DefinitionUri"):
        if not _is_in_s3(properties["DefinitionUri"]):
            text = _existing(base, properties["DefinitionUri"]).read_bytes()
            properties["DefinitionUri"] = upload(f"definitions/{_digest(text)}.json", text)
    return result


def without_images(template: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Return ``template`` with zip files in the place of functions that are container images.

    The local AWS runs no images. It needs our files of the package that is the image's
    ``DockerContext``, because the libraries are those of the Python that runs StepML.

    Raises
    ------
    TemplateError
        The context of an image is none of our packages.
    """
    result = copy.deepcopy(dict(template))
    for name, resource in result["Resources"].items():
        if resource["Type"] == FUNCTION and resource["Properties"].get("PackageType") == "Image":
            _become_zip_file(name, resource, base)
    return result


def _become_zip_file(name: str, resource: dict[str, Any], base: Path) -> None:
    context = str(resource.get("Metadata", {}).get("DockerContext", ""))
    if code_package((base / context).resolve(), resource_root()) is None:
        raise TemplateError(
            f"{name} is a container image, and the local AWS runs none: expected a DockerContext "
            f"that is a package of StepML ({', '.join(FUNCTION_PACKAGES)}), got {context!r}"
        )
    properties = resource["Properties"]
    for field in ("PackageType", "ImageUri"):
        del properties[field]
    (handler,) = properties.pop("ImageConfig")["Command"]
    properties |= {"CodeUri": context, "Handler": handler, "Runtime": f"python{PYTHON_VERSION}"}


def code_files(base: Path, uri: str) -> dict[str, Path]:
    """Return the files of a function, by their name in its zip.

    Parameters
    ----------
    base : Path
        The template's directory.
    uri : str
        A ``CodeUri``: the name of one of our packages next to the template's directory, or a
        folder with all files of the function.

    Raises
    ------
    TemplateError
        There is no such folder.
    """
    package = code_package((base / uri).resolve(), resource_root())
    return package.files() if package is not None else files_below(_existing(base, uri))


def translated(template: Mapping[str, Any]) -> dict[str, Any]:
    """Translate SAM's resources in ``template`` to those of CloudFormation.

    Raises
    ------
    TemplateError
        SAM refuses the template, or the local AWS lacks one of its resource types.
    """
    # Only its region is read; it sends no request.
    session = isolated_session()
    metrics = Metrics("StepML", DummyMetricsPublisher())
    translator = Translator({}, Parser(), None, session, metrics)
    try:
        result: dict[str, Any] = translator.translate(copy.deepcopy(dict(template)), {})
    except InvalidDocumentException as error:
        causes = "; ".join(cause.message for cause in error.causes)
        raise TemplateError(f"SAM refuses the template: {causes}") from error
    finally:
        metrics.publish()  # sends nothing, but without it a warning is logged at exit
    require_supported_types(result)
    return result


def require_supported_types(template: Mapping[str, Any]) -> None:
    """Raise TemplateError if the local AWS lacks a resource type of ``template``."""
    unsupported = sorted(
        f"{name} ({resource['Type']})"
        for name, resource in template["Resources"].items()
        if resource["Type"] not in SUPPORTED_TYPES
    )
    if unsupported:
        raise TemplateError(
            f"the local AWS cannot make {', '.join(unsupported)}; it has "
            f"{', '.join(sorted(SUPPORTED_TYPES))}"
        )


def _with_field(template: dict[str, Any], field: str) -> Iterator[dict[str, Any]]:
    sections = [
        *template.get("Globals", {}).values(),
        *(resource.get("Properties", {}) for resource in template["Resources"].values()),
    ]
    yield from (section for section in sections if field in section)


def _is_in_s3(uri: Any) -> bool:
    return not isinstance(uri, str) or uri.startswith("s3://")


def _existing(base: Path, uri: str) -> Path:
    path = (base / uri).resolve()
    if not path.exists():
        raise TemplateError(f"no file or directory at {path}, which the template names as {uri!r}")
    return path


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
