// What each signal added to a score, or took from it, as bars about a common line.

import { el, svg } from "./dom.js";
import { signed, t } from "./i18n.js";

const HALF = 100;

/** `most` is the longest bar's contribution, so that the results of one search compare. */
export function contributions(parts, most) {
  const rows = parts
    .map((part) => ({ ...part, share: part.value * part.weight }))
    .sort((one, other) => Math.abs(other.share) - Math.abs(one.share));
  return el(
    "table",
    { class: "bars" },
    el("caption", { class: "away" }, t("search.contributions")),
    el(
      "thead",
      {},
      el("tr", {}, ["signal", "bar", "share", "product"].map((name) => el("th", { scope: "col", class: name }, t(`bars.${name}`)))),
    ),
    el("tbody", {}, rows.map((row) => line(row, most))),
  );
}

function line(row, most) {
  const width = Math.min(HALF, (Math.abs(row.share) / most) * HALF);
  const up = row.share >= 0;
  const bar = svg(
    "svg",
    { viewBox: `0 0 ${2 * HALF} 10`, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { x: up ? HALF : HALF - width, y: 1, width: Math.max(width, 0.6), height: 8, rx: 1.5, class: up ? "up" : "down" }),
    svg("line", { x1: HALF, x2: HALF, y1: 0, y2: 10, class: "axis" }),
  );
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, row.signal.replaceAll("_", " ")),
    el("td", { class: "bar" }, bar),
    el("td", { class: "right share" }, signed(row.share)),
    el("td", { class: "right soft product" }, `${signed(row.value)} × ${signed(row.weight)}`),
  );
}
