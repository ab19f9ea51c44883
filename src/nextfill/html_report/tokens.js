// Texts in colour: which colours are shown, and what is known of the token under the mouse.
for (const box of document.querySelectorAll(".tokens")) {
  const tip = document.createElement("div");
  tip.className = "nf-tip tokens-tip";
  tip.setAttribute("role", "status");
  const number = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
  const visible = (text) => text.replace(/\n/g, "\u21b5").replace(/\t/g, "\u2192").replace(/^ | $/g, "\u2423") || "\u2205";
  let shown = null;

  const line = (text, name) => {
    const row = document.createElement("div");
    row.textContent = text;
    if (name) row.className = name;
    return row;
  };

  const hide = () => {
    if (shown) shown.classList.remove("at");
    shown = null;
    tip.remove();
  };

  const show = (token) => {
    if (token === shown) return;
    hide();
    shown = token;
    token.classList.add("at");
    const nats = Number(token.dataset.n);
    const rows = [line(`\u201c${visible(token.textContent)}\u201d`, "name")];
    const many = token.dataset.k ? `${token.dataset.k} tokens, ` : "";
    rows.push(line(`${many}${number.format(nats)} nats, ${percent.format(Math.exp(-nats))} probability`));
    if (token.dataset.b !== undefined) {
      const before = Number(token.dataset.b);
      const sign = nats > before ? "+" : "\u2212";
      const change = `${sign}${number.format(Math.abs(nats - before))}`;
      rows.push(line(`${box.dataset.other}: ${number.format(before)} nats; change ${change}`));
    }
    const others = JSON.parse(token.dataset.l || "[]");
    if (others.length) rows.push(line("likeliest here:", "head"));
    for (const [text, probability] of others) {
      const row = line(`\u201c${visible(text)}\u201d  ${percent.format(probability)}`);
      if (text === token.textContent) row.className = "own";
      rows.push(row);
    }
    tip.replaceChildren(...rows);
    box.append(tip);
    const outer = box.getBoundingClientRect();
    const inner = token.getClientRects()[0] || token.getBoundingClientRect();
    const left = Math.min(inner.left - outer.left, outer.width - tip.offsetWidth);
    tip.style.left = `${Math.max(0, left)}px`;
    const above = inner.top - tip.offsetHeight - 8;
    const top = above > 0 ? inner.top - outer.top - tip.offsetHeight - 6 : inner.bottom - outer.top + 6;
    tip.style.top = `${top}px`;
  };

  const under = (event) => {
    const token = event.target.closest("[data-n]");
    if (token) show(token);
    else if (!tip.contains(event.target)) hide();
  };
  box.addEventListener("pointerover", under);
  box.addEventListener("pointerdown", under);
  // A finger leaves as soon as it is lifted; what it pointed at stays until it points elsewhere.
  box.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") hide(); });
  document.addEventListener("pointerdown", (event) => { if (!box.contains(event.target)) hide(); }, typeof signal === "undefined" ? {} : { signal });
  for (const text of box.querySelectorAll(".text")) {
    const tokens = [...text.querySelectorAll("[data-n]")];
    text.tabIndex = 0;
    text.addEventListener("blur", hide);
    text.addEventListener("keydown", (event) => {
      const at = tokens.indexOf(shown);
      const moves = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tokens.length - 1 };
      if (event.key === "Escape") hide();
      else if (event.key in moves && tokens.length) {
        show(tokens[Math.min(tokens.length - 1, Math.max(0, moves[event.key]))]);
        shown.scrollIntoView({ block: "nearest" });
        event.preventDefault();
      }
    });
  }
  for (const choice of box.querySelectorAll("input[name]")) {
    choice.addEventListener("change", () => {
      box.dataset.view = choice.value;
    });
  }
}
