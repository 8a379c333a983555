"""Messages as lines with their time, so that a memory knows when something was said.

A line depends on its message alone: in whatever pieces a conversation is read, and whatever of it
is forgotten later, the others' lines are the same.
"""

from __future__ import annotations

from datetime import tzinfo

from memoryscope_rag.schema import NewMessage

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
"""Not from strftime, whose names follow the locale of the process."""


def transcript_line(message: NewMessage, zone: tzinfo | None = None) -> str:
    """``[2026-11-21 Sat 04:12 +00:00] Ann: …``, with the line end.

    Further lines of the message are indented, so that it cannot pose as another one.

    Args:
        zone: in which times are given; ``None``: as the message has them.
    """
    time = message.created_at
    if zone is not None:
        time = time.astimezone(zone)
    day = f"{time:%Y-%m-%d} {_WEEKDAYS[time.weekday()]}"
    offset = f"{time:%z}"
    body = "\n    ".join(message.content.splitlines())
    who = message.speaker or message.role
    return f"[{day} {time:%H:%M} {offset[:3]}:{offset[3:5]}] {who}: {body}\n"
