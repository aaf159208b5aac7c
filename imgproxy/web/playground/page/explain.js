// The tab Explain: a URL that fails, and each step of its reading.

import { $, ask, debounced, h } from "./dom.js";

export function open() {
  const box = h("textarea", { id: "failing", rows: 3, spellcheck: false, placeholder: "https://images.example.com/signature/rs:fill:300:200/plain/https://example.com/cat.jpg" });
  const result = h("div", { class: "result-steps", "aria-live": "polite" });
  $("explain").append(
    h(
      "div",
      { class: "page" },
      h("h2", {}, "Why does this URL not work?"),
      h("p", { class: "lead" }, "Paste it: each step of its reading is shown, with the reason where it ends. Nothing is fetched."),
      h("label", { htmlFor: "failing" }, "The URL, or its path"),
      box,
      result,
    ),
  );
  let running = new AbortController();
  const look = async () => {
    running.abort();
    running = new AbortController();
    const { signal } = running;
    if (!box.value.trim()) return result.replaceChildren();
    try {
      const told = await ask("explain", { url: box.value.trim() }, signal);
      result.replaceChildren(verdict(told), h("ol", { class: "steps" }, ...told.steps.map(step)));
    } catch (error) {
      if (!signal.aborted) result.replaceChildren(h("p", { class: "wrong" }, error.message));
    }
  };
  box.addEventListener("input", debounced(look, 200));
}

function verdict(told) {
  const text = told.good ? "This URL is good." : "This URL is refused.";
  const link = told.corrected ? h("a", { href: told.corrected, target: "_blank", rel: "noopener" }, "Open the corrected one") : "";
  return h("p", { class: `verdict ${told.good ? "good" : "bad"}` }, text, " ", link);
}

function step({ name, text, good, remedy }) {
  const mark = h("span", { class: "mark", role: "img", "aria-label": good ? "good" : "wrong" }, good ? "✓" : "✗");
  return h("li", { class: good ? "good" : "bad" }, mark, h("b", {}, name), h("span", { class: "what" }, text, remedy ? h("em", {}, remedy) : ""));
}
