// Elements and text nodes. Nothing here, or anywhere in the console, reads a string as HTML:
// what people wrote stays text.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `on` holds listeners, `hidden`-like booleans are set or left out, the rest are attributes. */
export function el(tag, given = {}, ...children) {
  return fill(document.createElement(tag), given, children);
}

/** The same for a drawing. */
export function svg(tag, given = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), given, children);
}

function fill(node, given, children) {
  for (const [name, value] of Object.entries(given)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (name === "value" || name === "checked") {
      node[name] = value;
    } else if (value === true) {
      node.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      node.setAttribute(name, String(value));
    }
  }
  node.append(...present(children));
  return node;
}

/** Put `children` in place of what is in `node`. */
export function put(node, ...children) {
  node.replaceChildren(...present(children));
  return node;
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

let lastId = 0;

/** An id that no other element has. */
function freshId(stem) {
  lastId += 1;
  return `${stem}-${lastId}`;
}

/** A labelled control; `hint` stands below it. */
export function field(label, control, hint) {
  const id = (control.id ||= freshId("field"));
  if (hint) control.setAttribute("aria-describedby", `${id}-hint`);
  return el(
    "div",
    { class: "field" },
    el("label", { for: id }, label),
    control,
    hint ? el("p", { class: "hint", id: `${id}-hint` }, hint) : null,
  );
}

/** A checkbox with its words. */
export function tick(label, checked, listener) {
  const box = el("input", { type: "checkbox", checked, on: { change: () => listener?.(box.checked) } });
  return { box, node: el("label", { class: "tick" }, box, el("span", {}, label)) };
}

/** A drop-down list of [value, words]. */
export function choice(options, chosen) {
  const list = el("select", {}, options.map(([value, words]) => el("option", { value }, words)));
  list.value = chosen;
  return list;
}

export function button(words, listener, given = {}) {
  return el("button", { type: "button", ...given, on: { click: listener } }, words);
}

/** Say `words` to those who listen to the page. */
export function announce(words) {
  put(document.getElementById("said"), words);
}
