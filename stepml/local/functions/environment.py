"""One execution environment: INIT, then one invocation at a time, as in Lambda."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from http import HTTPStatus

from stepml.local.functions import report
from stepml.local.functions.errors import (
    EventNotTakenError,
    InitFailedError,
    NotWantedError,
    SandboxError,
    SandboxExitedError,
    SandboxTimeoutError,
)
from stepml.local.functions.function import (
    EnvironmentState,
    EnvironmentStatus,
    Function,
    Invocation,
    IsWanted,
    always,
)
from stepml.local.functions.logs import EnvironmentLog, WriteLogs, new_stream_name
from stepml.local.functions.report import Outcome
from stepml.local.functions.runtime_api import (
    INIT_ERROR,
    NEXT,
    Connection,
    RuntimeApi,
    RuntimeRequest,
    invocation_headers,
    invocation_path,
)
from stepml.local.functions.sandbox import Sandbox
from stepml.local.functions.starts import StartPolicy
from stepml.local.functions.variables import Account, process_variables

SETTLE_S = 10.0  # from an answer until the process requests the next event


class Environment:
    """A process that runs ``function``, called by its owner from one thread at a time.

    Only :meth:`terminate` and :meth:`kill` may be called by others.
    """

    def __init__(
        self,
        function: Function,
        account: Account,
        write_logs: WriteLogs,
        starts: StartPolicy,
    ) -> None:
        self.function = function
        self.configuration = function.configuration
        self.last_used = time.monotonic()
        self.state: EnvironmentState = "starting"
        self._account = account
        self._starts = starts
        self._log = EnvironmentLog(write_logs, function.log_group, new_stream_name())
        self._api = RuntimeApi()
        self._sandbox: Sandbox | None = None
        self._waiting: Connection | None = None  # a client that has requested an event
        self._offered: Connection | None = None  # a client that may not have read its event yet
        self._init_s: float | None = None
        self._peak_memory_mb = 0.0
        self._invocations = 0
        self._is_ending = False

    @property
    def is_alive(self) -> bool:
        """Whether it can run another invocation."""
        return self._sandbox is not None and not self._is_ending

    def status(self) -> EnvironmentStatus:
        sandbox = self._sandbox
        pid = sandbox.pid if sandbox else None
        return EnvironmentStatus(self.function.name, pid, self.state, self._invocations)

    def is_ready(self) -> bool:
        """Return whether the warm process waits for an event, after finishing the last one."""
        try:
            self._await_next(time.monotonic() + SETTLE_S)
            # It may have died while idle: check once more, without waiting.
            self._serve_until(time.monotonic())
        except SandboxTimeoutError:
            return self._waiting is not None and self._waiting.is_open  # a dying one closes it
        except SandboxError:
            return False
        return False  # a client that requests two events at once is broken

    def invoke(self, request_id: str, payload: bytes, is_wanted: IsWanted = always) -> Invocation:
        """Run one invocation to its end and write its log.

        Raises
        ------
        EventNotTakenError
            The warm process died before; nothing has run, and nothing is logged.
        NotWantedError
            It was no longer wanted when its process could start; likewise.
        """
        is_warm = self._sandbox is not None
        self.state = "busy" if self._sandbox else "starting"
        self._invocations += 1
        self._log.begin()
        init_failure = None if self._sandbox else self._initialise_in_turn(request_id, is_wanted)
        self.state = "busy"
        self._log.add_line(report.start_line(request_id))
        started = time.monotonic()
        outcome = init_failure or self._run(request_id, payload, started, is_warm=is_warm)
        self._finish_log(request_id, outcome, time.monotonic() - started)
        self.last_used = time.monotonic()
        error = "Unhandled" if outcome.is_error else None
        return Invocation(request_id, outcome.payload, error, self._log.tail)

    def terminate(self) -> None:
        """Ask the process to end, from any thread."""
        self._is_ending = True
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process, from any thread; its owner still has to close the environment."""
        self._is_ending = True
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """End the process and wait for it; only for the owner."""
        try:
            self._end_sandbox()
        finally:
            self._api.close()

    def _initialise_in_turn(self, request_id: str, is_wanted: IsWanted) -> Outcome | None:
        with self._starts.slots:  # each holder releases it within the limit
            if not is_wanted():
                raise NotWantedError
            failure = self._initialise(request_id)
        if self._init_s is not None:
            self._init_s = self._starts.prolonged(self._init_s)
        return failure

    def _initialise(self, request_id: str) -> Outcome | None:
        self._log.add_line(report.init_start_line())
        started = time.monotonic()
        try:
            self._start_sandbox()
            self._await_next(started + self._starts.limit_s)
        except SandboxTimeoutError:
            self._log.add_line(report.init_report_line(time.monotonic() - started, "timeout"))
            self._end_sandbox()
            self._start_sandbox()
            return None
        except SandboxError as error:
            failure = self._fail(error, request_id)
            duration_s = time.monotonic() - started
            line = report.init_report_line(duration_s, "error", failure.platform_error)
            self._log.add_line(line)
            return failure
        self._init_s = self._sandbox_in_use().seconds  # without the start of its template
        return None

    def _run(self, request_id: str, payload: bytes, started: float, *, is_warm: bool) -> Outcome:
        deadline = started + self.function.timeout_s
        deadline_ms = time.time_ns() // 1_000_000 + self.function.timeout_s * 1000
        try:
            self._await_next(deadline)
            self._deliver(request_id, payload, deadline_ms)
            outcome = self._await_answer(request_id, deadline)
            self._sandbox_in_use().check_memory()
        except SandboxError as error:
            is_lost = self._offered is not None and self._offered.is_reply_lost
            if is_warm and is_lost and isinstance(error, SandboxExitedError):
                self._end_sandbox()
                raise EventNotTakenError(str(error)) from error
            return self._fail(error, request_id)
        return outcome

    def _deliver(self, request_id: str, payload: bytes, deadline_ms: int) -> None:
        assert self._waiting is not None
        connection, self._offered, self._waiting = self._waiting, self._waiting, None
        headers = invocation_headers(request_id, deadline_ms, self.function.arn)
        with suppress(ConnectionError):  # it has just died; the wait for its answer reports that
            connection.reply(HTTPStatus.OK, payload or b"{}", headers)

    def _await_next(self, deadline: float) -> None:
        while self._waiting is None:
            request = self._serve_until(deadline)
            if request is not None:
                request.refuse()

    def _await_answer(self, request_id: str, deadline: float) -> Outcome:
        while True:
            request = self._serve_until(deadline)
            if request is None:
                continue
            outcome = self._answer(request, request_id)
            if outcome is not None:
                return outcome

    def _serve_until(self, deadline: float) -> RuntimeRequest | None:
        """Wait for one request; answer it, or return it if it ends an invocation."""
        sandbox = self._sandbox_in_use()
        request = sandbox.next_request(deadline)
        self._offered = None  # the next request shows that the event was read
        if (request.method, request.path) == ("GET", NEXT):
            self._waiting = request.connection
            return None
        if (request.method, request.path) == ("POST", INIT_ERROR):
            request.connection.accept()
            sandbox.drain_output()
            raise InitFailedError(request.body)
        return request

    def _answer(self, request: RuntimeRequest, request_id: str) -> Outcome | None:
        outcomes = {invocation_path(request_id, name): name for name in ("response", "error")}
        name = outcomes.get(request.path)
        if name is None or request.method != "POST":
            request.refuse()
            return None
        if request.is_too_large:
            return self._refuse_response(request)
        request.connection.accept()
        return Outcome(request.body, is_error=name == "error")

    def _refuse_response(self, request: RuntimeRequest) -> Outcome:
        outcome = report.response_too_large()
        assert outcome.log_line is not None
        status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        request.connection.refuse(status, "RequestEntityTooLarge", outcome.log_line)
        self._is_ending = True  # the runtime client ends after this answer
        return outcome

    def _fail(self, error: SandboxError, request_id: str) -> Outcome:
        self._end_sandbox()
        return report.sandbox_failure(error, request_id, self.function.timeout_s)

    def _finish_log(self, request_id: str, outcome: Outcome, duration_s: float) -> None:
        if self._sandbox is not None:
            self._sandbox.drain_output()
            self._peak_memory_mb = self._sandbox.peak_memory_mb
        if outcome.log_line:
            self._log.add_line(outcome.log_line)
        self._log.add_line(report.end_line(request_id))
        line = report.report_line(
            request_id,
            duration_s=duration_s,
            memory_mb=self.function.memory_mb,
            peak_memory_mb=self._peak_memory_mb,
            init_s=self._init_s,
            platform_error=outcome.platform_error,
        )
        self._init_s = None
        self._log.add_line(line)
        self._log.flush()

    def _sandbox_in_use(self) -> Sandbox:
        assert self._sandbox is not None, "there is a process from INIT on"
        return self._sandbox

    def _start_sandbox(self) -> None:
        variables = process_variables(
            self.function,
            self._account,
            api_address=self._api.address,
            log_stream=self._log.stream,
        )
        process = self._starts.templates.start(
            self.function.handler, self.function.task_root, variables
        )
        self._sandbox = Sandbox(process, self._api, self.function.memory_mb, self._log.add_output)
        if self._is_ending:  # terminated by another thread while it was being started
            self._signal(signal.SIGKILL)

    def _end_sandbox(self) -> None:
        sandbox, self._sandbox, self._waiting = self._sandbox, None, None
        if sandbox is not None:
            self._peak_memory_mb = sandbox.peak_memory_mb
            try:
                sandbox.drain_output()
            finally:
                sandbox.close()

    def _signal(self, number: signal.Signals) -> None:
        sandbox = self._sandbox
        if sandbox is not None:
            sandbox.signal(number)
