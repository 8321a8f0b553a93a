"""A register without hardware: the steps a cashier makes, who makes them, and what is printed."""
