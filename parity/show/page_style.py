"""How a report looks as a page: light and dark, wide and narrow. No font, picture or script."""

STYLE = """
.parity { color-scheme: light dark; --ok: #1a7f37; --warn: #9a6700; --bad: #cf222e;
  --odd: #8250df; --line: #8886; --soft: #8882; font: 15px/1.5 system-ui, sans-serif;
  max-width: 76rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) { .parity { --ok: #3fb950; --warn: #d29922; --bad: #ff7b72;
  --odd: #bc8cff; } body.parity { background: #0d1117; color: #e6edf3; } }
.parity h1 { font-size: 1.4rem; } .parity h2 { font-size: 1.2rem; margin: 2rem 0 .3rem; }
.parity h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; } .parity p { margin: .3rem 0; }
.parity code, .parity pre, .parity td { font-family: ui-monospace, monospace; font-size: 13px; }
.parity .chip { display: inline-block; padding: 0 .5em; border-radius: 1em; font-size: 12px;
  border: 1px solid currentColor; white-space: nowrap; }
.parity .ok { color: var(--ok); } .parity .warn { color: var(--warn); }
.parity .bad { color: var(--bad); } .parity .odd { color: var(--odd); }
.parity .dim { opacity: .7; } .parity .first { font-weight: 600; }
.parity .wide { overflow-x: auto; max-width: 100%; }
.parity table { border-collapse: collapse; margin: .4rem 0; }
.parity caption { text-align: left; opacity: .7; }
.parity th, .parity td { text-align: left; padding: .1rem .8rem .1rem 0; vertical-align: top;
  border-bottom: 1px solid var(--soft); overflow-wrap: normal; }
.parity details { margin: .1rem 0; border-left: 2px solid var(--line); padding-left: .7rem; }
.parity summary { cursor: pointer; padding: .1rem 0; }
.parity summary:focus-visible, .parity .wide:focus-visible { outline: 2px solid var(--odd);
  outline-offset: 2px; }
.parity .sides { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
.parity .sides > div { min-width: 0; }
.parity pre { overflow-x: auto; margin: .2rem 0; padding: .5rem; background: var(--soft); }
.parity mark { background: #d2992255; color: inherit; }
.parity .charts { display: flex; flex-wrap: wrap; gap: 1rem; }
.parity figure { margin: .3rem 0; } .parity figcaption { font-size: 12px; opacity: .8; }
.parity svg { width: 15rem; height: auto; display: block; } .parity rect { fill: currentColor; }
.parity svg line { stroke: var(--bad); stroke-dasharray: 3 2; }
.parity rect.bad { fill: var(--bad); }
.parity svg .axis { stroke: var(--line); stroke-dasharray: none; }
.parity svg text { font-size: 9px; fill: currentColor; }
@media (max-width: 40rem) { .parity .sides { grid-template-columns: 1fr; }
  .parity { padding: .5rem; } .parity details { padding-left: .4rem; } }
@media print { .parity details { break-inside: avoid; } }
"""
