// Whether the service is well, what it holds, what it does, and what its models have taken.

import { call, read, Problem } from "../api.js";
import { button, el, put } from "../dom.js";
import { bytes, number, t } from "../i18n.js";
import { badge, figures } from "../states.js";

export async function render({ body, about, signal, reload }) {
  const admin = about.rights.includes("admin");
  const whole = admin && about.tenants.includes("*");
  const [alive, ready, stats, figuresText, spent] = await Promise.all([
    settled(read("health", { signal })),
    settled(read("ready", { signal })),
    whole ? settled(call("stats", {}, { signal })) : null,
    admin ? settled(read("metrics", { signal, text: true })) : null,
    admin ? settled(read("v1/service/spent", { signal })) : null,
  ]);
  put(
    body,
    el(
      "section",
      { class: "card" },
      el("h2", {}, t("health.service")),
      el("p", { class: "by" }, light(t("health.alive"), alive), light(t("health.ready"), ready), button(t("health.again"), reload, { class: "quiet" })),
      figures([
        [t("health.version"), about.version],
        [t("health.store"), about.store],
        [t("health.embedder"), about.embedder || t("none")],
        [t("health.chat"), about.chat_model || t("none")],
        [t("health.memory"), about.memory_model || t("none")],
        [t("health.rights"), about.rights.join(", ")],
      ]),
    ),
    stats && !(stats instanceof Error) ? holdings(stats) : null,
    admin ? null : el("p", { class: "hint" }, t("health.admin")),
    spent instanceof Array ? costs(spent) : null,
    typeof figuresText === "string" ? requests(figuresText) : null,
  );
}

async function settled(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
}

function light(name, answer) {
  const well = !(answer instanceof Error);
  return badge(`${name}: ${well ? t("health.yes") : t("health.no")}`, well ? "good" : "bad");
}

function holdings(stats) {
  const nodes = Object.entries(stats.nodes).map(([kind, count]) => [t(`kinds.${kind}`), number(count)]);
  return el(
    "section",
    { class: "card" },
    el("h2", {}, t("health.holds")),
    figures([
      [t("health.scopes"), number(stats.scopes)],
      [t("health.messages"), number(stats.messages)],
      [t("health.pending"), number(stats.pending)],
      ...nodes,
      [t("health.missing"), number(stats.missing_vectors)],
      [t("health.bytes"), bytes(stats.bytes)],
      [t("health.outbox"), stats.outbox ? number(stats.outbox.waiting) : null],
      [t("memory.covered"), stats.memory ? number(stats.memory.covered) : null],
      [t("health.lag"), stats.memory ? number(stats.memory.lag) : null],
    ]),
  );
}

function costs(spent) {
  return el(
    "section",
    { class: "card" },
    el("h2", {}, t("health.costs")),
    spent.length
      ? rows(
          ["health.model", "health.calls", "health.prompt", "health.completion", "health.cost"],
          spent.map((one) => [one.model, number(one.calls), number(one.prompt_tokens), number(one.completion_tokens), number(one.cost, 4)]),
        )
      : el("p", { class: "soft" }, t("health.costs.none")),
    el("p", { class: "hint" }, t("health.costs.hint")),
  );
}

function requests(text) {
  const routes = new Map();
  const of = (route) => routes.get(route) || routes.set(route, { count: 0, failed: 0, sum: 0 }).get(route);
  for (const line of text.split("\n")) {
    const found = line.match(/^memoryscope_(requests_total|request_seconds_sum)\{(.*)\} (\S+)$/);
    if (!found) continue;
    const labels = Object.fromEntries([...found[2].matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name, value]));
    const row = of(labels.route);
    if (found[1] === "request_seconds_sum") row.sum += Number(found[3]);
    else {
      row.count += Number(found[3]);
      if (labels.status >= "400") row.failed += Number(found[3]);
    }
  }
  const seen = [...routes].filter(([route, row]) => row.count && !route.startsWith("/console")).sort(([, one], [, other]) => other.count - one.count);
  return el(
    "section",
    { class: "card" },
    el("h2", {}, t("health.requests")),
    rows(
      ["health.route", "health.count", "health.failed", "health.mean"],
      seen.map(([route, row]) => [route, number(row.count), number(row.failed), `${number((1000 * row.sum) / row.count, 1)} ms`]),
    ),
  );
}

function rows(names, lines) {
  return el(
    "div",
    { class: "wide", tabindex: "0", role: "group", "aria-label": t(names[0]) },
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, names.map((name, place) => el("th", { scope: "col", class: place ? "right" : "" }, t(name))))),
      el("tbody", {}, lines.map(([first, ...others]) => el("tr", {}, el("th", { scope: "row" }, first), others.map((one) => el("td", { class: "right" }, one))))),
    ),
  );
}
