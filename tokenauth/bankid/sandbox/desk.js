// Keeps the desk up to date. Without it, the page is as new as its last reload.
"use strict";

const live = document.getElementById("live");
const status = document.getElementById("live-status");

// replace puts a newer version of the live part into the page. The focus stays where it was.
function replace(html) {
  const focused = document.activeElement && live.contains(document.activeElement) ? document.activeElement.id : "";
  const next = new DOMParser().parseFromString(html, "text/html");
  live.replaceChildren(...next.body.childNodes);
  if (focused) {
    const again = document.getElementById(focused);
    if (again) again.focus({ preventScroll: true });
  }
}

const events = new EventSource("/sandbox/desk/events");
events.onopen = () => { status.textContent = "Live: this page shows changes at once."; };
events.onmessage = (event) => replace(event.data);
events.onerror = () => { status.textContent = "The sandbox does not respond. This page tries again."; };
