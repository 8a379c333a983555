// What a page shows while it waits, when there is nothing, and when something went wrong.

import { button, el } from "./dom.js";
import { t } from "./i18n.js";

export function waiting() {
  return el("p", { class: "waiting", role: "status" }, t("waiting"));
}

/** Nothing here yet: what this is for, and what to do. */
export function emptyState(title, hint, action = null) {
  return el("div", { class: "empty" }, el("h2", {}, title), el("p", {}, hint), action);
}

export function failure(words, again) {
  return el(
    "div",
    { class: "failure", role: "alert" },
    el("p", {}, words),
    again ? button(t("again"), again) : null,
  );
}

/** A word in a small frame, such as the state of a message. */
export function badge(words, kind = "") {
  return el("span", { class: `badge ${kind}` }, words);
}

/** Numbers with their names. */
export function figures(rows) {
  return el(
    "dl",
    { class: "figures" },
    rows
      .filter(([, value]) => value !== null && value !== undefined)
      .map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
}
