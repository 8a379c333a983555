// A question to memory, and why each answer was found.

import { call, scoped } from "../api.js";
import { choice, el, field, put, tick } from "../dom.js";
import { contributions } from "../contributions.js";
import { flow } from "../flow.js";
import { moment, number, score, t } from "../i18n.js";
import { linkTo } from "../place.js";
import { badge, emptyState, waiting } from "../states.js";

const KINDS = ["conversation", "observation", "note", "insight"];

export async function render({ body, person, more, about, signal, refused }) {
  const query = el("input", { type: "search", required: true, value: more.q || "", spellcheck: "false" });
  const profiles = about.memory_model ? ["", "fast", "read", "clues", "deep", "auto"] : ["", "fast"];
  const profile = choice(profiles.map((name) => [name, t(`profile.${name || "default"}`)]), "");
  const limit = el("input", { type: "number", min: 1, max: 100, value: 10 });
  const asOf = el("input", { type: "datetime-local" });
  const ticks = KINDS.map((kind) => [kind, tick(t(`kind.${kind}`), true)]);
  const floor = tick(t("search.floor"), false);
  const found = el("div", { class: "found", "aria-live": "polite" });
  const look = async () => {
    const kinds = ticks.filter(([, one]) => one.box.checked).map(([kind]) => kind);
    const asked = { query: query.value, limit: Number(limit.value) || 10, explain: true, floor: floor.box.checked };
    if (kinds.length && kinds.length < KINDS.length) asked.kinds = kinds;
    if (profile.value) asked.profile = profile.value;
    if (asOf.value) asked.as_of = new Date(asOf.value).toISOString();
    put(found, waiting());
    try {
      put(found, results(await call("retrieve", scoped(person, asked), { signal }), person));
    } catch (error) {
      put(found);
      refused(error);
    }
  };
  const submit = (event) => {
    event.preventDefault();
    history.replaceState(null, "", linkTo("search", person, { q: query.value }));
    look();
  };
  put(
    body,
    el(
      "form",
      { class: "card stack", role: "search", on: { submit } },
      el("div", { class: "row" }, field(t("search.query"), query), el("button", { class: "main", type: "submit" }, t("search.go"))),
      el(
        "details",
        {},
        el("summary", {}, t("search.options")),
        el(
          "div",
          { class: "grid" },
          field(t("search.profile"), profile),
          field(t("search.limit"), limit),
          field(t("search.as-of"), asOf, t("search.as-of.hint")),
          el("fieldset", {}, el("legend", {}, t("search.kinds")), ticks.map(([, one]) => one.node), floor.node),
        ),
      ),
    ),
    found,
  );
  if (more.q) await look();
}

function results(evidence, person) {
  if (!evidence.items.length) return emptyState(t("search.none"), t("search.none.hint"));
  const total = Object.values(evidence.timings).reduce((sum, ms) => sum + ms, 0);
  const most = Math.max(...evidence.items.flatMap((item) => item.parts.map((part) => Math.abs(part.value * part.weight))), 0.01);
  return [
    el(
      "p",
      { class: "soft" },
      [
        t("search.count", { n: evidence.items.length }),
        t(`profile.${evidence.profile}`),
        `${number(total, 1)} ms`,
        t("search.tokens", { n: evidence.tokens }),
      ].join(" · "),
    ),
    evidence.left_out.length ? el("p", { class: "hint" }, t("search.left-out", { what: evidence.left_out.join(", ") })) : null,
    evidence.clues.length || new Set(evidence.items.flatMap((item) => item.found_by)).size > 1 ? flow(evidence) : null,
    el("ol", { class: "results" }, evidence.items.map((item, place) => result(item, place, person, most))),
    el("details", { class: "card" }, el("summary", {}, t("search.packed")), el("pre", { dir: "auto", tabindex: "0" }, evidence.text || "–")),
    el("details", { class: "card" }, el("summary", {}, t("search.timings")), timings(evidence.timings)),
  ];
}

function result(item, place, person, most) {
  const { node } = item;
  const turns = (messages) =>
    messages.map((message) =>
      el("p", { class: "beside", dir: "auto" }, el("bdi", {}, message.speaker || t(`role.${message.role}`)), ": ", message.content),
    );
  return el(
    "li",
    { class: "card result", id: `result-${place + 1}` },
    el(
      "p",
      { class: "by" },
      el("span", { class: "rank" }, String(place + 1)),
      badge(t(`kind.${node.kind}`), node.kind),
      node.speaker ? el("bdi", { class: "name" }, node.speaker) : null,
      el("time", { class: "soft", datetime: node.said_at }, moment(node.said_at)),
      node.session_id ? el("bdi", { class: "soft" }, node.session_id) : null,
      item.outdated ? badge(t("search.outdated"), "closed") : null,
      el("span", { class: "score" }, t("search.score", { score: score(item.score) })),
    ),
    turns(item.before),
    el("p", { class: "words", dir: "auto" }, node.content),
    turns(item.after),
    el(
      "details",
      { open: place === 0 },
      el("summary", {}, t("search.why")),
      el("p", { class: "soft" }, t("search.found-by", { what: item.found_by.map(foundBy).join(", ") || "–" })),
      contributions(item.parts, most),
    ),
  );
}

/** A name in `found_by` in words. */
function foundBy(name) {
  const [what, which] = name.split(" ");
  const words = t(`found.${what}`, { n: which || "" });
  return words.startsWith("found.") ? name : words.trim();
}

function timings(steps) {
  return el(
    "table",
    {},
    el("tbody", {}, Object.entries(steps).map(([step, ms]) => el("tr", {}, el("th", { scope: "row" }, step), el("td", { class: "right" }, `${number(ms, 2)} ms`)))),
  );
}
