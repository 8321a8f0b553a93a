"""How customers were served, minute by minute, as the receipts say and not as servers answer."""
