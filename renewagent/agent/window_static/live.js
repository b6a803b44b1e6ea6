// Fetches the page again when the stream says that it has changed, and puts the new state in place of the old one.
// Without scripts the page works as it is: its buttons are a form, and a link shows what comes next.
"use strict";
(() => {
  const aloud = document.getElementById("announcement");
  const gone = document.getElementById("gone");
  if (!window.EventSource || !window.fetch) return;
  document.documentElement.classList.add("live");

  const state = () => document.getElementById("state");
  const announce = () => { if (aloud.textContent !== state().dataset.aloud) aloud.textContent = state().dataset.aloud; };

  const wire = () => {
    const copy = document.getElementById("copy");
    const text = document.getElementById("details");
    const copied = document.getElementById("copied");
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text.value);
        copied.textContent = copied.dataset.copied;
      } catch {
        document.getElementById("for-it").open = true;
        text.focus();
        text.select();
        copied.textContent = copied.dataset.selected;
      }
      aloud.textContent = copied.textContent;
    });
  };

  const put = (fresh) => {
    const old = state();
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    const open = document.getElementById("for-it").open;
    old.replaceWith(fresh);
    document.getElementById("for-it").open = open;
    if (focused) (document.getElementById(focused) || document.getElementById("title")).focus();
    wire();
    announce();
  };

  const over = () => {
    source.close();
    if (state().dataset.over) { for (const one of document.querySelectorAll(".buttons")) one.remove(); }
    else gone.hidden = false;
    for (const one of document.querySelectorAll("#holder, .buttons")) one.remove(); // nobody answers, and no name stays
    if (!gone.hidden) aloud.textContent = gone.textContent;
  };

  let busy = false, again = false, failed = 0;
  const refresh = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      do {
        again = false;
        const answer = await fetch("/", { headers: { Accept: "text/html" }, credentials: "same-origin", cache: "no-store" });
        if (!answer.ok) throw new Error(String(answer.status));
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        document.title = fresh.title;
        put(document.adoptNode(fresh.getElementById("state")));
      } while (again);
    } catch {
      over();
    } finally {
      busy = false;
    }
  };

  document.addEventListener("submit", (event) => {
    const pressed = event.submitter;
    if (!pressed || !event.target.classList.contains("buttons")) return;
    event.preventDefault();
    const form = new URLSearchParams(new FormData(event.target));
    form.set(pressed.name, pressed.value);
    for (const one of event.target.querySelectorAll("button")) one.disabled = true;
    document.getElementById("title").focus();
    fetch("/pressed", { method: "POST", body: form, credentials: "same-origin" }).then(refresh, over);
  });

  const source = new EventSource("/live");
  source.addEventListener("state", (event) => {
    failed = 0;
    if (event.data !== state().dataset.number) refresh();
  });
  source.addEventListener("error", () => {
    failed += 1;
    if (source.readyState === EventSource.CLOSED || failed > 1) over();
  });
  wire();
  announce();
})();
