"""Reads the log of one invocation of a function: its own lines and those of Lambda about it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from stepml.client.connection import Connection
from stepml.client.log_events import log_events, of_fields
from stepml.client.log_lines import LogLine, LogLines
from stepml.client.logs import MARGIN, parsed_line
from stepml.client.stack import Stack
from stepml.job import json_logs
from stepml.packaging.functions import log_group
from stepml.records.errors import ServiceRefusedError
from stepml.records.json_answers import json_object
from stepml.records.visits import Attempt

if TYPE_CHECKING:
    from mypy_boto3_logs.type_defs import FilteredLogEventTypeDef

MOST_LINES = 1000  # of an invocation: the last ones
MOST_PAGES = 20  # of each search
INIT = timedelta(seconds=10)  # the longest start of a sandbox, before the invocation
SKEW = timedelta(seconds=1)  # between the clocks of Step Functions and of a function
TRAINED = "rank trained"  # the message of an executor, with its loss
_START, _END, _REPORT = "START RequestId: ", "END RequestId: ", "REPORT RequestId: "


class InvocationLog(LogLines):
    """The log of one invocation, oldest line first.

    Attributes
    ----------
    log_group, log_stream : str
        Where the lines lie; empty if that is unknown.
    request_id : str or None
        Of the invocation; None: unknown, as it has not begun.
    is_cut : bool
        Whether earlier lines are left out.
    """

    def __init__(
        self,
        lines: Sequence[LogLine] = (),
        *,
        log_group: str = "",
        log_stream: str = "",
        request_id: str | None = None,
        is_cut: bool = False,
    ) -> None:
        super().__init__(lines)
        self.log_group = log_group
        self.log_stream = log_stream
        self.request_id = request_id
        self.is_cut = is_cut

    def _with(self, items: Sequence[LogLine]) -> Self:
        return type(self)(
            items,
            log_group=self.log_group,
            log_stream=self.log_stream,
            request_id=self.request_id,
            is_cut=self.is_cut,
        )


def function_of(stack: Stack, called: str | None) -> str | None:
    """Return a function's name without the stack's, from the name or ARN by which it was called."""
    if called is None:
        return None
    name = called.partition(":function:")[2] or called
    return name.partition(":")[0].removeprefix(f"{stack.name}-")


def rank_losses(connection: Connection, stack: Stack, ranks: Iterable[Attempt]) -> dict[int, float]:
    """Return the training losses of ranks, as their functions have logged them.

    Parameters
    ----------
    connection : Connection
    stack : Stack
    ranks : iterable of Attempt
        The last call of each rank, at one epoch.

    Raises
    ------
    AccessError
        CloudWatch Logs cannot be reached or refuses.
    """
    found: dict[int, float] = {}
    for function, calls in _by_function(stack, ranks).items():
        task = {**_task(calls[0]), "message": TRAINED}
        for name in ("rank", "retries", "entered_at"):
            task.pop(name, None)
        begin = min(each.started_at for each in calls) - SKEW
        end = max(each.ended_at or datetime.now(UTC) for each in calls) + MARGIN
        group, requests = log_group(stack.name, function), [each.request_id for each in calls]
        requests.append(None)  # lines of earlier versions name none
        for event in log_events(connection, group, begin, end, pattern=of_fields(task)):
            entry = json_object(event["message"])
            # The local AWS gives other lines as well, such as those of own code.
            if task.items() <= entry.items() and entry.get("request_id") in requests:
                found |= _loss_in(entry)
    return found


def _loss_in(entry: Mapping[str, Any]) -> dict[int, float]:
    """Return the loss of a rank that a line has, by rank; {} if it has none."""
    rank, loss = entry.get("rank"), entry.get("loss")
    return {rank: loss} if isinstance(rank, int) and isinstance(loss, int | float) else {}


def _by_function(stack: Stack, calls: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    found: dict[str, list[Attempt]] = {}
    for each in calls:
        if function := function_of(stack, each.function):
            found.setdefault(function, []).append(each)
    return found


def invocation_log(
    connection: Connection, stack: Stack, attempt: Attempt, most: int = MOST_LINES
) -> InvocationLog:
    """Return the last lines of an invocation; none if the attempt called no function.

    Parameters
    ----------
    connection : Connection
    stack : Stack
    attempt : Attempt
        A call of a function, as a visit has it.
    most : int
        The number of lines.

    Raises
    ------
    AccessError
        CloudWatch Logs cannot be reached or refuses.
    """
    function = function_of(stack, attempt.function)
    if function is None:
        return InvocationLog()
    return _Reader(connection, stack, function, attempt, most).log()


class _Reader:
    def __init__(
        self, connection: Connection, stack: Stack, function: str, attempt: Attempt, most: int
    ) -> None:
        self.connection = connection
        self.function = function
        self.group = log_group(stack.name, function)
        self.attempt = attempt
        self.most = most

    def log(self) -> InvocationLog:
        try:
            return self._log()
        except ServiceRefusedError as error:
            if error.code != "ResourceNotFoundException":
                raise
            return InvocationLog(log_group=self.group)  # nothing has been logged yet

    def _log(self) -> InvocationLog:
        request_id = self.attempt.request_id or self._request_of_task()
        if request_id is None:
            return InvocationLog(log_group=self.group)
        named = list(self._events(*self._period, pattern=f'"{request_id}"'))
        if not named:
            return InvocationLog(log_group=self.group, request_id=request_id)
        stream = named[0]["logStreamName"]
        begin, last = _moment(named[0]), named[-1]
        end = _moment(last) + SKEW if last["message"].startswith(_REPORT) else self._period[1]
        events = self._events(begin - INIT, end, stream=stream)
        return self._shown(self._inside(events, request_id), request_id, stream)

    def _events(
        self, begin: datetime, end: datetime, *, pattern: str = "", stream: str = ""
    ) -> Iterator[FilteredLogEventTypeDef]:
        return log_events(
            self.connection,
            self.group,
            begin,
            end,
            pattern=pattern,
            stream=stream,
            most_pages=MOST_PAGES,
        )

    @property
    def _period(self) -> tuple[datetime, datetime]:
        attempt = self.attempt
        return attempt.started_at - MARGIN, (attempt.ended_at or datetime.now(UTC)) + MARGIN

    def _request_of_task(self) -> str | None:
        """Return the invocation that has begun the task since the attempt's begin, or None.

        A function of an aborted attempt goes on, perhaps beside that of the next attempt.
        """
        task = _task(self.attempt)
        if not task:
            return None
        named = {f"{json_logs.TASK}.{name}": value for name, value in task.items()}
        begin, (_, end) = self.attempt.started_at - SKEW, self._period
        for event in self._events(begin, end, pattern=of_fields(named)):
            line = json_object(event["message"])
            begun = line.get(json_logs.TASK)
            # The local AWS gives other lines as well.
            if isinstance(begun, dict) and task.items() <= begun.items():
                return str(line.get("request_id")) or None
        return None

    def _inside(
        self, events: Iterable[FilteredLogEventTypeDef], request_id: str
    ) -> Iterator[LogLine]:
        """Yield the lines of a stream that belong to a request, with the start of its sandbox."""
        before: list[LogLine] = []
        is_inside = False
        for event in events:
            message = event["message"]
            if message.startswith(_START):
                if is_inside:
                    return
                is_inside = message.startswith(f"{_START}{request_id}")
            elif message.startswith("INIT_START"):
                before = []
            line = self._line(event)
            if is_inside:
                yield from before
                yield line
                before = []
            else:
                is_of_another = message.startswith((_START, _END, _REPORT))
                before = [] if is_of_another else [*before, line]

    def _line(self, event: FilteredLogEventTypeDef) -> LogLine:
        return parsed_line(event, self.function)

    def _shown(self, lines: Iterable[LogLine], request_id: str, stream: str) -> InvocationLog:
        last = deque(lines, maxlen=self.most + 1)
        return InvocationLog(
            list(last)[-self.most :],
            log_group=self.group,
            log_stream=stream,
            request_id=request_id,
            is_cut=len(last) > self.most,
        )


def _task(attempt: Attempt) -> dict[str, str | int]:
    """Return the fields by which the lines of a function name its task."""
    task = attempt.task
    return {
        name: task[name] for name in json_logs.TASK_FIELDS if isinstance(task.get(name), str | int)
    }


def _moment(event: FilteredLogEventTypeDef) -> datetime:
    return datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
