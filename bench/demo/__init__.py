"""The demo: two stores, a centre and a network between them that is cut while they sell."""
