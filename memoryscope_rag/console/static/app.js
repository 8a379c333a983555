// The frame around the pages: sign-in, navigation, language, light and dark.

import { Problem, read, session } from "./api.js";
import { announce, button, choice, el, put } from "./dom.js";
import { chooseLanguage, currentLanguage, problemWords, t } from "./i18n.js";
import { here, linkTo } from "./place.js";
import { emptyState, failure, waiting } from "./states.js";
import { signInForm } from "./pages/sign_in.js";
import * as people from "./pages/people.js";
import * as timeline from "./pages/timeline.js";
import * as search from "./pages/search.js";
import * as facts from "./pages/facts.js";
import * as conflicts from "./pages/conflicts.js";
import * as chat from "./pages/chat.js";
import * as memory from "./pages/memory.js";
import * as documents from "./pages/documents.js";
import * as health from "./pages/health.js";

const PAGES = { people, timeline, search, facts, conflicts, chat, memory, documents, health };
const FOR_ALL = new Set(["people", "health"]); // the others are about one person
const THEME = "memoryscope-theme";

let about = null; // what the service says of itself and of the key
let leaving = new AbortController(); // ends what the page that is left still asks for

function useTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  localStorage.setItem(THEME, theme);
}

function controls() {
  const themes = choice(
    ["auto", "light", "dark"].map((name) => [name, t(`theme.${name}`)]),
    localStorage.getItem(THEME) || "auto",
  );
  themes.setAttribute("aria-label", t("theme"));
  themes.addEventListener("change", () => useTheme(themes.value));
  const languages = choice([["en", "English"], ["zh", "中文"]], currentLanguage());
  languages.setAttribute("aria-label", t("language"));
  languages.addEventListener("change", () => {
    chooseLanguage(languages.value);
    show();
  });
  const out = () => {
    session.signOut();
    about = null;
    location.hash = "";
    show();
  };
  return el("div", { class: "controls" }, languages, themes, session.key && about ? button(t("sign.out"), out) : null);
}

function brand() {
  return el(
    "a",
    { class: "brand", href: "#/people" },
    el("img", { src: "mark.svg", alt: "", width: 26, height: 26 }),
    "memoryscope-rag",
  );
}

function navigation(place) {
  const link = (name) => {
    const current = place.page === name ? "page" : null;
    return el("li", {}, el("a", { href: linkTo(name, place.person), "aria-current": current }, t(`page.${name}`)));
  };
  const names = Object.keys(PAGES).filter((name) => place.person || FOR_ALL.has(name));
  return el("nav", { "aria-label": t("pages") }, el("ul", {}, names.map(link)));
}

function whose(place) {
  if (!place.person) return null;
  const { tenant, user, agent } = place.person;
  const detail = [agent === "default" ? "" : agent, tenant === "default" ? "" : tenant].filter(Boolean);
  return el(
    "p",
    { class: "whose" },
    el("span", { class: "soft" }, t("whose")),
    el("bdi", { class: "name" }, user),
    detail.length ? el("bdi", { class: "soft" }, detail.join(" · ")) : null,
    el("a", { href: "#/people" }, t("whose.other")),
  );
}

function frame(place, main) {
  put(document.getElementById("skip"), t("skip"));
  put(
    document.getElementById("shell"),
    el("header", {}, brand(), place ? whose(place) : null, controls()),
    place ? navigation(place) : null,
    main,
  );
}

async function learn() {
  about = await read("v1/service/about");
}

function needsSignIn(error) {
  return error instanceof Problem && ["unauthorized", "tenant-needed"].includes(error.kind);
}

function askForKey(error) {
  about = null;
  const main = el("main", { id: "main", tabindex: "-1", class: "narrow" });
  put(main, signInForm(error, () => show()));
  frame(null, main);
  document.title = `${t("sign.in")} · memoryscope-rag`;
}

/** Draw the page; `moved`: somebody went here, so whoever listens hears its title. */
async function show(moved = false) {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const place = here();
  if (place.person) session.choose(place.person.tenant);
  const name = place.page in PAGES ? place.page : "people";
  const main = el("main", { id: "main", tabindex: "-1" });
  try {
    if (!about || (place.person?.tenant && about.tenant !== place.person.tenant)) await learn();
    if (signal.aborted) return;
    document.title = `${t(`page.${name}`)} · memoryscope-rag`;
    const title = el("h1", { tabindex: "-1" }, t(`page.${name}`));
    const body = el("div", { class: "page" }, waiting());
    put(main, el("div", { class: "title" }, title, el("p", { class: "soft" }, t(`page.${name}.about`))), body);
    frame({ ...place, page: name }, main);
    document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
    if (moved) title.focus();
    announce(t(`page.${name}`));
    if (!FOR_ALL.has(name) && !place.person) {
      put(body, emptyState(t("nobody"), t("nobody.hint"), el("a", { class: "main", href: "#/people" }, t("nobody.go"))));
      return;
    }
    const refused = (error) => {
      if (error.name === "AbortError" || signal.aborted) return;
      if (needsSignIn(error)) askForKey(error);
      else put(body, failure(problemWords(error), () => show()));
    };
    try {
      await PAGES[name].render({ body, person: place.person, more: place.more, about, signal, reload: () => show(), refused });
    } catch (error) {
      refused(error);
      if (!(error instanceof Problem) && error.name !== "AbortError") throw error;
    }
  } catch (error) {
    if (error.name === "AbortError") return;
    if (needsSignIn(error)) {
      askForKey(error);
      return;
    }
    frame(null, put(main, failure(problemWords(error), () => show())));
    if (!(error instanceof Problem)) throw error;
  }
}

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the # of the address says which page this is
  document.getElementById("main")?.focus();
});
window.addEventListener("hashchange", () => show(true));
useTheme(localStorage.getItem(THEME) || "auto");
show();
