// A conversation with the chat model of the settings, which is given what memory holds.

import { call, events, scoped } from "../api.js";
import { button, choice, el, field, put } from "../dom.js";
import { moment, number, problemWords, t } from "../i18n.js";
import { saying } from "../said.js";
import { badge, emptyState } from "../states.js";

export async function render({ body, person, about, signal }) {
  if (!about.chat_model) {
    put(body, emptyState(t("chat.no-model"), t("chat.no-model.hint"), el("pre", { tabindex: "0" }, "generator:\n  provider: ollama\n  model: qwen3:4b")));
    return;
  }
  const name = el("input", { type: "text", value: t("chat.session.name"), spellcheck: "false" });
  const profiles = about.memory_model ? ["", "fast", "read", "clues", "deep", "auto"] : ["", "fast"];
  const profile = choice(profiles.map((one) => [one, t(`profile.${one || "default"}`)]), "");
  const talk = el("div", { class: "talk", role: "log", "aria-label": t("chat.talk") });
  const text = el("textarea", { rows: 2, required: true, dir: "auto" });
  const send = el("button", { class: "main", type: "submit" }, t("chat.send"));
  const stop = button(t("chat.stop"), () => ending?.abort(), { hidden: true });
  let ending = null;

  const earlier = async () => {
    put(talk);
    const all = await lastOf(person, name.value, signal);
    talk.append(...all.map((message) => saying(message, { whole: true })));
    if (!all.length) put(talk, el("p", { class: "hint" }, t("chat.empty", { model: about.chat_model })));
    talk.scrollTop = talk.scrollHeight;
  };
  const submit = async (event) => {
    event.preventDefault();
    const query = text.value.trim();
    if (!query || ending) return;
    ending = new AbortController();
    const both = AbortSignal.any([signal, ending.signal]);
    if (!talk.querySelector("article")) put(talk);
    const now = new Date().toISOString();
    const words = el("p", { class: "words", dir: "auto" });
    const given = el("div", {});
    const wait = el("p", { class: "hint" }, t("chat.thinking"));
    const model = el("p", { class: "by" }, el("bdi", { class: "name" }, about.chat_model));
    talk.append(saying({ role: "user", content: query, created_at: now, speaker: null }, { whole: true }), el("article", { class: "saying assistant" }, model, words, wait, given));
    talk.scrollTop = talk.scrollHeight;
    text.value = "";
    send.disabled = true;
    stop.hidden = false;
    try {
      const asked = { query, session_id: name.value || "console", explain: true };
      if (profile.value) asked.profile = profile.value;
      for await (const [event_, data] of events("chat_stream", scoped(person, asked), { signal: both })) {
        if (event_ === "evidence") put(given, evidence(data));
        if (event_ === "text") words.append(data);
        if (event_ === "reply") finish(model, words, data);
        if (event_ === "problem") put(wait, problemWords({ kind: data.type.split(":").pop(), message: data.detail }));
        if (event_ === "text" || event_ === "reply") wait.hidden = true;
        talk.scrollTop = talk.scrollHeight;
      }
    } catch (error) {
      put(wait, error.name === "AbortError" ? t("chat.stopped") : problemWords(error));
      wait.hidden = false;
    } finally {
      ending = null;
      send.disabled = false;
      stop.hidden = true;
      text.focus();
    }
  };
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      text.form.requestSubmit();
    }
  });
  name.addEventListener("change", () => earlier().catch(() => {}));
  put(
    body,
    el("div", { class: "row filters" }, field(t("chat.session"), name), field(t("search.profile"), profile)),
    talk,
    el("form", { class: "card compose", on: { submit } }, field(t("chat.say"), text, t("chat.say.hint")), el("div", { class: "actions" }, stop, send)),
  );
  await earlier();
}

// a session is read from its beginning, in pages; the last of them are shown
async function lastOf(person, session_id, signal) {
  let kept = [];
  for (let after = 0; after !== null; ) {
    const page = await call("messages", scoped(person, { session_id, after, limit: 1000 }), { signal });
    kept = [...kept, ...page.items].slice(-40);
    after = page.after;
  }
  return kept;
}

function finish(model, words, reply) {
  put(words, reply.text);
  const { prompt_tokens: asked, completion_tokens: said } = reply.usage || {};
  if (asked || said) model.append(badge(t("chat.tokens", { asked: asked || 0, said: said || 0 })));
  for (const warning of reply.warnings || []) model.append(badge(warning, "closed"));
}

function evidence(found) {
  if (!found.items.length) return el("p", { class: "hint" }, t("chat.nothing"));
  return el(
    "details",
    {},
    el("summary", {}, t("chat.given", { n: found.items.length })),
    el(
      "ol",
      { class: "given" },
      found.items.map((item) =>
        el("li", {}, el("span", { class: "soft" }, `${moment(item.node.said_at)} · ${number(item.score, 1)} `), el("bdi", {}, item.node.content)),
      ),
    ),
  );
}
