"""zen-engine on the same offers and baskets; run by the peers' own Python, never imported.

Reads one JSON object from standard input and writes one to standard output (see `peers`). The ways
to write the offers down:

- `table`: one decision table over the lines (loop mode, every hit collected) says which offers
  touch each line; a function node adds up each offer found. Since version 2 the engine keeps an
  index of such a table's cells, so this is the fast way.
- `matching`: the table alone. Not a calculation: it only says which offers touch which line.
- `expressions`: one expression an offer over all lines, in one expression node. The language has no
  sorting, so an N for M frees its cheapest unit once for every set.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import pairwise
from statistics import median
from typing import Any

import zen  # type: ignore[import-not-found]

_FIELDS = ("category", "brand", "sku")
_ADDING_UP = """
export const handler = async ({ lines, hits }) => {
  const found = new Map();
  hits.forEach((ofLine, at) => {
    for (const hit of ofLine) {
      const known = found.get(hit.id);
      if (known) known.lines.push(lines[at]);
      else found.set(hit.id, { hit, lines: [lines[at]] });
    }
  });
  const off = {};
  for (const [id, { hit, lines }] of found) {
    let minor = 0;
    if (hit.units) {
      const prices = [];
      for (const line of lines) {
        for (let unit = 0; unit < line.units; unit++) prices.push(line.unit_minor);
      }
      prices.sort((a, b) => b - a);
      const sets = Math.floor(prices.length / hit.units);
      for (let set = 0; set < sets; set++) {
        for (let unit = hit.pay; unit < hit.units; unit++) minor += prices[set * hit.units + unit];
      }
    } else {
      let gross = 0;
      for (const line of lines) gross += line.units * line.unit_minor;
      if (gross >= hit.spend) minor = Math.floor((gross * hit.rate) / 1000000 + 0.5);
    }
    if (minor) off[id] = minor;
  }
  return off;
};
"""


def main() -> int:
    """Set up, evaluate every basket, write what came out and how long it took."""
    job = json.load(sys.stdin)
    before = time.perf_counter()
    graph = _WAYS[job["way"]](job["offers"])
    decision = zen.ZenEngine().create_decision(zen.ZenDecisionContent(json.dumps(graph)))
    inputs = [{"lines": basket} for basket in job["baskets"]]
    decision.evaluate(inputs[0])
    setup_s = time.perf_counter() - before
    off, took_us = [], []
    for basket in inputs:
        times = []
        for _ in range(job["repeats"]):
            begun = time.perf_counter()
            decision.evaluate(basket)
            times.append((time.perf_counter() - begun) * 1e6)
        took_us.append(median(times))
        found = {} if job["way"] == "matching" else decision.evaluate(basket)["result"]
        off.append({name: round(minor) for name, minor in found.items() if minor})
    json.dump(
        {"version": version("zen-engine"), "setup_s": setup_s, "took_us": took_us, "off": off},
        sys.stdout,
    )
    return 0


def _table_graph(offers: list[dict[str, Any]]) -> dict[str, Any]:
    return _graph(_table(offers), _node("adding up", "functionNode", {"source": _ADDING_UP}))


def _matching_graph(offers: list[dict[str, Any]]) -> dict[str, Any]:
    return _graph(_table(offers, with_lines=False))


def _table(offers: list[dict[str, Any]], *, with_lines: bool = True) -> dict[str, Any]:
    outputs: dict[str, Callable[[dict[str, Any]], str]] = {
        "id": lambda offer: f"'{offer['offer_id']}'",
        "units": lambda offer: str(offer["units"]),
        "pay": lambda offer: str(offer["pay"]),
        "rate": lambda offer: str(offer["rate_ppm"]),
        "spend": lambda offer: str(offer["spend_minor_min"]),
    }
    table = {
        "hitPolicy": "collect",
        "executionMode": "loop",
        "inputField": "lines",
        "outputPath": "hits",
        # Whether the lines themselves go on to the next node.
        "passThrough": with_lines,
        "inputs": [_column(field) for field in _FIELDS],
        "outputs": [_column(field) for field in outputs],
        "rules": [
            {
                "_id": offer["offer_id"],
                **{field: _quoted(offer) if offer["by"] == field else "" for field in _FIELDS},
                **{field: cell(offer) for field, cell in outputs.items()},
            }
            for offer in offers
        ],
    }
    return _node("table", "decisionTableNode", table)


def _expression_graph(offers: list[dict[str, Any]]) -> dict[str, Any]:
    expressions = [
        {"id": offer["offer_id"], "key": offer["offer_id"], "value": _expression(offer)}
        for offer in offers
    ]
    content = {"expressions": expressions, "passThrough": False, "executionMode": "single"}
    return _graph(_node("offers", "expressionNode", content))


def _expression(offer: dict[str, Any]) -> str:
    lines = "lines"
    if offer["by"] != "all":
        lines = f"filter(lines, #.{offer['by']} in [{_quoted(offer)}])"
    gross = f"sum(map({lines}, #.units * #.unit_minor))"
    rate = f"{offer['rate_ppm']} / 1000000"
    if offer["kind"] == "n_for_m":
        sets = f"floor(sum(map({lines}, #.units)) / {offer['units']})"
        free = offer["units"] - offer["pay"]
        return f"{sets} > 0 ? {sets} * {free} * min(map({lines}, #.unit_minor)) : 0"
    if offer["kind"] == "threshold":
        return f"{gross} >= {offer['spend_minor_min']} ? {gross} * {rate} : 0"
    return f"{gross} * {rate}"


def _quoted(offer: dict[str, Any]) -> str:
    return ", ".join(f"'{value}'" for value in offer["values"])


def _column(field: str) -> dict[str, str]:
    return {"id": field, "name": field, "field": field, "type": "expression"}


def _node(name: str, kind: str, content: dict[str, Any] | None = None) -> dict[str, Any]:
    node: dict[str, Any] = {"id": name, "name": name, "type": kind, "position": {"x": 0, "y": 0}}
    return node if content is None else {**node, "content": content}


def _graph(*nodes: dict[str, Any]) -> dict[str, Any]:
    chain = [_node("in", "inputNode"), *nodes, _node("out", "outputNode")]
    edges = [
        {"id": f"edge {at}", "type": "edge", "sourceId": one["id"], "targetId": next_one["id"]}
        for at, (one, next_one) in enumerate(pairwise(chain))
    ]
    return {"contentType": "application/vnd.gorules.decision", "nodes": chain, "edges": edges}


_WAYS = {"table": _table_graph, "matching": _matching_graph, "expressions": _expression_graph}

if __name__ == "__main__":
    sys.exit(main())
