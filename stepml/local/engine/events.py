"""EventBridge: tells the targets of rules that an execution has a new status."""

from __future__ import annotations

import datetime
import logging
import queue
import threading
import uuid
from dataclasses import dataclass
from typing import Any

from moto.events.models import events_backends
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.backend.execution import Execution

from stepml.local.engine.redrive import not_redrivable_reason
from stepml.local.engine.targets import Targets
from stepml.local.lambda_api import LambdaApi
from stepml.local.seams import Seams

logger = logging.getLogger(__name__)

# EventBridge omits input and output if they are larger than this together.
MAX_DATA_BYTES = 248 * 1024
Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A new status of an execution, with its details at that moment."""

    execution: Any
    detail: Event  # all but input and output


def event_seams(functions: LambdaApi) -> Seams:
    """Return the seam that delivers changes of status to the targets of rules."""
    seams = Seams()
    changes: queue.SimpleQueue[StatusChange] = queue.SimpleQueue()
    delivery = threading.Thread(
        target=_deliver, args=(changes, Targets(functions)), name="status-events", daemon=True
    )
    starting = threading.Lock()

    @seams.replaces(Execution, "announce", why="is missing: rules have no effect")
    def announce(self: Any) -> None:
        # Under the execution's lock, while the engine waits: another thread does the work.
        if not _rules(self):
            return
        changes.put(StatusChange(self, _detail(self)))
        with starting:
            if not delivery.is_alive():
                delivery.start()

    return seams


def _rules(execution: Any) -> list[Any]:
    """Return the enabled rules with a pattern in the region of ``execution``."""
    backend = events_backends[execution.account_id][execution.region_name]
    return [
        rule
        for rule in list(backend.event_buses["default"].rules.values())
        if rule.state == "ENABLED" and rule.event_pattern.get_pattern()
    ]


def _detail(execution: Any) -> Event:
    reason = not_redrivable_reason(execution)
    return {
        "executionArn": execution.exec_arn,
        "stateMachineArn": execution.state_machine.arn,
        "name": execution.name,
        "status": execution.exec_status.value,
        "startDate": _milliseconds(execution.start_date),
        "stopDate": _milliseconds(execution.stop_date),
        "stateMachineVersionArn": None,
        "stateMachineAliasArn": None,
        "redriveCount": execution.redrive_count,
        "redriveDate": _milliseconds(execution.redrive_date),
        "redriveStatus": "REDRIVABLE" if reason is None else "NOT_REDRIVABLE",
        "redriveStatusReason": reason,
        "error": execution.error,
        "cause": execution.cause,
    }


def _milliseconds(moment: datetime.datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)


def _deliver(changes: queue.SimpleQueue[StatusChange], targets: Targets) -> None:
    while True:
        change = changes.get()
        try:
            _deliver_one(change, targets)
        except Exception:  # the next event must still be delivered
            logger.exception("an event of %s was not delivered", change.execution.exec_arn)


def _deliver_one(change: StatusChange, targets: Targets) -> None:
    event = status_event(change)
    for rule in _rules(change.execution):
        if rule.event_pattern.matches_event(event):
            for target in list(rule.targets):
                targets.deliver(rule, target, event)


def status_event(change: StatusChange) -> Event:
    """Return EventBridge's event for ``change``."""
    execution, status = change.execution, change.detail["status"]
    output = to_json_str(execution.output) if status == "SUCCEEDED" else None
    is_small = len(execution.execution_input) + len(output or "") <= MAX_DATA_BYTES
    details = {"included": is_small}
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Step Functions Execution Status Change",
        "source": "aws.states",
        "account": execution.account_id,
        "time": f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%dT%H:%M:%SZ}",
        "region": execution.region_name,
        "resources": [execution.exec_arn],
        "detail": {
            **change.detail,
            "input": execution.execution_input if is_small else None,
            "inputDetails": details,
            "output": output if is_small else None,
            "outputDetails": None if output is None else details,
        },
    }
