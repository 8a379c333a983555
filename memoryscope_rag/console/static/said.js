// A message as it was said.

import { el } from "./dom.js";
import { clock, moment, t } from "./i18n.js";
import { badge } from "./states.js";

/** `actions` stand at its end; `whole` shows the date, too. */
export function saying(message, { actions = null, whole = false, lead = null } = {}) {
  const who = message.speaker || t(`role.${message.role}`);
  const time = (whole ? moment : clock)(message.created_at);
  return el(
    "article",
    { class: `saying ${message.role}` },
    el(
      "p",
      { class: "by" },
      lead,
      el("bdi", { class: "name" }, who),
      el("time", { datetime: message.created_at, class: "soft" }, time),
      message.state && message.state !== "consolidated" ? badge(t(`state.${message.state}`), message.state) : null,
    ),
    el("p", { class: "words", dir: "auto" }, message.content),
    message.state_reason ? el("p", { class: "hint" }, message.state_reason) : null,
    actions,
  );
}
