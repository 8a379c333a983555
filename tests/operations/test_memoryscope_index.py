"""Documents that MemoryScope wrote become messages, facts and insights; nothing is unpickled."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from memoryscope_rag.errors import InvalidInput
from memoryscope_rag.operations.memoryscope_index import hits_of, remembered

TIME = 1_714_566_600  # 2024-05-01 12:30 UTC
# a pickle that would end the process
POISON = "\x80\x04\x95\x15\0\0\0\0\0\0\0\x8c\x08builtins\x8c\x04exit\x93)R."


def document(name: str, kind: str, content: str, **fields: Any) -> dict[str, Any]:
    """A hit as Elasticsearch returns one of MemoryScope's, through LlamaIndex."""
    inner = fields.pop("meta_data", {})
    return {
        "_index": "memory_index",
        "_id": name,
        "_source": {
            "content": content,
            "embedding": [0.1, 0.2, 0.3, 0.4],
            "metadata": {
                "memory_id": name,
                "user_name": "AI",
                "target_name": "Ann",
                "meta_data": inner,
                "key": "",
                "value": "",
                "memory_type": kind,
                "action_status": "none",
                "store_status": "valid",
                "timestamp": TIME,
                "dt": "20240501",
                "obs_reflected": 1,
                "obs_updated": 1,
                "key_vector": POISON,
                "_node_content": json.dumps({"metadata": {"key_vector": POISON}}),
                "_node_type": "TextNode",
                "document_id": "None",
                "doc_id": "None",
                "ref_doc_id": "None",
                **fields,
            },
        },
    }


SPOKEN = {"conversation": "I will fly to Rome next Monday", "keywords": "travel, Rome"}
SAMPLE = [
    document(
        "obs1",
        "observation",
        "Ann will fly to Rome (on May 6, 2024)",
        meta_data={**SPOKEN, "time_infer": "May 6, 2024", "event_year": "2024", "event_day": "6"},
    ),
    document("obs2", "observation", "Ann likes flying", meta_data=SPOKEN),
    document("obs3", "observation", "Ann lives in Paris", store_status="expired"),
    document("note1", "obs_customized", "Ann is allergic to nuts"),
    document("ins1", "insight", "city: Rome", key="city", value="Rome"),
]


def node(hit: dict[str, Any]) -> dict[str, Any]:
    """The one version of a document's node."""
    (version,) = json.loads(remembered(hit).node)["versions"]
    return dict(version)


def test_an_observation_rests_on_its_message() -> None:
    first, second = remembered(SAMPLE[0]), remembered(SAMPLE[1])
    assert (first.person, first.assistant) == ("Ann", "AI")
    assert first.message is not None
    assert first.message == second.message
    message = json.loads(first.message)
    assert message["content"] == SPOKEN["conversation"]
    assert (message["role"], message["speaker"], message["state"]) == (
        "user",
        "Ann",
        "consolidated",
    )
    made = node(SAMPLE[0])
    assert (made["id"], made["kind"], made["provenance"]) == (
        "obs1",
        "observation",
        [message["id"]],
    )
    assert made["said_at"] == made["valid_from"] == "2024-05-01T12:30:00+00:00"
    assert made["event"]["start"].startswith("2024-05-06")
    assert made["metadata"] == {"origin": "memoryscope", "keywords": "travel, Rome"}
    assert node(SAMPLE[1])["event"] is None


def test_other_kinds_and_what_had_expired() -> None:
    expired = node(SAMPLE[2])
    assert expired["valid_to"] == expired["said_at"]
    assert remembered(SAMPLE[2]).message is None
    assert (node(SAMPLE[3])["kind"], node(SAMPLE[3])["valid_to"]) == ("note", None)
    insight = node(SAMPLE[4])
    assert (insight["kind"], insight["content"]) == ("insight", "city: Rome")
    assert insight["metadata"] == {
        "origin": "memoryscope",
        "subject": "Ann",
        "attribute": "city",
        "value": "Rome",
    }


def test_nothing_of_the_pickle_is_taken() -> None:
    for hit in copy.deepcopy(SAMPLE):
        one = remembered(hit)
        assert "builtins" not in one.node + (one.message or "")
        del hit["_source"]["metadata"]["key_vector"], hit["_source"]["embedding"]
        assert remembered(hit) == one


@pytest.mark.parametrize(
    ("hit", "said"),
    [
        (1, "_source"),
        ({"_source": {"content": "x"}}, "no document of MemoryScope"),
        (document("x", "dream", "x"), "memory_type"),
        (document("x", "insight", " "), "content: is empty"),
        (document("x", "insight", "x", timestamp="now"), "timestamp"),
        (document("x", "insight", "x", timestamp=1e300), "timestamp"),
        (document("x\0", "insight", "x"), "node id"),
        (document("x", "insight", "x", target_name="n" * 300), "speaker"),
        (document("x", "insight", "\ud800"), "content"),
    ],
)
def test_what_cannot_be_read_is_named(hit: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        remembered(hit)


def test_answers_of_a_search_are_taken_apart() -> None:
    assert list(hits_of({"took": 1, "hits": {"total": 5, "hits": SAMPLE}})) == SAMPLE
    assert list(hits_of(SAMPLE[0])) == SAMPLE[:1]
    assert list(hits_of({"hits": {"hits": None}})) == [None]
