#include "core/report/page.h"

namespace tenon {

const char* const page_style = R"css(
:root { --ink: #1b2430; --soft: #5d6b7c; --line: #d5dbe3; --paper: #fff; --panel: #f6f8fa; --mark: #d9480f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9f0; --soft: #9aa7b6; --line: #3a4452; --paper: #161b22; --panel: #1f2630; --mark: #ff922b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1400px; padding: 20px; font: 14px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
h1 { font-size: 20px; margin: 0 0 4px; } h2 { font-size: 15px; margin: 26px 0 8px; }
.soft { color: var(--soft); } .mono { font-family: ui-monospace, monospace; font-size: 12px; }
table { border-collapse: collapse; margin: 4px 0; } th, td { text-align: left; padding: 3px 14px 3px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; color: var(--soft); } td.r, th.r { text-align: right; font-variant-numeric: tabular-nums; }
.key { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin-right: 6px; vertical-align: -1px; }
#stage { display: flex; gap: 12px; height: 640px; } #graph { flex: 1; border: 1px solid var(--line); overflow: hidden; background: var(--panel); cursor: grab; touch-action: none; min-width: 0; }
#side { width: 380px; overflow: auto; border: 1px solid var(--line); padding: 10px; background: var(--panel); overflow-wrap: anywhere; }
#side h3 { margin: 0 0 6px; font-size: 14px; } #side table { width: 100%; } #side td, #side th { padding-right: 6px; font-size: 12px; }
#search { width: 320px; padding: 5px 8px; border: 1px solid var(--line); background: var(--paper); color: var(--ink); } #found { margin-left: 10px; }
svg text { font: 12px system-ui, sans-serif; fill: #10151c; pointer-events: none; } svg text.name { font-size: 9px; fill: #2c3642; }
svg .t { fill: var(--ink); font-size: 14px; } .e { fill: none; stroke: #93a0b0; stroke-width: 1; } .e.c { stroke: var(--mark); stroke-width: 2.2; stroke-dasharray: 5 3; }
.n { cursor: pointer; } .n rect { stroke: rgba(0, 0, 0, .35); stroke-width: 1; } .dim { opacity: .15; } .n.at rect { stroke: var(--mark); stroke-width: 3; }
.d0 { fill: #74c0fc; background: #74c0fc; } .d1 { fill: #8ce99a; background: #8ce99a; } .d2 { fill: #ffd43b; background: #ffd43b; } .d3 { fill: #e599f7; background: #e599f7; }
.d4 { fill: #ffa8a8; background: #ffa8a8; } .d5 { fill: #66d9e8; background: #66d9e8; } .d6 { fill: #c0eb75; background: #c0eb75; } .d7 { fill: #b197fc; background: #b197fc; }
.core { fill: #ced4da; background: #ced4da; } .none { fill: #ff6b6b; background: #ff6b6b; }
.curve { fill: none; stroke-width: 1.5; } .area { opacity: .25; } svg .axis { fill: var(--soft); font-size: 11px; }
.bar { height: 14px; display: inline-block; border-radius: 2px; vertical-align: -2px; }
)css";

const char* const page_script = R"js(
'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const svg = document.querySelector('#graph svg'), stage = document.getElementById('graph'), side = document.getElementById('side');
const time = ns => ns < 1e3 ? ns.toFixed(0) + ' ns' : ns < 1e6 ? (ns / 1e3).toFixed(1) + ' us' : (ns / 1e6).toFixed(3) + ' ms';
const bytes = b => { const u = ['B', 'KiB', 'MiB', 'GiB']; let i = 0; while (b >= 1024 && i < 3) { b /= 1024; ++i; } return (i ? b.toFixed(1) : b) + ' ' + u[i]; };
const title = n => n.name || '(no name)';
const make = (tag, text, parent, style) => { const e = document.createElement(tag); if (text !== undefined) e.textContent = text; if (style) e.className = style; parent.appendChild(e); return e; };
const row = (table, cells) => { const r = make('tr', undefined, table); for (const c of cells) make('td', c, r); return r; };

// ---- the part of the drawing that is seen
const full = svg.viewBox.baseVal, whole = { w: full.width, h: full.height };
let view = { x: 0, y: 0, w: whole.w, h: whole.h };
const show = () => svg.setAttribute('viewBox', [view.x, view.y, view.w, view.h].join(' '));
function start() { const r = stage.getBoundingClientRect(); view.w = Math.max(900, Math.min(whole.w, 1600)); view.h = view.w * r.height / Math.max(1, r.width); view.x = (whole.w - view.w) / 2; view.y = -10; show(); }
stage.addEventListener('wheel', e => {
  e.preventDefault();
  const r = stage.getBoundingClientRect(), f = Math.exp(e.deltaY * 0.0015), px = (e.clientX - r.left) / r.width, py = (e.clientY - r.top) / r.height;
  if (e.shiftKey) { view.y += e.deltaY * view.h / r.height; show(); return; }
  view.x += view.w * px * (1 - f); view.y += view.h * py * (1 - f); view.w *= f; view.h *= f; show();
}, { passive: false });
let drag = null;
stage.addEventListener('pointerdown', e => { drag = { x: e.clientX, y: e.clientY, vx: view.x, vy: view.y }; });
window.addEventListener('pointermove', e => { if (!drag) return; const r = stage.getBoundingClientRect(); view.x = drag.vx - (e.clientX - drag.x) * view.w / r.width; view.y = drag.vy - (e.clientY - drag.y) * view.h / r.height; show(); });
window.addEventListener('pointerup', () => { drag = null; });

// ---- one node
let chosen = null;
function pick(i, move) {
  if (chosen) chosen.classList.remove('at');
  chosen = document.getElementById('n' + i);
  chosen.classList.add('at');
  if (move) { const m = chosen.transform.baseVal.consolidate().matrix; view.x = m.e - view.w / 2 + 75; view.y = m.f - view.h / 2; show(); }
  const n = data.nodes[i];
  side.replaceChildren();
  make('h3', n.op_type + '  ' + title(n), side);
  make('div', (n.graph ? 'in ' + n.graph + ', ' : '') + 'runs on ' + n.provider + ' (' + n.device + ')' + (n.part >= 0 ? ', part ' + n.part : '') + ': ' + n.why, side);
  if (n.cost_ns > 0) make('div', time(n.cost_ns) + ', ' + n.offers.filter(o => o.chosen).map(o => o.cost_from).join(), side, 'soft');
  for (const [what, list] of [['inputs', n.inputs], ['outputs', n.outputs]]) {
    const t = make('table', undefined, side); make('th', what, make('tr', undefined, t));
    for (const v of list) if (v >= 0) row(t, [data.values[v].name, data.values[v].type + (data.values[v].constant ? ' constant' : '')]);
  }
  const t = make('table', undefined, side); const h = make('tr', undefined, t); for (const c of ['device', 'answer', '']) make('th', c, h);
  for (const o of n.offers) row(t, [data.devices[o.device].device, time(o.cost_ns) + (o.nodes > 1 ? ' for ' + o.nodes + ' nodes' : '') + ', ' + o.cost_from, o.chosen ? 'taken' : o.allowed ? '' : 'kept away']);
  for (const r of n.refusals) row(t, [data.devices[r.device].device, r.reason, r.text]);
  if (n.sources.length) make('div', 'from ' + n.sources.join(', '), side, 'soft');
}
svg.addEventListener('click', e => { const g = e.target.closest('.n'); if (g) pick(+g.id.slice(1), false); });

// ---- the search: operators, names, values, providers, devices, reasons
const words = data.nodes.map(n => [n.op_type, n.name, n.graph, n.provider, n.device, n.why, ...n.sources, ...n.outputs.map(v => v < 0 ? '' : data.values[v].name), ...n.refusals.map(r => r.reason + ' ' + r.text)].join('\n').toLowerCase());
const search = document.getElementById('search'), found = document.getElementById('found');
let hits = [], at = 0;
function find() {
  const q = search.value.trim().toLowerCase();
  hits = [];
  words.forEach((w, i) => { const hit = w.includes(q); document.getElementById('n' + i).classList.toggle('dim', q !== '' && !hit); if (q && hit) hits.push(i); });
  at = 0;
  found.textContent = q ? hits.length + ' of ' + words.length + ' nodes; Enter for the next' : '';
}
search.addEventListener('input', find);
search.addEventListener('keydown', e => { if (e.key === 'Enter' && hits.length) { pick(hits[at], true); at = (at + 1) % hits.length; } });
document.querySelectorAll('[data-find]').forEach(e => e.addEventListener('click', () => { search.value = e.dataset.find; find(); if (hits.length) pick(hits[0], true); }));

// ---- the memory over the steps
const curve = document.getElementById('curve'), what = document.getElementById('step');
if (curve) curve.addEventListener('pointermove', e => {
  const r = curve.getBoundingClientRect(), m = data.memory, t = Math.min(m.steps.length - 1, Math.max(0, Math.floor((e.clientX - r.left) / r.width * m.steps.length)));
  what.textContent = 'step ' + t + ': ' + m.domains.map(d => d.memory + ' ' + bytes(d.live[t])).join(', ') + ' · ' + m.steps[t];
});
start();
if (data.nodes.length) { pick(0, true); view.y = -10; show(); }  // where the graph begins, however wide it grows
)js";

}  // namespace tenon
