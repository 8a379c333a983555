"""One model for two threads: one that answers questions, and one that reads in the background.

Whoever asks comes first: the reader waits between two of its steps as long as anybody asks.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from memoryscope_rag.beacon.memorizing import GivenUp
from memoryscope_rag.models.decoding import Stopped

_LOOK_SECONDS = 0.05


class Turns:
    """Who has the model."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken = False
        self._asking = 0

    @contextmanager
    def asking(self, given_up: GivenUp) -> Iterator[None]:
        """The model for a question. Raises Stopped when ``given_up`` says so before."""
        with self._changed:
            self._asking += 1
        try:
            with self._turn(lambda: not self._taken, given_up):
                yield
        finally:
            with self._changed:
                self._asking -= 1
                self._changed.notify_all()

    @contextmanager
    def reading(self, given_up: GivenUp) -> Iterator[None]:
        """The model for a step of reading, when nobody asks. Raises Stopped, see :meth:`asking`."""
        with self._turn(lambda: not (self._taken or self._asking), given_up):
            yield

    @contextmanager
    def _turn(self, may: GivenUp, given_up: GivenUp) -> Iterator[None]:
        with self._changed:
            while not may():
                self._changed.wait(_LOOK_SECONDS)
                if given_up():
                    raise Stopped
            self._taken = True
        try:
            yield
        finally:
            with self._changed:
                self._taken = False
                self._changed.notify_all()
