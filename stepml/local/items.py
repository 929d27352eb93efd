"""DynamoDB: atomic conditional writes."""

from __future__ import annotations

import threading
from typing import Any

from moto.dynamodb.models.table import Table

from stepml.local.seams import Seams

seams = Seams()

_put_item = Table.put_item
# Writers of the same item share a lock; those of different items seldom do.
_STRIPES = [threading.Lock() for _ in range(256)]


@seams.replaces(
    Table, "put_item", why="checks the condition, then writes, so two callers may both succeed"
)
def put_item(self: Any, item_attrs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
    key = str(item_attrs.get(self.hash_key_attr))
    with _STRIPES[hash((self.name, key)) % len(_STRIPES)]:
        return _put_item(self, item_attrs, *args, **kwargs)
