"use strict";
/* Texts made safe to show, elements made of texts, numbers as texts.

   No data ever becomes HTML: elements are built by `make`, whose strings are text
   nodes. `visible` follows `printable` of inflib/storage/plain_text.py on what is not
   printed, and shows a mark where Python puts a space. */
window.Inflib = {};
(function (Inflib) {
  const HIDDEN = /[\p{C}\p{Zl}\p{Zp}]/gu;
  const JOINERS = "\u200c\u200d"; // scripts and emoji are written with these

  function mark(character) {
    const code = character.codePointAt(0);
    if (JOINERS.includes(character)) return character;
    if (code < 0x20) return String.fromCharCode(0x2400 + code); // ␀ to ␟
    if (code === 0x7f) return "\u2421";
    if (code >= 0xd800 && code <= 0xdfff) return "\ufffd";
    return "\u27e8U+" + code.toString(16).toUpperCase().padStart(4, "0") + "\u27e9";
  }

  /* The text with a visible mark for every character that is not printed: control
     characters, bidirectional overrides, lone surrogates. Lines and tabs stay. */
  Inflib.visible = function (text) {
    return text
      .replace(/\r\n?/g, "\n")
      .replace(HIDDEN, (each) => ("\n\t".includes(each) ? each : mark(each)));
  };

  /* The first characters, without half of one that takes two places. */
  Inflib.cut = (text, length) => text.slice(0, length).replace(/[\ud800-\udbff]$/, "");

  /* One line of at most `width` characters. */
  Inflib.short = function (text, width = 120) {
    const line = Inflib.visible(Inflib.cut(text, 4 * width))
      .replace(/\s+/g, " ")
      .trim();
    return line.length <= width ? line : Inflib.cut(line, width - 1) + "…";
  };

  /* A number in three digits; "" where it is missing. */
  Inflib.digits = function (value) {
    if (value === null || value === undefined || Number.isNaN(value)) return "";
    if (Number.isInteger(value)) return String(value);
    const size = Math.abs(value);
    if (size < 1e-3 || size >= 1e6) return value.toExponential(2);
    return size >= 1000 ? value.toFixed(0) : value.toPrecision(3);
  };

  Inflib.count = (value) => value.toLocaleString("en");

  /* An element. attributes: class, title, href, ...; `on` is {event: listener}, `data`
     its data-* attributes; false, null and undefined leave an attribute out. children:
     elements or strings. */
  Inflib.make = function (tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name === "on") {
        for (const [event, listener] of Object.entries(value)) {
          element.addEventListener(event, listener);
        }
      } else if (name === "data") Object.assign(element.dataset, value);
      else element.setAttribute(name, value === true ? "" : String(value));
    }
    element.append(...children.flat().filter((each) => each !== null));
    return element;
  };

  Inflib.byId = (id) => document.getElementById(id);

  /* Said to screen readers, and shown for some seconds unless it can be seen anyway. */
  let silence = null;
  Inflib.say = function (text, shown = true) {
    const status = Inflib.byId("said");
    status.textContent = text;
    status.classList.toggle("fresh", shown);
    clearTimeout(silence);
    silence = setTimeout(() => status.classList.remove("fresh"), 4000);
  };

  /* Calls of the result that follow each other within `delay` ms become one. */
  Inflib.patient = function (call, delay) {
    let timer = null;
    return (...values) => {
      clearTimeout(timer);
      timer = setTimeout(() => call(...values), delay);
    };
  };

  /* The same as one character, for narrow columns. */
  Inflib.mark = function (name) {
    const query = Inflib.facts.queries.find((each) => each.name === name);
    if (!query) return "";
    const mark = { trusted: "✓", doubtful: "?" }[query.status] || "✗";
    return Inflib.make(
      "span",
      { class: "mark", title: query.status, role: "img", "aria-label": query.status },
      mark,
    );
  };

  /* Standard errors in half a 95% interval of scores on a query set; NaN where errors
     over draws of it are not known. */
  Inflib.errorsIn95 = function (name) {
    const query = Inflib.facts.queries.find((each) => each.name === name);
    return query && query.errors_in_95 !== null ? query.errors_in_95 : NaN;
  };

  /* The verdict on a query set, which stands before its numbers. */
  Inflib.verdict = function (name) {
    const query = Inflib.facts.queries.find((each) => each.name === name);
    if (!query) return "";
    const mood = { trusted: "good", doubtful: "fair" }[query.status] || "bad";
    const reasons = (query.reasons || []).join("; ");
    const attributes = { class: "verdict " + mood, title: Inflib.visible(reasons) };
    return Inflib.make("span", attributes, query.status);
  };
})(window.Inflib);
