// What cannot wait for the modules. Applies the remembered theme before the first paint, so a reload never flashes, and
// keeps a press of the button that is drawn but not alive yet.
(function () {
  var theme = null;
  try { theme = localStorage.getItem("heliograph.theme"); } catch (e) { /* storage refused: follow the system */ }
  window.heliographTheme = function (name) {
    var root = document.documentElement, bars = document.querySelectorAll("meta[name=theme-color]");
    if (name === "light" || name === "dark") root.dataset.theme = name; else delete root.dataset.theme;
    bars.forEach(function (bar) { bar.content = bar.dataset[name === "light" || name === "dark" ? name : "auto"]; });
  };
  if (theme) window.heliographTheme(theme);

  var pressed = false;
  function note(event) { if (event.target.closest("button.run")) pressed = true; }
  document.addEventListener("click", note);
  window.heliographPressed = function () {
    document.removeEventListener("click", note);
    var was = pressed;
    pressed = false;
    return was;
  };
})();
