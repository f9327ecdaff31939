// Keeps the marked parts of the page fresh; without it the page is as complete, only still.
"use strict";

const PERIOD = 2000; // milliseconds

async function refresh() {
  if (document.hidden) return;
  const address = new URL(location.href);
  address.searchParams.delete("note");
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  // Our own page, from our own address.
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html"); // nosemgrep: markup-from-data
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
    if (!next || next.innerHTML === part.innerHTML) continue;
    const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    part.replaceChildren(...next.childNodes);
    if (focused) document.getElementById(focused)?.focus();
  }
}

setInterval(() => refresh().catch(() => {}), PERIOD); // the sandbox may be gone for a moment
