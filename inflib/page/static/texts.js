"use strict";
/* A label's texts as elements: the prompt, and both responses side by side with the
   words in which they differ marked. */
(function (Inflib) {
  const { make, count, visible } = Inflib;
  const LONG = 6000; // characters that are shown before a button shows the rest
  const LONG_PROMPT = 1500; // the responses should not move out of sight
  const COMPARED = 40000; // of both responses, beyond which no words are compared
  const NO_SPACES = /[\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff]/;

  /* parts: [{text, tag}], tag: "ins", "del" or null. A long text ends in a button. */
  function passage(parts, most = LONG) {
    const box = make("p", { class: "text", dir: "auto" });
    const size = parts.reduce((sum, { text }) => sum + text.length, 0);
    if (!size) box.append(make("span", { class: "quiet" }, "(empty)"));
    const fill = (limit) => {
      let left = limit;
      const nodes = [];
      for (const { text, tag } of parts) {
        if (left <= 0) break;
        if (!text) continue;
        const part = Inflib.cut(text, left);
        nodes.push(tag ? make(tag, {}, part) : part);
        left = part.length < text.length ? 0 : left - part.length;
      }
      if (nodes.length) box.replaceChildren(...nodes);
    };
    fill(most);
    if (size <= most) return [box];
    const text = `Show all ${count(size)} characters`;
    const button = make("button", { type: "button" }, text);
    button.addEventListener("click", () => {
      fill(Infinity);
      button.remove();
    });
    return [box, button];
  }

  Inflib.promptText = (text) =>
    passage([{ text: visible(text), tag: null }], LONG_PROMPT);

  /* [parts of the chosen, parts of the rejected], or null for texts that are too long
     or too unlike to compare. */
  function compared(chosen, rejected) {
    if (chosen.length + rejected.length > COMPARED) return null;
    const limits = { timeout: 250, maxEditLength: 3000 };
    const segmenter =
      NO_SPACES.test(chosen + rejected) && window.Intl && Intl.Segmenter
        ? new Intl.Segmenter(undefined, { granularity: "word" })
        : null;
    const changes = segmenter
      ? Diff.diffWords(rejected, chosen, { ...limits, intlSegmenter: segmenter })
      : Diff.diffWordsWithSpace(rejected, chosen, limits);
    if (!changes) return null;
    const sides = [[], []];
    for (const { value, added, removed } of changes) {
      if (!removed) sides[0].push({ text: value, tag: added ? "ins" : null });
      if (!added) sides[1].push({ text: value, tag: removed ? "del" : null });
    }
    return sides;
  }

  /* Both responses, the chosen one first. */
  Inflib.responses = function (chosen, rejected) {
    const texts = [visible(chosen), visible(rejected)];
    const sides = compared(...texts);
    const names = ["chosen", "rejected"];
    const boxes = names.map((name, i) =>
      make(
        "div",
        { class: "response " + name },
        make(
          "h4",
          {},
          name,
          make("span", { class: "quiet" }, ` ${count(texts[i].length)} characters`),
        ),
        ...passage(sides ? sides[i] : [{ text: texts[i], tag: null }]),
      ),
    );
    const note = sides
      ? []
      : [
          make(
            "p",
            { class: "quiet" },
            "Too long or too unlike to compare word by word.",
          ),
        ];
    return [make("div", { class: "responses" }, ...boxes), ...note];
  };

  /* Prompt and responses of a label, as it was chosen. */
  Inflib.labelTexts = async function (row) {
    const { store } = Inflib;
    const texts = await Inflib.texts(store.find("comparison").value(row));
    const [prompt, a, b] = texts;
    const [chosen, rejected] = store.find("sign").value(row) > 0 ? [a, b] : [b, a];
    return { prompt, chosen, rejected };
  };
})(window.Inflib);
