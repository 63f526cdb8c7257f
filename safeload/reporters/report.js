"use strict";
// Without this script everything is readable; with it, files can be filtered. It only reads and hides what is there.
const form = document.getElementById("filter");
const files = Array.from(document.querySelectorAll(".file"));
const words = files.map((file) => file.textContent.toLowerCase());
const shown = document.getElementById("shown");

function apply() {
  const text = form.elements.text.value.trim().toLowerCase();
  const wanted = new Set(Array.from(form.querySelectorAll("input[name=status]:checked"), (box) => box.value));
  let count = 0;
  files.forEach((file, index) => {
    const fits = wanted.has(file.dataset.status) && (!text || words[index].includes(text));
    file.hidden = !fits;
    count += fits ? 1 : 0;
  });
  shown.textContent = count + " of " + files.length + " files";
}

function toggle() {
  const open = files.filter((file) => file.tagName === "DETAILS" && !file.hidden);
  const any = open.some((file) => !file.open);
  open.forEach((file) => { file.open = any; });
}

form.hidden = false;
form.addEventListener("input", apply);
form.addEventListener("submit", (event) => event.preventDefault());
document.getElementById("expand").addEventListener("click", toggle);
apply();
