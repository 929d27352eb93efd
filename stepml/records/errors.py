"""Every error of the client; each message is one line that says what to do.

::

    StepMLError
    ├── AccessError                 the service cannot be used as it is
    │   ├── EndpointUnreachableError  nothing answers there
    │   ├── LocalAwsEndedError        it has ended, and its jobs with it
    │   ├── CredentialsError          none, incomplete or refused credentials, or no region
    │   ├── StackNotFoundError        StepML is not deployed there
    │   ├── ServiceRefusedError       the service answered with an error of its own
    │   └── DatasetUnavailableError   a data set cannot be fetched or made now
    ├── ExecutionNotFoundError      no execution has this name
    ├── RunNameTakenError           another execution has this name
    ├── RunFailedError              the job ended without a model
    ├── RetryRefusedError           the job cannot be retried like this
    ├── ReportUnreadableError       a report is damaged, or of another version
    ├── InvalidArgumentError        an argument of a call is wrong
    ├── UploadRefusedError          files cannot be uploaded like this
    └── LibraryMissingError         a library of an extra is not installed
"""

from __future__ import annotations

from stepml.job.errors import StepMLError
from stepml.records.failures import Failure


class AccessError(StepMLError):
    """A service cannot be used now; the request itself was valid."""


class EndpointUnreachableError(AccessError, ConnectionError):
    """Nothing answers at the endpoint."""


class LocalAwsEndedError(AccessError):
    """The local AWS has ended, and the job that was watched is lost with it."""


class CredentialsError(AccessError):
    """Credentials or region are missing, incomplete, expired or refused."""


class StackNotFoundError(AccessError):
    """The stack does not exist there, or is no stack of StepML."""


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
    """A data set is unavailable: no network, a missing package, or unexpected content."""


class ExecutionNotFoundError(StepMLError, LookupError):
    """No execution of the stack has this name."""


class RunNameTakenError(StepMLError):
    """Another execution has this name; AWS reserves a name for 90 days."""


class RunFailedError(StepMLError):
    """A job ended without a model: it failed, ran out of time or was stopped.

    Attributes
    ----------
    name : str
        The job's id.
    failure : Failure
        Its error, with rank, epoch and log group as far as they are known.
    """

    def __init__(self, name: str, failure: Failure) -> None:
        self.name = name
        self.failure = failure
        super().__init__(f"{name}: {failure}")


class InvalidArgumentError(StepMLError, ValueError):
    """An argument of a call is wrong; the message names it, the allowed values and the value."""


class UploadRefusedError(StepMLError, ValueError):
    """Files cannot be uploaded like this: there is none, or the place is wrong or taken."""


class RetryRefusedError(StepMLError):
    """The job cannot be retried: it is running, has succeeded, or has fewer epochs."""

    needs_change = False  # whether it would fail again, unless its job is another one


class ReportUnreadableError(StepMLError):
    """A report is damaged, or was written by another version of StepML."""


class LibraryMissingError(StepMLError, ImportError):
    """A library of an extra is not installed; the message has the command that installs it."""
