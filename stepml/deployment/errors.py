"""Errors of deployments.

::

    AccessError
    └── DeploymentError     CloudFormation failed; its own reason is in the message
        └── TemplateError   the template cannot be deployed, and nothing was changed
"""

from __future__ import annotations

from stepml.records.errors import AccessError


class DeploymentError(AccessError):
    """CloudFormation failed; the message has the first reason from the stack's events."""


class TemplateError(DeploymentError):
    """The template cannot be deployed; the message says what is wrong, and nothing was changed."""
