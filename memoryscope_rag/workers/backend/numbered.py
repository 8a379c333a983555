"""Replies that answer by number: what was not asked, asked twice or not answered is refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _storable(text: str) -> str:
    text = text.strip()
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds a lone surrogate, which is no text") from None
    return text.replace("\0", "")


def _some(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


Number = Annotated[int, Field(strict=True)]
"""A number that stands before what is asked about: no text and no truth value will do."""
Text = Annotated[str, AfterValidator(_storable)]
SomeText = Annotated[Text, AfterValidator(_some)]


class Item(BaseModel):
    """A part of a reply; keys that were not asked for are passed over."""

    model_config = ConfigDict(frozen=True)


class NumberedReply(Item):
    """A reply about things that were numbered from 1 to ``count``."""

    count: ClassVar[int] = 0

    @classmethod
    def of(cls, count: int) -> type[Self]:
        """This type of reply, for so many things."""
        return type(cls.__name__, (cls,), {"count": count, "__module__": cls.__module__})

    @classmethod
    def check_range(cls, numbers: Iterable[int]) -> None:
        """Raise ValueError unless all are in 1 to ``count``."""
        if wrong := sorted({number for number in numbers if not 1 <= number <= cls.count}):
            raise ValueError(f"no such number: {_list(wrong)}; they go from 1 to {cls.count}")

    @classmethod
    def check_each_once(cls, numbers: Iterable[int]) -> None:
        """Raise ValueError unless every number from 1 to ``count`` is there exactly once."""
        numbers = list(numbers)
        cls.check_range(numbers)
        if twice := sorted({number for number in numbers if numbers.count(number) > 1}):
            raise ValueError(f"answered more than once: {_list(twice)}")
        if left := sorted(set(range(1, cls.count + 1)) - set(numbers)):
            raise ValueError(f"not answered: {_list(left)}")


def _list(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:20]))
    return f"{shown} and {len(numbers) - 20} more" if len(numbers) > 20 else shown
