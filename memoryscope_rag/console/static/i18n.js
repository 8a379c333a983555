// The words of the console, in the language that was chosen or that the browser asks for.

import en from "./words/en.js";
import zh from "./words/zh.js";

const WORDS = { en, zh };
const CHOSEN = "memoryscope-language";

function fromBrowser() {
  return (navigator.languages || []).some((one) => one.toLowerCase().startsWith("zh")) ? "zh" : "en";
}

let language = localStorage.getItem(CHOSEN) in WORDS ? localStorage.getItem(CHOSEN) : fromBrowser();
document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";

export function currentLanguage() {
  return language;
}

export function chooseLanguage(chosen) {
  language = chosen;
  localStorage.setItem(CHOSEN, chosen);
  document.documentElement.lang = chosen === "zh" ? "zh-Hans" : "en";
}

/** The words for `key`; `{name}` in them becomes `values.name`, and `key.one` is taken where n is 1. */
export function t(key, values = {}) {
  const words = WORDS[language];
  const found = (values.n === 1 && words[`${key}.one`]) || (words[key] ?? en[key] ?? key);
  return found.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? shown(values[name]) : whole));
}

function shown(value) {
  return typeof value === "number" ? number(value) : value;
}

const locale = () => (language === "zh" ? "zh-CN" : "en-GB");

export function number(value, digits = 0) {
  return new Intl.NumberFormat(locale(), { maximumFractionDigits: digits }).format(value);
}

/** Always with two decimals, so that a column of them lines up. */
export function score(value) {
  return new Intl.NumberFormat(locale(), { maximumFractionDigits: 2, minimumFractionDigits: 2 }).format(value);
}

export function signed(value) {
  const format = { maximumFractionDigits: 2, minimumFractionDigits: 2, signDisplay: "exceptZero" };
  return new Intl.NumberFormat(locale(), format).format(value);
}

export function bytes(value) {
  const steps = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  let left = value;
  for (; left >= 1024 && step < steps.length - 1; step += 1) left /= 1024;
  return `${number(left, step ? 1 : 0)} ${steps[step]}`;
}

export function day(time) {
  return new Intl.DateTimeFormat(locale(), { dateStyle: "medium" }).format(new Date(time));
}

export function moment(time) {
  return new Intl.DateTimeFormat(locale(), { dateStyle: "medium", timeStyle: "short" }).format(new Date(time));
}

export function clock(time) {
  return new Intl.DateTimeFormat(locale(), { timeStyle: "short" }).format(new Date(time));
}

/** What went wrong, in words for people. */
export function problemWords(error) {
  const key = `problem.${error.kind}`;
  if (error.kind && key in WORDS[language]) return t(key);
  return error.message && error.kind ? `${t("problem.other")} ${error.message}` : t("problem.unknown");
}
