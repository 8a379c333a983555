// One person's sessions along a line of time, and what was said in them, a page at a time.

import { call, scoped } from "../api.js";
import { button, el, put } from "../dom.js";
import { forget } from "../forgetting.js";
import { day, moment, t } from "../i18n.js";
import { saying } from "../said.js";
import { emptyState } from "../states.js";
import { sessionLine } from "../session_line.js";

const PAGE = 400;

export async function render({ body, person, about, signal, reload, refused }) {
  const stats = await call("stats", scoped(person), { signal });
  if (!stats.messages) {
    put(body, emptyState(t("timeline.none"), t("timeline.none.hint")));
    return;
  }
  const may = about.rights.includes("forget");
  const log = await lastPage(person, stats.messages, signal);
  const picked = new Set();
  const list = el("div", { class: "sessions" });
  const line = el("div", {});
  const older = el("div", { class: "more" });
  const newer = el("div", { class: "more" });
  const bar = el("div", { class: "picked", hidden: true, role: "region", "aria-label": t("timeline.picked.label") });

  const forgetting = async (what, words) => {
    if (await forget(person, what, words)) reload();
  };
  const pick = (id, chosen) => {
    if (chosen) picked.add(id);
    else picked.delete(id);
    bar.hidden = picked.size === 0;
    const words = t("timeline.forget-picked", { n: picked.size });
    const go = () => forgetting({ message_ids: [...picked] }, t("forget.some", { n: picked.size }));
    put(bar, el("span", {}, t("timeline.picked", { n: picked.size })), button(words, go, { class: "danger" }));
  };
  const lead = (message) => {
    if (!may) return null;
    const box = el("input", {
      type: "checkbox",
      checked: picked.has(message.id),
      "aria-label": t("timeline.pick", { who: message.speaker || t(`role.${message.role}`), when: moment(message.created_at) }),
      on: { change: () => pick(message.id, box.checked) },
    });
    return box;
  };
  const forgetSession = (name) =>
    may
      ? button(t("timeline.forget-session"), () => forgetting({ session_id: name }, t("forget.session", { name })), { class: "quiet" })
      : null;
  const draw = () => {
    const sessions = inSessions(log.messages);
    put(line, sessionLine(sessions));
    put(list, sessions.map((one) => section(one, lead, forgetSession(one.name))));
    put(older, log.first > log.oldest ? button(t("timeline.older"), () => further(goBack)) : null);
    put(newer, log.after === null ? null : button(t("timeline.newer"), () => further(goOn)));
  };
  const further = async (step) => {
    try {
      await step(log, person, signal);
      draw();
    } catch (error) {
      refused(error);
    }
  };
  draw();
  const all = () => forgetting({ everything: true }, t("forget.everything", { who: person.user }));
  put(
    body,
    el(
      "div",
      { class: "above" },
      el("p", { class: "soft" }, t("timeline.counts", { messages: stats.messages, pending: stats.pending })),
      may ? button(t("timeline.forget-all"), all, { class: "quiet danger" }) : null,
    ),
    line,
    older,
    list,
    newer,
    bar,
  );
}

// The log counts its messages in `seq`, which is never used twice; so the last ones are found by it,
// and where some were forgotten a page is shorter. `oldest` is the first that is still there.
async function lastPage(person, count, signal) {
  const from = Math.max(0, count - PAGE);
  const [start, page] = await Promise.all([
    call("messages", scoped(person, { limit: 1 }), { signal }),
    call("messages", scoped(person, { after: from, limit: 1000 }), { signal }),
  ]);
  const seq = ({ items }) => (items.length ? items[0].seq : 1);
  return { messages: page.items, first: seq(page), oldest: seq(start), after: page.after };
}

async function goBack(log, person, signal) {
  const from = Math.max(0, log.first - 1 - PAGE);
  const limit = log.first - 1 - from;
  const page = await call("messages", scoped(person, { after: from, limit }), { signal });
  log.messages.unshift(...page.items.filter((message) => message.seq < log.first));
  log.first = from + 1;
}

async function goOn(log, person, signal) {
  const page = await call("messages", scoped(person, { after: log.after, limit: PAGE }), { signal });
  log.messages.push(...page.items);
  log.after = page.after;
}

/** Sessions in the order of their first message. */
function inSessions(messages) {
  const sessions = new Map();
  for (const message of messages) {
    const known = sessions.get(message.session_id);
    if (known) known.messages.push(message);
    else sessions.set(message.session_id, { name: message.session_id, messages: [message] });
  }
  return [...sessions.values()];
}

function section(session, lead, action) {
  const [first] = session.messages;
  const last = session.messages[session.messages.length - 1];
  const days = day(first.created_at) === day(last.created_at)
    ? day(first.created_at)
    : t("from-to", { from: day(first.created_at), to: day(last.created_at) });
  return el(
    "section",
    { class: "session", "data-session": session.name },
    el(
      "div",
      { class: "head" },
      el("h2", {}, days),
      el("p", { class: "soft" }, el("bdi", {}, session.name), " · ", t("count.messages", { n: session.messages.length })),
      action,
    ),
    session.messages.map((message) => saying(message, { lead: lead(message) })),
  );
}
