// The tab Try: from source and values to a picture, its facts, its URL and code to copy.

import { $, ask, bytes, choice, copy, debounced, drop, h, picture, sentences, show } from "./dom.js";
import * as controls from "./controls.js";
import { KINDS, snippet } from "./snippets.js";

const ACCEPTS = { avif: "image/avif,image/webp,", webp: "image/webp,", neither: "" };
const STAGES = [
  ["cache", "look-up"],
  ["queue", "queue"],
  ["downloading", "fetch"],
  ["load", "decode"],
  ["transform", "transform"],
  ["encode", "encode"],
];

let start;
let source = "";
let accept = "avif";
let view = "compare";
let signed = null;
let kind = KINDS[0][0];
let running = new AbortController();
let beforeShown = "";
let focusShown = "";
let widest = 0;
let turn = 0;

export function open(told) {
  start = told;
  controls.build(told.controls, update);
  presetList();
  sampleList();
  exampleList();
  choice($("view"), "view", [["compare", "Compare"], ["result", "Result"], ["focus", "Focal point"]], view, look);
  choice($("accept"), "accept", [["avif", "AVIF"], ["webp", "WebP"], ["neither", "neither"]], accept, (value) => {
    accept = value;
    update();
  });
  kindList();
  listen();
  if (location.hash.length > 1) take(location.hash.slice(1));
  else if (told.examples.length) begin(told.examples[0].source);
  else nothing("Open a picture's address, or drop a file here.");
}

/** The first picture: large, and with something to see. */
function begin(first) {
  source = first;
  controls.fill(start.only_presets ? {} : { resize: { type: "fill", width: 1200, height: 780 }, gravity: { type: "sm" } });
  update();
}

/** Use a source, or take an imgproxy URL apart. */
async function take(text) {
  text = text.trim();
  if (!text) return;
  const parsed = await ask("parse", { url: text }).catch((error) => ({ error: error.message }));
  if (!parsed.error && /^[a-z][a-z0-9+.-]*:/i.test(parsed.source)) {
    source = parsed.source;
    controls.fill(parsed.values);
    const signature = !start.signed || !parsed.signature || parsed.signature.startsWith("good") ? "" : ` Its signature is not good here: ${parsed.signature}`;
    const order = parsed.exact ? "" : " Presets stood behind options in it; here they come first.";
    const count = Object.keys(parsed.values).length;
    say(`Taken apart: ${count || "no"} ${count === 1 ? "option" : "options"}.${signature}${order}`);
  } else if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) {
    source = text;
    say("");
  } else {
    say(sentences(parsed.error || "This is no URL", parsed.remedy), true);
    return;
  }
  update();
}

function say(text, wrong = false) {
  $("said").textContent = text;
  $("said").classList.toggle("wrong", wrong);
}

// --- the picture

const update = debounced(refresh, 90);

async function refresh() {
  if (!source) return;
  running.abort();
  running = new AbortController();
  const { signal } = running;
  const mine = ++turn;
  mark();
  try {
    const [told] = (await ask("sign", { requests: [{ source, values: controls.current() }] }, signal)).signed;
    if (told.error) throw new Error(told.error);
    signed = told;
    address();
    code(signal);
    $("stage").classList.add("loading");
    const answer = await picture(told.url, ACCEPTS[accept], signal);
    const shown = await show($("after"), answer.blob, $("wipe"));
    if (signal.aborted) return;
    controls.complain("");
    nothing("");
    facts(answer, shown);
    await Promise.all([before(signal), original(signal)]);
  } catch (error) {
    if (signal.aborted || error.name === "AbortError") return;
    controls.complain(error.message);
    nothing(error.message || "The server does not answer.");
  } finally {
    if (mine === turn) $("stage").classList.remove("loading");
  }
}

/** The same part of the original, untouched. */
async function before(signal) {
  if (view !== "compare" || !signed?.before || signed.before === beforeShown) return;
  const answer = await picture(signed.before, "", signal);
  await show($("before"), answer.blob);
  beforeShown = signed.before;
}

/** The whole original, to point at. */
async function original(signal) {
  if (view !== "focus" || source === focusShown) return;
  const values = { resize: { type: "fit", width: 1200, height: 1200 }, format: "webp" };
  const [told] = (await ask("sign", { requests: [{ source, values }] }, signal)).signed;
  if (told.error) throw new Error(told.error);
  const answer = await picture(told.url, "", signal);
  await show($("focus").querySelector("img"), answer.blob, $("focus"));
  focusShown = source;
  point();
}

