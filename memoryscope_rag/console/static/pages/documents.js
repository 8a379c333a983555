// Documents: upload them, see what reading came to, and ask them in MemoRAG's manner.

import { call, events, Problem, scoped } from "../api.js";
import { clueList } from "../clues.js";
import { confirmed } from "../dialogs.js";
import { announce, button, choice, el, field, put, tick } from "../dom.js";
import { bytes, number, problemWords, t } from "../i18n.js";
import { badge, emptyState, figures, waiting } from "../states.js";

const TASKS = ["memorag", "qa", "summarize"];

export async function render({ body, person, about, signal, reload }) {
  const corpora = await call("documents/list", scoped(person), { signal });
  const may = about.rights;
  put(
    body,
    about.documents ? null : emptyState(t("documents.missing"), t("documents.missing.hint")),
    about.documents && may.includes("write") ? upload(person, about, corpora, reload) : null,
    corpora.map((corpus) => shown(corpus, person, about, reload)),
    about.documents && !corpora.length ? emptyState(t("documents.none"), t("documents.none.hint")) : null,
  );
}

function upload(person, about, corpora, reload) {
  const files = el("input", { type: "file", multiple: true, required: true, accept: ".txt,.md,.markdown,.pdf,.docx" });
  const name = el("input", { type: "text", required: true, value: corpora[0]?.name ?? t("documents.corpus.name") });
  const ratio = el("input", { type: "number", min: 1, max: 64, placeholder: "4" });
  const hits = el("input", { type: "number", min: 1, max: 100, placeholder: "10" });
  const budget = el("input", { type: "number", min: 64, max: 100000, placeholder: "2048" });
  const evidence = choice(["fused", "union"].map((mode) => [mode, t(`documents.${mode}`)]), "fused");
  const told = el("div", { class: "stack" });
  const read = el("button", { class: "main", type: "submit" }, t("documents.read"));
  const submit = async (event) => {
    event.preventDefault();
    read.disabled = true;
    put(told);
    const making = { evidence: evidence.value };
    for (const [key, box] of [["ratio", about.memory_model ? ratio : {}], ["hits", hits], ["budget_tokens", budget]]) {
      if (box.value) making[key] = Number(box.value);
    }
    let well = true;
    for (const file of files.files) {
      const line = el("div", { class: "stack" });
      told.append(line);
      well = (await readFile(file, { corpus: name.value, ...making }, person, about, line)) && well;
    }
    read.disabled = false;
    if (well) reload();
  };
  return el(
    "form",
    { class: "card stack", on: { submit } },
    el("h2", {}, t("documents.upload")),
    el(
      "div",
      { class: "row" },
      field(t("documents.file"), files, t("documents.file.hint", { size: bytes(about.upload_bytes) })),
      field(t("documents.corpus"), name, t("documents.corpus.hint")),
    ),
    el(
      "details",
      {},
      el("summary", {}, t("documents.options")),
      el(
        "div",
        { class: "grid" },
        about.memory_model ? field(t("documents.ratio"), ratio) : null,
        field(t("documents.evidence"), evidence),
        field(t("documents.hits"), hits),
        field(t("documents.budget"), budget),
      ),
    ),
    told,
    el("div", { class: "actions" }, read),
  );
}

/** Whether it went well. */
async function readFile(file, asked, person, about, line) {
  const wrong = (words) => {
    put(line, el("p", { class: "wrong", role: "alert" }, `${file.name}: ${words}`));
    return false;
  };
  if (file.size > about.upload_bytes) return wrong(t("documents.too-large", { name: file.name, size: bytes(about.upload_bytes) }));
  const bar = el("progress", { "aria-label": t("documents.reading", { name: file.name }) });
  const count = el("span", { class: "hint" });
  put(line, el("p", {}, t("documents.reading", { name: file.name })), bar, count);
  try {
    const sent = scoped(person, { ...asked, name: file.name, content: await inBase64(file) });
    for await (const [name, data] of events("documents/add", sent)) {
      if (name === "progress") {
        bar.max = data.total || 1;
        bar.value = data.done;
        put(count, t("documents.progress", { done: data.done, total: data.total }));
      }
      if (name === "problem") throw new Problem(data.type.split(":").pop(), data.status, data.detail);
    }
  } catch (error) {
    return wrong(problemWords(error));
  }
  put(line, el("p", { class: "soft" }, t("documents.done", { name: file.name })));
  announce(t("documents.done", { name: file.name }));
  return true;
}

