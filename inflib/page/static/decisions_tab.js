"use strict";
/* The Decisions tab: what was decided, by action and one by one; saving and loading
   decisions.csv; the commands that take it further. */
(function (Inflib) {
  const { make, byId, count, say } = Inflib;
  const LISTED = 200;
  let listed = LISTED;

  function show() {
    const { decisions } = Inflib;
    const total = decisions.made.size;
    byId("tab-count").textContent = total ? count(total) : "";
    byId("decisions-total").textContent = total
      ? `${count(total)} of ${count(Inflib.store.rows)} labels are decided.`
      : "Nothing is decided yet. Open a label in the Labels tab and press a button or a key.";
    const counts = Object.entries(decisions.counts()).map(([action, number]) =>
      make(
        "li",
        { class: "action " + action },
        make("strong", {}, count(number)),
        " " + Inflib.DONE[action],
      ),
    );
    byId("decision-counts").replaceChildren(...counts);
    byId("decision-trouble").textContent = decisions.trouble;
    for (const id of ["save-decisions", "clear-decisions"]) byId(id).disabled = !total;
    byId("undo").disabled = !decisions.past.length;
    if (!byId("decisions").hidden) showList();
  }

  function showList() {
    const made = [...Inflib.decisions.made].reverse();
    byId("decision-list").replaceChildren(...made.slice(0, listed).map(line));
    byId("decision-table").hidden = !made.length;
    const rest = made.length - listed;
    byId("more-decisions").hidden = rest <= 0;
    byId("more-decisions").textContent = `Show more (${count(Math.max(rest, 0))} left)`;
  }

  function line([row, decision]) {
    const id = Inflib.short(Inflib.store.id(row), 60);
    const labeler = Inflib.store.byName.get(Inflib.facts.group_columns[0]);
    const note = make("input", {
      type: "text",
      "aria-label": `note on ${id}`,
      maxlength: "2000",
    });
    note.value = decision.note;
    note.addEventListener("change", () => Inflib.decisions.note(row, note.value));
    const remove = make(
      "button",
      { type: "button", "aria-label": `take back the decision on ${id}` },
      "×",
    );
    remove.addEventListener("click", () => {
      Inflib.decisions.decide([row], null, `taking back ${id}`);
      say(`${id} is undecided again.`);
    });
    const value = decision.action === "weight" ? " " + decision.value : "";
    return make(
      "tr",
      {},
      make("td", {}, Inflib.labelLink(row)),
      make("td", { dir: "auto" }, labeler ? labeler.text(row) : ""),
      make(
        "td",
        {},
        make("span", { class: "action " + decision.action }, decision.action + value),
      ),
      make("td", { dir: "auto" }, Inflib.short(decision.reason, 120)),
      make("td", {}, note),
      make("td", { dir: "auto" }, Inflib.short(decision.decided_by, 40)),
      make("td", {}, decision.decided_at.replace("T", " ").replace("Z", "")),
      make("td", {}, remove),
    );
  }

  /* A file's decisions replace those on the same labels; the others stay. */
  async function loadFile(file) {
    const result = byId("load-result");
    try {
      const text = Inflib.decoded(await file.arrayBuffer());
      const { decisions, unknown, problems, open } = Inflib.readDecisions(text);
      const name = Inflib.short(file.name, 60);
      const before = [...decisions.keys()].map((row) => [row, Inflib.decisions.get(row)]);
      const replaced = before.filter(([row, own]) => {
        const loaded = decisions.get(row);
        return own && (own.action !== loaded.action || own.value !== loaded.value);
      });
      if (decisions.size) Inflib.decisions.change([...decisions], `loading ${name}`);
      const examples = unknown
        .slice(0, 3)
        .map((id) => Inflib.short(id, 40))
        .join(", ");
      const lines = [
        `${count(decisions.size)} decisions of ${name} are loaded.`,
        replaced.length
          ? `${count(replaced.length)} of them replace another decision of yours; undo brings those back.`
          : "",
        unknown.length
          ? `${count(unknown.length)} are on labels that this run does not have: ${examples}${unknown.length > 3 ? ", …" : ""}.`
          : "",
        open ? `${count(open)} are still to be decided.` : "",
        problems.length
          ? `${count(problems.length)} cannot be read: ${problems.slice(0, 3).join("; ")}.`
          : "",
      ];
      result.textContent = lines.filter(Boolean).join(" ");
    } catch (error) {
      result.textContent = `${Inflib.short(file.name, 60)} cannot be read: ${error.message}`;
    }
  }

  function askToClear() {
    const total = Inflib.decisions.made.size;
    byId("clear-count").textContent = count(total);
    const dialog = byId("clear-dialog");
    dialog.returnValue = "";
    dialog.onclose = () => {
      if (dialog.returnValue !== "clear") return;
      const rows = [...Inflib.decisions.made.keys()];
      Inflib.decisions.decide(rows, null, `clearing ${count(total)} decisions`);
      say("All decisions are cleared; undo brings them back.");
    };
    dialog.showModal();
  }

  Inflib.startDecisionsTab = function () {
    const { decisions } = Inflib;
    byId("decided-by").value = decisions.by;
    byId("decided-by").addEventListener("change", (event) =>
      decisions.setPerson(event.target.value),
    );
    byId("undo").addEventListener("click", Inflib.undo);
    byId("clear-decisions").addEventListener("click", askToClear);
    for (const button of byId("clear-dialog").querySelectorAll("button")) {
      button.addEventListener("click", () => byId("clear-dialog").close(button.value));
    }
    byId("save-decisions").addEventListener("click", () => {
      Inflib.saveFile("decisions.csv", Inflib.decisionsText(decisions));
      say(`${count(decisions.made.size)} decisions are saved as decisions.csv.`);
    });
    byId("load-decisions").addEventListener("change", async (event) => {
      const [file] = event.target.files;
      if (file) await loadFile(file);
      event.target.value = "";
    });
    byId("more-decisions").addEventListener("click", () => {
      listed += LISTED;
      showList();
    });
    decisions.listeners.push(show);
    show();
  };

  Inflib.showDecisionList = () => {
    if (Inflib.decisions) showList();
  };
})(window.Inflib);
