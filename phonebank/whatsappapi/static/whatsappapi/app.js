// Everything here only adds comfort: each page does its work without it.
(() => {
  "use strict";
  const words = JSON.parse(document.querySelector("meta[name=words]")?.content ?? "{}");
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
  const number = new Intl.NumberFormat(document.documentElement.lang, { useGrouping: "always" });
  const every = (selector, act, root = document) => root.querySelectorAll(selector).forEach(act);

  // Polling rests while nobody looks, and a poll that fails leaves the page as it is.
  document.addEventListener("htmx:before:request", (event) => {
    const source = event.detail.ctx?.sourceElement;
    if (!source?.hasAttribute("data-live")) return;
    // Nor does it close a table that somebody has opened to read.
    if (document.hidden || source.querySelector("details[open]:not(.dropdown)")) event.preventDefault();
  });
  document.addEventListener("htmx:before:response", (event) => {
    // Logged out meanwhile: the answer is the login page, which belongs on a page of its own.
    const raw = event.detail.ctx?.response?.raw;
    if (!raw?.redirected || !new URL(raw.url).pathname.startsWith("/accounts/login/")) return;
    event.preventDefault();
    location.reload();
  });
  const offline = (is) => document.documentElement.classList.toggle("is-stale", is);
  document.addEventListener("htmx:error", () => offline(true));
  document.addEventListener("htmx:after:request", (event) => offline(event.detail.ctx?.response?.status >= 500));

  document.addEventListener("click", (event) => {
    const closer = event.target.closest("[data-dismiss]");
    if (closer) closer.closest(".alert").remove();
    const toggler = event.target.closest("[data-toggle]");
    if (toggler) {
      const shown = document.getElementById(toggler.dataset.toggle).classList.toggle("show");
      toggler.setAttribute("aria-expanded", String(shown));
    }
    const copier = event.target.closest("[data-copy]");
    if (copier) {
      navigator.clipboard.writeText(document.getElementById(copier.dataset.copy).value)
        .then(() => { copier.querySelector("span").textContent = words.copied; });
    }
    every("details.dropdown[open]", (menu) => { if (!menu.contains(event.target)) menu.open = false; });
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    every("details.dropdown[open]", (menu) => { menu.open = false; menu.querySelector("summary").focus(); });
  });

  // A form that was sent is not sent again by an impatient second click.
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented) return;
    every("button[type=submit]", (button) => {
      setTimeout(() => { button.disabled = true; });
      addEventListener("pageshow", () => { button.disabled = false; }, { once: true });
    }, event.target);
  });

  // Numbers that follow a selection, and lists that show what is chosen at once.
  document.addEventListener("change", (event) => {
    every("[data-sum]", sum);
    every("select[data-submit]", (select) => { if (select === event.target) select.form.requestSubmit(); });
  });
  const sum = (output) => {
    let total = 0, unlimited = false, count = 0;
    every(`input[name="${output.dataset.sum}"]:checked`, (box) => {
      count += 1;
      if (box.dataset.room === "") unlimited = true; else total += Number(box.dataset.room);
    });
    const need = Number(output.dataset.need);
    output.classList.toggle("is-short", count > 0 && !unlimited && total < need);
    const text = !count ? words.none : unlimited ? words.unlimited : total >= need ? words.enough : words.short;
    output.textContent = fill(text, { count, room: number.format(total), rest: number.format(need - total) });
  };

  // Merge tags are put where the cursor is.
  document.addEventListener("click", (event) => {
    const tag = event.target.closest("[data-insert]");
    if (!tag) return;
    const field = document.getElementById(tag.dataset.into);
    field.setRangeText(tag.dataset.insert, field.selectionStart, field.selectionEnd, "end");
    field.focus();
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });

  // Seconds that count down between two polls.
  setInterval(() => every("[data-seconds]", (one) => {
    const left = Math.max(0, Number(one.dataset.seconds) - 1);
    one.dataset.seconds = String(left);
    one.textContent = String(left);
  }), 1000);

  // --- Lists of sessions: the address follows the search; boxes that pick rows.
  document.addEventListener("htmx:after:swap", () => {
    const search = document.querySelector("form[data-search]");
    const here = search && document.querySelector("[data-here]")?.dataset.here;
    if (here && here !== location.pathname + location.search) history.replaceState(null, "", here);
  });
  const picks = (form) => [...form.querySelectorAll("input[name=pick]")];
  const tell = (form) => {
    const all = form.querySelector("[data-pick-all]"), page = form.querySelector("[data-pick-page]");
    const output = form.querySelector("[data-picked]");
    output.dataset.rest ??= output.textContent;
    const count = picks(form).filter((box) => box.checked).length;
    page.checked = count > 0 && count === picks(form).length;
    page.indeterminate = count > 0 && !page.checked;
    output.textContent = all?.checked ? words.all : count ? fill(words.picked, { count }) : output.dataset.rest;
  };
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-picks]");
    if (!form) return;
    if (event.target.matches("[data-pick-page]")) picks(form).forEach((box) => { box.checked = event.target.checked; });
    if (event.target.matches("[name=pick], [data-pick-page]") && !event.target.checked) {
      every("[data-pick-all]", (all) => { all.checked = false; }, form);
    }
    if (event.target.matches("[data-pick-all]")) picks(form).forEach((box) => { box.checked = event.target.checked; });
    tell(form);
  });
  document.addEventListener("htmx:after:swap", () => every("form[data-picks]", tell));
  // --- End of lists of sessions.

  // --- A panel beside a table: focus goes in, and back to where it came from.
  let opener = null;
  const closePanel = () => {
    const panel = document.querySelector("[data-panel]");
    if (!panel) return;
    panel.replaceChildren();
    panel.removeAttribute("data-panel");
    panel.removeAttribute("aria-labelledby");
    panel.className = "";
    panel.hidden = true;
    opener?.focus();
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[hx-target='#panel']");
    if (link) opener = link;
    if (event.target.closest("[data-panel-close]")) closePanel();
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") closePanel(); });
  document.addEventListener("htmx:after:swap", () => {
    const panel = document.querySelector("[data-panel]:not([data-shown])");
    if (!panel) return;
    panel.setAttribute("data-shown", "");
    panel.focus();
  });
  // --- End of panel.

  const ready = () => {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    every("select[data-time-zone]", (select) => {
      if (select.value === "UTC" && [...select.options].some((option) => option.value === zone)) select.value = zone;
    });
    every("[data-sum]", sum);
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", ready); else ready();
})();
