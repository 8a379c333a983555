// What a memory recalled of a question, each clue in full.

import { el } from "./dom.js";
import { t } from "./i18n.js";
import { badge } from "./states.js";

export function clueList(clues) {
  return el(
    "details",
    {},
    el("summary", {}, t("clue.all")),
    el("ol", { class: "given" }, clues.map((clue) => el("li", {}, badge(t(`clue.${clue.kind}`)), " ", el("bdi", {}, clue.text)))),
  );
}
