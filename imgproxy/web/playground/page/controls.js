// The form: made of the server's option table, and of nothing that is known here about single options.

import { $, h } from "./dom.js";

let rows = [];
let values = {};
let changed = () => {};

const words = (name) => {
  const text = name.replace(/[_-]/g, " ");
  return text[0].toUpperCase() + text.slice(1);
};

/** Build the form. `onchange` is called after each change of the values. */
export function build(table, onchange) {
  changed = onchange;
  rows = table.map((control) => new Row(control));
  const groups = Map.groupBy ? Map.groupBy(rows, (row) => row.group) : grouped();
  [...groups].forEach(([name, members], place) => {
    const count = h("span", { class: "badge" });
    const group = h("details", { class: "group", open: place === 0 }, h("summary", {}, name, " ", count));
    group.append(...members.map((row) => row.element));
    members.forEach((row) => Object.assign(row, { details: group, badge: count, members }));
    $("controls").append(group);
  });
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("find").addEventListener("input", filter);
  $("changed").addEventListener("change", filter);
}

function grouped() {
  const groups = new Map();
  for (const row of rows) groups.set(row.group, [...(groups.get(row.group) || []), row]);
  return groups;
}

export const current = () => values;

/** Show these values. */
export function fill(given) {
  values = structuredClone(given);
  rows.forEach((row) => row.fill());
  filter();
}

/** Change one option from outside the form. */
export function set(name, value) {
  values[name] = value;
  rows.find((row) => row.name === name)?.fill();
  filter();
  changed();
}

/** Open, scroll to and focus the control of an option. */
export function reveal(name) {
  const row = rows.find((each) => each.name === name) || rows.find((each) => each.keys.includes(name));
  if (!row) return false;
  $("find").value = "";
  $("changed").checked = false;
  filter();
  row.details.open = true;
  row.element.scrollIntoView({ block: "center" });
  row.element.querySelector("input,select")?.focus();
  return true;
}

/** Mark the control that a reason begins with; the rest of the reason stands below it. */
export function complain(reason) {
  const name = reason ? reason.split(/[:.]/)[0] : "";
  for (const row of rows) row.complain(reason && row.name === name ? reason : "");
}

function filter() {
  const text = $("find").value.trim().toLowerCase();
  const only = $("changed").checked;
  for (const row of rows) {
    const found = !text || row.text.includes(text);
    row.element.hidden = !found || (only && !(row.name in values));
  }
  for (const details of new Set(rows.map((row) => row.details))) {
    const row = rows.find((each) => each.details === details);
    const shown = row.members.some((each) => !each.element.hidden);
    details.hidden = !shown;
    if ((text || only) && shown) details.open = true;
    const count = row.members.filter((each) => each.name in values).length;
    row.badge.textContent = count || "";
  }
  const all = Object.keys(values).filter((name) => name !== "preset").length;
  $("count").textContent = all ? `· ${all} changed` : "";
}

class Row {
  constructor(control) {
    Object.assign(this, { name: control.name, group: control.group, lone: control.lone, fields: control.fields });
    this.keys = control.fields.map((field) => field.key);
    this.text = `${control.name} ${control.short} ${control.help}`.toLowerCase();
    const id = `c-${control.name}`;
    this.undo = h("button", { type: "button", class: "undo", hidden: true, "aria-label": `Reset ${words(control.name)}`, onclick: () => this.reset() }, "Reset");
    const about = h("details", { class: "why" }, h("summary", { "aria-label": `About ${words(control.name)}` }, "?"), h("p", {}, control.help));
    about.addEventListener("focusout", () => (about.open = false));
    this.wrong = h("p", { class: "wrong", id: `${id}-wrong`, hidden: true });
    const title = h("legend", {}, words(control.name), " ", h("code", {}, control.short));
    this.inputs = control.fields.map((field) => input(field, this, id));
    this.element = h("fieldset", { class: "control", id }, title, h("div", { class: "marks" }, this.undo, about), ...this.inputs.map((each) => each.element), this.wrong);
  }

  get value() {
    const value = values[this.name];
    return this.lone ? { [this.keys[0]]: value } : value || {};
  }

  /** A field was changed. What is at its default again is not asked for, unless a preset may say otherwise. */
  change(key, value) {
    if (this.lone) values[this.name] = value;
    else values[this.name] = { ...values[this.name], [key]: value };
    const now = this.value;
    const plain = this.fields.every((field) => now[field.key] == null || now[field.key] === field.default);
    if ((plain && !values.preset) || (this.lone && empty(value))) delete values[this.name];
    this.mark();
    filter();
    changed();
  }

  reset() {
    delete values[this.name];
    this.fill();
    filter();
    changed();
    this.element.querySelector("input,select").focus();
  }

  fill() {
    for (const each of this.inputs) each.fill(this.value[each.field.key]);
    this.mark();
  }

  mark() {
    const set = this.name in values;
    this.undo.hidden = !set;
    this.element.classList.toggle("changed", set);
  }

  complain(reason) {
    if (this.wrong.textContent === reason) return;
    this.wrong.textContent = reason;
    this.wrong.hidden = !reason;
    for (const each of this.element.querySelectorAll("input,select")) {
      if (reason) each.setAttribute("aria-invalid", "true");
      else each.removeAttribute("aria-invalid");
      if (reason) each.setAttribute("aria-describedby", this.wrong.id);
      else each.removeAttribute("aria-describedby");
    }
    if (reason) this.details.open = true;
  }
}

