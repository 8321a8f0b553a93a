"""How fast the engine is, on real and made-up receipts, beside peers and a floor.

Read in this order: `workload` (made-up offers and baskets), `timing`, `floor`, `peers` (the other
libraries, in processes of their own: `peer_zen`, `peer_oscar`), then the measurements `real`,
`synthetic`, `growth`, `bundle_cost` and `hard`, and `__main__`, the command.
"""
