"""Executions of state machines: their status, their histories, and where a redrive goes on."""

from __future__ import annotations

import copy
import datetime
import hashlib
import json
import time
from typing import Any, ClassVar

from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventHistoryContext
from moto.stepfunctions.parser.backend.execution import Execution
from moto.stepfunctions.parser.backend.test_state.execution import TestStateExecution
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

from stepml.local.engine.checkpoints import Checkpoint
from stepml.local.engine.journal import Journal, use
from stepml.local.keeping.shelves import Shelf, after, each_backend
from stepml.local.keeping.store import Store

KEPT_S = 90 * 86_400.0  # Step Functions: executions are there for 90 days after their end
# Of an execution that ran when the local AWS ended.
ERROR = "LocalAws.Ended"
CAUSE = "The local AWS ended while this execution was running. A redrive goes on where it was."

_PARTS = ("events", "states", "results")  # tables
_DATES = ("start_date", "stop_date", "redrive_date")
_FIELDS = (
    *("name", "sm_type", "role_arn", "account_id", "region_name", "execution_input"),
    *("version_arn", "alias_arn", "output", "error", "cause", "redrive_count"),
)


class ExecutionJournal(Journal):
    """Writes what happens in executions into the store.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._definitions: set[str] = set()  # those that are stored

    def changed(self, execution: Any) -> None:
        if isinstance(execution, TestStateExecution):
            return  # of no machine
        machine = execution.state_machine
        digest = hashlib.sha256(machine.definition.encode()).hexdigest()
        if digest not in self._definitions:
            self._store.later(
                ("INSERT OR IGNORE INTO definitions VALUES(?, ?)", (digest, machine.definition))
            )
            self._definitions.add(digest)
        row = (execution.exec_arn, _owner(execution), digest, json.dumps(_document(execution)))
        self._store.write(("INSERT OR REPLACE INTO executions VALUES(?, ?, ?, ?)", row))

    def added(self, arn: str, event: dict[str, Any]) -> None:
        row = (arn, event["id"], json.dumps(event))
        self._store.later(("INSERT OR REPLACE INTO events VALUES(?, ?, ?)", row))

    def entered(self, arn: str, state: str, state_input: Any, results: dict[int, Any]) -> None:
        doc = json.dumps({"state": state, "input": state_input})
        self._store.later(
            ("INSERT OR REPLACE INTO states VALUES(?, ?)", (arn, doc)),
            ("DELETE FROM results WHERE arn = ?", (arn,)),
            *(_result(arn, item, result) for item, result in results.items()),
        )

    def finished(self, arn: str, item: int, result: Any) -> None:
        self._store.later(_result(arn, item, result))


class KeptExecution(Execution):
    """An execution of an earlier run, whose history is read when somebody asks for it."""

    store: ClassVar[Store]
    _worker: Any = None

    @property
    def exec_worker(self) -> Any:
        if self._worker is None:
            self._worker = self._get_start_execution_worker()
            self._worker.env = _environment(self, self._worker)
        return self._worker

    @exec_worker.setter
    def exec_worker(self, worker: Any) -> None:
        self._worker = worker


class KeptExecutions(Shelf):
    """The executions of all state machines.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = KeptExecution.store = store
        self._journal = ExecutionJournal(store)
        self.interrupted: list[Any] = []  # those that ran when the local AWS ended
        orphans = "arn NOT IN (SELECT arn FROM executions)"
        store.write(*((f"DELETE FROM {table} WHERE {orphans}", ()) for table in _PARTS))  # noqa: S608 # nosec B608

    def watch(self) -> None:
        """Notice everything that happens in executions."""
        use(self._journal)
        after(Execution, "announce", lambda _, execution: self._journal.changed(execution))

    def owners(self) -> dict[str, Any]:
        """Return the state machines."""
        return {
            f"{place}/{machine.arn}": machine
            for place, backend in each_backend(stepfunctions_parser_backends)
            for machine in list(backend.state_machines)
        }

    def attach(self, name: str, owner: Any) -> None:
        """Give a state machine its earlier executions; those that ran have failed."""
        query = (
            "SELECT arn, doc, text FROM executions JOIN definitions ON hash = definition "
            "WHERE machine = ?"
        )
        present = {execution.exec_arn for execution in owner.executions}
        for arn, doc, definition in self._store.rows(query, (name,)):
            document = json.loads(doc)
            if _is_expired(document):
                self._forget([arn])
            elif arn not in present:
                execution = _restored(owner, arn, document, definition)
                owner.executions.append(execution)
                if execution.exec_status == ExecutionStatus.RUNNING:
                    self._interrupt(execution)

    def drop(self, name: str) -> None:
        """Forget the executions of a state machine."""
        rows = self._store.rows("SELECT arn FROM executions WHERE machine = ?", (name,))
        self._forget([arn for (arn,) in rows])

    def _forget(self, arns: list[str]) -> None:
        tables = ("executions", *_PARTS)
        self._store.write(
            *((f"DELETE FROM {table} WHERE arn = ?", (arn,)) for arn in arns for table in tables)  # noqa: S608 # nosec B608
        )

    def _interrupt(self, execution: Any) -> None:
        """End an execution that ran when the local AWS ended."""
        execution.exec_status = ExecutionStatus.FAILED
        execution.stop_date = datetime.datetime.now(tz=datetime.UTC)
        execution.error, execution.cause = ERROR, CAUSE
        env = execution.exec_worker.env
        env.event_manager.has_ended = False
        env.event_manager.add_event(
            context=env.event_history_context,
            event_type=HistoryEventType.ExecutionFailed,
            event_details={"executionFailedEventDetails": {"error": ERROR, "cause": CAUSE}},
        )
        execution.ended.set()
        self._journal.changed(execution)
        self.interrupted.append(execution)