const empty = (value) =>
  value === null || value === undefined || value === "" || (typeof value === "object" && !Object.keys(value).length);

/** What edits one field: {field, element, fill(value)}. */
function input(field, row, prefix) {
  const id = `${prefix}-${field.key}`;
  const say = (value) => row.change(field.key, value);
  const named = `${words(row.name)}: ${field.key.replace(/_/g, " ")}`;
  const wrap = (kind, ...parts) => h("div", { class: `field ${kind}`, title: field.meaning }, ...parts);
  const label = row.lone && field.kind !== "bool" ? words(field.key) : words(field.key);
  const made = { pairs, list, bool, number, choice, color, text };
  const kind = field.pairs ? "pairs" : field.list ? (field.kind === "choice" ? "list" : "text") : field.kind;
  return { field, ...made[kind]() };

  function bool() {
    const box = h("input", { type: "checkbox", id, onchange: () => say(box.checked) });
    const element = wrap("bool", h("label", { class: "switch" }, box, h("span", {}, field.meaning.replace(/\.$/, ""))));
    return { element, fill: (value) => (box.checked = value ?? field.default) };
  }

  function number() {
    const unit = field.unit ? ` ${field.unit}` : "";
    const read = (text) => (text === "" ? null : Number(text));
    const low = field.low ?? (field.reach ? -field.reach : undefined);
    const box = h("input", { type: "number", id, step: field.step, placeholder: String(field.default ?? "–"), oninput: () => tell(read(box.value)) });
    const slider = field.reach
      ? h("input", { type: "range", min: low, max: field.reach, step: steps(field), "aria-label": `${named}, slider`, oninput: () => tell(Number(slider.value)) })
      : null;
    const tell = (value) => {
      show(value);
      say(value);
    };
    const show = (value) => {
      if (document.activeElement !== box || Number(box.value) !== value) box.value = value ?? "";
      if (slider) {
        slider.value = value ?? field.default ?? low;
        const at = (where) => `${(100 * (where - low)) / (field.reach - low)}%`;
        slider.style.setProperty("--from", at(Math.max(low, Math.min(0, slider.value))));
        slider.style.setProperty("--to", at(Math.max(0, slider.value)));
      }
    };
    const element = wrap("number", h("label", { htmlFor: id }, label, unit && h("small", {}, unit)), slider || h("span"), box);
    return { element, fill: (value) => show(value ?? field.default) };
  }

  function choice() {
    const plain = field.default === null ? [h("option", { value: "" }, "–")] : [];
    const options = field.choices.map(([value, text]) => h("option", { value }, text));
    const values = new Map(field.choices.map(([value]) => [String(value), value]));
    const box = h("select", { id, onchange: () => say(values.get(box.value) ?? null) }, ...plain, ...options);
    const element = wrap("choice", h("label", { htmlFor: id }, label), box);
    return { element, fill: (value) => (box.value = String(value ?? field.default ?? "")) };
  }

  function color() {
    const box = h("input", { type: "color", id, value: "#ffffff", oninput: () => tell(box.value) });
    const typed = h("input", { type: "text", "aria-label": `${named}, hexadecimal`, placeholder: "none", spellcheck: false, onchange: () => tell(typed.value.trim() || null) });
    const tell = (value) => {
      show(value);
      say(value);
    };
    const show = (value) => {
      if (/^#[0-9a-f]{6}$/i.test(value || "")) box.value = value;
      typed.value = value || "";
    };
    return { element: wrap("color", h("label", { htmlFor: id }, label), box, typed), fill: show };
  }

  function text() {
    const read = () => (field.list ? box.value.split(",").map((each) => each.trim()).filter(Boolean) : box.value);
    const box = h("input", { type: "text", id, spellcheck: false, placeholder: field.list ? "a, b" : "", oninput: () => say(read()) });
    const fill = (value) => (box.value = field.list ? (value || []).join(", ") : (value ?? field.default ?? ""));
    return { element: wrap("text", h("label", { htmlFor: id }, label), box), fill };
  }

  /** Several of the choices. */
  function list() {
    const boxes = field.choices.map(([value, text]) => h("label", { class: "switch" }, h("input", { type: "checkbox", value, onchange: tell }), h("span", {}, text)));
    const inputs = boxes.map((each) => each.firstChild);
    function tell() {
      say(inputs.filter((each) => each.checked).map((each) => each.value));
    }
    return { element: wrap("many", ...boxes), fill: (value) => inputs.forEach((each) => (each.checked = (value || []).includes(each.value))) };
  }

  /** A number for each of the choices. */
  function pairs() {
    const boxes = field.choices.map(([value, text]) => {
      const box = h("input", { type: "number", id: `${id}-${value}`, min: 0, max: 100, placeholder: "–", data: { value }, oninput: tell });
      return h("div", { class: "pair" }, h("label", { htmlFor: box.id }, text), box);
    });
    const inputs = boxes.map((each) => each.lastChild);
    function tell() {
      say(Object.fromEntries(inputs.filter((each) => each.value !== "").map((each) => [each.dataset.value, Number(each.value)])));
    }
    return { element: wrap("many", ...boxes), fill: (value) => inputs.forEach((each) => (each.value = value?.[each.dataset.value] ?? "")) };
  }
}

/** A slider's step: whole numbers, or hundredths of its reach in round figures. */
function steps(field) {
  if (field.step === 1) return 1;
  return field.reach <= 1 ? 0.01 : field.reach <= 10 ? 0.1 : field.reach <= 100 ? 0.5 : 1;
}
