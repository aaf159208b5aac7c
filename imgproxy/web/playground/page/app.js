// The page: its tabs, and what the server says at the start.

import { $, ask } from "./dom.js";
import * as trying from "./try.js";
import * as presets from "./presets.js";
import * as explain from "./explain.js";

const tabs = [...document.querySelectorAll("[role=tab]")];

function select(tab, focus = false) {
  for (const each of tabs) {
    const chosen = each === tab;
    each.setAttribute("aria-selected", chosen);
    each.tabIndex = chosen ? 0 : -1;
    $(each.getAttribute("aria-controls")).hidden = !chosen;
  }
  if (focus) tab.focus();
  if (tab.id === "tab-presets") presets.shown();
}

for (const [place, tab] of tabs.entries()) {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) select(tabs[(place + step + tabs.length) % tabs.length], true);
  });
}

try {
  const told = await ask("start");
  trying.open(told);
  presets.open(told);
  explain.open();
  document.body.dataset.ready = "true";
} catch (error) {
  const failure = $("failure");
  failure.hidden = false;
  failure.textContent = error.message;
}