/** A reason in the picture's place; none takes it away. */
function nothing(reason) {
  $("failure").textContent = reason;
  $("failure").hidden = !reason;
  $("stage").classList.toggle("failed", Boolean(reason));
}

function look(value) {
  view = value;
  $("stage").dataset.view = value;
  document.querySelector(".pane.original").hidden = value !== "focus";
  const { signal } = running;
  Promise.all([before(signal), original(signal)]).catch((error) => signal.aborted || nothing(error.message));
}

function facts(answer, shown) {
  const { headers, blob } = answer;
  const type = blob.type.replace("image/", "").replace("svg+xml", "svg").toUpperCase();
  const was = Number(headers.get("X-Origin-Content-Length"));
  const saved = was ? Math.round(100 * (1 - blob.size / was)) : null;
  widest = Number(headers.get("X-Origin-Width"));
  const origin = widest ? `${widest} × ${headers.get("X-Origin-Height")}` : "";
  const fact = (name, value, note, tone) => h("div", { class: tone || "" }, h("dt", {}, name), h("dd", {}, value, note ? h("small", {}, note) : ""));
  $("facts").replaceChildren(
    fact("Size", `${shown.naturalWidth} × ${shown.naturalHeight}`, origin && `of ${origin}`),
    fact("Bytes", bytes(blob.size), type),
    fact("Saved", saved === null ? "–" : saved >= 0 ? `${saved} %` : `+${-saved} %`, was ? `of ${bytes(was)}` : "no debug headers", saved >= 0 ? "good" : "bad"),
    fact("Cache", ...cached(headers.get("Cache-Status") || "")),
  );
  timing(headers.get("Server-Timing") || "", answer.took);
  $("save").href = $("after").src;
  $("save").download = `picture.${type.toLowerCase().replace("jpeg", "jpg")}`;
}

function cached(status) {
  if (/;\s*hit/.test(status)) return ["hit", (status.match(/detail=([\w/]+)/) || [])[1] || ""];
  if (/collapsed/.test(status)) return ["joined", "made for another request"];
  if (/fwd-status=304/.test(status)) return ["renewed", "the origin said unchanged"];
  const why = { "uri-miss": "not seen before", "vary-miss": "other Accept", stale: "was stale", bypass: "not kept" };
  const reason = (status.match(/fwd=([\w-]+)/) || [])[1];
  return [reason ? "made" : "–", why[reason] || reason || ""];
}

function timing(header, took) {
  const told = new Map([...header.matchAll(/([\w-]+);dur=([\d.]+)/g)].map(([, name, spent]) => [name, Number(spent)]));
  const inside = (told.get("load") || 0) + (told.get("encode") || 0);
  if (told.has("processing")) told.set("transform", Math.max(0, told.get("processing") - inside));
  const parts = STAGES.filter(([name]) => told.get(name) >= 0.05).map(([name, text]) => [name, text, told.get(name)]);
  const sum = parts.reduce((all, [, , spent]) => all + spent, 0);
  if (took > sum) parts.push(["rest", "network and page", took - sum]);
  const text = (spent) => `${spent < 10 ? spent.toFixed(1) : Math.round(spent)} ms`;
  $("timing").replaceChildren(
    ...parts.map(([name, , spent]) => {
      const bar = h("span", { class: `bar-${name}` });
      bar.style.flexGrow = Math.max(spent, took / 150);
      return bar;
    }),
  );
  $("timing").setAttribute("aria-label", `Timings: ${parts.map(([, name, spent]) => `${name} ${text(spent)}`).join(", ")}`);
  $("legend").replaceChildren(...parts.map(([name, told, spent]) => h("li", { class: `bar-${name}` }, told, " ", h("b", {}, text(spent)))));
}

// --- the URL

function address() {
  const parts = signed.parts.flatMap((part, place) => {
    const button = h("button", { type: "button", class: `part ${part.kind}` }, part.text);
    const tell = () => ($("about").textContent = part.help);
    button.addEventListener("mouseenter", tell);
    button.addEventListener("focus", tell);
    button.addEventListener("click", () => part.name && (openSheet(true), controls.reveal(part.name) || $("preset").focus()));
    return [h("span", { class: "slash" }, place ? "/" : ""), button];
  });
  $("url").replaceChildren(h("span", { class: "host" }, location.origin + "/"), ...parts);
  $("open-url").href = signed.url;
  history.replaceState(null, "", `#${signed.url}`);
}

