// Questions before something is done that cannot be undone.

import { button, el, field, put } from "./dom.js";
import { problemWords, t } from "./i18n.js";

/**
 * Ask, do `work` when told to, and show what `proof` makes of its result.
 *
 * `typed`: words that have to be typed first. Resolves to the result, or to null.
 */
export function confirmed({ title, text, action, work, proof, typed = null }) {
  return new Promise((resolve) => {
    let result = null;
    const box = el("div", { class: "stack" });
    const dialog = el("dialog", { "aria-labelledby": "dialog-title" }, el("h2", { id: "dialog-title" }, title), box);
    const close = () => dialog.close();
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    const word = el("input", { type: "text", autocomplete: "off", spellcheck: "false" });
    const go = el("button", { type: "submit", class: "danger", disabled: typed !== null }, action);
    word.addEventListener("input", () => {
      go.disabled = word.value !== typed;
    });
    const wrong = el("p", { class: "wrong", role: "alert" });
    const submit = async (event) => {
      event.preventDefault();
      go.disabled = true;
      put(wrong);
      try {
        result = (await work()) ?? true;
      } catch (error) {
        put(wrong, problemWords(error));
        go.disabled = false;
        return;
      }
      if (!proof) {
        close();
        return;
      }
      const done = button(t("close"), close, { class: "main" });
      put(box, proof(result), el("div", { class: "actions" }, done));
      done.focus();
    };
    const form = el(
      "form",
      { class: "stack", on: { submit } },
      text.map((line) => el("p", {}, line)),
      typed === null ? null : field(t("confirm.type", { word: typed }), word),
      wrong,
      el("div", { class: "actions" }, button(t("cancel"), close), go),
    );
    put(box, form);
    document.body.append(dialog);
    dialog.showModal();
  });
}
