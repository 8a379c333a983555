"""Stories, games and role-play: what is said in them is no fact, also turns later."""

from __future__ import annotations

import pytest

from memoryscope_rag.statements import Turn, read

PLAYS = {
    "a game that both play": (
        [
            ("u", "Let's play a role-play: you are a dragon and I am a knight.", []),
            ("a", "Roar! Who dares to enter my cave?", []),
            ("u", "I live in the castle of Morn and I have two swords.", []),
            ("u", "My sister Isolde works at the royal court.", []),
            ("u", "Enough of the game. I have a dentist appointment on Friday.",
             ["I have a dentist appointment on Friday."]),
            ("u", "My sister Clara works at Siemens.", ["My sister Clara works at Siemens."]),
        ]
    ),
    "a novel": (
        [
            ("u", "I'm writing a novel about crime.", ["I'm writing a novel about crime."]),
            ("u", "In my novel, I am a smuggler in Marseille.", []),
            ("u", "He moved to Algiers and bought a ship. She works at the harbour.", []),
            ("u", "I moved to Lisbon in May.", ["I moved to Lisbon in May."]),
        ]
    ),
    "a story asked for": (
        [
            ("u", "Write me a story about a girl. She lives in a lighthouse with her cat.", []),
            ("u", "I bought a lighthouse postcard in Brest.",
             ["I bought a lighthouse postcard in Brest."]),
        ]
    ),
    "角色扮演": (
        [
            ("u", "我们来玩角色扮演吧，你是国王，我是骑士。", []),
            ("u", "我住在摩恩城堡，我有两把剑。", []),
            ("u", "不玩了。我周五约了牙医。", ["我周五约了牙医。"]),
            ("u", "我妹妹在西门子上班。", ["我妹妹在西门子上班。"]),
        ]
    ),
    "小说": (
        [
            ("u", "我正在写一部关于走私犯的小说。", ["我正在写一部关于走私犯的小说。"]),
            ("u", "在我的小说里，我是马赛的一个走私犯。", []),
            ("u", "他搬到了阿尔及尔，买了一艘船。", []),
            ("u", "我五月搬到了大连。", ["我五月搬到了大连。"]),
        ]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAYS)
def test_what_is_played_is_no_fact(name: str) -> None:
    script = PLAYS[name]
    results = read([Turn(text, speaker) for speaker, text, _ in script])
    for (_, text, wanted), result in zip(script, results, strict=True):
        assert [statement.text for statement in result.statements] == wanted, text


def test_a_game_ends_with_its_session() -> None:
    """Sessions are read apart: what one opened is not open in the next."""
    read([Turn("Let's pretend to be pirates.", "u")])
    (result,) = read([Turn("I have two swords and a parrot.", "u")])
    assert result.statements


@pytest.mark.parametrize(
    "text", ["I married a mermaid last week. Just kidding!", "我上周和美人鱼结婚了。开玩笑的！"]
)
def test_a_joke_is_taken_back(text: str) -> None:
    assert not read([Turn(text, "u")])[0].statements
