"use strict";
// For the tests: what is done on the page in a real browser; the title becomes what came of it.

const at = (id) => document.getElementById(id), move = (id, value) => {
  at(id).value = value;
  at(id).dispatchEvent(new Event("input"));
};
window.requestAnimationFrame = (frame) => setTimeout(() => frame(performance.now()), 50); // virtual
move("number", "2023");
move("size", -1.8);
at("roll-start").click();
setTimeout(() => at("roll-start").click(), 1000);
setTimeout(() => {
  const pixels = (c) => c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
  const empty = [...document.querySelectorAll("canvas")].filter((c) => !pixels(c).some(Boolean));
  document.title = JSON.stringify({ step: parseInt(at("roll-step").textContent, 10),
    warning: at("size-warning").textContent, empty: empty.length });
}, 4000);
