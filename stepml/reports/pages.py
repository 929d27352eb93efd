"""Pages of HTML from the templates beside this module; each is one file that needs no network.

The templates escape all text, and their policy allows no script and no request.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version

from jinja2 import Environment, PackageLoader, StrictUndefined

_TIME = "%d %b %Y %H:%M UTC"


def page(template: str, **values: object) -> str:
    """Return the page that ``template`` makes of ``values``."""
    return rendered(
        template, **values, version=version("stepml"), made_at=time_text(datetime.now(UTC))
    )


def rendered(template: str, **values: object) -> str:
    """Return the text that ``template`` makes of ``values``."""
    return _environment().get_template(template).render(values)


def time_text(time: datetime) -> str:
    """Return a time for people: ``30 Nov 2026 08:26 UTC``."""
    return time.astimezone(UTC).strftime(_TIME)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("stepml.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
