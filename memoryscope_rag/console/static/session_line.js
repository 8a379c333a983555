// Sessions as dots on a line of time: where, and how many messages. A dot leads to its session.

import { svg, el } from "./dom.js";
import { day, t } from "./i18n.js";

const WIDTH = 800;
const HEIGHT = 40;
const EDGE = 20;

export function sessionLine(sessions) {
  const times = sessions.map((one) => Date.parse(one.messages[0].created_at));
  const from = Math.min(...times);
  const span = Math.max(...times) - from || 1;
  const most = Math.max(...sessions.map((one) => one.messages.length));
  const x = (time) => EDGE + ((time - from) / span) * (WIDTH - 2 * EDGE);
  const dots = sessions.map((one, place) => {
    const r = 4 + 12 * Math.sqrt(one.messages.length / most);
    const dot = svg("circle", { cx: x(times[place]), cy: HEIGHT / 2, r, class: "dot" });
    dot.append(svg("title", {}, `${day(times[place])} · ${one.name} · ${t("count.messages", { n: one.messages.length })}`));
    dot.addEventListener("click", () => goTo(one.name));
    return dot;
  });
  return el(
    "figure",
    { class: "line card" },
    svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": t("timeline.line", { n: sessions.length }) },
      svg("line", { x1: EDGE, x2: WIDTH - EDGE, y1: HEIGHT / 2, y2: HEIGHT / 2, class: "axis" }),
      dots,
    ),
    el("figcaption", { class: "soft" }, el("span", {}, day(from)), sessions.length > 1 ? el("span", {}, day(from + span)) : null),
  );
}

function goTo(name) {
  const found = [...document.querySelectorAll("[data-session]")].find((one) => one.dataset.session === name);
  found?.scrollIntoView({ behavior: "smooth", block: "start" });
}
