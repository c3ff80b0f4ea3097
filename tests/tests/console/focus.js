// Where the focus is, whether one sees it, and whether it came in the order of the page. Called after each press of Tab.
(() => {
  const it = document.activeElement;
  const last = window.__focused;
  window.__focused = it;
  if (!it || it === document.body) return { end: true };
  const style = getComputedStyle(it);
  const outline = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
  const box = it.getBoundingClientRect();
  const text = (it.innerText || it.name || it.getAttribute("aria-label") || "").trim().slice(0, 40);
  return {
    name: `<${it.tagName.toLowerCase()}> ${text}`,
    seen: outline && box.width > 0 && box.height > 0,
    ordered: !last || last === document.body || !!(last.compareDocumentPosition(it) & Node.DOCUMENT_POSITION_FOLLOWING),
  };
})()
