// A cursor on each chart that shows the step and every curve's value there: by mouse, touch or keys.
const listening = typeof signal === "undefined" ? {} : { signal };
for (const plot of document.querySelectorAll(".nf-plot")) {
  const [low, high] = plot.dataset.range.split(" ").map(Number);
  const numbers = (text) => (text || "").split(" ").map(Number);
  const curves = [...plot.querySelectorAll("g[data-name]")].map((group) => ({
    name: group.dataset.name,
    x: numbers(group.dataset.x),
    y: numbers(group.dataset.y),
    marked: group.querySelector("circle") !== null,
  }));
  const format = new Intl.NumberFormat("en", { maximumSignificantDigits: 5 });
  const show = (value) => (Math.abs(value) < 1e-3 && value !== 0 ? value.toPrecision(4) : format.format(value));
  const cursor = document.createElement("div");
  const tip = document.createElement("div");
  cursor.className = "nf-cursor";
  tip.className = "nf-tip";
  let step = null;

  const nearest = (values, wanted) => {
    let first = 0;
    let last = values.length - 1;
    while (last - first > 1) {
      const middle = (first + last) >> 1;
      if (values[middle] < wanted) first = middle;
      else last = middle;
    }
    return wanted - values[first] <= values[last] - wanted ? first : last;
  };

  const hide = () => {
    step = null;
    cursor.remove();
    tip.remove();
  };

  const place = (wanted) => {
    const reach = ((high - low) * 8) / Math.max(1, plot.clientWidth); // marks draw the cursor to them
    const found = curves.map((curve) => ({ curve, at: nearest(curve.x, wanted) }));
    const distance = (one) => Math.abs(one.curve.x[one.at] - wanted);
    const closest = (ones) => ones.reduce((a, b) => (distance(b) < distance(a) ? b : a));
    const marks = found.filter((one) => one.curve.marked && distance(one) <= reach);
    const chosen = closest(marks.length ? marks : found);
    step = chosen.curve.x[chosen.at];
    const lines = [`${plot.dataset.unit} ${step.toLocaleString("en")}`];
    for (const curve of curves) {
      const at = nearest(curve.x, step);
      if (curve.x[at] === step || (!curve.marked && Math.abs(curve.x[at] - step) <= reach)) {
        const note = curve.x[at] === step ? "" : ` (${plot.dataset.unit} ${curve.x[at].toLocaleString("en")})`;
        lines.push(`${curve.name}: ${show(curve.y[at])}${note}`);
      }
    }
    tip.replaceChildren(
      ...lines.map((text) => {
        const line = document.createElement("div");
        line.textContent = text;
        return line;
      })
    );
    plot.append(cursor, tip);
    const across = ((step - low) / (high - low)) * plot.clientWidth;
    cursor.style.left = `${across}px`;
    const before = plot.getBoundingClientRect().left + across; // room on the left of the cursor
    const width = tip.offsetWidth;
    const right = document.documentElement.clientWidth - before > width + 16;
    tip.style.left = `${right ? across + 8 : Math.max(8 - before + across, across - 8 - width)}px`;
  };

  const follow = (event) => {
    const box = plot.getBoundingClientRect();
    place(low + ((event.clientX - box.left) / box.width) * (high - low));
  };
  plot.addEventListener("pointermove", follow);
  plot.addEventListener("pointerdown", follow);
  // A finger leaves as soon as it is lifted; what it pointed at stays until it points elsewhere.
  plot.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") hide(); });
  document.addEventListener("pointerdown", (event) => { if (!plot.contains(event.target)) hide(); }, listening);
  plot.addEventListener("blur", hide);
  plot.addEventListener("keydown", (event) => {
    const main = curves.reduce((a, b) => (b.x.length > a.x.length ? b : a)).x;
    const at = step === null ? -1 : nearest(main, step);
    const moves = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: main.length - 1 };
    if (event.key === "Escape") hide();
    else if (event.key in moves) {
      place(main[Math.min(main.length - 1, Math.max(0, moves[event.key]))]);
      event.preventDefault();
    }
  });
  plot.tabIndex = 0;
}
