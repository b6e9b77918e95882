"use strict";
/* Deciding: the buttons and the note of the open label, and the dialog that decides on
   all labels that match the filters, after asking. */
(function (Inflib) {
  const { make, byId, count, say } = Inflib;
  const KEYS = { keep: "e", flip: "f", drop: "d", tie: "t", weight: "w" };
  Inflib.DONE = {
    keep: "kept",
    flip: "flipped",
    drop: "dropped",
    tie: "made a tie",
    weight: "reweighted",
  };

  function reasonFor(row) {
    const flags = Inflib.store.find("flags");
    return flags ? flags.labelsOf(row).join("; ") : "";
  }

  /* Decide on the open label; the same action again takes the decision back. */
  Inflib.decideOpen = function (action, value = "") {
    const row = Inflib.labels.open;
    if (row === null) return say("Open a label first.");
    const before = Inflib.decisions.get(row);
    const again = before && before.action === action && before.value === value;
    const id = Inflib.short(Inflib.store.id(row), 60);
    const decision = again ? null : { action, value, reason: reasonFor(row) };
    const note = byId("note");
    if (decision && note && note.value) decision.note = note.value;
    Inflib.decisions.decide([row], decision, `${id}: ${action}`);
    say(again ? `${id} is undecided again.` : `${id} is ${Inflib.DONE[action]}.`);
  };

  Inflib.undo = function () {
    const last = Inflib.decisions.undo();
    say(last ? `Undone: ${last.what}.` : "There is nothing to undo.");
  };

  Inflib.decisionPanel = function (row) {
    const decision = Inflib.decisions.get(row);
    const buttons = ["keep", "flip", "drop", "tie"].map((action) => {
      const on = Boolean(decision) && decision.action === action;
      const button = make(
        "button",
        {
          type: "button",
          class: "action " + action,
          "aria-pressed": String(on),
          "aria-keyshortcuts": KEYS[action],
        },
        action + " ",
        make("kbd", { "aria-hidden": "true" }, KEYS[action]),
      );
      button.addEventListener("click", () => Inflib.decideOpen(action));
      return button;
    });
    const weight = make("input", {
      id: "weight",
      type: "number",
      min: "0",
      step: "any",
      placeholder: "factor",
    });
    if (decision && decision.action === "weight") weight.value = decision.value;
    weight.addEventListener("change", () => {
      const problem = Inflib.weightProblem(weight.value);
      if (problem) say(problem);
      else Inflib.decideOpen("weight", String(Number(weight.value)));
    });
    const note = make("input", { id: "note", type: "text", maxlength: "2000" });
    note.value = decision ? decision.note : "";
    note.addEventListener("change", () => {
      if (Inflib.decisions.get(row)) Inflib.decisions.note(row, note.value);
      else if (note.value) say("The note is kept with a decision: press a button.");
    });
    return make(
      "div",
      { class: "decide", id: "decide", role: "group", "aria-label": "your decision" },
      ...buttons,
      make("label", { class: "weight" }, "weight ", weight),
      make("label", { class: "note" }, "note ", note),
    );
  };

  /* Asks before it decides on every label that matches. */
  function openAll() {
    const { labels, decisions } = Inflib;
    const rows = labels.rows.slice();
    const other = rows.filter((row) => decisions.get(row)).length;
    const words = labels.filters.words();
    byId("all-count").textContent = count(rows.length);
    byId("all-filter").textContent = words
      ? "that match: " + Inflib.visible(words)
      : "of the whole data: no filter is set";
    byId("all-other").textContent = other
      ? `${count(other)} of them have a decision, which this one replaces.`
      : "None of them has a decision yet.";
    byId("all-note").value = "";
    const dialog = byId("all-dialog");
    dialog.returnValue = "";
    dialog.onclose = () => {
      const action = dialog.returnValue;
      if (Inflib.ACTIONS.includes(action)) decideAll(rows, action, words);
    };
    dialog.showModal();
  }

  function decideAll(rows, action, words) {
    const value = action === "weight" ? byId("all-weight").value : "";
    if (action === "weight" && Inflib.weightProblem(value)) {
      return say(Inflib.weightProblem(value));
    }
    const decision = { action, value, reason: words || "all labels" };
    if (byId("all-note").value) decision.note = byId("all-note").value;
    Inflib.decisions.decide(
      rows,
      decision,
      `${action} of ${count(rows.length)} labels`,
    );
    say(`${count(rows.length)} labels are ${Inflib.DONE[action]}.`);
  }

  Inflib.startDeciding = function () {
    byId("decide-all").addEventListener("click", openAll);
    const dialog = byId("all-dialog");
    for (const button of dialog.querySelectorAll("button")) {
      button.addEventListener("click", () => dialog.close(button.value));
    }
    Inflib.decisions.listeners.push((rows) => {
      const { open } = Inflib.labels;
      const panel = byId("decide");
      if (open === null || !panel || !rows.includes(open)) return;
      const focused = panel.contains(document.activeElement)
        ? [...panel.querySelectorAll("button, input")].indexOf(document.activeElement)
        : -1;
      panel.replaceWith(Inflib.decisionPanel(open));
      const again = byId("decide").querySelectorAll("button, input")[focused];
      if (again) again.focus();
    });
  };
})(window.Inflib);
