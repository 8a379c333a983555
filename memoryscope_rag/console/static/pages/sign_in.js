// An API key, kept in this tab; and the tenant, where the key has several.

import { session } from "../api.js";
import { el, field } from "../dom.js";
import { t } from "../i18n.js";

export function signInForm(error, done) {
  const key = el("input", { type: "password", autocomplete: "off", spellcheck: "false", required: true });
  key.value = session.key;
  const tenant = el("input", { type: "text", autocomplete: "off", spellcheck: "false" });
  tenant.value = session.tenant;
  const wrong = session.key && error.kind === "unauthorized";
  const words = error.kind === "tenant-needed" ? t("sign.tenant-needed") : t("sign.wrong");
  const submit = (event) => {
    event.preventDefault();
    session.signIn(key.value.trim(), tenant.value.trim());
    done();
  };
  return el(
    "form",
    { class: "card stack", on: { submit } },
    el("h1", {}, t("sign.in")),
    el("p", { class: "soft" }, t("sign.about")),
    wrong || error.kind === "tenant-needed" ? el("p", { class: "wrong", role: "alert" }, words) : null,
    field(t("sign.key"), key, t("sign.key.hint")),
    field(t("sign.tenant"), tenant, t("sign.tenant.hint")),
    el("button", { class: "main", type: "submit" }, t("sign.in")),
  );
}
