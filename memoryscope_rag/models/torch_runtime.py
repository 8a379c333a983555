"""Opening torch models without a trace in the host: its logging, bars, threads, random numbers.

A model lives in a :class:`TorchThread`: that one thread opens it and runs it, so one call goes at
a time, others wait their turn, and the event loop never does.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from memoryscope_rag.errors import InvalidInput, MissingExtra, ModelCorrupt, ModelError
from memoryscope_rag.models.files import TOKENIZER_NAME
from memoryscope_rag.models.graph import cores
from memoryscope_rag.models.tokenizer import read_tokenizer

P = ParamSpec("P")
T = TypeVar("T")
_QUIET = threading.Lock()
"""What :func:`quietly` switches belongs to the process, so one thread at a time may."""


def require_transformers(what: str) -> None:
    """Raises MissingExtra unless torch and transformers are installed. Imports nothing."""
    if not all(find_spec(name) for name in ("safetensors", "torch", "transformers")):
        raise MissingExtra("transformers", what)


class TorchThread:
    """A thread that does a model's work in order, with its own number of torch threads.

    ``threads`` 0 takes half the cores that this process may use. Torch's threads spin while they
    wait for each other, so where another process wants the same cores a step takes not twice but
    five times as long, and memory runs beside the program that it serves.
    """

    def __init__(self, name: str, threads: int = 0) -> None:
        if threads < 0:
            raise InvalidInput("threads", f"is {threads}, must not be negative")
        self._name = name
        self._pool = ThreadPoolExecutor(
            1,
            thread_name_prefix=name,
            initializer=_use_threads,
            initargs=(threads or max(1, cores() // 2),),
        )

    def submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue ``work``.

        Raises:
            ModelError: the thread was closed.
        """
        try:
            return self._pool.submit(work, *args, **kwargs)
        except RuntimeError as error:
            raise ModelError(f"the model {self._name} is closed") from error

    def close(self, *, wait: bool = True) -> None:
        """Give up what is queued; with ``wait`` also wait for what is running."""
        self._pool.shutdown(wait=wait, cancel_futures=True)


def _use_threads(count: int) -> None:
    """Let this thread's operations use ``count`` threads, and no other thread's.

    torch keeps the number by thread, and beside it one that new threads begin with. Setting it
    sets both; setting it back in a thread that ends at once mends the second.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    mending = threading.Thread(target=torch.set_num_threads, args=(before,))
    mending.start()
    mending.join()


def open_decoder(folder: Path, device: str | None) -> tuple[Any, Any]:
    """(model, tokenizer) of a causal language model, ready to run.

    float32 on a CPU, where bfloat16 takes five times as long for a prompt unless the CPU has
    instructions for it; elsewhere as stored.

    Raises:
        ModelCorrupt: the folder holds none that can be opened.
    """
    from transformers import AutoModelForCausalLM

    return _open(AutoModelForCausalLM, folder, device)


def open_classifier(folder: Path, device: str | None) -> tuple[Any, Any]:
    """As :func:`open_decoder`, of a model that classifies sequences."""
    from transformers import AutoModelForSequenceClassification

    return _open(AutoModelForSequenceClassification, folder, device)


def _open(kind: Any, folder: Path, device: str | None) -> tuple[Any, Any]:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoTokenizer

    try:
        place = torch.device(device or "cpu")
    except RuntimeError as error:
        raise InvalidInput("device", f"{device!r} is no device of torch") from error
    options = {"local_files_only": True, "trust_remote_code": False}
    if (folder / TOKENIZER_NAME).is_file():
        read_tokenizer(folder / TOKENIZER_NAME)  # tells a damaged one by a proper error
    try:
        with quietly():
            tokenizer = AutoTokenizer.from_pretrained(str(folder), **options)
            model, report = kind.from_pretrained(
                str(folder),
                dtype=torch.float32 if place.type == "cpu" else "auto",
                use_safetensors=True,
                output_loading_info=True,
                **options,
            )
        model.to(place).eval()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise ModelCorrupt(f"{folder} holds no model that can be opened: {error}") from error
    except (RuntimeError, SafetensorError) as error:
        raise ModelCorrupt(f"the weights in {folder} cannot be loaded: {error}") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelCorrupt(
            f"{folder} lacks {len(missing)} weights of a {type(model).__name__}, "
            f"such as {missing[0]}: it was made for something else"
        )
    return model, tokenizer


@contextmanager
def quietly() -> Iterator[None]:
    """Without bars of this thread and without warnings in the log of transformers."""
    from transformers.utils import logging as theirs

    this = threading.get_ident()

    def without_bar(factory: Any, args: Any, kwargs: Any) -> Any:
        if threading.get_ident() == this:
            kwargs = {**kwargs, "disable": True}
        return factory(*args, **kwargs) if before is None else before(factory, args, kwargs)

    set_hook = getattr(theirs, "set_tqdm_hook", None)  # since transformers 5
    logger = logging.getLogger("transformers")
    with _QUIET:
        before: Any = None
        if set_hook is not None:
            before = set_hook(without_bar)
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
            if set_hook is not None:
                set_hook(before)
