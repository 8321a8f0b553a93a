"""One year of a real grocery chain as input: baskets, catalogue, offers, customers, sessions.

Read in this order: `tables` and `data` (the real rows), `measures` (what is sold by weight),
`prices` and `coupons` (what the rules must have been), `catalogue` and `offers` (the bundle),
`customers`, `sessions` (the steps at a register), `compare` (does the replay reproduce what was
paid, and how fast).
"""
