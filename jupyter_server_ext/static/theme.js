// Light or dark as it was chosen, before anything is painted; on a hub as it was chosen there.
const themeKey = document.querySelector('meta[name="rsql-session"]')?.content ? "jupyterhub-bs-theme" : "rsql-theme";
const chosenTheme = localStorage.getItem(themeKey);
if (chosenTheme === "light" || chosenTheme === "dark") document.documentElement.dataset.theme = chosenTheme;
