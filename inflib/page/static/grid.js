"use strict";
/* The grid of labels: SlickGrid over the rows of Inflib.labels, which it asks cell by
   cell, so that no object is made per label. */
(function (Inflib) {
  const { make, byId } = Inflib;
  let grid = null;
  let chosen = []; // names of the columns shown
  const made = new Map(); // column name -> SlickGrid's column, which keeps its width

  // From left to right; roles that are not named come between, as they are stored.
  const FIRST = ["pair_id", "decision"];
  const THEN = [
    "influence",
    "rank",
    "flip_effect",
    "margin",
    "length_difference",
    "flags",
  ];

  function place({ name, role }) {
    if (FIRST.includes(role)) return FIRST.indexOf(role);
    if (Inflib.facts.group_columns.includes(name)) return 3;
    return THEN.includes(role) ? 4 + THEN.indexOf(role) : 20;
  }

  function allColumns() {
    const columns = [...Inflib.store.columns, Inflib.decisionColumn];
    return columns.sort((a, b) => place(a) - place(b));
  }

  const hidden = new Set(["comparison", "sign"]); // roles that say nothing in a cell

  const provider = {
    getLength: () => Inflib.labels.rows.length,
    getItem: (place) => ({ row: Inflib.labels.rows[place] }),
    getItemMetadata: () => null,
  };

  function cell(place, _, value, { column }, { row }) {
    if (column.kind !== "flags") return column.text(row);
    const marks = column
      .labelsOf(row)
      .map((label) => make("span", { class: "flag" }, label));
    return make("span", {}, ...marks);
  }

  /* Scores of the chosen query set are called by what they are; the verdict on theirs
     stands before them all. */
  function heading(column) {
    const label = Inflib.short(column.label, 60);
    const query = Inflib.facts.queries.find((each) => each.name === column.query);
    if (!query) return label;
    const reported = column.curvature === Inflib.facts.reported;
    const own = column.query === Inflib.labels.query && reported;
    const name = own ? column.role.replace(/_/g, " ") : label;
    return make("span", {}, Inflib.mark(column.query), " " + name);
  }

  function gridColumn(column) {
    const number = column.kind === "number";
    const width = { pair_id: 110, flags: 260, decision: 76, rank: 70 }[column.role];
    const unit = column.unit && column.unit !== "1" ? ` [${column.unit}]` : "";
    return {
      id: column.name,
      name: heading(column),
      field: column.name,
      toolTip: Inflib.short(`${column.meaning || column.label}${unit}`, 300),
      column,
      sortable: true,
      defaultSortAsc: !["influence", "loss", "flags"].includes(column.role),
      width: width || (number ? 92 : 100),
      minWidth: 50,
      cssClass: number ? "number" : column.role === "decision" ? "decided" : "",
      headerCssClass: number ? "number" : "",
      formatter: cell,
    };
  }

  function shownColumns() {
    return allColumns()
      .filter((each) => chosen.includes(each.name))
      .map((each) => {
        if (!made.has(each.name)) made.set(each.name, gridColumn(each));
        return Object.assign(made.get(each.name), { name: heading(each) });
      });
  }

  /* An input above each column, which filters by it. */
  function filterInput(node, column) {
    const typed = Inflib.labels.filters.typed.get(column.name);
    const label = Inflib.short(column.label, 60);
    const hint = { number: ">0.1", category: "a, b", text: "part" };
    const input = make("input", {
      class: "column-filter",
      type: "search",
      "aria-label": `filter by ${label}`,
      placeholder: hint[column.kind] || "",
      title: "numbers: >0.1, <=2, 0..1, - for missing; texts: part of it; ! for not",
    });
    input.value = typed ? typed.text : "";
    const apply = Inflib.patient(() => {
      try {
        Inflib.labels.filters.type(column, input.value);
        input.removeAttribute("aria-invalid");
      } catch (error) {
        input.setAttribute("aria-invalid", "true");
        Inflib.say(`${label}: ${error.message}`);
      }
      Inflib.labels.refresh();
    }, 150);
    input.addEventListener("input", apply);
    node.replaceChildren(input);
  }

  /* Shows a column, and in its input what filters it by now. */
  Inflib.showColumn = function (name) {
    if (!chosen.includes(name)) chosen.push(name);
    grid.setColumns(shownColumns());
    mend();
    fillPicker();
  };

  Inflib.sortBy = function (column, ascending) {
    if (!chosen.includes(column.name)) {
      chosen.push(column.name);
      grid.setColumns(shownColumns());
    }
    grid.setSortColumn(column.name, ascending);
    Inflib.labels.sort(column, ascending);
  };

  /* The scores that are shown become those of another query set. */
  Inflib.showQueryColumns = function (query) {
    const { reported } = Inflib.facts;
    const same = (each) => each.curvature === reported && each.query !== null;
    const scores = Inflib.store.columns.filter(same);
    const roles = new Set(
      scores.filter((each) => chosen.includes(each.name)).map((each) => each.role),
    );
    chosen = chosen.filter((name) => !scores.some((each) => each.name === name));
    for (const each of scores) {
      if (each.query === query && roles.has(each.role)) chosen.push(each.name);
    }
    const influence = Inflib.store.score("influence", query);
    grid.setColumns(shownColumns());
    if (influence) Inflib.sortBy(influence, false);
    mend();
    fillPicker();
  };

  function fillPicker() {
    const boxes = allColumns()
      .filter((each) => !hidden.has(each.role))
      .map((column) => {
        const box = make("input", { type: "checkbox" });
        box.checked = chosen.includes(column.name);
        box.addEventListener("change", () => {
          chosen = chosen.filter((name) => name !== column.name);
          if (box.checked) chosen.push(column.name);
          grid.setColumns(shownColumns());
          mend();
        });
        const title = Inflib.short(column.meaning || "", 300);
        return make("label", { title }, box, " " + Inflib.short(column.label, 60));
      });
    byId("column-list").replaceChildren(...boxes);
  }

  /* What SlickGrid leaves out for screen readers and the keyboard: one tab stop, rows
     for the headers and the filters, and nothing in the grid that is no part of one.
     The two sinks that hold the focus while a cell is active go beside it. */
  function mend() {
    const box = byId("grid");
    const all = (selector) => box.querySelectorAll(selector);
    for (const sink of all(":scope > div[tabindex]:not(.slick-pane)")) {
      sink.tabIndex = -1;
      box.after(sink);
    }
    for (const node of all("[tabindex]")) node.removeAttribute("tabindex");
    const canvas = box.querySelector(".grid-canvas-top.grid-canvas-left");
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "rowgroup");
    canvas.setAttribute("aria-label", "labels that match");
    for (const node of all(".slick-header-columns, .slick-headerrow-columns")) {
      node.setAttribute("role", node.children.length ? "row" : "presentation");
    }
    for (const node of all(".slick-headerrow-column"))
      node.setAttribute("role", "gridcell");
    for (const node of all(".slick-header-column")) node.tabIndex = 0;
    markSorted();
    for (const node of all(".slick-resizable-handle")) {
      for (const name of ["role", "aria-orientation"]) node.removeAttribute(name);
    }
  }

  function markSorted() {
    const [sorted] = grid.getSortColumns();
    for (const node of byId("grid").querySelectorAll(".slick-header-column")) {
      const here =
        sorted && Slick.Utils.storage.get(node, "column").id === sorted.columnId;
      const way = here && (sorted.sortAsc ? "ascending" : "descending");
      if (way) node.setAttribute("aria-sort", way);
      else node.removeAttribute("aria-sort");
    }
  }

  /* Headers sort by Enter and Space, as they do by a click. */
  function headerKey(event) {
    const header = event.target.closest(".slick-header-column");
    if (!header || !["Enter", " "].includes(event.key)) return;
    event.preventDefault();
    header.click();
  }

  function startPicker() {
    const picker = byId("column-list").closest("details");
    picker.addEventListener("toggle", () => {
      if (picker.open)
        Inflib.store.more().then(fillPicker, (error) => Inflib.say(error.message));
    });
    document.addEventListener("click", (event) => {
      if (!picker.contains(event.target)) picker.open = false;
    });
    picker.addEventListener("keydown", (event) => {
      if (event.key === "Escape") picker.open = false;
    });
    fillPicker();
  }

  /* Opens the label at a place of the grid. */
  /* No row is marked: the open label is not among those that are shown. */
  Inflib.unmarkRow = () => grid.resetActiveCell();

  Inflib.openPlace = function (place) {
    if (place < 0 || place >= Inflib.labels.rows.length) return;
    const cells = grid.getActiveCell();
    grid.setActiveCell(place, cells ? cells.cell : 0);
    grid.scrollRowIntoView(place);
  };

  Inflib.startGrid = function () {
    const { labels } = Inflib;
    const other = (each) => each.query !== null && each.query !== labels.query;
    chosen = allColumns()
      .filter((each) => each.shown && (!each.curvature || !other(each)))
      .map((each) => each.name);
    grid = new Slick.Grid("#grid", provider, [], {
      enableCellNavigation: true,
      enableColumnReorder: false,
      enableHtmlRendering: false,
      showHeaderRow: true,
      headerRowHeight: 30,
      rowHeight: 27,
      nonce: Inflib.facts.digest,
    });
    byId("grid").addEventListener("focusin", (event) => {
      const canvas = event.target.classList.contains("grid-canvas");
      if (canvas && !grid.getActiveCell()) Inflib.openPlace(0);
    });
    grid.onHeaderRowCellRendered.subscribe((_, { node, column }) =>
      filterInput(node, column.column),
    );
    grid.onSort.subscribe((_, { sortCol, sortAsc }) => {
      labels.sort(sortCol.column, sortAsc);
      const way = sortAsc ? "smallest first" : "largest first";
      markSorted();
      grid.scrollRowToTop(0);
      Inflib.say(`Sorted by ${Inflib.short(sortCol.column.label, 60)}, ${way}.`);
    });
    // Tab leaves the grid; SlickGrid would go from cell to cell.
    const leave = (event) => event.key === "Tab" && event.stopPropagation();
    byId("grid").parentElement.addEventListener("keydown", leave, true);
    byId("grid").addEventListener("keydown", headerKey);
    grid.onActiveCellChanged.subscribe((_, { row }) => {
      if (row !== undefined && labels.rows[row] !== labels.open) {
        Inflib.openLabel(labels.rows[row]);
      }
    });
    grid.setColumns(shownColumns());
    grid.setSortColumn(labels.sortedBy.column.name, labels.sortedBy.ascending);
    labels.listeners.push(() => {
      grid.resetActiveCell();
      grid.updateRowCount();
      grid.invalidate();
      byId("grid").setAttribute("aria-rowcount", String(labels.rows.length + 2));
      const place = labels.place(labels.open);
      if (place >= 0) Inflib.openPlace(place);
      else grid.scrollRowToTop(0);
    });
    Inflib.decisions.listeners.push(() => grid.invalidate());
    new ResizeObserver(() => grid.resizeCanvas()).observe(byId("grid"));
    startPicker();
    mend();
    byId("grid").setAttribute("aria-label", "labels");
    byId("grid").setAttribute("aria-rowcount", String(labels.rows.length + 2));
  };
})(window.Inflib);
