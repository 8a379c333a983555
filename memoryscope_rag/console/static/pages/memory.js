// The beacon memory: what it has read, how closely it keeps it, and where a question draws attention.

import { call, scoped } from "../api.js";
import { confirmed } from "../dialogs.js";
import { button, el, field, put, svg } from "../dom.js";
import { messageOf } from "../fact.js";
import { bytes, number, problemWords, score, t } from "../i18n.js";
import { emptyState, figures, waiting } from "../states.js";

const TOP = 8;
const LOOKS = 120;
const LOOK_MS = 2000;
const STEPS = 6; // shades, from one row a token to one row for 64

export async function render({ body, person, about, signal, reload, refused }) {
  if (!about.memory_model) {
    put(body, emptyState(t("memory.none"), t("memory.none.hint"), el("pre", { tabindex: "0" }, "memory:\n  model: smollm2-135m-instruct")));
    return;
  }
  const kept = el("div", { class: "stack" });
  const asking = el("div");
  put(body, kept, asking);
  // what was asked stays while the figures above it change
  const look = async () => {
    const [covered, stats] = await Promise.all([
      call("coverage", scoped(person), { signal }),
      call("stats", scoped(person), { signal }),
    ]);
    const told = el("p", { class: "soft", role: "status" });
    const read = async () => {
      put(told, t("memory.reading"));
      try {
        const report = await call("refresh", scoped(person), { signal });
        if (report.busy) await readByAnother(person, stats.messages, signal);
        if (report.failed) put(told, t("memory.failed"));
        else await look();
      } catch (error) {
        refused(error);
      }
    };
    const drop = async () => {
      const work = () => call("drop_memory", scoped(person));
      if (await confirmed({ title: t("memory.drop"), text: [t("memory.drop.text")], action: t("memory.drop"), work })) reload();
    };
    put(
      kept,
      figures([
        [t("memory.model"), about.memory_model],
        [t("memory.covered"), t("of", { n: covered.message_ids.length, all: stats.messages })],
        [t("memory.tokens"), number(covered.tokens)],
        [t("memory.rows"), number(covered.rows)],
        [t("memory.ratio"), covered.rows ? `${number(covered.tokens / covered.rows, 1)} : 1` : "–"],
        [t("memory.bytes"), bytes(covered.bytes)],
        [t("memory.seconds"), `${number(covered.seconds, 1)} s`],
      ]),
      covered.blocks.length ? strip(covered) : el("p", { class: "hint" }, t("memory.empty")),
      el(
        "div",
        { class: "actions left" },
        about.rights.includes("write") ? button(t("memory.refresh"), read) : null,
        about.rights.includes("forget") && covered.message_ids.length ? button(t("memory.drop"), drop, { class: "quiet danger" }) : null,
        told,
      ),
    );
    if (covered.message_ids.length && !asking.hasChildNodes()) put(asking, attention(person, signal));
  };
  await look();
}

// the background may be reading this memory at the moment: look until it has it all
async function readByAnother(person, messages, signal) {
  for (let looks = 0; looks < LOOKS && !signal.aborted; looks += 1) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    const now = await call("coverage", scoped(person), { signal });
    if (now.message_ids.length >= messages) return;
  }
}

/** Blocks side by side, each as wide as it has tokens, and what waits for its block to be full. */
function strip(covered) {
  const width = 800;
  const all = covered.blocks.reduce((sum, block) => sum + block.tokens, 0) + covered.tail_tokens;
  let from = 0;
  const part = (tokens, style, words) => {
    const wide = (tokens / all) * width;
    const rect = svg("rect", { x: from, y: 0, width: Math.max(wide - 1, 0.5), height: 30, class: style }, svg("title", {}, words));
    from += wide;
    return rect;
  };
  const blocks = covered.blocks.map((block) =>
    part(
      block.tokens,
      `block ratio-${Math.min(STEPS, Math.round(Math.log2(block.ratio)))}`,
      t("memory.block", { tokens: block.tokens, ratio: block.ratio, messages: block.message_ids.length }),
    ),
  );
  const ratios = [...new Set(covered.blocks.map((block) => block.ratio))].sort((one, other) => one - other);
  const key = (style, words) =>
    el("li", {}, svg("svg", { viewBox: "0 0 12 12", width: 12, height: 12, "aria-hidden": "true" }, svg("rect", { width: 12, height: 12, rx: 2, class: style })), words);
  return el(
    "figure",
    { class: "strip card" },
    svg(
      "svg",
      { viewBox: `0 0 ${width} 30`, preserveAspectRatio: "none", role: "img", "aria-label": t("memory.strip", { n: covered.blocks.length }) },
      blocks,
      covered.tail_tokens ? part(covered.tail_tokens, "block tail", t("memory.tail", { n: covered.tail_tokens })) : null,
    ),
    el(
      "ul",
      { class: "keys" },
      ratios.map((ratio) => key(`block ratio-${Math.min(STEPS, Math.round(Math.log2(ratio)))}`, t("memory.kept", { ratio }))),
      covered.tail_tokens ? key("block tail", t("memory.tail", { n: covered.tail_tokens })) : null,
    ),
  );
}

function attention(person, signal) {
  const query = el("input", { type: "search", required: true, spellcheck: "false" });
  const found = el("div", { "aria-live": "polite" });
  const submit = async (event) => {
    event.preventDefault();
    put(found, waiting());
    try {
      const [covered, drawn] = await Promise.all([
        call("coverage", scoped(person), { signal }),
        call("attention", scoped(person, { query: query.value }), { signal }),
      ]);
      put(found, await drawnBars(drawn, covered, person, signal));
    } catch (error) {
      if (error.name !== "AbortError") put(found, el("p", { class: "wrong", role: "alert" }, problemWords(error)));
    }
  };
  return el(
    "section",
    { class: "stack" },
    el("h2", {}, t("memory.attention")),
    el("p", { class: "soft" }, t("memory.attention.about")),
    el("form", { class: "row", on: { submit } }, field(t("search.query"), query), el("button", { class: "main", type: "submit" }, t("memory.ask"))),
    found,
  );
}

async function drawnBars(drawn, covered, person, signal) {
  const values = covered.message_ids.map((id) => drawn[id] ?? 0);
  const most = Math.max(...values, 0);
  if (most <= 0) return el("p", { class: "hint" }, t("memory.attention.none"));
  const wide = 800 / values.length;
  const columns = values.map((value, place) => {
    const height = (Math.max(value, 0) / most) * 58;
    return svg("rect", { x: place * wide, width: Math.max(wide * 0.8, 0.8), y: 60 - height, height, class: "up" }, svg("title", {}, score(value)));
  });
  const top = Object.entries(drawn).sort(([, one], [, other]) => other - one).slice(0, TOP).filter(([, value]) => value > 0);
  const messages = await Promise.all(top.map(([id]) => messageOf(id, person, signal)));
  return [
    el(
      "figure",
      { class: "card strip" },
      svg("svg", { viewBox: "0 0 800 60", preserveAspectRatio: "none", role: "img", "aria-label": t("memory.attention.drawn", { n: values.length }) }, columns),
      el("figcaption", { class: "hint" }, t("memory.attention.drawn", { n: values.length })),
    ),
    messages.map((message, place) => el("div", { class: "drawn" }, el("span", { class: "score" }, score(top[place][1])), message)),
  ];
}
