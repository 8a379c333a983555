"""Chat models on this machine, through transformers (extra ``transformers``)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import aclosing
from pathlib import Path

from memoryscope_rag.errors import ModelError
from memoryscope_rag.models.chat_presets import DEFAULT_CHAT_MODEL
from memoryscope_rag.models.cross_encoder import CrossEncoder
from memoryscope_rag.models.decoding import Decoder, Stopped
from memoryscope_rag.models.ladder import with_schema
from memoryscope_rag.models.picking import check_sampling
from memoryscope_rag.models.torch_folders import locate_chat_model
from memoryscope_rag.models.torch_runtime import TorchThread, open_decoder, require_transformers
from memoryscope_rag.ports import ChatMessage, Delta, JsonSchema, Reply, Sampling

__all__ = ["CrossEncoder", "TransformersGenerator"]


class TransformersGenerator:
    """A :class:`~memoryscope_rag.ports.Generator` on a model in this process.

    One reply at a time; others wait in order. The event loop is never blocked, and a reply that
    nobody waits for any more ends with the token that it is at. For any number of event loops.
    Made by :meth:`load`.
    """

    def __init__(self, model: str, decoder: Future[Decoder], thread: TorchThread) -> None:
        self._decoder: Future[Decoder] | None = decoder
        self._model = model
        self._thread = thread
        self._closed = threading.Event()

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = DEFAULT_CHAT_MODEL,
        *,
        models_dir: Path | None = None,
        cache_dir: Path | None = None,
        threads: int = 0,
        device: str | None = "cpu",
        wait: bool = True,
    ) -> TransformersGenerator:
        """Find, check and open a model; some seconds, the first time for a GGUF file half a
        minute. Blocks by default: an application does so before it serves.

        Args:
            name_or_path: a preset, a folder in the layout of transformers, a ``.gguf`` file, or
                ``owner/name`` of a model in the hub's cache on this machine.
            models_dir: where model folders are; looked at first.
            cache_dir: where pulled and converted models are;
                ``~/.cache/memoryscope-rag/models`` by default.
            threads: of torch; 0 is half the cores. Two that have a core each read a prompt
                nearly twice as fast as one; two that have not, several times slower.
            device: of torch, such as ``cuda``; ``None`` is the CPU.
            wait: ``False`` returns at once; the model opens beside, a reply waits for it, and
                raises what opening raises.

        Raises:
            MissingExtra: torch or transformers is not installed.
            InvalidInput: an unknown name or device.
            ModelNotFound: the files are not here; says how to get them.
            ModelCorrupt: a file is not the pinned one, or is no model.
            ModelError: the weights are pickled, or it is no chat model.
        """
        require_transformers("TransformersGenerator")
        name = str(name_or_path).rstrip("/\\")
        if Path(name).expanduser().exists():
            name = Path(name).expanduser().resolve().name
        thread = TorchThread(f"chat-{name}", threads)

        def opening() -> Decoder:
            folder = locate_chat_model(name_or_path, models_dir=models_dir, cache_dir=cache_dir)
            model, tokenizer = open_decoder(folder, device)
            return Decoder(model, tokenizer, name)

        try:
            decoder = thread.submit(opening)
            if wait:
                decoder.result()
            return cls(name, decoder, thread)
        except BaseException:
            thread.close(wait=False)
            raise

    @property
    def model(self) -> str:
        """The preset, the hub's name, or the name of the folder."""
        return self._model

    async def generate(
        self,
        messages: Sequence[ChatMessage],
        *,
        sampling: Sampling = Sampling(),
        schema: JsonSchema | None = None,
    ) -> Reply:
        """See :class:`~memoryscope_rag.ports.Generator`. A schema is told in the prompt, no more.

        Raises:
            InvalidInput: no messages, or a sampling that makes no sense.
            ModelError: a turn does not fit the model, torch failed, or it was closed.
        """
        if schema is not None:
            messages = with_schema(messages, schema)
        async with aclosing(self.stream(messages, sampling=sampling)) as deltas:
            async for delta in deltas:
                if delta.reply is not None:
                    return delta.reply
        raise AssertionError("a stream ends with its reply")

    async def stream(
        self, messages: Sequence[ChatMessage], *, sampling: Sampling = Sampling()
    ) -> AsyncGenerator[Delta]:
        """See :class:`~memoryscope_rag.ports.Generator`. Reasoning comes with the last piece.

        The model does not wait for a slow reader.
        """
        decoder = self._decoder
        if decoder is None:
            raise ModelError(f"the model {self._model} is closed")
        check_sampling(sampling)
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        given_up = threading.Event()

        def tell(piece: str | None) -> None:
            try:
                loop.call_soon_threadsafe(pieces.put_nowait, piece)
            except RuntimeError:  # the loop was closed
                given_up.set()

        job = self._thread.submit(
            # opened by the job before this one, in the same thread
            lambda: decoder.result().reply(
                tuple(messages),
                sampling,
                tell,
                lambda: given_up.is_set() or self._closed.is_set(),
            )
        )
        job.add_done_callback(lambda _: tell(None))
        try:
            while (piece := await pieces.get()) is not None:
                yield Delta(piece)
            try:
                reply = job.result()
            except (Stopped, CancelledError):
                raise ModelError(f"the model {self._model} was closed") from None
            yield Delta("", reply)
        finally:
            given_up.set()
            job.cancel()

    async def close(self) -> None:
        """End what is running, which fails, and free the memory; a second call does nothing."""
        self._closed.set()
        self._decoder = None
        self._thread.close(wait=False)
        await asyncio.to_thread(self._thread.close)