function inBase64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result.slice(reader.result.indexOf(",") + 1)));
    reader.addEventListener("error", () => reject(new Problem("error", 0, reader.error.message)));
    reader.readAsDataURL(file);
  });
}

function shown(corpus, person, about, reload) {
  const remove = async () => {
    const done = await confirmed({
      title: t("documents.remove.title"),
      text: [corpus.name, t("documents.remove.text")],
      action: t("documents.remove.do"),
      work: () => call("documents/remove", scoped(person, { corpus: corpus.name })),
    });
    if (done) reload();
  };
  return el(
    "article",
    { class: "card corpus" },
    el(
      "div",
      { class: "head" },
      el("h2", {}, el("bdi", {}, corpus.name)),
      about.rights.includes("forget") ? button(t("documents.remove"), remove, { class: "quiet danger" }) : null,
    ),
    el("ul", { class: "names" }, corpus.sources.map((source) => el("li", {}, el("bdi", {}, source)))),
    figures([
      [t("documents.chunks"), number(corpus.chunks)],
      [t("documents.characters"), number(corpus.characters)],
      [t("documents.tokens"), number(corpus.tokens)],
      [t("documents.rows"), number(corpus.rows)],
      [t("documents.remembers"), corpus.model],
    ]),
    about.documents ? asking(corpus, person) : null,
  );
}

function asking(corpus, person) {
  const query = el("input", { type: "text", spellcheck: "false" });
  const task = choice(TASKS.map((one) => [one, t(`documents.task.${one}`)]), "memorag");
  const most = el("input", { type: "number", min: 1, max: 8192, value: 256 });
  const draft = tick(t("documents.draft"), false);
  const go = el("button", { class: "main", type: "submit" }, t("documents.ask"));
  const told = el("div", { "aria-live": "polite" });
  const suit = () => {
    query.disabled = task.value === "summarize";
    query.required = !query.disabled;
    draft.box.disabled = task.value !== "memorag";
  };
  task.addEventListener("change", suit);
  suit();
  const submit = async (event) => {
    event.preventDefault();
    go.disabled = true;
    put(told, waiting());
    const asked = { corpus: corpus.name, task: task.value, max_tokens: Number(most.value) || 256 };
    if (task.value !== "summarize") asked.query = query.value;
    if (task.value === "memorag") asked.use_memory_answer = draft.box.checked;
    try {
      put(told, answered(await call("documents/ask", scoped(person, asked))));
    } catch (error) {
      put(told, el("p", { class: "wrong", role: "alert" }, problemWords(error)));
    } finally {
      go.disabled = false;
    }
  };
  return el(
    "form",
    { class: "stack", on: { submit } },
    el("div", { class: "row" }, field(t("documents.question"), query), go),
    el("div", { class: "row filters" }, field(t("documents.task"), task), field(t("documents.max"), most), draft.node),
    told,
  );
}

function answered(answer) {
  const ms = Object.values(answer.timings).reduce((sum, one) => sum + one, 0);
  return el(
    "section",
    { class: "answer" },
    el("p", { class: "words", dir: "auto" }, answer.text || "–"),
    el("p", { class: "hint" }, t("documents.took", { model: answer.model, ms }), answer.left_out.length ? ` · ${answer.left_out.join(", ")}` : ""),
    answer.clues.length ? clueList(answer.clues) : null,
    answer.evidence.length
      ? el("details", { open: true }, el("summary", {}, t("documents.passages")), answer.evidence.map((passage) => passageOf(passage)))
      : null,
  );
}

function passageOf(passage) {
  return el(
    "div",
    { class: "passage" },
    el("p", { class: "by soft" }, el("bdi", {}, `${passage.source}:${passage.start}–${passage.end}`), passage.found_by.map((name) => badge(name))),
    el("p", { class: "words", dir: "auto" }, passage.text),
  );
}
