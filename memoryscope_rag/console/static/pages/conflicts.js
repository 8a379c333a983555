// Pairs of facts of which the later closed the earlier: read them, and say where memory was wrong.

import { call, scoped } from "../api.js";
import { confirmed } from "../dialogs.js";
import { button, el, put } from "../dom.js";
import { isClosed } from "../fact.js";
import { deleteFact } from "../forgetting.js";
import { day, t } from "../i18n.js";
import { badge, emptyState } from "../states.js";

const PAGE = 200;
const AT_ONCE = 5; // pages that are looked through before one is asked whether to go on
const SAME = new Set(["repeated", "contained"]); // closed without a contradiction
const REASONS = new Set(["contradicted", "superseded"]); // what else came with an import means nothing here

export async function render({ body, person, about, signal, refused }) {
  const list = el("div", { class: "stack" });
  const rest = el("div", { class: "more" });
  const sayIfNone = () => {
    if (!list.childElementCount && !rest.childElementCount) put(list, emptyState(t("conflicts.none"), t("conflicts.none.hint")));
  };
  const look = async (cursor) => {
    let at = cursor;
    for (let page = 0; page < AT_ONCE; page += 1) {
      const { pairs, next } = await pairsFrom(person, at, signal);
      list.append(...pairs.map((pair) => shown(pair, person, about.rights, sayIfNone)));
      at = next;
      if (!at) break;
    }
    put(rest, at ? button(t("conflicts.more"), () => look(at).catch(refused)) : null);
    sayIfNone();
  };
  put(body, list, rest);
  await look(null);
}

async function pairsFrom(person, cursor, signal) {
  const kinds = ["insight", "observation", "note"];
  const page = await call("list", scoped(person, { kinds, closed: true, cursor, limit: PAGE }), { signal });
  const earlier = page.items.filter((node) => node.superseded_by && isClosed(node) && !SAME.has(node.metadata.closed));
  const found = await Promise.all(earlier.map((node) => laterOf(node, person, signal)));
  const pairs = earlier.map((node, place) => [node, found[place]]);
  return { pairs: pairs.filter(([, later]) => later && !isClosed(later)), next: page.cursor };
}

async function laterOf(node, person, signal) {
  try {
    return await call("get", scoped(person, { node_id: node.superseded_by }), { signal });
  } catch (error) {
    if (error.kind === "unknown-id") return null;
    throw error;
  }
}

function shown([earlier, later], person, may, settled) {
  const article = el("article", { class: "card conflict" });
  const gone = () => {
    article.remove();
    settled();
  };
  const because = earlier.metadata.closed || earlier.metadata.closed_because;
  const drop = async () => {
    if (await deleteFact(person, earlier)) gone();
  };
  const turn = async () => {
    const done = await confirmed({
      title: t("conflicts.turn"),
      text: [earlier.content, t("conflicts.turn.text")],
      action: t("conflicts.turn.do"),
      work: async () => {
        await call("add_note", scoped(person, { content: earlier.content }));
        await call("expire", scoped(person, { node_id: later.id }));
      },
    });
    if (done) gone();
  };
  put(
    article,
    el(
      "div",
      { class: "pair" },
      side(t("conflicts.earlier"), earlier, "closed"),
      el("p", { class: "arrow", "aria-hidden": "true" }, "→"),
      side(t("conflicts.later"), later, "open"),
    ),
    REASONS.has(because) ? el("p", { class: "hint" }, t(`because.${because}`)) : null,
    el(
      "div",
      { class: "actions" },
      may.includes("write") ? button(t("conflicts.turn.do"), turn, { class: "quiet" }) : null,
      may.includes("forget") ? button(t("conflicts.drop"), drop, { class: "quiet danger" }) : null,
    ),
  );
  return article;
}

function side(title, node, state) {
  return el(
    "section",
    { class: state },
    el("h2", {}, title),
    el("p", { class: "words", dir: "auto" }, node.content),
    el("p", { class: "by" }, badge(t(`kind.${node.kind}`), node.kind), el("time", { class: "soft", datetime: node.said_at }, day(node.said_at))),
  );
}
