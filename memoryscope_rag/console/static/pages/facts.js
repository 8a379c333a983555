// What is known: insights, observations and notes, those that are no longer true on request.

import { call, scoped } from "../api.js";
import { button, choice, el, field, put, tick } from "../dom.js";
import { fact } from "../fact.js";
import { t } from "../i18n.js";
import { emptyState, waiting } from "../states.js";

const PAGE = 50;
const KINDS = ["insight", "observation", "note"];

export async function render({ body, person, about, signal, refused }) {
  const kind = choice([["", t("facts.all")], ...KINDS.map((one) => [one, t(`kind.${one}`)])], "");
  const list = el("div", { class: "stack" });
  const rest = el("div", { class: "more" });
  const ask = async (cursor) => {
    const kinds = kind.value ? [kind.value] : KINDS;
    const page = await call("list", scoped(person, { kinds, closed: closed.box.checked, cursor, limit: PAGE }), { signal });
    list.append(...page.items.map((node) => shown(node)));
    const more = () => ask(page.cursor).catch(refused);
    put(rest, page.cursor ? button(t("facts.more"), more) : null);
    if (!list.childElementCount) put(list, emptyState(t("facts.none"), t("facts.none.hint")));
  };
  const shown = (node) => {
    const article = fact(node, person, about.rights, (now) => {
      if (now === null) article.remove();
      else article.replaceWith(shown(now));
    });
    return article;
  };
  const again = async () => {
    put(list, waiting());
    try {
      put(list);
      await ask(null);
    } catch (error) {
      refused(error);
    }
  };
  const closed = tick(t("facts.closed"), false, again);
  kind.addEventListener("change", again);
  put(
    body,
    el("div", { class: "row filters" }, field(t("facts.kind"), kind), closed.node, behind(person, about, again, refused)),
    about.rights.includes("write") ? noteForm(person, again, refused) : null,
    list,
    rest,
  );
  await ask(null);
}

function behind(person, about, again, refused) {
  if (!about.rights.includes("write")) return null;
  const told = el("span", { class: "soft", role: "status" });
  const run = async () => {
    go.disabled = true;
    put(told, t("waiting"));
    try {
      const read = await call("consolidate", scoped(person));
      const seen = await call("reflect", scoped(person));
      put(told, t("facts.worked", { n: read.consolidated, m: seen.updated }));
      await again();
    } catch (error) {
      refused(error);
    } finally {
      go.disabled = false;
    }
  };
  const go = button(t("facts.work"), run, { title: t("facts.work.hint") });
  return [go, told];
}

function noteForm(person, again, refused) {
  const text = el("textarea", { rows: 2, required: true, dir: "auto" });
  const submit = async (event) => {
    event.preventDefault();
    try {
      await call("add_note", scoped(person, { content: text.value }));
      text.value = "";
      await again();
    } catch (error) {
      refused(error);
    }
  };
  return el(
    "details",
    { class: "card" },
    el("summary", {}, t("facts.add")),
    el("form", { class: "stack", on: { submit } }, field(t("fact.words"), text, t("facts.add.hint")), el("div", { class: "actions" }, el("button", { class: "main", type: "submit" }, t("facts.add.do")))),
  );
}
