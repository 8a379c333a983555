"""JSON by orjson: the standard library took half of a search to write and read its vectors."""

from __future__ import annotations

from typing import Any

import orjson
from elastic_transport import NdjsonSerializer, OrjsonSerializer, Serializer


class OrjsonLines(NdjsonSerializer):
    """Requests of several lines, which the client itself writes by the standard library only."""

    def json_dumps(self, data: Any) -> bytes:
        """One line, without its end."""
        return orjson.dumps(data)

    def json_loads(self, data: bytes) -> Any:
        """The value of one line."""
        return orjson.loads(data)


SERIALIZERS: dict[str, Serializer] = {
    serializer.mimetype: serializer for serializer in (OrjsonSerializer(), OrjsonLines())
}
