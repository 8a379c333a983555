"""The picture of a beacon memory: strips along the log, then what a query led to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from types import MappingProxyType

from matplotlib.figure import Figure

from memoryscope_rag.plots.canvas import Canvas
from memoryscope_rag.plots.memory_map import Lane, MemoryMap, Span
from memoryscope_rag.plots.texts import Wording, one_line
from memoryscope_rag.plots.themes import Theme
from memoryscope_rag.schema import ClueKind, Message

WIDTH, LEFT, RIGHT = 12.0, 1.15, 11.75
"""Of the sheet, and where the strips begin and end, inches."""
STRIP, BARS, LANE = 0.5, 0.95, 0.56
"""Height of the strip of blocks, of the bars of attention, of a lane, inches."""
COLUMNS = 150
"""Letters that fit into a line of text."""
MOST_BARS, MOST_LANES, MOST_ITEMS = 1000, 9, 10
"""More messages share a bar; more clues and items are counted, not drawn."""
BUBBLE = 0.085
"""Radius of a number in a circle, inches."""
KIND_WORDS: Mapping[ClueKind, str] = MappingProxyType(
    {"span": "recalled", "surrogate": "a sharper question", "draft": "a guess at the answer"}
)
"""What the kinds of clues are."""
OTHER_WAYS = MappingProxyType(
    {
        "query": "the question itself",
        "attention": "among the messages with most attention",
        "neighbour": "the turn beside one that was found",
    }
)
"""By what else than a clue something was found."""


def draw(
    shown: MemoryMap, *, zone: tzinfo, theme: Theme, fonts: tuple[str, ...], wording: Wording
) -> Figure:
    """The figure; ``fonts`` and ``wording`` are those of :mod:`~memoryscope_rag.plots.texts`."""
    sheet = _Sheet(Canvas(WIDTH, theme, fonts, wording), shown, zone)
    sheet.heading()
    if shown.messages:
        sheet.memory()
        if shown.evidence is not None:
            sheet.asked()
            sheet.attention()
            sheet.lanes()
            sheet.items()
    canvas = sheet.canvas
    if getattr(wording, "lacking", False):
        canvas.y += 0.1
        canvas.text(
            0.25,
            canvas.y,
            "[…] stands for letters that no font of this machine has; "
            "an SVG shows them where its reader has one.",
            size=8,
            colour=theme.faint,
        )
    canvas.y += 0.25
    return canvas.figure()


class _Sheet:
    """One part below the other on ``canvas``."""

    def __init__(self, canvas: Canvas, shown: MemoryMap, zone: tzinfo) -> None:
        self.canvas = canvas
        self.shown = shown
        self.zone = zone
        self.theme = canvas.theme
        self.scale = (RIGHT - LEFT) / max(1, len(shown.messages))

    def heading(self) -> None:
        """Whose memory, how much of the log it covers, and what it costs."""
        canvas, shown = self.canvas, self.shown
        canvas.y = 0.35
        who = one_line(named(shown), 60)
        canvas.text(0.25, canvas.y, f"What the beacon memory of {who} holds", size=15)
        for line in headlines(shown, self.zone):
            canvas.y += 0.24
            canvas.text(0.25, canvas.y, line, size=9.5, colour=self.theme.faint)
        canvas.y += 0.3

    def memory(self) -> None:
        """The blocks over the sessions, with dates, and what the colours mean."""
        canvas, shown, theme = self.canvas, self.shown, self.theme
        top, bottom = canvas.y, canvas.y + STRIP
        self._label("memory", (top + bottom) / 2)
        legend: list[tuple[str | None, str, str | None, str]] = []
        for tier in shown.tiers:
            colour = theme.of_ratio(tier.ratio)
            self._strip(tier.spans, top, bottom, fill=colour, edge=theme.paper)
            for start, end in tier.spans:
                if (end - start) * self.scale > 0.45:
                    middle = self._x((start + end) / 2)
                    canvas.text(
                        middle, (top + bottom) / 2, f"{tier.ratio} : 1", size=8,
                        colour=theme.on(colour), align="center",
                    )  # fmt: skip
            blocks = f"{tier.blocks} block" + "s" * (tier.blocks != 1)
            what = f"one row for {tier.ratio} tokens" if tier.ratio > 1 else "a row for every token"
            size = f"{blocks}, {tier.tokens:,} tokens, {of_size(tier.bytes)}"
            legend.append((colour, theme.faint, None, f"{what}: {size}"))
        if shown.tail:
            self._strip(shown.tail, top, bottom, fill=theme.paper, edge=theme.tail, hatch="||||")
            waiting = f"in full, until a block is full: {shown.coverage.tail_tokens:,} tokens"
            legend.append((None, theme.tail, "||||", waiting))
        if shown.behind:
            spans = shown.behind_spans
            self._strip(spans, top, bottom, fill=theme.paper, edge=theme.faint, hatch="////")
            legend.append((None, theme.faint, "////", f"not read yet: {_messages(shown.behind)}"))
        canvas.y = bottom
        self._sessions()
        for fill, edge, hatch, text in legend:
            canvas.swatch(LEFT, canvas.y, fill=fill, edge=edge, hatch=hatch)
            canvas.text(LEFT + 0.32, canvas.y, text, size=8.5)
            canvas.y += 0.21
        wide = (
            "from left to right the log, every message as wide as the next; a date is that of the "
        )
        canvas.text(LEFT, canvas.y, wide + "session that begins there", size=8, colour=theme.faint)
        canvas.y += 0.3

    def _sessions(self) -> None:
        canvas, sessions = self.canvas, self.shown.sessions
        top, bottom = canvas.y + 0.06, canvas.y + 0.2
        self._label("sessions", (top + bottom) / 2)
        for parity, colour in ((0, self.theme.faint), (1, self.theme.band)):
            self._strip([span for _, span in sessions[parity::2]], top, bottom, fill=colour)
        free = LEFT
        for first, (start, _) in sessions:
            x = self._x(start)
            if x >= free and x < RIGHT - 0.6:
                canvas.line((x, x), (bottom, bottom + 0.06), colour=self.theme.faint)
                day = f"{first.created_at.astimezone(self.zone):%Y-%m-%d}"
                canvas.text(x, bottom + 0.15, day, size=8, colour=self.theme.faint)
                free = x + 0.8
        canvas.y = bottom + 0.43

    def asked(self) -> None:
        """The question, and what was left out of its answer."""
        canvas, evidence = self.canvas, self.shown.evidence
        assert evidence is not None
        canvas.y += 0.1
        canvas.text(0.25, canvas.y, f"Asked: {one_line(evidence.query, 90)}", size=13)
        reasons = "; ".join(one_line(reason, 60) for reason in evidence.left_out)
        done = f"profile {evidence.profile}"
        if evidence.unsupported:
            done += f"; clues that nothing in memory echoes: {evidence.unsupported}"
        if reasons:
            done += f"; left out: {reasons}"
        canvas.y += 0.22
        canvas.text(0.25, canvas.y, one_line(done, COLUMNS), colour=self.theme.faint)
        canvas.y += 0.3

    def attention(self) -> None:
        """A bar a message: how much the question draws attention there, beyond any question."""
        bars = attention_bars(self.shown)
        if not bars:
            return
        canvas, theme = self.canvas, self.theme
        top = canvas.y
        highest = max(0.0, *(value for *_, value in bars))
        lowest = min(0.0, *(value for *_, value in bars))
        unit = BARS / ((highest - lowest) or 1.0)
        zero = top + highest * unit
        self._label("attention", zero)
        boxes = [
            (self._x(start), zero - value * unit, self._x(end), zero) for start, end, value in bars
        ]
        up = [box for box in boxes if box[1] < zero]
        canvas.boxes(up, fill=theme.attention)
        canvas.boxes([box for box in boxes if box[1] >= zero], fill=theme.band, edge=theme.faint)
        canvas.line((LEFT, RIGHT), (zero, zero), colour=theme.faint)
        canvas.y = top + BARS + 0.15
        canvas.text(
            LEFT,
            canvas.y,
            "above the line: looked at more than without a question; below: less",
            size=8,
            colour=theme.faint,
        )
        canvas.y += 0.3

    def lanes(self) -> None:
        """A line along the log for the query and each clue, with what it leans on and found."""
        canvas, theme, lanes = self.canvas, self.theme, self.shown.lanes
        chosen = [lane for lane in lanes if lane.clue is None or lane.ranks or lane.leans_on]
        chosen += [lane for lane in lanes if lane not in chosen]
        chosen = chosen[:MOST_LANES]
        for lane in (lane for lane in lanes if lane in chosen):
            colour = theme.ink if lane.clue is None else theme.clue
            self._lane(lane, colour)
        if more := len(lanes) - len(chosen):
            canvas.text(LEFT, canvas.y, f"and {more} more clues", size=8.5, colour=theme.faint)
            canvas.y += 0.22
        signs = [(True, "evidence, by its rank below, where it stands in the log")]
        if any(lane.leans_on for lane in lanes):
            signs.append((False, "a message that the clue leans on"))
        x = LEFT
        for filled, text in signs:
            colour = theme.ink if filled else theme.clue
            canvas.disc(x + 0.08, canvas.y, 0.06, fill=colour if filled else None, edge=colour)
            canvas.text(x + 0.22, canvas.y, text, size=8, colour=theme.faint)
            x += 4.2
        canvas.y += 0.35

    def _lane(self, lane: Lane, colour: str) -> None:
        canvas = self.canvas
        line = canvas.y + 0.36
        self._label(lane.name, canvas.y)
        words = OTHER_WAYS.get(lane.name, "")
        if lane.clue is not None:
            words = f"{KIND_WORDS[lane.clue.kind]}: {lane.text}"
        canvas.text(LEFT, canvas.y, one_line(words, 130), colour=colour)
        canvas.line((LEFT, RIGHT), (line, line), colour=self.theme.band, width=2.5)
        for place in lane.leans_on:
            canvas.disc(self._x(place + 0.5), line, 0.055, fill=None, edge=colour)
        spots = sorted(
            (self._x(place + 0.5), rank)
            for rank in lane.ranks
            for place in self.shown.found[rank - 1][1][:1]
        )
        for (x, rank), pushed in zip(spots, spread([x for x, _ in spots]), strict=True):
            canvas.line((x, pushed), (line, line - 0.17), colour=colour)
            canvas.disc(pushed, line - 0.17, BUBBLE, fill=colour, edge=colour)
            canvas.text(
                pushed, line - 0.168, str(rank), size=7, bold=True,
                colour=self.theme.on(colour), align="center",
            )  # fmt: skip
        canvas.y += LANE

    def items(self) -> None:
        """The evidence in words, best first."""
        canvas, theme, found = self.canvas, self.theme, self.shown.found
        canvas.text(0.25, canvas.y, "Evidence", size=11, bold=True)
        canvas.y += 0.25
        if not found:
            canvas.text(LEFT, canvas.y, "nothing in memory fits", colour=theme.faint)
            canvas.y += 0.22
        for rank, (item, _) in enumerate(found[:MOST_ITEMS], 1):
            node = item.node
            canvas.disc(0.4, canvas.y, BUBBLE, fill=theme.ink, edge=theme.ink)
            canvas.text(
                0.4, canvas.y, str(rank), size=7, bold=True,
                colour=theme.on(theme.ink), align="center",
            )  # fmt: skip
            when = f"{node.said_at.astimezone(self.zone):%Y-%m-%d %H:%M}"
            canvas.text(0.6, canvas.y, when, size=9, colour=theme.faint)
            who = node.speaker or node.role or node.kind
            canvas.text(1.9, canvas.y, one_line(f"{who}: {node.content}", 125))
            canvas.y += 0.23
        if len(found) > MOST_ITEMS:
            more = f"and {len(found) - MOST_ITEMS} more"
            canvas.text(1.9, canvas.y, more, colour=theme.faint)
            canvas.y += 0.23

    def _x(self, place: float) -> float:
        return LEFT + place * self.scale

    def _label(self, text: str, y: float) -> None:
        self.canvas.text(LEFT - 0.12, y, text, size=9, colour=self.theme.faint, align="right")

    def _strip(
        self,
        spans: Iterable[Span],
        top: float,
        bottom: float,
        *,
        fill: str,
        edge: str | None = None,
        hatch: str | None = None,
    ) -> None:
        boxes = [(self._x(start), top, self._x(end), bottom) for start, end in spans]
        self.canvas.boxes(boxes, fill=fill, edge=edge, hatch=hatch)


def headlines(shown: MemoryMap, zone: tzinfo) -> tuple[str, ...]:
    """What there is to say of a memory as a whole, in a few lines."""
    if not shown.messages:
        return ("Nothing is recorded.",)
    covered, behind, coverage = shown.covered, shown.behind, shown.coverage
    if not covered:
        return (f"None of {_messages(shown.messages)} has been read yet.",)
    lines = [f"{len(covered):,} of {_messages(shown.messages)} read, {_days(covered, zone)}"]
    if behind:
        lines[0] += f"; {len(behind):,} not yet, {_days(behind, zone)}"
    ratio = coverage.tokens / coverage.rows if coverage.rows else 0
    lines.append(
        f"{one_line(shown.model, 40)}: {coverage.tokens:,} tokens kept in {coverage.rows:,} rows "
        f"({ratio:.1f} to one), {of_size(coverage.bytes)} on disk, {coverage.seconds:,.1f} s "
        "of reading"
    )
    if shown.gone:
        lines.append(
            f"{shown.gone:,} more that it has read are forgotten: it is not asked until refreshed"
        )
    return tuple(lines)


def attention_bars(shown: MemoryMap) -> list[tuple[float, float, float]]:
    """From, to (in messages) and the strongest attention between, for what is covered.

    At most ``MOST_BARS`` of them, so that long logs can be seen as well.
    """
    places = sorted(
        (shown.places[name], value)
        for name, value in shown.attention.items()
        if name in shown.places
    )
    step = max(1, -(-len(shown.messages) // MOST_BARS))
    strongest: dict[int, float] = {}
    for place, value in places:
        slot = place // step
        strongest[slot] = max(value, strongest.get(slot, value), key=abs)
    return [
        (float(slot * step), float(min((slot + 1) * step, len(shown.messages))), value)
        for slot, value in strongest.items()
    ]


def spread(xs: Sequence[float]) -> list[float]:
    """``xs`` (in order) moved apart until bubbles stand side by side, each near its place."""
    apart = 2.3 * BUBBLE
    groups: list[tuple[float, list[float]]] = []  # middle of a row of bubbles, and whose they are
    for x in xs:
        members = [x]
        middle = x
        while groups and groups[-1][0] + apart * (len(groups[-1][1]) + len(members)) / 2 > middle:
            members = groups.pop()[1] + members
            middle = sum(members) / len(members)
        groups.append((middle, members))
    return [
        min(max(middle, LEFT), RIGHT) + apart * (place - (len(members) - 1) / 2)
        for middle, members in groups
        for place in range(len(members))
    ]


def named(shown: MemoryMap) -> str:
    """Whose memory it is; agent and tenant where they are not the default."""
    scope = shown.scope
    more = [name for name in (scope.agent_id, scope.tenant_id) if name != "default"]
    return f"{scope.user_id} ({', '.join(more)})" if more else scope.user_id


def of_size(number: int) -> str:
    """Bytes in a readable unit."""
    size = float(number)
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _messages(messages: Sequence[Message]) -> str:
    return f"{len(messages):,} message" + "s" * (len(messages) != 1)


def _days(messages: Sequence[Message], zone: tzinfo) -> str:
    first, last = (_day(messages[place].created_at, zone) for place in (0, -1))
    return f"of {first}" if first == last else f"{first} to {last}"


def _day(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d}"
