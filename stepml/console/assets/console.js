// What only the browser can do: the theme before the first paint, the way back to a console that
// was started again, Back and Forward. Everything else of the console is Python.
(() => {
  const STORED = "stepml-theme"; // "light" or "dark"; absent: as the system
  const system = matchMedia("(prefers-color-scheme: dark)");

  function chosen() {
    try {
      return localStorage.getItem(STORED) || "system";
    } catch {
      return "system"; // this browser keeps nothing
    }
  }

  function keep(theme) {
    try {
      if (theme === "system") localStorage.removeItem(STORED);
      else localStorage.setItem(STORED, theme);
    } catch {
      // it lasts for this page
    }
  }

  function paint(theme) {
    const isDark = theme === "system" ? system.matches : theme === "dark";
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
    window.Quasar?.Dark.set(isDark);
  }

  let theme = chosen();
  paint(theme);
  system.addEventListener("change", () => paint(theme));
  addEventListener("storage", (event) => {
    if (event.key === STORED) choose(chosen()); // another tab
  });
  document.addEventListener("change", (event) => {
    if (event.target.id !== "theme") return;
    keep(event.target.value);
    choose(event.target.value);
  });

  function choose(other) {
    theme = other;
    paint(theme);
    const control = document.getElementById("theme");
    if (control) control.value = theme;
  }

  const RELOADED = "stepml-reloaded"; // when, so that a page does not reload without end
  const PAUSE_MS = 10000;

  // A console that was started again does not know this page: it is loaded again, in its place.
  async function lookForConsole() {
    if (Date.now() - Number(sessionStorage.getItem(RELOADED) || 0) < PAUSE_MS) return;
    try {
      await fetch("/favicon.ico", { method: "HEAD", cache: "no-store" });
    } catch {
      return; // it is not there yet
    }
    sessionStorage.setItem(RELOADED, Date.now());
    location.reload();
  }

  // A person who leaves the page gets what was chosen: the browser would forget it if the page
  // were loaded again meanwhile. It is loaded later, if the person stays after all. Without
  // `navigation`, the browser forgets.
  let left = -Infinity; // when
  let later; // the timer
  window.navigation?.addEventListener("navigate", (event) => {
    if (event.navigationType === "reload") {
      if (event.userInitiated || performance.now() - left >= PAUSE_MS) return;
      event.preventDefault();
      clearTimeout(later);
      later = setTimeout(() => location.reload(), PAUSE_MS);
    } else if (!event.destination.sameDocument && event.downloadRequest === null) {
      left = performance.now();
    }
  });
  addEventListener("pageshow", stay); // the browser kept the page, and Back leads to it

  function stay() {
    left = -Infinity;
  }

  // What is chosen in a view is in its address: Back and Forward load it as it was chosen then.
  // An address that differs in its part alone is the same view.
  const seen = () => location.pathname + location.search;
  let shown = seen();
  const replace = history.replaceState.bind(history);
  const push = history.pushState.bind(history);
  const noted = (change) => (state, title, address) => {
    change(state, title, address);
    shown = seen();
  };
  history.replaceState = noted(replace);
  history.pushState = noted((state, title, address) => {
    const isSame = address && new URL(address, location.href).href === location.href;
    (isSame ? replace : push)(state, title, address); // the same choice again
  });
  addEventListener("popstate", () => {
    if (seen() === shown) return;
    stay(); // Back instead of what was chosen
    location.reload();
  });

  function say(text) {
    const state = document.getElementById("connection");
    if (state) state.textContent = text;
  }

  // What the page says after it has been loaded again, once.
  const NEWS = "stepml-news";
  window.reloadAndSay = (text) => {
    sessionStorage.setItem(NEWS, text);
    location.reload();
  };

  function sayNews() {
    const news = document.getElementById("news");
    if (news) news.textContent = sessionStorage.getItem(NEWS) || "";
    sessionStorage.removeItem(NEWS);
  }

  addEventListener("load", () => {
    choose(theme);
    sayNews();
    window.socket?.on("connect_error", lookForConsole);
    window.socket?.on("disconnect", () => say("no connection to the console"));
    window.socket?.on("connect", () => say(""));
  });
})();
