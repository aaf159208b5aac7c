// The tab Presets: all of them on all samples, and one file of them while it is edited.

import { $, ask, copy, debounced, h, picture } from "./dom.js";
import * as trying from "./try.js";

let start;
let filled = false;
let file = null;
let text = "";
let told = { errors: [], presets: [] };
let running = new AbortController();
const parts = {};

export function open(given) {
  start = given;
  const sheet = h("button", { type: "button", "aria-pressed": "true" }, "Contact sheet");
  const edit = h("button", { type: "button", "aria-pressed": "false", disabled: !start.files.length }, "Edit a file");
  parts.sheet = h("div", { class: "sheet-view" });
  parts.editor = h("div", { class: "editor", hidden: true });
  const turn = (editing) => {
    sheet.setAttribute("aria-pressed", !editing);
    edit.setAttribute("aria-pressed", editing);
    parts.sheet.hidden = editing;
    parts.editor.hidden = !editing;
    if (editing && !file) load(start.files[0]);
  };
  sheet.addEventListener("click", () => turn(false));
  edit.addEventListener("click", () => turn(true));
  $("presets").append(h("div", { class: "page wide" }, h("h2", {}, "Presets"), h("div", { class: "kinds" }, sheet, edit), parts.sheet, parts.editor));
  if (start.files.length) editor();
}

/** The tab is looked at: now the pictures are worth making. */
export async function shown() {
  if (filled) return;
  filled = true;
  if (!start.presets.length) {
    parts.sheet.append(h("p", { class: "lead" }, "No preset is configured. Set IMGPROXY_PRESETS_DIR to a folder of preset files."));
    return;
  }
  const sources = trying.sources();
  const requests = start.presets.flatMap((preset) => sources.map((source) => ({ source, values: { preset: [preset.name] } })));
  const { signed } = await ask("sign", { requests });
  const head = h("tr", {}, h("th", { scope: "col" }, "Preset"), ...sources.map((source) => h("th", { scope: "col" }, source.split("/").pop())));
  const rows = start.presets.map((preset, row) => {
    const cells = sources.map((source, column) => cell(signed[row * sources.length + column], `${preset.name}, ${source.split("/").pop()}`));
    const about = [h("b", {}, preset.name), h("span", {}, preset.description), h("small", {}, preset.owner), h("code", {}, preset.options)];
    return h("tr", {}, h("th", { scope: "row" }, ...about), ...cells);
  });
  const table = h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows));
  parts.sheet.append(h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "All presets on all samples" }, table));
}

function cell(signed, alt) {
  if (signed.error) return h("td", { class: "wrong" }, signed.error);
  return h("td", {}, h("a", { href: signed.url, target: "_blank", rel: "noopener" }, h("img", { src: signed.url, alt, loading: "lazy", width: 132, height: 99 })));
}

// --- the editor

function editor() {
  const select = h("select", { id: "which", onchange: () => load(start.files.find((each) => each.name === select.value)) }, ...start.files.map((each) => h("option", { value: each.name }, each.name)));
  parts.area = h("textarea", { id: "toml", spellcheck: false, wrap: "off", autocomplete: "off", "aria-describedby": "mistakes" });
  parts.gutter = h("div", { class: "gutter", "aria-hidden": "true" });
  parts.status = h("p", { class: "status", role: "status" });
  parts.mistakes = h("ul", { class: "mistakes", id: "mistakes" });
  parts.save = h("a", { class: "button", download: "presets.toml", href: "#" }, "Download");
  const undo = h("button", { type: "button", onclick: () => load(file) }, "Undo all");
  const copied = h("button", { type: "button", onclick: () => copy(text, "TOML") }, "Copy TOML");
  parts.preset = h("select", { id: "shown-preset", onchange: compare });
  parts.source = h("select", { id: "shown-source", onchange: compare }, ...trying.sources().map((each) => h("option", { value: each }, each.split("/").pop())));
  const figure = (name, caption) => (parts[name] = h("figure", {}, h("div", { class: "shot" }), h("figcaption", {}, caption)));
  const write = h(
    "div",
    { class: "write" },
    h("div", { class: "row" }, h("label", { htmlFor: "which" }, "File"), select, undo, copied, parts.save),
    h("label", { htmlFor: "toml", class: "visually-hidden" }, "The file's text, TOML"),
    h("div", { class: "code-box" }, parts.gutter, parts.area),
    parts.status,
    parts.mistakes,
  );
  const preview = h(
    "div",
    { class: "preview" },
    h("div", { class: "row" }, h("label", { htmlFor: "shown-preset" }, "Preset"), parts.preset, h("label", { htmlFor: "shown-source" }, "on"), parts.source),
    h("div", { class: "shots" }, figure("running", "running"), figure("edited", "edited"), figure("difference", "difference")),
    (parts.options = h("p", { class: "options" })),
  );
  parts.editor.append(write, preview);
  const check = debounced(look, 250);
  parts.area.addEventListener("input", () => {
    text = parts.area.value;
    lines();
    check();
  });
  parts.area.addEventListener("scroll", () => (parts.gutter.scrollTop = parts.area.scrollTop));
}

function load(which) {
  file = which;
  text = which.text;
  parts.area.value = text;
  parts.area.scrollTop = 0;
  look();
}

function lines() {
  const wrong = new Set(told.errors.filter((each) => each.file === file.name).map((each) => each.line));
  const count = text.split("\n").length;
  parts.gutter.replaceChildren(...Array.from({ length: count }, (_, n) => h("span", { class: wrong.has(n + 1) ? "bad" : "" }, String(n + 1))));
  parts.gutter.scrollTop = parts.area.scrollTop;
}

