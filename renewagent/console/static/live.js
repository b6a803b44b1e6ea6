// Fetches this page again when the console says that something has changed, and puts in the parts that differ.
// Without scripts every page works as it is, and is reloaded by hand.
"use strict";
(() => {
  const main = document.querySelector("main");
  const follows = new Set((main.dataset.follows || "").split(" ").filter(Boolean));
  const line = document.querySelector(".live");
  if (!follows.size || !line || !window.EventSource) return;

  const AT_MOST_EVERY = 3000;
  const SHARE = 10; // of the time that the console takes for a page, so much passes before the next is asked for
  const ANNOUNCE_AT_MOST_EVERY = 30000;
  let waiting = null, last = 0, took = 0, announced = 0;

  const say = (words) => { line.hidden = false; line.textContent = words; };
  const clock = () => new Date().toISOString().slice(11, 19);

  const put = (old, fresh) => {
    if (old.innerHTML === fresh.innerHTML) return;
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const mark = focused && (focused.id ? "#" + CSS.escape(focused.id) : focused.getAttribute("href"));
    for (const details of old.querySelectorAll("details[open][id]")) {
      const other = fresh.querySelector("#" + CSS.escape(details.id));
      if (other) other.open = true;
    }
    old.replaceChildren(...fresh.childNodes); // it adopts them; a list that is walked while it shrinks loses every other
    if (!mark) return;
    const again = mark.startsWith("#") ? old.querySelector(mark)
      : Array.from(old.querySelectorAll("a")).find((link) => link.getAttribute("href") === mark);
    if (again) again.focus({ preventScroll: true });
  };

  const announce = () => {
    const words = main.querySelector("[data-announce]");
    const place = document.getElementById("announcement");
    if (!words || words.dataset.announce === place.textContent || Date.now() - announced < ANNOUNCE_AT_MOST_EVERY) return;
    announced = Date.now();
    place.textContent = words.dataset.announce;
  };

  const refresh = async () => {
    waiting = null;
    last = Date.now();
    let answer;
    try {
      answer = await fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
    } catch {
      return say("The console cannot be reached. The numbers are of " + shown + " UTC.");
    }
    if (answer.redirected || answer.status === 401) { source.close(); return say("You have been signed out. Reload the page to sign in again."); }
    if (!answer.ok) return say("The console did not answer properly. The numbers are of " + shown + " UTC.");
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const old of document.querySelectorAll("[data-live][id]")) {
      const other = fresh.getElementById(old.id);
      if (other) put(old, other);
    }
    took = Date.now() - last;
    shown = clock();
    say("Live. Last change at " + shown + " UTC.");
    announce();
  };

  const soon = () => { if (!waiting) waiting = setTimeout(refresh, Math.max(150, last + Math.max(AT_MOST_EVERY, SHARE * took) - Date.now())); };

  let shown = clock();
  const source = new EventSource(main.dataset.news);
  const PATIENCE = 8000; // the console ends every stream now and then, and the browser comes back by itself
  let lost = false, worry = null;
  source.addEventListener("open", () => {
    clearTimeout(worry);
    worry = null;
    if (!lost || line.textContent.startsWith("Not live")) say("Live.");
    if (lost) soon();
    lost = false;
  });
  source.addEventListener("error", () => {
    lost = true;
    const over = source.readyState === EventSource.CLOSED;
    const words = over ? "Not live any more. Reload the page." : "Not live at the moment.";
    worry = worry || setTimeout(() => say(words + " The numbers are of " + shown + " UTC."), over ? 0 : PATIENCE);
  });
  const every = Number(main.dataset.every); // seconds: of a page that counts down, though nothing changes
  if (every) setInterval(soon, every * 1000);
  source.addEventListener("changed", (event) => { if (event.data.split(" ").some((kind) => follows.has(kind))) soon(); });
})();
