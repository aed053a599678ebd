"use strict";
// For the tests: as much of a browser as explorer.js asks for.  `run` opens the page on its data,
// uses every control, and throws when a canvas is given a number that is not finite.

function run(page, data) {
  const noted = {}, elements = {}, frames = [];
  const values = { number: "2023", temperature: "1", size: "-0.5", eps: "-1", speed: "3" };
  let drawn = 0, made = 0;
  const context = new Proxy({}, { set: () => true, get: (_, name) => (...given) => {
    if (given.some((v) => typeof v === "number" && !Number.isFinite(v))) throw Error(name);
    drawn += 1;
    return { data: { set() {} }, width: 9 }; // an image, or the measures of a text
  } });
  const element = (id) => elements[id] ??= {
    value: values[id], min: "-2", max: "0.7", clientWidth: 300, clientHeight: 200,
    style: { setProperty() {} }, setAttribute() {}, append() {}, getContext: () => context,
    addEventListener: (type, handle) => { noted[`${id} ${type}`] = handle; },
  };
  const media = { addEventListener() {} };
  globalThis.window = { addEventListener() {}, matchMedia: () => media };
  globalThis.requestAnimationFrame = (handle) => frames.push(handle);
  globalThis.getComputedStyle = () => ({ getPropertyValue: () => "#123456" });
  globalThis.document = { getElementById: element, createElement: () => element(`made ${made++}`) };
  element("data").textContent = JSON.stringify(data);
  page.start();
  element("size").value = "-1.9";
  const counts = {};
  for (const what of Object.keys(noted)) {
    drawn = 0;
    noted[what]({ preventDefault() {} });
    counts[what] = drawn;
  }
  for (let k = 1; k < 4; k++) frames.shift()(performance.now() + 100 * k);
  const text = (id) => elements[id].textContent;
  return { counts, step: Number(text("roll-step")), warning: text("size-warning") };
}

module.exports = { run };
