"""Checks of state machines' definitions, with diagnostics in the form of Step Functions."""

from stepml.local.engine.language.diagnostics import Diagnostic
from stepml.local.engine.language.lacking import lacking
from stepml.local.engine.language.machines import diagnose

__all__ = ["Diagnostic", "diagnose", "lacking"]
