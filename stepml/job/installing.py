"""The command that installs an optional library, for this installation of StepML."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from stepml.job.errors import StepMLError

PACKAGE = "stepml"
# Of extras whose libraries for Linux on PyPI bring gigabytes for other processors along.
INDEXES = {"torch": "https://download.pytorch.org/whl/cpu"}


def install_command(extra: str) -> str:
    """Return the command that installs the libraries of ``extra``.

    StepML is on no package index. In a checkout, the command installs the checkout with the extra;
    elsewhere, it installs the libraries themselves.
    """
    # Not sys.prefix: without `site`, as in functions, it is that of the base interpreter.
    install = shlex.quote(str(Path(sys.executable).with_name("pip"))) + " install"
    if extra in INDEXES:
        install += f" --extra-index-url {INDEXES[extra]}"
    try:
        found = distribution(PACKAGE)
    except PackageNotFoundError:  # it runs from where its files are, as functions do
        root = Path(__file__).parents[2]
        what = root if (root / "pyproject.toml").is_file() else PACKAGE
        return f"{install} -e {shlex.quote(f'{what}[{extra}]')}"
    if checkout := _checkout(found):
        return f"{install} -e {shlex.quote(f'{checkout}[{extra}]')}"
    return f"{install} {shlex.join(_libraries(found, extra))}"


def require_packages(
    packages: Sequence[str], product: str, extra: str, error: type[StepMLError]
) -> None:
    """Raise ``error`` unless the packages of an extra, which ``product`` needs, are installed."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise error(
            f"{product} is not installed (no {', '.join(missing)}); "
            f"install it with: {install_command(extra)}"
        )


def _checkout(found: Distribution) -> str | None:
    """Return the directory of an editable installation, else None."""
    origin = json.loads(found.read_text("direct_url.json") or "{}")
    if not origin.get("dir_info", {}).get("editable"):
        return None
    return unquote(urlsplit(origin["url"]).path)


def _libraries(found: Distribution, extra: str) -> Iterator[str]:
    for requirement in found.requires or ():
        library, _, condition = requirement.partition(";")
        if condition.replace('"', "'").strip() != f"extra == '{extra}'":
            continue
        if library.startswith(f"{PACKAGE}["):  # another extra
            yield from _libraries(found, library.partition("[")[2].partition("]")[0])
        else:
            yield library.strip()
