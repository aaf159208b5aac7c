// What all parts of the page use: elements, requests, clipboard.

export const $ = (id) => document.getElementById(id);

/** An element: h("button", {type: "button", onclick: f}, "Copy"). Properties where there are some, else attributes. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name in element && !name.startsWith("aria-")) element[name] = value;
    else if (name === "class") element.className = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const base = new URL("playground/", document.baseURI);

/** The answer to a question; throws an Error with the server's reason. */
export async function ask(name, question = {}, signal) {
  const response = await fetch(new URL(name, base), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(question),
    signal,
  });
  return answered(response);
}

/** Hand a file over; its source URL. */
export async function drop(file) {
  const headers = { "Content-Type": "application/octet-stream" };
  const response = await fetch(new URL("drop", base), { method: "POST", headers, body: file });
  return (await answered(response)).source;
}

async function answered(response) {
  const told = await response.json().catch(() => ({ error: `The server answered ${response.status}.` }));
  if (!response.ok) throw new Error(told.error);
  return told;
}

/** A reason and what to do about it, as sentences. */
export const sentences = (...parts) => parts.filter(Boolean).map((part) => part.replace(/([^.!?])$/, "$1.")).join(" ");

/** Call later, and only the last of many calls. */
export function debounced(call, milliseconds) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...given), milliseconds);
  };
}

let toasting = 0;
export function toast(text) {
  $("toast").textContent = text;
  $("toast").classList.add("shown");
  clearTimeout(toasting);
  toasting = setTimeout(() => $("toast").classList.remove("shown"), 1800);
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`${what} copied`);
  } catch {
    toast("The browser does not let the page copy: select the text instead");
  }
}

export const bytes = (n) =>
  n < 1000 ? `${n} B` : n < 1e6 ? `${(n / 1e3).toFixed(n < 1e5 ? 1 : 0)} kB` : `${(n / 1e6).toFixed(2)} MB`;

/** Radio buttons that look like one switch; `changed` gets the chosen value. */
export function choice(fieldset, name, options, chosen, changed) {
  for (const [value, text] of options) {
    const input = h("input", { type: "radio", name, value, checked: value === chosen, onchange: () => changed(value) });
    fieldset.append(h("label", {}, input, h("span", {}, text)));
  }
}

/** An image for `target`, as a browser of this kind gets it: picture, headers, milliseconds. Throws the reason. */
export async function picture(target, accept, signal) {
  const start = performance.now();
  const wanted = `${accept}image/*,application/problem+json;q=0.9`;
  const response = await fetch(target, { headers: { Accept: wanted }, cache: "no-store", signal });
  if (!response.ok) {
    const told = await response.json().catch(() => ({ title: `The server answered ${response.status}.` }));
    throw new Error(sentences(told.detail || told.title, told.remedy));
  }
  const blob = await response.blob();
  return { blob, headers: response.headers, took: performance.now() - start };
}

/** Show a blob once it can be painted, and let go of the one before; a `box` gets the picture's shape. */
export async function show(img, blob, box) {
  const url = URL.createObjectURL(blob);
  const ahead = new Image();
  ahead.src = url;
  try {
    await ahead.decode();
  } catch {
    URL.revokeObjectURL(url);
    throw new Error("The browser cannot show this format.");
  }
  const old = img.src;
  img.src = url;
  box?.style.setProperty("--w", ahead.naturalWidth);
  box?.style.setProperty("--h", ahead.naturalHeight);
  if (old.startsWith("blob:")) URL.revokeObjectURL(old);
  return ahead;
}
