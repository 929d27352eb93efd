"""All execution environments of an account: running and idle ones, and their end."""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from stepml.local.functions.delivery import EventDelivery
from stepml.local.functions.environment import Environment
from stepml.local.functions.errors import (
    EventNotTakenError,
    NotWantedError,
    RequestTooLargeError,
    TooManyRequestsError,
)
from stepml.local.functions.function import (
    EnvironmentStatus,
    Function,
    Invocation,
    IsWanted,
    always,
)
from stepml.local.functions.logs import WriteLogs
from stepml.local.functions.report import failed
from stepml.local.functions.starts import StartPolicy
from stepml.local.functions.templates import Templates
from stepml.local.functions.variables import Account

logger = logging.getLogger(__name__)

MAX_SYNC_PAYLOAD_BYTES = 6_291_456  # Lambda: 6 MB for a synchronous invocation
MAX_ASYNC_PAYLOAD_BYTES = 1_048_576  # Lambda: 1 MB for an event
INIT_LIMIT_S = 10.0  # Lambda's INIT phase
TERMINATE_WAIT_S = 2.0  # from SIGTERM to SIGKILL
CLOSE_WAIT_S = 10.0  # for callers to return after close() has ended their functions
REAP_INTERVAL_S = 1.0
MIN_REAP_INTERVAL_S = 0.05


