"use strict";
// Filters of the list of runs; without this script every run is shown. They stand in the address,
// so that a page that loads itself anew keeps them.
(() => {
  const form = document.getElementById("filters");
  if (!form) return;
  const fields = [...form.querySelectorAll("select, input")];
  const runs = [...document.querySelectorAll(".runs li")];
  const count = document.getElementById("count");
  const texts = runs.map((run) => run.textContent.toLowerCase());

  function show() {
    const wanted = Object.fromEntries(fields.map((field) => [field.id.slice(2), field.value]));
    const words = wanted.search.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    runs.forEach((run, i) => {
      const fits = ["model", "bench", "gate"].every((key) => !wanted[key] || run.dataset[key] === wanted[key]);
      run.hidden = !(fits && words.every((word) => texts[i].includes(word)));
      shown += !run.hidden;
    });
    count.textContent = shown + " of " + runs.length + (runs.length === 1 ? " run" : " runs");
    const set = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value));
    history.replaceState(null, "", "#" + set);
  }

  const start = new URLSearchParams(location.hash.slice(1));
  for (const field of fields) field.value = start.get(field.id.slice(2)) ?? "";
  for (const field of fields) if (field.selectedIndex === -1) field.value = "";
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
})();