/** Text that may wrap behind slashes. */
const breakable = (text) => text.split("/").flatMap((part, place) => (place ? ["/", h("wbr"), part] : [part]));
const absolute = (target) => location.origin + target;

/** The snippet of the chosen kind, with as many signed URLs as it needs. */
async function code(signal) {
  const { width = 0, height = 0 } = controls.current().resize || {};
  const preset = start.presets.find((each) => each.name === controls.current().preset?.[0]);
  const usual = width ? [Math.round(width / 2), width, width * 2].filter((each) => each <= Math.max(width, widest)) : [320, 640, 960, 1280];
  const widths = preset?.widths.length ? preset.widths : usual;
  const requests = widths.map((each) => {
    const box = { ...controls.current().resize, width: each };
    if (height && width) box.height = Math.round((height * each) / width);
    return { source, values: { ...controls.current(), resize: box } };
  });
  const formats = ["avif", "webp"].flatMap((format) => requests.map((each) => ({ ...each, values: { ...each.values, format } })));
  try {
    const told = (await ask("sign", { requests: [...requests, ...formats] }, signal)).signed;
    if (signal.aborted) return;
    const url = (each) => (each.error ? null : absolute(each.url));
    const all = told.map(url);
    const n = widths.length;
    const of = (from) => widths.map((each, place) => [all[from + place], each]).filter(([each]) => each);
    const parts = signed.parts.filter((part) => part.kind === "option").map((part) => part.text);
    $("snippet").textContent = snippet(kind, {
      url: absolute(signed.url),
      origin: location.origin + start.prefix,
      source,
      options: parts.join("/"),
      accept: ACCEPTS[accept],
      values: controls.current(),
      plain: of(0),
      avif: of(n),
      webp: of(2 * n),
      width: $("after").naturalWidth || width,
      height: $("after").naturalHeight || height,
    });
  } catch (error) {
    if (!signal.aborted) $("snippet").textContent = error.message;
  }
}

// --- the focal point

function point() {
  const { type, x = 0.5, y = 0.5 } = controls.current().gravity || {};
  const [across, down] = type === "fp" ? [x, y] : [0.5, 0.5];
  const handle = $("focus").querySelector(".point");
  handle.style.left = `${100 * across}%`;
  handle.style.top = `${100 * down}%`;
  handle.setAttribute("aria-valuenow", Math.round(100 * across));
  handle.setAttribute("aria-valuetext", `${Math.round(100 * across)} % across, ${Math.round(100 * down)} % down`);
}

function aim(x, y) {
  const tidy = (value) => Math.round(Math.min(1, Math.max(0, value)) * 1000) / 1000;
  controls.set("gravity", { type: "fp", x: tidy(x), y: tidy(y) });
  point();
}

function listen() {
  const focus = $("focus");
  const handle = focus.querySelector(".point");
  const to = (event) => {
    const box = focus.getBoundingClientRect();
    aim((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  };
  focus.addEventListener("pointerdown", (event) => {
    focus.setPointerCapture(event.pointerId);
    event.preventDefault();
    handle.focus();
    to(event);
  });
  focus.addEventListener("pointermove", (event) => focus.hasPointerCapture(event.pointerId) && to(event));
  handle.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const { type, x = 0.5, y = 0.5 } = controls.current().gravity || {};
    const step = event.shiftKey ? 0.1 : 0.02;
    aim((type === "fp" ? x : 0.5) + step * way[0], (type === "fp" ? y : 0.5) + step * way[1]);
  });

  const wipe = () => $("wipe").style.setProperty("--wipe", `${$("slide").value}%`);
  $("slide").addEventListener("input", wipe);
  wipe();

  $("omnibox").addEventListener("submit", (event) => {
    event.preventDefault();
    take($("paste").value);
  });
  $("paste").addEventListener("paste", () => setTimeout(() => take($("paste").value)));
  $("choose").addEventListener("click", () => $("file").click());
  $("choose").hidden = !start.uploads;
  $("file").addEventListener("change", () => $("file").files[0] && dropped($("file").files[0]));
  const tab = $("try");
  tab.addEventListener("dragover", (event) => {
    event.preventDefault();
    $("stage").classList.add("over");
  });
  tab.addEventListener("dragleave", () => $("stage").classList.remove("over"));
  tab.addEventListener("drop", (event) => {
    event.preventDefault();
    $("stage").classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) dropped(file);
    else take(event.dataTransfer.getData("text"));
  });

  $("reset").addEventListener("click", () => {
    controls.fill({});
    $("preset").value = "";
    update();
  });
  $("copy-url").addEventListener("click", () => signed && copy(absolute(signed.url), "URL"));
  $("copy-code").addEventListener("click", () => copy($("snippet").textContent, "Code"));
  document.querySelector(".panel").addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || $("grip").getAttribute("aria-expanded") !== "true") return;
    openSheet(false);
    $("grip").focus();
  });
  $("grip").addEventListener("click", () => openSheet($("grip").getAttribute("aria-expanded") !== "true"));
}

