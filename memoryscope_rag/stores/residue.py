"""Deleted bytes that SQLite leaves in its pages, and whether they are ours.

``secure_delete`` overwrites what is deleted, but when pages are split or joined cells are copied,
and an old copy may stay in the unused middle of a page; deleting the row later overwrites only
the copy in use. (Seen for two or three in a thousand rows after random inserts, updates and
deletes.) ``VACUUM`` drops them all, and takes as long as the file is large, so it is run only
where this finds a piece of what was forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence

PIECE = 16
"""Bytes of a trace that are looked for at a time; any stale fragment of twice that holds one."""
WORK_LIMIT = 1_000_000_000
"""Bytes to compare above which rewriting the file is the faster way to be sure."""

_INTERIOR = {2, 5}
_LEAF = {10, 13}


def unused_bytes(image: bytes) -> bytes:
    """What stands between the cell pointers and the cells of every b-tree page of a database.

    ``image`` is the whole file. Stretches of zeros are left out.
    """
    page_size = int.from_bytes(image[16:18], "big")
    page_size = 65_536 if page_size == 1 else page_size
    found = []
    for page in range(0, len(image), page_size):
        head = page + (100 if page == 0 else 0)
        kind = image[head]
        if kind not in _INTERIOR and kind not in _LEAF:
            continue
        cells = int.from_bytes(image[head + 3 : head + 5], "big")
        content = int.from_bytes(image[head + 5 : head + 7], "big") or 65_536
        begin = head + (12 if kind in _INTERIOR else 8) + 2 * cells
        gap = image[begin : page + content].strip(b"\0")
        if gap:
            found.append(gap)
    return b"\0".join(found)


def left_behind(image: bytes, traces: Sequence[bytes]) -> bool:
    """Whether a piece of a trace may still stand in unused bytes; ``True`` when in doubt."""
    unused = unused_bytes(image)
    if not unused:
        return False
    pieces = {trace[at : at + PIECE] for trace in traces for at in range(0, len(trace), PIECE)}
    # the short ends of long traces, and numbers, would be found by chance
    pieces = {piece for piece in pieces if len(piece) >= 6}
    if len(pieces) * len(unused) > WORK_LIMIT:
        return True
    return any(piece in unused for piece in pieces)
