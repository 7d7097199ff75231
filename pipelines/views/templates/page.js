// The browser of samples or questions: filters what the page already holds; without this script all of it is shown.
"use strict";
(function () {
  const form = document.getElementById("filters");
  if (!form) return;
  const cards = [...document.querySelectorAll("#cards > .sample")];
  const count = document.getElementById("count");
  const more = document.getElementById("more");
  const texts = cards.map((card) => card.textContent.toLowerCase());
  const PAGE = 25;
  let shown = PAGE;

  function show() {
    const wanted = [...form.querySelectorAll("select")].filter((select) => select.value);
    const search = form.elements.search.value.trim().toLowerCase();
    let found = 0;
    cards.forEach((card, place) => {
      const fits = wanted.every((select) => card.getAttribute("data-" + select.name) === select.value) &&
        (!search || texts[place].includes(search));
      card.hidden = !fits || found >= shown;
      found += fits ? 1 : 0;
    });
    count.textContent = found + " of " + cards.length + " match" + (found > shown ? "; the first " + shown + " are shown" : "");
    more.hidden = found <= shown;
  }

  function again() { shown = PAGE; show(); }

  form.hidden = false;
  form.addEventListener("input", again);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(again, 0));
  more.addEventListener("click", () => { shown += PAGE; show(); });
  document.querySelectorAll("button[data-reason]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => {
      form.reset();
      form.elements.reason.value = button.getAttribute("data-reason");
      again();
      form.scrollIntoView();
      form.elements.search.focus({ preventScroll: true });
    });
  });
  show();
})();