class FunctionPool:
    """Runs functions in processes, each reused while its function does not change.

    Parameters
    ----------
    endpoint_url, region, account_id : str
        Settings for the functions' AWS clients.
    write_logs : callable
        Receives ``(log_group, log_stream, events)``, from any thread, before `invoke` returns.
    concurrency : int
        Invocations at once, over all functions; Lambda's default is 1,000.
    idle_timeout_s : float
        Seconds after which an idle environment ends.
    max_environments : int
        Of more processes than these, idle ones end, the longest unused first.
    event_retry_delays_s : sequence of float
        Pauses before retries of a failed event; AWS waits one minute, then two.
    init_limit_s : float
        Seconds for a cold start; after that, it is repeated within the invocation's time.
    starts_at_once : int, optional
        Cold starts at once; others wait. Defaults to two for each processor.
    more_variables : callable
        Returns environment variables for a new process, such as those of its network.
    cold_start_s : float
        The least time of a cold start.
    """

    def __init__(
        self,
        *,
        endpoint_url: str,
        region: str,
        account_id: str,
        write_logs: WriteLogs,
        concurrency: int = 1000,
        idle_timeout_s: float = 300.0,
        max_environments: int = 64,
        event_retry_delays_s: Sequence[float] = (1.0, 2.0),
        init_limit_s: float = INIT_LIMIT_S,
        starts_at_once: int | None = None,
        more_variables: Callable[[], Mapping[str, str]] = dict,
        cold_start_s: float = 0.0,
    ) -> None:
        self._account = Account(endpoint_url, region, account_id, more_variables)
        self._write_logs = write_logs
        self._concurrency = concurrency
        self._idle_timeout_s = idle_timeout_s
        self._max_environments = max_environments
        slots = threading.BoundedSemaphore(starts_at_once or 2 * (os.cpu_count() or 1))
        self._templates = Templates()
        self._starts = StartPolicy(init_limit_s, slots, self._templates, cold_start_s)
        self._lock = threading.Lock()
        self._all_done = threading.Condition(self._lock)  # no invocation is running
        self._running = 0
        self._environments: set[Environment] = set()
        self._idle: list[Environment] = []  # the most recently used last
        self._deployed: dict[str, Hashable] = {}  # function name → last configuration
        self._closed = threading.Event()
        self._events = EventDelivery(self._invoke, self._closed, event_retry_delays_s)
        self._reap_now = threading.Event()
        self._reaper = threading.Thread(target=self._reap, name="function-reaper", daemon=True)
        self._reaper.start()

    def invoke(
        self, function: Function, payload: bytes, is_wanted: IsWanted = always
    ) -> Invocation:
        """Run ``function`` and return its result.

        A cold start may have to wait. If ``is_wanted`` then returns False, the invocation fails.

        Raises
        ------
        RequestTooLargeError
            ``payload`` is above 6 MB.
        TooManyRequestsError
            ``concurrency`` invocations are running.
        """
        _check_size(payload, MAX_SYNC_PAYLOAD_BYTES)
        return self._invoke(function, payload, str(uuid.uuid4()), is_wanted)

    def invoke_async(self, function: Function, payload: bytes) -> str:
        """Run ``function`` in the background and return the request id at once.

        A failed event is retried twice with the same request id; a throttled one waits.

        Raises
        ------
        RequestTooLargeError
            ``payload`` is above 1 MB.
        """
        _check_size(payload, MAX_ASYNC_PAYLOAD_BYTES)
        return self._events.begin(function, payload)

    def environments(self) -> list[EnvironmentStatus]:
        """Return the state of all environments, by function."""
        with self._lock:
            statuses = [environment.status() for environment in self._environments]
        return sorted(statuses, key=lambda status: (status.function, status.pid or 0))

    def close(self) -> None:
        """End every process. Running invocations fail; later ones fail at once."""
        with self._lock:
            self._closed.set()
            self._reap_now.set()
            idle, self._idle = self._idle, []
            environments = list(self._environments)
        for environment in environments:
            environment.terminate()
        self._wait_until_idle(TERMINATE_WAIT_S if len(idle) < len(environments) else 0.0)
        for environment in environments:
            environment.kill()
        for environment in idle:
            self._end(environment)
        self._wait_until_idle(CLOSE_WAIT_S)
        self._reaper.join(CLOSE_WAIT_S)
        self._templates.close()

    def _invoke(
        self, function: Function, payload: bytes, request_id: str, is_wanted: IsWanted = always
    ) -> Invocation:
        with self._running_slot():
            try:
                return self._invoke_until_taken(function, payload, request_id, is_wanted)
            except NotWantedError as error:
                return failed(request_id, error)
            except Exception as error:  # of the pool itself; the caller must neither hang nor crash
                logger.exception("invocation of %s failed inside the local AWS", function.name)
                return failed(request_id, error)

    def _invoke_until_taken(
        self, function: Function, payload: bytes, request_id: str, is_wanted: IsWanted
    ) -> Invocation:
        while True:  # each round ends an idle environment; a new one always takes the event
            try:
                return self._invoke_somewhere(function, payload, request_id, is_wanted)
            except EventNotTakenError:
                continue

    def _invoke_somewhere(
        self, function: Function, payload: bytes, request_id: str, is_wanted: IsWanted
    ) -> Invocation:
        environment = self._take(function)
        try:
            return environment.invoke(request_id, payload, is_wanted)
        except BaseException:
            environment.kill()
            raise
        finally:
            self._give_back(environment)

    @contextmanager
    def _running_slot(self) -> Iterator[None]:
        with self._lock:
            if self._running >= self._concurrency:
                raise TooManyRequestsError(
                    f"Rate Exceeded: account {self._account.account_id} runs at most "
                    f"{self._concurrency} invocations at once"
                )
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                self._all_done.notify_all()

    def _take(self, function: Function) -> Environment:
        """Return a warm environment, or a new one."""
        configuration = function.configuration
        while environment := self._take_idle(function, configuration):
            try:
                is_ready = environment.is_ready()
            except BaseException:
                self._end(environment)
                raise
            if is_ready:
                return environment
            self._end(environment)  # it died while idle
        return self._register(Environment(function, self._account, self._write_logs, self._starts))

    def _register(self, environment: Environment) -> Environment:
        with self._lock:
            if not self._closed.is_set():
                self._environments.add(environment)
                if len(self._environments) > self._max_environments:
                    self._reap_now.set()
                return environment
        environment.close()
        raise RuntimeError("the function pool is closed")

    def _take_idle(self, function: Function, configuration: Hashable) -> Environment | None:
        with self._lock:
            if self._deployed.get(function.name) != configuration:
                self._deployed[function.name] = configuration
                self._reap_now.set()  # environments of the old configuration are useless
            for i in reversed(range(len(self._idle))):
                if self._idle[i].configuration == configuration:
                    return self._idle.pop(i)
        return None

    def _give_back(self, environment: Environment) -> None:
        with self._lock:
            if environment.is_alive and not self._closed.is_set():
                environment.state = "idle"
                self._idle.append(environment)
                return
        self._end(environment)

    def _end(self, environment: Environment) -> None:
        """Close an environment without another owner."""
        environment.close()
        with self._lock:
            self._environments.discard(environment)

    def _reap(self) -> None:
        interval_s = max(MIN_REAP_INTERVAL_S, min(REAP_INTERVAL_S, self._idle_timeout_s / 2))
        while not self._closed.is_set():
            self._reap_now.wait(interval_s)
            self._reap_now.clear()
            for environment in self._take_unneeded():
                with _survived(f"the end of an environment of {environment.function.name}"):
                    self._end(environment)
            with _survived("the end of unused templates"):
                self._templates.end_unused(time.monotonic() - self._idle_timeout_s)

    def _take_unneeded(self) -> list[Environment]:
        with self._lock:
            unused_since = time.monotonic() - self._idle_timeout_s
            unneeded = [e for e in self._idle if self._is_unneeded(e, unused_since)]
            excess = len(self._environments) - len(unneeded) - self._max_environments
            others = [e for e in self._idle if e not in unneeded]
            unneeded += others[: max(0, excess)]
            self._idle = [e for e in self._idle if e not in unneeded]
        return unneeded

    def _is_unneeded(self, environment: Environment, unused_since: float) -> bool:
        is_replaced = self._deployed.get(environment.function.name) != environment.configuration
        return is_replaced or environment.last_used < unused_since

    def _wait_until_idle(self, timeout_s: float) -> None:
        with self._all_done:
            self._all_done.wait_for(lambda: self._running == 0, timeout_s)


@contextmanager
def _survived(what: str) -> Iterator[None]:
    """Log an error instead of raising it: the reaper has to go on."""
    try:
        yield
    except Exception:
        logger.exception("%s failed", what)


def _check_size(payload: bytes, limit_bytes: int) -> None:
    if len(payload) > limit_bytes:
        raise RequestTooLargeError(len(payload), limit_bytes)
