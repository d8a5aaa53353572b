/**
 * The page in a notebook: it stands in a frame of its own, so that neither its keys and styles reach the notebook nor the
 * notebook's reach it, two of them share nothing, and no name in it is ever more than text of the frame.
 */

/** Whether a notebook is dark: its letters are light. */
function isDark(element) {
  const [red, green, blue] = getComputedStyle(element).color.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0];
  return 0.3 * red + 0.59 * green + 0.11 * blue > 140;
}

function render({ model, el }) {
  const frame = document.createElement("iframe");
  frame.title = "Where a model looks";
  frame.sandbox = "allow-scripts allow-downloads";
  frame.allow = "clipboard-write";
  Object.assign(frame.style, { display: "block", width: "100%", height: "100%", border: "0" });
  const box = document.createElement("div");
  Object.assign(box.style, {
    height: `${model.get("height")}px`, minHeight: "320px", overflow: "hidden", resize: "vertical",
    border: "1px solid color-mix(in srgb, currentColor 20%, transparent)", borderRadius: "8px",
  });
  box.append(frame);
  el.append(box);

  let known = "";
  const told = (event) => {
    if (event.source !== frame.contentWindow || !event.data || event.data.camscope !== "shown") return;
    const shown = JSON.stringify(event.data.shown);
    if (shown === known) return;
    known = shown;
    model.set("shown", event.data.shown);
    model.save_changes();
  };
  const tell = () => {
    const shown = model.get("shown") ?? {};
    if (JSON.stringify(shown) === known) return;
    known = JSON.stringify(shown);
    frame.contentWindow?.postMessage({ camscope: "show", shown }, "*");
  };
  const begin = () => {
    frame.contentWindow.postMessage({ camscope: "theme", theme: isDark(el) ? "dark" : "light" }, "*");
    if (Object.keys(model.get("shown") ?? {}).length) tell();
  };
  addEventListener("message", told);
  frame.addEventListener("load", begin);
  model.on("change:shown", tell);
  frame.srcdoc = model.get("page");
  return () => {
    removeEventListener("message", told);
    model.off("change:shown", tell);
  };
}

export default { render };
