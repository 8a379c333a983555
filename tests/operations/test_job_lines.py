"""What an application and its background process say to each other arrives as it was meant."""

from __future__ import annotations

import pytest

from memoryscope_rag.errors import (
    BudgetExceeded,
    DuplicateId,
    InvalidInput,
    LeaseLost,
    MalformedReply,
    MemoryScopeError,
    MemoryStale,
    MissingExtra,
    ModelError,
    StoreUnavailable,
)
from memoryscope_rag.models.ledger import Ledger, Spent
from memoryscope_rag.operations.consolidate import ConsolidationReport
from memoryscope_rag.operations.job_lines import (
    Answer,
    Ask,
    Begin,
    Cancel,
    Done,
    Failed,
    Holding,
    Job,
    Logged,
    Order,
    Progressed,
    Ready,
    Report,
    answer_line,
    error_of,
    failed,
    order_line,
    plain_report,
    read_answer,
    read_order,
    report_of,
)
from memoryscope_rag.operations.reflect import ReflectionReport
from memoryscope_rag.operations.refresh import RefreshReport
from memoryscope_rag.ports import Lease, Usage
from memoryscope_rag.schema import Scope
from memoryscope_rag.workers.backend.state import Action
from tests.operations.consolidating import NOON

SPENT = {"m": Spent(2, Usage(30, 5), 0.25, 1)}


class OfAnotherPackage(ModelError):
    """Known to nobody but its package."""


@pytest.mark.parametrize(
    "order",
    [
        Begin('{"store": {}}', 30),
        Ask(1, "consolidate", Scope("ann", "helper", "acme")),
        Ask(2, "refresh", Scope("安\n"[0]), 20.0, True),
        Cancel(2),
    ],
)
def test_orders(order: Order) -> None:
    line = order_line(order)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert read_order(line) == order


@pytest.mark.parametrize(
    "answer",
    [
        Ready(),
        Done(1, None),
        Done(2, {"read": 3}, SPENT),
        Failed(None, "ConfigError", "two\nlines", {"a": 1.5}),
        Progressed(3, 1, 2),
        Holding(()),
        Holding((Lease(Scope("安"), "consolidate", "a/b", 7, NOON),)),
        Logged("memoryscope_rag.x", 30, "it — failed\r\n"),
    ],
)
def test_answers(answer: Answer) -> None:
    line = answer_line(answer)
    assert line.count(b"\n") == 1
    assert read_answer(line) == answer


@pytest.mark.parametrize(
    ("job", "report"),
    [
        (
            "consolidate",
            ConsolidationReport(
                messages=3,
                consolidated=1,
                parked={"m1": "why"},
                failed={"m2": "why not"},
                actions=(Action("added", "n", "Ann lives in 里斯本\u2028."),),
                batches=1,
                calls=2,
                usage=Usage(7, 5),
            ),
        ),
        ("reflect", ReflectionReport(proposed=("Ann: home",), failures=("x",), again=True)),
        ("refresh", RefreshReport(read=2, seconds=0.5, rebuilt=True, failed="m")),
        ("break_off", None),
    ],
)
def test_reports(job: Job, report: Report) -> None:
    answer = read_answer(answer_line(Done(1, plain_report(job, report))))
    assert isinstance(answer, Done)
    assert report_of(job, answer.report) == report


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("limit", "is 0"),
        DuplicateId("message id", "taken"),
        StoreUnavailable("busy"),
        LeaseLost("gone"),
        ModelError("down", retryable=True, retry_after=2.5, detail="said the server"),
        BudgetExceeded("spent"),
        MemoryStale(),
        MalformedReply("no JSON", "text", problem="is no JSON"),
        MissingExtra("transformers", "the beacon memory"),
    ],
)
def test_errors_are_of_the_same_class_with_the_same_words(error: MemoryScopeError) -> None:
    answer = read_answer(answer_line(failed(1, error, SPENT)))
    assert isinstance(answer, Failed)
    assert answer.spent == SPENT
    again = error_of(answer)
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_other_errors_keep_what_we_know_of_them_and_tell_no_content() -> None:
    ours = error_of(failed(1, OfAnotherPackage("down", retryable=True), {}))
    assert type(ours) is ModelError
    assert ours.retryable
    theirs = error_of(failed(1, KeyError("what Ann said"), {}))
    assert type(theirs) is RuntimeError
    assert "KeyError" in str(theirs)
    assert "Ann" not in str(theirs)


def test_ledgers_add_up() -> None:
    here, there = Ledger(), Ledger()
    here.add("m", Usage(1, 1), 0.5)
    there.add("m", Usage(30, 5), 0.25, estimated=True)
    before = there.by_model()["m"]
    there.add("m", Usage(2, 2), 0.5)
    here.add_all({"m": there.by_model()["m"].since(before)})
    assert here.by_model() == {"m": Spent(2, Usage(3, 3), 1.0, 0)}
