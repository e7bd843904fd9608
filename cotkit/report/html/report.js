"use strict";
// The sample browser. Text of models and problems is only ever set through textContent.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const ROW = 52; // pixels, as in report.css
  const SPARE = 8; // rows drawn beyond what is seen
  const SIGNS = { correct: "✓", wrong: "✗", unparsed: "?", truncated: "…", refused: "⊘", failed: "!" };
  const CORRECT = data.outcomes.indexOf("correct");
  const arms = [...new Set(data.runs.flatMap((run) => run.arms))];
  const samples = data.samples.map(([run, problem, takes]) => ({
    run: data.runs[run],
    problem: problem,
    id: data.problems[problem][0],
    question: data.problems[problem][1],
    takes: takes,
    hay: null, // lower case of all its text, made at the first search
  }));
  const el = (id) => document.getElementById(id);
  const list = el("list");
  const rows = el("rows");
  let found = samples; // what the filters let through
  let chosen = null; // the sample on show

  // Controls, bidi marks and what else hides or reorders text, as cotkit.printable writes them.
  const visible = (text) => text.replace(/(?![\n\t])[\p{C}\p{Zl}\p{Zp}]/gu, (c) => {
    const hex = c.codePointAt(0).toString(16);
    return hex.length < 3 ? "\\x" + hex.padStart(2, "0") : hex.length < 5 ? "\\u" + hex.padStart(4, "0") : "\\U" + hex.padStart(8, "0");
  });

  function make(tag, text, className) {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = visible(text);
    if (className) node.className = className;
    return node;
  }

  function mark(take, arm) {
    if (!take) return make("span", "", "mark none");
    const outcome = data.outcomes[take[0]];
    const node = make("span", SIGNS[outcome], "mark o-" + outcome);
    node.setAttribute("role", "img");
    node.setAttribute("aria-label", visible(arm) + ": " + outcome);
    node.title = visible(arm) + ": " + outcome;
    return node;
  }

  // ---- filters

  const takeOf = (sample, arm) => sample.takes[sample.run.arms.indexOf(arm)];
  const isRight = (take) => Boolean(take) && take[0] === CORRECT;
  const disagree = (sample) => new Set(sample.takes.filter(Boolean).map(isRight)).size > 1;
  const readersDisagree = (sample) =>
    sample.takes.some((take) => take && take[2] && new Set(take[2].filter(Boolean).map((r) => r[2])).size > 1);

  function haystack(sample) {
    if (sample.hay === null) {
      const said = sample.takes.filter(Boolean).flatMap((take) => [take[1], ...take[5].map((draft) => draft[1]), ...(take[6] ? take[6][1] : [])]);
      sample.hay = [sample.id, sample.question, data.problems[sample.problem][3], ...said].join("\n").toLowerCase();
    }
    return sample.hay;
  }

  function filter() {
    const run = el("f-run").value;
    const show = el("f-show").value;
    const outcome = el("f-outcome").value;
    const arm = el("f-arm").value;
    const wanted = data.outcomes.indexOf(outcome);
    const words = el("f-search").value.trim().toLowerCase();
    found = samples.filter((sample) => {
      if (run && sample.run.id !== run) return false;
      if (show === "disagree" && !disagree(sample)) return false;
      if (show.startsWith("only:")) {
        const only = show.slice(5);
        if (!isRight(takeOf(sample, only)) || sample.takes.filter(isRight).length !== 1) return false;
      }
      if (outcome) {
        const looked = arm ? [takeOf(sample, arm)] : sample.takes;
        if (!looked.some((take) => take && take[0] === wanted)) return false;
      }
      if (el("f-readers").checked && !readersDisagree(sample)) return false;
      return !words || haystack(sample).includes(words);
    });
    el("count").textContent = found.length.toLocaleString("en") + " of " + samples.length.toLocaleString("en") + " samples";
    list.scrollTop = 0;
    draw();
    if (!found.includes(chosen)) choose(found[0] || null);
  }

  // ---- the list: only the rows in sight exist

  function draw() {
    rows.style.height = found.length * ROW + "px";
    const first = Math.max(0, Math.floor(list.scrollTop / ROW) - SPARE);
    const last = Math.min(found.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + SPARE);
    const drawn = [];
    for (let i = first; i < last; i += 1) drawn.push(row(found[i], i));
    rows.replaceChildren(...drawn);
    const at = found.indexOf(chosen);
    if (at >= first && at < last) list.setAttribute("aria-activedescendant", "row-" + at);
    else list.removeAttribute("aria-activedescendant");
  }

  function row(sample, i) {
    const node = make("div", undefined, "row");
    node.id = "row-" + i;
    node.style.top = i * ROW + "px";
    node.setAttribute("role", "option");
    node.setAttribute("aria-setsize", String(found.length));
    node.setAttribute("aria-posinset", String(i + 1));
    node.setAttribute("aria-selected", String(sample === chosen));
    const marks = make("span");
    sample.takes.forEach((take, j) => marks.append(mark(take, sample.run.arms[j])));
    const about = (data.runs.length > 1 ? sample.run.name + " · " : "") + sample.question.slice(0, 120);
    node.append(make("span", short(sample.id)), marks, make("span", about, "what"));
    node.addEventListener("click", () => choose(sample));
    return node;
  }

  const short = (id) => (id.length > 30 ? id.slice(0, 14) + "…" + id.slice(-15) : id);

  function reveal(at) {
    const top = at * ROW;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  }

  // ---- one sample

  const linkTo = (sample) => "#sample=" + encodeURIComponent(sample.run.id) + "/" + encodeURIComponent(sample.id);

  function choose(sample) {
    chosen = sample;
    const at = found.indexOf(sample);
    if (at >= 0) reveal(at);
    draw();
    show(sample, at);
  }

  function show(sample, at) {
    const pane = el("sample");
    pane.replaceChildren();
    pane.scrollTop = 0;
    if (!sample) {
      pane.append(make("p", "No sample is like that.", "gold"));
      return;
    }
    const [id, question, choices, gold, steps] = data.problems[sample.problem];
    const link = make("a", "link to this sample");
    link.href = linkTo(sample);
    const bar = make("div", undefined, "bar");
    bar.append(make("code", id), make("span", sample.run.name), make("span", undefined, "space"), link);
    bar.append(step("← previous", found[at - 1]), step("next →", at < 0 ? undefined : found[at + 1]));
    const shown = choices.map((choice, i) => "(" + String.fromCharCode(65 + i) + ") " + choice);
    const answer = make("p", "gold ", "gold");
    answer.append(make("b", gold), steps === null ? "" : " · " + steps + (steps === 1 ? " step" : " steps"));
    const takes = make("div", undefined, "takes");
    sample.takes.forEach((take, i) => takes.append(card(sample, sample.run.arms[i], take)));
    pane.append(bar, make("p", [question, ...shown].join("\n"), "question"), answer, takes, ...others(sample));
  }

  function step(text, target) {
    const button = make("button", text);
    button.type = "button";
    button.disabled = !target;
    if (target) button.addEventListener("click", () => choose(target));
    return button;
  }

  function card(sample, arm, take) {
    const node = make("section", undefined, "take");
    const head = make("h3");
    node.append(head);
    if (!take) {
      head.append(mark(null, arm), make("span", arm), make("span", "not asked"));
      return node;
    }
    const [outcome, text, readings, note, tokens, drafts, thought] = take;
    const count = (n) => (n === null ? "" : " · " + n.toLocaleString("en") + (n === 1 ? " token" : " tokens"));
    const size = count(tokens);
    if (thought) {
      const details = make("details");
      details.append(make("summary", "thought" + count(thought[0])));
      thought[1].forEach((said) => details.append(make("div", said, "text")));
      node.append(details);
    }
    head.append(mark(take, arm), make("span", arm), make("span", data.outcomes[outcome] + size));
    const body = make("div", text || "(nothing)", "text");
    body.tabIndex = 0;
    body.setAttribute("role", "region");
    body.setAttribute("aria-label", "Text of " + visible(arm));
    node.append(body);
    if (note) node.append(make("p", note, "note"));
    if (readings) node.append(...panel(sample, readings));
    drafts.forEach(([of, said], i) => {
      const details = make("details");
      details.append(make("summary", "draft " + (i + 1) + ": " + data.outcomes[of]), make("div", said, "text"));
      node.append(details);
    });
    const more = make("details");
    const command = "cotkit show attempt " + [sample.run.id, arm, sample.id].map(quoted).join(" ");
    more.append(make("summary", "every turn"), make("code", command));
    node.append(more);
    return node;
  }

  const quoted = (word) => (/^[\w.,:=/@-]+$/.test(word) ? word : "'" + word.replaceAll("'", "'\\''") + "'");

  function panel(sample, readings) {
    const named = readings.map((reading, i) => [data.readers[i], reading]).filter((pair) => pair[1]);
    const split = new Set(named.map((pair) => pair[1][2])).size > 1;
    const decides = named.find((pair) => pair[0] === sample.run.reader);
    const line = make("p", "read as ", "read");
    if (decides) line.append(make("b", said(decides[1][0])), " by " + visible(decides[1][1]));
    const details = make("details");
    details.open = split;
    details.append(make("summary", split ? "the readers disagree" : "all readers"));
    const table = make("table");
    const head = table.createTHead().insertRow();
    for (const title of ["reader", "reads", ""]) {
      const cell = make("th", title);
      cell.scope = "col";
      head.append(cell);
    }
    const body = table.createTBody();
    for (const [name, [value, rule, right]] of named) {
      const first = make("th", name);
      first.scope = "row";
      const reads = make("td", said(value));
      reads.title = "by " + visible(rule);
      body.insertRow().append(first, reads, make("td", right ? "right" : "not right", right ? "good" : "quiet"));
    }
    details.append(table);
    return [line, details];
  }

  const said = (value) => (value === null ? "nothing" : value);

  function others(sample) {
    const same = samples.filter((one) => one.problem === sample.problem && one !== sample);
    if (!same.length) return [];
    const node = make("div", "The same problem:", "others");
    for (const one of same) {
      const button = step("", one);
      button.append(make("span", one.run.name));
      one.takes.forEach((take, i) => button.append(mark(take, one.run.arms[i])));
      node.append(button);
    }
    return [node];
  }

  // ---- wiring

  function options(id, pairs) {
    el(id).replaceChildren(
      ...pairs.map(([value, text]) => {
        const node = make("option", text);
        node.value = value;
        return node;
      }),
    );
  }

  function decoded(text) {
    try {
      return decodeURIComponent(text);
    } catch {
      return text; // a link that was cut: it names no sample
    }
  }

  function fromLink() {
    const asked = /^#sample=([^/]*)\/(.*)$/.exec(location.hash);
    if (!asked) return;
    const [run, id] = asked.slice(1).map(decoded);
    const sample = samples.find((one) => one.run.id === run && one.id === id);
    if (!sample) {
      el("count").textContent = visible("This page has no sample " + id + " of run " + run);
      return;
    }
    if (!found.includes(sample)) {
      el("filters").reset();
      filter();
    }
    choose(sample);
    el("samples").scrollIntoView();
  }

  const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
  list.addEventListener("keydown", (event) => {
    if (!(event.key in moves) || !found.length) return;
    event.preventDefault();
    const at = Math.max(0, found.indexOf(chosen));
    choose(found[Math.min(Math.max(at + moves[event.key], 0), found.length - 1)]);
  });
  list.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  addEventListener("resize", draw);
  addEventListener("hashchange", fromLink);
  let waiting = 0;
  el("filters").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(filter, 80);
  });
  el("filters").addEventListener("submit", (event) => event.preventDefault());
  options("f-run", [["", "all"], ...data.runs.map((run) => [run.id, run.name])]);
  options("f-show", [
    ["", "all samples"],
    ["disagree", "arms disagree"],
    ...arms.map((arm) => ["only:" + arm, "only " + arm + " is correct"]),
  ]);
  options("f-outcome", [["", "any"], ...data.outcomes.map((outcome) => [outcome, outcome])]);
  options("f-arm", [["", "any arm"], ...arms.map((arm) => [arm, arm])]);
  el("models").hidden = data.runs.length < 2;
  el("browser").hidden = false;
  filter();
  fromLink();
})();
