// One observation, note or insight: what it says, what it said before, what it rests on.

import { call, scoped } from "./api.js";
import { button, el, field, put } from "./dom.js";
import { deleteFact } from "./forgetting.js";
import { day, moment, problemWords, t } from "./i18n.js";
import { saying } from "./said.js";
import { badge, waiting } from "./states.js";

/** `may`: the key's rights. `changed` is called with the fact as it is now, or null where it is gone. */
export function fact(node, person, may, changed) {
  const behind = el("div", { class: "behind" });
  const details = el("details", {}, el("summary", {}, t("fact.behind")), behind);
  details.addEventListener("toggle", async () => {
    if (!details.open || behind.childElementCount) return;
    put(behind, waiting());
    try {
      put(behind, await history(node, person), await rests(node, person));
    } catch (error) {
      put(behind, el("p", { class: "wrong", role: "alert" }, problemWords(error)));
    }
  });
  const article = el("article", { class: `card fact ${isClosed(node) ? "closed" : ""}` });
  put(article, ...face(node), details, actions(article, node, person, may, changed));
  return article;
}

export function isClosed(node) {
  return node.valid_to !== null && Date.parse(node.valid_to) <= Date.now();
}

function face(node) {
  return [
    el(
      "p",
      { class: "by" },
      badge(t(`kind.${node.kind}`), node.kind),
      node.speaker ? el("bdi", { class: "name" }, node.speaker) : null,
      el("time", { class: "soft", datetime: node.said_at }, moment(node.said_at)),
      node.event ? el("span", { class: "soft" }, t("fact.event", { when: interval(node.event.interval) })) : null,
      isClosed(node) ? badge(t("fact.closed", { when: day(node.valid_to) }), "closed") : null,
      node.version > 1 ? badge(t("fact.version", { n: node.version })) : null,
    ),
    el("p", { class: "words", dir: "auto" }, node.content),
  ];
}

function interval({ start, end }) {
  if (start === null || end === null) return day(start ?? end);
  const last = new Date(Date.parse(end) - 1);
  return day(start) === day(last) ? day(start) : t("from-to", { from: day(start), to: day(last) });
}

function actions(article, node, person, may, changed) {
  const edit = () => {
    const text = el("textarea", { rows: 3, required: true, value: node.content, dir: "auto" });
    const wrong = el("p", { class: "wrong", role: "alert" });
    const submit = async (event) => {
      event.preventDefault();
      try {
        changed(await call("update", scoped(person, { node_id: node.id, content: text.value })));
      } catch (error) {
        put(wrong, problemWords(error));
      }
    };
    const form = el(
      "form",
      { class: "stack", on: { submit } },
      field(t("fact.words"), text, t("fact.words.hint")),
      wrong,
      el("div", { class: "actions" }, button(t("cancel"), () => changed(node)), el("button", { type: "submit", class: "main" }, t("save"))),
    );
    put(article, form);
    text.focus();
  };
  const expire = async () => {
    try {
      changed(await call("expire", scoped(person, { node_id: node.id })));
    } catch (error) {
      article.append(el("p", { class: "wrong", role: "alert" }, problemWords(error)));
    }
  };
  const remove = async () => {
    if (await deleteFact(person, node)) changed(null);
  };
  return el(
    "div",
    { class: "actions" },
    may.includes("write") && !isClosed(node) ? button(t("fact.edit"), edit, { class: "quiet" }) : null,
    may.includes("write") && !isClosed(node) ? button(t("fact.expire"), expire, { class: "quiet", title: t("fact.expire.hint") }) : null,
    may.includes("forget") ? button(t("fact.delete"), remove, { class: "quiet danger" }) : null,
  );
}

async function history(node, person) {
  const versions = await call("history", scoped(person, { node_id: node.id }));
  const earlier = versions.filter((one) => one.version < node.version).reverse();
  return el(
    "section",
    {},
    el("h3", {}, t("fact.history")),
    earlier.length
      ? el(
          "ol",
          { class: "versions" },
          earlier.map((one) =>
            el("li", {}, el("p", { class: "words", dir: "auto" }, one.content), el("p", { class: "hint" }, t("fact.since", { when: moment(one.valid_from || one.said_at) }))),
          ),
        )
      : el("p", { class: "hint" }, t("fact.history.none")),
  );
}

async function rests(node, person) {
  const found = await Promise.all(node.provenance.slice(0, 20).map((id) => one(id, node, person)));
  return el(
    "section",
    {},
    el("h3", {}, t("fact.rests")),
    found.length ? found : el("p", { class: "hint" }, t("fact.rests.note")),
    node.provenance.length > found.length ? el("p", { class: "hint" }, t("more", { n: node.provenance.length - found.length })) : null,
  );
}

async function one(id, node, person) {
  if (node.kind !== "insight") return messageOf(id, person);
  return unlessGone(async () => el("div", { class: "below" }, face(await call("get", scoped(person, { node_id: id })))));
}

/** A message by its id as it was said: its first piece says where in the log it stands. */
export async function messageOf(id, person, signal) {
  return unlessGone(async () => {
    const piece = await call("get", scoped(person, { node_id: `${id}#0` }), { signal });
    const page = await call("messages", scoped(person, { after: piece.seq - 1, limit: 1 }), { signal });
    return saying(page.items[0], { whole: true });
  });
}

async function unlessGone(shown) {
  try {
    return await shown();
  } catch (error) {
    if (error.kind === "unknown-id") return el("p", { class: "hint" }, t("fact.gone"));
    throw error;
  }
}