async function look() {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  const blob = new Blob([text], { type: "application/toml" });
  URL.revokeObjectURL(parts.save.href);
  parts.save.href = URL.createObjectURL(blob);
  parts.save.download = file.name;
  try {
    const sources = [...parts.source.options].map((each) => each.value);
    const fresh = await ask("check", { file: file.name, text, sources }, signal);
    const good = !fresh.errors.length;
    // While something is wrong, the last good pictures stay.
    told = good ? fresh : { ...fresh, presets: told.presets };
    const changed = fresh.presets.filter((each) => each.changed).map((each) => each.name);
    const news = text === file.text ? "No mistakes; as it is running." : `No mistakes. ${changed.length ? `Changed: ${changed.join(", ")}.` : "No picture changes."}`;
    parts.status.textContent = good ? news : `${fresh.errors.length} ${fresh.errors.length === 1 ? "mistake" : "mistakes"}`;
    parts.status.className = `status ${good ? "good" : "bad"}`;
    parts.mistakes.replaceChildren(...fresh.errors.map(mistake));
    lines();
    if (good) choose(changed[0]);
  } catch (error) {
    if (!signal.aborted) parts.status.textContent = error.message;
  }
}

function mistake(each) {
  const place = each.line ? `${each.file}:${each.line}:${each.column}` : "";
  return h("li", {}, h("button", { type: "button", onclick: () => go(each) }, h("code", {}, place), " ", each.text));
}

/** Put the caret where the mistake is. */
function go(each) {
  if (each.file !== file.name) return;
  const rows = text.split("\n");
  const before = rows.slice(0, each.line - 1).reduce((all, row) => all + row.length + 1, 0);
  const end = before + (rows[each.line - 1] || "").length;
  parts.area.focus();
  parts.area.setSelectionRange(Math.min(before + each.column - 1, end), end);
  parts.area.scrollTop = Math.max(0, (each.line - 5) * 20);
}

function choose(changed) {
  const names = told.presets.map((each) => each.name);
  const was = parts.preset.value;
  parts.preset.replaceChildren(...told.presets.map((each) => h("option", { value: each.name }, each.changed ? `${each.name} (changed)` : each.name)));
  const chosen = told.presets.find((each) => each.name === was);
  parts.preset.value = chosen && (chosen.changed || !changed) ? was : changed || names[0] || "";
  compare();
}

async function compare() {
  const preset = told.presets.find((each) => each.name === parts.preset.value);
  const view = preset?.views.find((each) => each.source === parts.source.value);
  if (!view) return;
  parts.options.replaceChildren(h("span", {}, "running "), h("code", {}, preset.running ?? "not there yet"), h("br"), h("span", {}, "edited "), h("code", {}, preset.edited));
  const { signal } = running;
  const shots = await Promise.all(["running", "edited"].map((name) => shot(parts[name], view[name], name, signal)));
  if (!signal.aborted) difference(...shots);
}

async function shot(figure, target, name, signal) {
  const box = figure.firstChild;
  if (!target) {
    box.replaceChildren(h("p", {}, "not there yet"));
    return null;
  }
  try {
    const { blob } = await picture(target, trying.acceptHeader(), signal);
    const bitmap = await createImageBitmap(blob);
    const canvas = h("canvas", { width: bitmap.width, height: bitmap.height, role: "img", "aria-label": `${name}, ${bitmap.width} by ${bitmap.height} pixels` });
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    box.replaceChildren(canvas);
    figure.lastChild.textContent = `${name} · ${bitmap.width} × ${bitmap.height} · ${(blob.size / 1000).toFixed(1)} kB`;
    return canvas;
  } catch (error) {
    if (!signal.aborted) box.replaceChildren(h("p", { class: "wrong" }, error.message));
    return null;
  }
}

/** How two pictures differ, eight times as bright as it is; and by how much, in words. */
function difference(running, edited) {
  const box = parts.difference.firstChild;
  const caption = parts.difference.lastChild;
  if (!running || !edited) {
    caption.textContent = "difference";
    return box.replaceChildren();
  }
  const { width, height } = edited;
  if (running.width !== width || running.height !== height) {
    caption.textContent = "difference";
    return box.replaceChildren(h("p", {}, `${running.width} × ${running.height} became ${width} × ${height}`));
  }
  const [one, other] = [running, edited].map((each) => each.getContext("2d").getImageData(0, 0, width, height).data);
  const canvas = h("canvas", { width, height, role: "img", "aria-label": "Difference of the two" });
  const result = new ImageData(width, height);
  let differing = 0;
  let most = 0;
  for (let at = 0; at < one.length; at += 4) {
    let here = 0;
    for (let channel = 0; channel < 3; channel++) {
      const off = Math.abs(one[at + channel] - other[at + channel]);
      result.data[at + channel] = Math.min(255, 8 * off);
      here = Math.max(here, off);
    }
    here = Math.max(here, Math.abs(one[at + 3] - other[at + 3]));
    result.data[at + 3] = 255;
    if (here > 0) differing++;
    most = Math.max(most, here);
  }
  canvas.getContext("2d").putImageData(result, 0, 0);
  box.replaceChildren(canvas);
  const share = (100 * differing) / (width * height);
  caption.textContent = differing ? `difference × 8 · ${share.toFixed(share < 10 ? 1 : 0)} % of the pixels, at most ${most} of 255` : "no difference";
}