def _result(arn: str, item: int, result: Any) -> tuple[str, tuple[Any, ...]]:
    return "INSERT OR REPLACE INTO results VALUES(?, ?, ?)", (arn, item, json.dumps(result))


def _owner(execution: Any) -> str:
    place = f"{execution.account_id}/{execution.region_name}"
    return f"{place}/{execution.state_machine.arn}"


def _document(execution: Any) -> dict[str, Any]:
    return {
        **{field: getattr(execution, field) for field in _FIELDS},
        **{name: _text(getattr(execution, name)) for name in _DATES},
        "status": execution.exec_status.value,
        "revision": getattr(execution.state_machine, "revision_id", None),
    }


def _text(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str | None) -> Any:
    return None if text is None else datetime.datetime.fromisoformat(text)


def _is_expired(document: dict[str, Any]) -> bool:
    ended = _moment(document["stop_date"])
    return ended is not None and ended.timestamp() < time.time() - KEPT_S


def _restored(machine: Any, arn: str, document: dict[str, Any], definition: str) -> Any:
    """Return an execution with the status that it had, of the machine as it was at its start."""
    snapshot = copy.copy(machine)
    snapshot.executions = []
    snapshot.definition, snapshot.roleArn = definition, document["role_arn"]
    snapshot.revision_id = document["revision"]
    execution: Any = KeptExecution(
        name=document["name"],
        sm_type=document["sm_type"],
        role_arn=document["role_arn"],
        exec_arn=arn,
        account_id=document["account_id"],
        region_name=document["region_name"],
        state_machine=snapshot,
        start_date=_moment(document["start_date"]),
        cloud_watch_logging_session=None,
        activity_store={},
        input_data=document["execution_input"],
    )
    for field in _FIELDS[6:]:
        setattr(execution, field, document[field])
    execution.stop_date = _moment(document["stop_date"])
    execution.redrive_date = _moment(document["redrive_date"])
    execution.exec_status = ExecutionStatus(document["status"])
    if execution.exec_status != ExecutionStatus.RUNNING:
        execution.ended.set()
    return execution


def _environment(execution: KeptExecution, worker: Any) -> Any:
    """Return the environment of a run that has ended, with its history and its last state."""
    arn = execution.exec_arn
    rows = execution.store.rows("SELECT doc FROM events WHERE arn = ? ORDER BY id", (arn,))
    env = worker._get_evaluation_environment()
    manager = env.event_manager
    manager._history_event_list.extend(json.loads(doc) for (doc,) in rows)
    manager._event_id_gen._next_id = len(rows) + 1
    manager.has_ended = True
    env.event_history_context = EventHistoryContext(len(rows))
    for (doc,) in execution.store.rows("SELECT doc FROM states WHERE arn = ?", (arn,)):
        state = json.loads(doc)
        results = execution.store.rows("SELECT item, doc FROM results WHERE arn = ?", (arn,))
        reused = {item: json.loads(result) for item, result in results}
        manager.checkpoint = Checkpoint(state["state"], state["input"], reused=reused)
    return env