/** On phones the options are a sheet at the bottom. */
function openSheet(yes) {
  $("grip").setAttribute("aria-expanded", yes);
  document.querySelector(".panel").classList.toggle("open", yes);
  if (yes && matchMedia("(max-width: 60rem)").matches) $("stage").scrollIntoView();
}

async function dropped(file) {
  if (file.size > start.largest) return say(`${file.name} has ${bytes(file.size)}; at most ${bytes(start.largest)} are taken.`, true);
  say(`Sending ${file.name} …`);
  try {
    source = await drop(file);
    say(`${file.name}, ${bytes(file.size)}: kept until the server stops.`);
    update();
  } catch (error) {
    say(error.message, true);
  }
}

// --- lists

function presetList() {
  const groups = new Map();
  for (const each of start.presets) {
    const owner = each.owner || "settings";
    if (!groups.has(owner)) groups.set(owner, h("optgroup", { label: owner }));
    groups.get(owner).append(h("option", { value: each.name }, each.name));
  }
  $("preset").append(h("option", { value: "" }, start.presets.length ? "none" : "none is configured"), ...groups.values());
  $("preset").disabled = !start.presets.length;
  $("preset").addEventListener("change", () => {
    // Afresh: what was set before would stand behind the preset and hide it, or is forbidden by it.
    controls.fill($("preset").value ? { preset: [$("preset").value] } : {});
    update();
  });
}

/** What belongs to the source and the preset that are in use. */
function mark() {
  const name = controls.current().preset?.[0] || "";
  $("preset").value = name;
  const preset = start.presets.find((each) => each.name === name);
  const open = preset?.allow ? ` A URL may still set: ${preset.allow.join(", ") || "nothing"}.` : "";
  const old = preset?.deprecated ? ` Deprecated: ${preset.deprecated}.` : "";
  const options = preset ? h("code", {}, ...breakable(preset.options)) : "";
  $("preset-about").replaceChildren(preset ? `${sentences(preset.description)}${open}${old} ` : "", options);
  for (const each of $("samples").children) each.setAttribute("aria-pressed", each.dataset.source === source);
  point();
}

function sampleList() {
  const seen = new Map(start.examples.map((each) => [each.source, each.thumbnail]));
  for (const [each, thumbnail] of seen) {
    const name = each.split("/").pop();
    const img = h("img", { src: thumbnail, alt: "", width: 96, height: 64, loading: "lazy" });
    const use = () => {
      source = each;
      say("");
      update();
    };
    $("samples").append(h("button", { type: "button", "aria-pressed": "false", "aria-label": name, title: name, data: { source: each }, onclick: use }, img));
  }
}

function exampleList() {
  document.querySelector("#try .examples").hidden = !start.examples.length;
  for (const each of start.examples) {
    const img = h("img", { src: each.url, alt: "", loading: "lazy", width: 480, height: 320 });
    const use = () => {
      take(each.url);
      scrollTo({ top: 0, behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    };
    $("examples").append(h("li", {}, h("button", { type: "button", onclick: use }, img, h("span", {}, each.about), h("code", {}, ...breakable(each.options)))));
  }
}

function kindList() {
  for (const [name, text] of KINDS) {
    const use = (event) => {
      kind = name;
      for (const each of $("kinds").children) each.setAttribute("aria-pressed", each === event.target);
      code(running.signal);
    };
    $("kinds").append(h("button", { type: "button", "aria-pressed": name === kind, onclick: use }, text));
  }
}

export const sources = () => [...new Set([source, ...start.examples.map((each) => each.source)])].filter(Boolean);
export const acceptHeader = () => ACCEPTS[accept];
