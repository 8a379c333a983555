// Whose memories there are. Only an administrator's key may list them; others name a person.

import { call, scoped, session } from "../api.js";
import { button, el, field, put } from "../dom.js";
import { t } from "../i18n.js";
import { linkTo } from "../place.js";
import { emptyState } from "../states.js";

const SHOWN = 24;

export async function render({ body, about, signal }) {
  if (!about.rights.includes("admin")) {
    put(body, el("p", {}, t("people.not-listed")), byName(about));
    return;
  }
  const scopes = await call("scopes", {}, { signal });
  const people = scopes.map((one) => ({ tenant: one.tenant_id, user: one.user_id, agent: one.agent_id }));
  if (!people.length) {
    put(body, emptyState(t("people.none"), t("people.none.hint")), byName(about));
    return;
  }
  const list = el("ul", { class: "people" });
  const rest = el("div", { class: "more" });
  const filter = el("input", { type: "search", spellcheck: "false" });
  let shown = SHOWN;
  const draw = () => {
    const wanted = filter.value.trim().toLowerCase();
    const found = people.filter((one) => `${one.user} ${one.agent} ${one.tenant}`.toLowerCase().includes(wanted));
    put(list, found.slice(0, shown).map((person) => row(person, about, signal)));
    const more = () => {
      shown += SHOWN;
      draw();
    };
    put(rest, found.length > shown ? button(t("more", { n: found.length - shown }), more) : null);
    if (!found.length) put(rest, el("p", { class: "soft" }, t("people.no-match")));
  };
  filter.addEventListener("input", () => {
    shown = SHOWN;
    draw();
  });
  draw();
  put(body, people.length > 8 ? field(t("people.filter"), filter) : null, list, rest, byName(about));
}

function row(person, about, signal) {
  const counts = el("span", { class: "soft counts" }, " ");
  fillCounts(person, counts, signal);
  const detail = [person.agent, person.tenant].filter((one) => one !== "default").join(" · ");
  return el(
    "li",
    {},
    el(
      "a",
      { class: "person card", href: linkTo("timeline", withTenant(person, about)) },
      el("span", { class: "initial", "aria-hidden": "true" }, [...person.user][0].toUpperCase()),
      el("span", { class: "who" }, el("bdi", { class: "name" }, person.user), detail ? el("bdi", { class: "soft" }, detail) : null),
      counts,
    ),
  );
}

// a key of one tenant need not name it
function withTenant(person, about) {
  const single = about.tenants.length === 1 && about.tenants[0] !== "*";
  return { ...person, tenant: single ? "" : person.tenant };
}

async function fillCounts(person, node, signal) {
  try {
    const stats = await call("stats", scoped(person), { signal, tenant: person.tenant });
    const facts = ["observation", "note", "insight"].reduce((sum, kind) => sum + (stats.nodes[kind] || 0), 0);
    put(node, `${t("count.messages", { n: stats.messages })} · ${t("count.facts", { n: facts })}`);
  } catch {
    put(node, ""); // the row leads to the page that says why
  }
}

function byName(about) {
  const user = el("input", { type: "text", required: true, spellcheck: "false", autocomplete: "off" });
  const agent = el("input", { type: "text", value: "default", spellcheck: "false", autocomplete: "off" });
  const submit = (event) => {
    event.preventDefault();
    const person = { tenant: session.tenant, user: user.value, agent: agent.value || "default" };
    location.hash = linkTo("timeline", person);
  };
  return el(
    "details",
    { class: "card by-name", open: !about.rights.includes("admin") },
    el("summary", {}, t("people.by-name")),
    el(
      "form",
      { class: "row", on: { submit } },
      field(t("people.user"), user),
      field(t("people.agent"), agent),
      el("button", { class: "main", type: "submit" }, t("people.open")),
    ),
  );
}
