"""Jobs in a row stay in one thread; others meanwhile do not wait for it."""

from __future__ import annotations

import threading

import pytest

from memoryscope_rag.stores.threads import WarmThreads


def test_jobs_in_a_row_run_in_one_thread() -> None:
    threads = WarmThreads(4, "test")
    assert len({threads.submit(threading.get_ident).result(10) for _ in range(200)}) == 1
    threads.shutdown()


def test_a_long_job_holds_up_no_other() -> None:
    threads = WarmThreads(3, "test")
    go, began = threading.Event(), threading.Event()

    def long() -> int:
        began.set()
        assert go.wait(10)
        return threading.get_ident()

    first = threads.submit(long)
    assert began.wait(10)
    others = {threads.submit(threading.get_ident).result(10) for _ in range(20)}
    go.set()
    assert first.result(10) not in others
    assert threads.submit(threading.get_ident).result(10) == first.result()
    threads.shutdown()


def test_a_job_that_fails_or_is_cancelled_leaves_its_thread_free() -> None:
    threads = WarmThreads(2, "test")
    home = threads.submit(threading.get_ident).result(10)

    def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        threads.submit(fails).result(10)
    for _ in range(50):
        threads.submit(threading.get_ident).cancel()
    threads._first.submit(int).result(10)
    assert threads.submit(threading.get_ident).result(10) == home
    threads.shutdown()
    with pytest.raises(RuntimeError):
        threads.submit(int)
    with pytest.raises(RuntimeError):
        threads.submit(int)
