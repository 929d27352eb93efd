"""Every error of the client; each message is one line that says what to do.

::

    StepMLError
    ├── AccessError                 the service cannot be used as it is
    │   ├── EndpointUnreachableError  nothing answers there
    │   ├── CredentialsError          none, incomplete or refused credentials, or no region
    │   ├── StackNotFoundError        StepML is not deployed there
    │   ├── ServiceRefusedError       the service answered with an error of its own
    │   └── DatasetUnavailableError   a data set that cannot be had now
    ├── ExecutionNotFoundError      no execution has this name
    ├── RunNameTakenError           an execution with this name exists already
    ├── RetryRefusedError           the job cannot be retried like this
    └── ReportUnreadableError       a report that this version does not understand
"""

from __future__ import annotations

from stepml.job.errors import StepMLError


class AccessError(StepMLError):
    """A service cannot be used as it is; nothing is wrong with what was asked for."""


class EndpointUnreachableError(AccessError, ConnectionError):
    """Nothing answers at the endpoint."""


class CredentialsError(AccessError):
    """Credentials or region are missing, incomplete, expired or refused."""


class StackNotFoundError(AccessError):
    """The stack does not exist there, or is not one of StepML."""


class ServiceRefusedError(AccessError):
    """A service answered with an error of its own.

    Attributes
    ----------
    code : str
        The service's name for the error, e.g. ``AccessDeniedException``.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class DatasetUnavailableError(AccessError):
    """A data set cannot be had: no network, a missing package, or another archive than expected."""


class ExecutionNotFoundError(StepMLError, LookupError):
    """No execution of the stack has this name."""


class RunNameTakenError(StepMLError):
    """An execution with this name exists already; AWS keeps names for 90 days."""


class RetryRefusedError(StepMLError):
    """The job cannot be retried like this: it runs, has succeeded, or has not so many epochs."""


class ReportUnreadableError(StepMLError):
    """A report was written by another version of StepML, or damaged."""
