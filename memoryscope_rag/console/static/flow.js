// From the question, its parts and its clues to the evidence that each of them found.

import { clueList } from "./clues.js";
import { el, svg } from "./dom.js";
import { t } from "./i18n.js";

const ROW = 36; // what the drawing is stretched from

const inOrder = (one, other) => (other === "query") - (one === "query") || one.localeCompare(other);

export function flow(evidence) {
  const clues = evidence.clues.map((clue, place) => ({
    name: `clue ${place + 1}`,
    label: t("flow.clue", { n: place + 1, kind: t(`clue.${clue.kind}`) }),
    text: clue.text,
    clue: true,
  }));
  const named = new Set(clues.map((clue) => clue.name));
  const others = [...new Set(evidence.items.flatMap((item) => item.found_by))].filter((name) => !named.has(name)).sort(inOrder);
  const queries = others.map((name) => ({ name, label: t(`flow.${name.split(" ")[0]}`, { n: name.split(" ")[1] || "" }), text: name === "query" ? evidence.query : "" }));
  const left = [...queries, ...clues];
  const rows = Math.max(left.length, evidence.items.length);
  const y = (place, count) => ((place + 0.5) * rows * ROW) / count;
  const links = left.flatMap((from, place) =>
    evidence.items.flatMap((item, to) => {
      if (!item.found_by.includes(from.name)) return [];
      const [a, b] = [y(place, left.length), y(to, evidence.items.length)];
      return [svg("path", { d: `M0 ${a}C50 ${a} 50 ${b} 100 ${b}`, class: `link ${from.name.split(" ")[0]}`, "vector-effect": "non-scaling-stroke" })];
    }),
  );
  return el(
    "figure",
    { class: "flow card" },
    el("figcaption", {}, t("flow.caption")),
    el(
      "div",
      { class: "columns" },
      el("ul", {}, left.map((one) => el("li", { class: one.clue ? "clue" : "" }, el("span", { class: "soft" }, one.label), el("bdi", { title: one.text }, one.text)))),
      svg("svg", { viewBox: `0 0 100 ${rows * ROW}`, preserveAspectRatio: "none", "aria-hidden": "true" }, links),
      el("ol", {}, evidence.items.map((item, place) => el("li", {}, el("span", { class: "soft" }, String(place + 1)), el("bdi", { title: item.node.content }, item.node.content)))),
    ),
    evidence.clues.length ? clueList(evidence.clues) : null,
    evidence.unsupported ? el("p", { class: "hint" }, t("flow.unsupported", { n: evidence.unsupported })) : null,
  );
}
