// The keyboard: j and k go from picture to picture, the arrows from page to page, Escape up. All of it works by links, too.
(() => {
  "use strict";
  const follow = (rel) => document.querySelector(`a[rel~="${rel}"]`)?.click();
  const stops = [...document.querySelectorAll("[data-stop]")];
  const now = () => {
    const at = stops.indexOf(document.activeElement?.closest("[data-stop]"));
    if (at >= 0) return at;
    const shown = stops.findIndex((one) => one.getBoundingClientRect().bottom > 1);
    return shown < 0 ? stops.length : shown - (stops[shown]?.getBoundingClientRect().top > 1 ? 1 : 0);
  };
  const go = (by) => {
    const to = stops[Math.max(0, now() + by)];
    if (!to || (by < 0 && now() === 0 && document.activeElement === stops[0])) return follow(by > 0 ? "next" : "prev");
    to.focus({ preventScroll: true });
    to.scrollIntoView({ block: to.dataset.stop === "page" ? "start" : "nearest" });
  };
  const keys = {
    j: () => go(1),
    k: () => go(-1),
    ArrowRight: () => follow("next"),
    ArrowLeft: () => follow("prev"),
    Escape: () => follow("up"),
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.isComposing) return;
    if (event.target.closest?.("input, textarea, select, [contenteditable]")) return;
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
})();
