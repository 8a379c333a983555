// Forgetting, with the proof: the store searches for what was removed and says what it found.

import { call, scoped } from "./api.js";
import { confirmed } from "./dialogs.js";
import { el } from "./dom.js";
import { t } from "./i18n.js";
import { figures } from "./states.js";

/** Ask and forget. `what`: {message_ids}, {session_id} or {everything: true}. */
export function forget(person, what, words) {
  return confirmed({
    title: t("forget.title"),
    text: [words, t("forget.text")],
    action: t("forget.do"),
    typed: what.everything ? person.user : null,
    work: () => call("forget", scoped(person, what)),
    proof,
  });
}

function proof(forgotten) {
  return el(
    "div",
    { class: `proof ${forgotten.proven ? "good" : "bad"}`, role: "status" },
    el("p", { class: "verdict" }, forgotten.proven ? t("forget.proven") : t("forget.unproven")),
    figures([
      [t("forget.messages"), String(forgotten.messages)],
      [t("forget.nodes"), String(forgotten.nodes)],
    ]),
    forgotten.node_ids.length
      ? el(
          "details",
          {},
          el("summary", {}, t("forget.ids")),
          el("ul", { class: "ids" }, forgotten.node_ids.slice(0, 200).map((id) => el("li", {}, el("code", {}, id)))),
        )
      : null,
  );
}

/** Ask and remove one fact with its earlier versions, which leaves the messages as they are. */
export function deleteFact(person, node) {
  return confirmed({
    title: t("delete.title"),
    text: [node.content, t("delete.text")],
    action: t("delete.do"),
    work: () => call("delete", scoped(person, { node_id: node.id })),
    proof: () => el("p", { class: "verdict", role: "status" }, t("delete.done")),
  });
}
