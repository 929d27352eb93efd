"""Targets of EventBridge's rules: functions, topics, queues, and addresses of the web."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from moto.events.models import events_backends
from moto.stepfunctions.parser.asl.utils.json_path import NoSuchJsonPathError
from moto.utilities.arns import parse_arn

from stepml.local.engine.paths import select
from stepml.local.lambda_api import InvokeError, LambdaApi

logger = logging.getLogger(__name__)

WEB_TIMEOUT_S = 5.0  # as AWS's
WEB_PAUSES_S = (1.0, 5.0)  # before the further attempts; AWS makes them for up to a day
Event = Mapping[str, Any]
Target = Mapping[str, Any]


class Targets:
    """Delivers events to the targets of rules.

    Parameters
    ----------
    functions : LambdaApi
    """

    def __init__(self, functions: LambdaApi) -> None:
        self._functions = functions

    def deliver(self, rule: Any, target: Target, event: Event) -> None:
        """Deliver an event to a target of a rule; what may take long goes on in a thread."""
        arn = parse_arn(target["Arn"])
        sends: dict[str, Callable[[str, str, str, str], None]] = {
            "lambda": self._invoke,
            "sns": partial(_in_thread, _publish),
            "sqs": _send,
            "events": partial(_in_thread, _post),
        }
        send = sends.get(arn.service)
        if send is None:
            logger.warning("rule %s: %s is no target here", rule.name, target["Arn"])
            return
        send(target["Arn"], payload(target, event), event["account"], event["region"])

    def _invoke(self, arn: str, text: str, account_id: str, region: str) -> None:
        try:
            self._functions.invoke_async(account_id, region, arn, None, text.encode())
        except InvokeError as error:
            logger.warning("%s is not invoked: %s", arn, error.message)


def payload(target: Target, event: Event) -> str:
    """Return the text that a target gets: the event, a part of it, or a text made of parts."""
    transformer = target.get("InputTransformer")
    if transformer is not None:
        parts = transformer.get("InputPathsMap", {})
        values = {name: _part(path, event) for name, path in parts.items()}
        return _filled(transformer["InputTemplate"], values)
    if "InputPath" in target:
        return json.dumps(_part(target["InputPath"], event))
    return str(target.get("Input", json.dumps(event)))


def _part(path: str, event: Event) -> Any:
    try:
        return select(path, event)
    except NoSuchJsonPathError:
        return ""


def _filled(template: str, values: Mapping[str, Any]) -> str:
    """Return a template with values in the place of ``<name>``, as JSON outside of strings."""
    parts = template.split('"')  # every second one is inside of a string
    for place, part in enumerate(parts):
        for name, value in values.items():
            is_bare = isinstance(value, str) and place % 2
            text = json.dumps(value)[1:-1] if is_bare else json.dumps(value)
            part = part.replace(f"<{name}>", text)  # noqa: PLW2901
        parts[place] = part
    return '"'.join(parts)


def _in_thread(send: Any, *given: Any) -> None:
    def try_it() -> None:
        try:
            send(*given)
        except Exception:  # of one target; the others have theirs
            logger.exception("an event was not delivered to %s", given[0])

    threading.Thread(target=try_it, name="event-target", daemon=True).start()


def _publish(arn: str, text: str, account_id: str, region: str) -> None:
    from moto.sns.models import sns_backends

    sns_backends[account_id][region].publish(text, arn=arn)


def _send(arn: str, text: str, account_id: str, region: str) -> None:
    from moto.sqs.models import sqs_backends

    sqs_backends[account_id][region].send_message(
        queue_name=arn.rpartition(":")[2], message_body=text
    )


def _post(arn: str, text: str, account_id: str, region: str) -> None:
    """Post to an API destination, with the header of its connection."""
    backend = events_backends[account_id][region]
    destination = backend.destinations[arn.split("/")[1]]
    connection = backend.connections[destination.connection_arn.split("/")[1]]
    key = connection.auth_parameters.get("ApiKeyAuthParameters", {})
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Amazon/EventBridge/ApiDestinations",
        **({key["ApiKeyName"]: key["ApiKeyValue"]} if key else {}),
    }
    request = Request(  # noqa: S310 - an address of the person's own
        destination.invocation_endpoint, text.encode(), headers, method=destination.http_method
    )
    for pause_s in (*WEB_PAUSES_S, None):
        try:
            urlopen(request, timeout=WEB_TIMEOUT_S).close()  # noqa: S310 # nosec B310
        except OSError as error:
            is_refusal = isinstance(error, HTTPError) and error.code < 500 and error.code != 429
            if pause_s is None or is_refusal:
                raise
            time.sleep(pause_s)
        else:
            return
